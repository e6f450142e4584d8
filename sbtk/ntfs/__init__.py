"""The bytes of an NTFS volume turned into tables."""
