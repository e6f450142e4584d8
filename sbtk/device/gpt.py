"""The GUID partition table: checked by its CRCs, read from its backup where it is damaged.

Layouts: UEFI 2.10, 5.3.2 table 5-5 (header) and 5.3.3 table 5-6 (entry).
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

from sbtk.device.base import BlockDevice
from sbtk.device.partition_table import Partition, PartitionTable, read_or_empty
from sbtk.events import Finding

# signature, revision, header bytes, header CRC, reserved, own LBA, alternate LBA, first and last
# usable LBA, disk GUID, LBA of the entries, number of entries, bytes an entry, CRC of the entries
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_HEADER_CRC_OFFSET = 16
_ENTRY = struct.Struct("<16s16sQQQ72s")  # type, unique GUID, first, last LBA, attributes, name
_SIGNATURE = b"EFI PART"
_UNUSED = bytes(16)
_MOST_ENTRIES_BYTES = 4 << 20  # 32,768 entries; tools make 128


@dataclass(frozen=True)
class _Header:
    """The fields of a header that has passed its checks."""

    alternate_lba: int
    entries_lba: int
    entries: int
    entry_bytes: int
    entries_crc: int


@dataclass(frozen=True)
class _Copy:
    """One intact copy of the table: its raw entries, and the bytes that it takes on the disk."""

    entries: list[bytes]
    ranges: set[tuple[int, int]]


def read(device: BlockDevice, block_bytes: int, *, protective: bool) -> PartitionTable:
    """Read the primary table or, where that is damaged, the backup at the end of the disk.

    Args:
        device: the whole disk.
        block_bytes: what the table counts in.
        protective: LBA 0 holds a protective MBR, so that a GPT must be somewhere.

    Returns:
        The table, with a finding for each damage; scheme ``""`` where there is no GPT.
    """
    primary, primary_header = _read_copy(device, block_bytes, 1)
    last_lba = device.size_bytes // block_bytes - 1
    backup_lba = primary_header.alternate_lba if primary_header else last_lba
    backup, _ = _read_copy(device, block_bytes, backup_lba)
    taken = primary or backup
    if taken is None:
        return PartitionTable(block_bytes=block_bytes)
    findings: list[Finding] = []
    if primary is None:
        what = f"the backup GPT at LBA {backup_lba} was used instead"
        findings.append(_warning("gpt-primary-damaged", what))
    elif backup is None:
        what = f"no intact backup at LBA {backup_lba}: sgdisk -e makes one"
        findings.append(_warning("gpt-backup-damaged", what))
    if not protective:
        findings.append(_warning("gpt-no-protective-mbr", "LBA 0 holds no protective MBR"))
    partitions = []
    for number, raw in enumerate(taken.entries, start=1):
        item = _parse_entry(raw, number, block_bytes)
        if item and item.blocks > 0:
            partitions.append(item)
        elif item:
            what = f"partition {number} ends before it begins"
            findings.append(_warning("gpt-entry-damaged", what))
    ranges = {(0, block_bytes)}.union(*(copy.ranges for copy in (primary, backup) if copy))
    return PartitionTable(
        "gpt", block_bytes, tuple(partitions), tuple(findings), tuple(sorted(ranges))
    )


def _read_copy(
    device: BlockDevice, block_bytes: int, lba: int
) -> tuple[_Copy | None, _Header | None]:
    """The copy of the table with its header at an LBA, if intact; and the header, if that is."""
    header = _read_header(device, block_bytes, lba)
    entries = _read_entries(device, block_bytes, header)
    if header is None or entries is None:
        return None, header
    entries_bytes = -(-header.entries * header.entry_bytes // block_bytes) * block_bytes
    ranges = {(lba * block_bytes, block_bytes), (header.entries_lba * block_bytes, entries_bytes)}
    return _Copy(entries, ranges), header


def _read_header(device: BlockDevice, block_bytes: int, lba: int) -> _Header | None:
    """The header at an LBA; None where there is none or its checks fail (UEFI 2.10 5.3.2)."""
    if lba < 1:
        return None
    block = read_or_empty(device, lba * block_bytes, block_bytes)
    if len(block) < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(block)
    signature, header_bytes, crc, own_lba = fields[0], fields[2], fields[3], fields[5]
    if signature != _SIGNATURE or not _HEADER.size <= header_bytes <= block_bytes:
        return None
    covered = bytearray(block[:header_bytes])
    covered[_HEADER_CRC_OFFSET : _HEADER_CRC_OFFSET + 4] = bytes(4)
    if zlib.crc32(covered) != crc or own_lba != lba:
        return None
    alternate_lba, (entries_lba, entries, entry_bytes, entries_crc) = fields[6], fields[10:]
    if entry_bytes < _ENTRY.size or entries * entry_bytes > _MOST_ENTRIES_BYTES:
        return None
    return _Header(alternate_lba, entries_lba, entries, entry_bytes, entries_crc)


def _read_entries(
    device: BlockDevice, block_bytes: int, header: _Header | None
) -> list[bytes] | None:
    """The raw entries of a table; None where they cannot be read or their CRC is wrong."""
    if header is None:
        return None
    length_bytes = header.entries * header.entry_bytes
    raw = read_or_empty(device, header.entries_lba * block_bytes, length_bytes)
    if len(raw) != length_bytes or zlib.crc32(raw) != header.entries_crc:
        return None
    step = header.entry_bytes
    return [raw[start : start + _ENTRY.size] for start in range(0, length_bytes, step)]


def _parse_entry(raw: bytes, number: int, block_bytes: int) -> Partition | None:
    kind, _, first_lba, last_lba, _, name = _ENTRY.unpack(raw)
    if kind == _UNUSED:
        return None
    text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
    guid = str(uuid.UUID(bytes_le=kind)).upper()
    return Partition(number, first_lba, last_lba + 1 - first_lba, block_bytes, guid, text)


def _warning(code: str, message: str) -> Finding:
    return Finding(severity="warning", code=code, message=f"GPT: {message}")
