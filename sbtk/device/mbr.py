"""The MBR partition table with its chain of extended boot records.

Layout: the four entries at 1BEh of LBA 0, and the same in each extended boot record (EBR), whose
first entry is a logical partition counted from that EBR and whose second entry is the next EBR
counted from the beginning of the extended partition.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sbtk.device.base import BlockDevice
from sbtk.device.partition_table import Partition, PartitionTable, read_or_empty
from sbtk.events import Finding

# status, CHS of the first sector, type, CHS of the last sector, first LBA, number of blocks
_ENTRY = struct.Struct("<B3sB3sII")
_ENTRIES_OFFSET = 446
_SIGNATURE = b"\x55\xaa"

PROTECTIVE = 0xEE  # UEFI 2.10 5.2.3: the disk has a GPT
EXTENDED = frozenset({0x05, 0x0F, 0x85})
MOST_LOGICAL = 128  # as many as any partitioning tool makes; the chain is cut there


@dataclass(frozen=True)
class Entry:
    """One used entry of an MBR or EBR.

    Attributes:
        slot: 0-3.
        type: partition type byte.
        first_lba: as stored, relative in an EBR.
        blocks: number of blocks.
    """

    slot: int
    type: int
    first_lba: int
    blocks: int


def primary_entries(sector: bytes) -> list[Entry]:
    """The used entries of a boot sector; none where it is not an MBR.

    A file system's boot sector ends in 55AAh too; there, code lies where the entries would be, and
    a status byte other than 00h and 80h gives it away.
    """
    if len(sector) < 512 or sector[510:512] != _SIGNATURE:
        return []
    entries = []
    for slot in range(4):
        status, _, kind, _, first_lba, blocks = _ENTRY.unpack_from(
            sector, _ENTRIES_OFFSET + slot * _ENTRY.size
        )
        if status & 0x7F:
            return []
        if kind and blocks:
            entries.append(Entry(slot, kind, first_lba, blocks))
    return entries


def read(device: BlockDevice, block_bytes: int, entries: list[Entry]) -> PartitionTable:
    """The table that starts with these primary entries, logical partitions included."""
    partitions: list[Partition] = []
    findings: list[Finding] = []
    for entry in entries:
        if entry.type in EXTENDED:
            chain, finding = _logical_partitions(device, block_bytes, entry.first_lba)
            partitions += chain
            findings += [finding] if finding else []
        elif entry.type != PROTECTIVE:
            partitions.append(_partition(entry, entry.slot + 1, entry.first_lba, block_bytes))
    partitions.sort(key=lambda item: item.number)
    return PartitionTable("mbr", block_bytes, tuple(partitions), tuple(findings))


def _partition(entry: Entry, number: int, first_lba: int, block_bytes: int) -> Partition:
    return Partition(number, first_lba, entry.blocks, block_bytes, f"{entry.type:02X}h")


def _logical_partitions(
    device: BlockDevice, block_bytes: int, extended_lba: int
) -> tuple[list[Partition], Finding | None]:
    """Walk the chain of EBRs; it ends at a loop, a broken link or ``MOST_LOGICAL`` links."""
    found: list[Partition] = []
    seen: set[int] = set()
    ebr_lba = extended_lba
    while True:
        if ebr_lba in seen or len(seen) >= MOST_LOGICAL:
            return found, _broken(f"the chain of logical partitions loops at LBA {ebr_lba}")
        seen.add(ebr_lba)
        sector = read_or_empty(device, ebr_lba * block_bytes, 512)
        if sector[510:512] != _SIGNATURE:
            return found, _broken(f"the extended boot record at LBA {ebr_lba} is missing")
        next_lba = 0
        for entry in primary_entries(sector):
            if entry.type in EXTENDED:
                next_lba = extended_lba + entry.first_lba
            else:
                first_lba = ebr_lba + entry.first_lba
                found.append(_partition(entry, 5 + len(found), first_lba, block_bytes))
        if not next_lba:
            return found, None
        ebr_lba = next_lba


def _broken(what: str) -> Finding:
    return Finding(
        severity="warning",
        code="partition-chain-broken",
        message=f"MBR: {what}; logical partitions behind it are not seen",
    )
