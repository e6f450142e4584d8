"""Where things lie in the structures of NTFS that sbtk reads; all integers little-endian.

One place for every on-disk number that more than one module needs. The sources are the Linux-NTFS
documentation and layout.h of ntfs-3g.
"""

from __future__ import annotations

import struct
from enum import IntEnum

FIXUP_STRIDE_BYTES = 512
"""Fixups guard every 512 bytes, on 4096-byte sectors too."""

ROOT_RECORD = 5
REFERENCE_MASK = (1 << 48) - 1
"""A file reference: record number in the low 48 bits, sequence number above."""


class SystemRecord(IntEnum):
    """The fixed record numbers of the volume's own files."""

    MFT = 0
    MFT_MIRROR = 1
    LOG_FILE = 2
    VOLUME = 3
    ROOT = ROOT_RECORD
    BITMAP = 6
    BOOT = 7
    BAD_CLUSTERS = 8
    FIRST_USER = 24


class AttributeType(IntEnum):
    """Attribute type codes."""

    STANDARD_INFORMATION = 0x10
    ATTRIBUTE_LIST = 0x20
    FILE_NAME = 0x30
    OBJECT_ID = 0x40
    SECURITY_DESCRIPTOR = 0x50
    VOLUME_NAME = 0x60
    VOLUME_INFORMATION = 0x70
    DATA = 0x80
    INDEX_ROOT = 0x90
    INDEX_ALLOCATION = 0xA0
    BITMAP = 0xB0
    REPARSE_POINT = 0xC0
    EA_INFORMATION = 0xD0
    EA = 0xE0
    LOGGED_UTILITY_STREAM = 0x100
    END = 0xFFFFFFFF


class Namespace(IntEnum):
    """Namespaces of a $FILE_NAME."""

    POSIX = 0
    WIN32 = 1
    DOS = 2
    WIN32_AND_DOS = 3


# FILE record header: signature, update sequence offset and count, $LogFile sequence number,
# sequence, hard links, first attribute offset, flags, bytes used, bytes allocated, base reference,
# next attribute instance; then (version 3.1) 2 bytes of padding and the record's own number.
RECORD_HEADER = struct.Struct("<4sHHQHHHHIIQH")
RECORD_SIGNATURE = b"FILE"
RECORD_TORN_SIGNATURE = b"BAAD"
RECORD_IN_USE = 0x0001
RECORD_IS_DIRECTORY = 0x0002
RECORD_UPDATE_SEQUENCE_MIN_OFFSET = 0x2A

# Attribute header, common part: type, bytes, non-resident, name characters, name offset, flags,
# instance.
ATTRIBUTE_HEADER = struct.Struct("<IIBBHHH")
ATTRIBUTE_MIN_BYTES = 24
# Resident part, at 10h: value bytes, value offset, indexed flag.
RESIDENT_PART = struct.Struct("<IHB")
# Non-resident part, at 10h: lowest and highest VCN, mapping pairs offset, compression unit (log2
# clusters), 5 bytes reserved, allocated, data and initialised bytes.
NONRESIDENT_PART = struct.Struct("<QQHB5xqqq")
NONRESIDENT_MIN_BYTES = 0x40

ATTRIBUTE_COMPRESSED = 0x0001
ATTRIBUTE_ENCRYPTED = 0x4000
ATTRIBUTE_SPARSE = 0x8000

# $FILE_NAME value: parent reference, four times, allocated and data bytes, attributes, EA/reparse,
# name characters, namespace; then the name in UTF-16.
FILE_NAME = struct.Struct("<QQQQQQQIIBB")

# $STANDARD_INFORMATION value: created, modified, changed, accessed (100 ns since 1601), attributes.
STANDARD_INFORMATION = struct.Struct("<QQQQI")

# $ATTRIBUTE_LIST entry: type, entry bytes, name characters, name offset, lowest VCN, reference,
# instance; then the name in UTF-16.
LIST_ENTRY = struct.Struct("<IHBBQQH")
LIST_ENTRY_MIN_BYTES = 0x1A

# $VOLUME_INFORMATION value: 8 bytes reserved, major, minor, flags.
VOLUME_INFORMATION = struct.Struct("<8xBBH")
VOLUME_IS_DIRTY = 0x0001

# $LogFile restart page header: signature, update sequence, chkdsk LSN, system and log page bytes,
# restart area offset, minor and major version.
RESTART_PAGE = struct.Struct("<4sHHQIIHHH")
# Restart area, from its start: current LSN, clients, free and in-use client list, flags.
RESTART_AREA = struct.Struct("<QHHHH")
RESTART_NO_CLIENT = 0xFFFF
RESTART_IS_CLEAN = 0x0002

FILETIME_EPOCH_TICKS = 116_444_736_000_000_000
"""100 ns ticks from 1601-01-01 to 1970-01-01."""
