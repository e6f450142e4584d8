"""SCSI layouts: bytes to values and back. No I/O here."""
