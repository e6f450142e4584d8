"""Carriers of SCSI commands: in-process, SG_IO, iSCSI; all with the same face."""
