"""Block devices by location: image files, kernel block devices, partitions, SCSI paths."""
