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
    records = {0}
    for entry in entries:
        if entry.type in EXTENDED:
            chain = _Chain(entry.first_lba)
            chain.walk(device, block_bytes)
            partitions += chain.partitions
            findings += chain.findings
            records |= chain.records
        elif entry.type != PROTECTIVE:
            partitions.append(_partition(entry, entry.slot + 1, entry.first_lba, block_bytes))
    partitions.sort(key=lambda item: item.number)
    own_ranges = tuple((lba * block_bytes, block_bytes) for lba in sorted(records))
    return PartitionTable("mbr", block_bytes, tuple(partitions), tuple(findings), own_ranges)


def _partition(entry: Entry, number: int, first_lba: int, block_bytes: int) -> Partition:
    return Partition(number, first_lba, entry.blocks, block_bytes, f"{entry.type:02X}h")


class _Chain:
    """The logical partitions of an extended one.

    Attributes:
        partitions: found so far, numbered from 5.
        findings: why the chain was left before its end.
        records: LBAs of the extended boot records that were read.
    """

    def __init__(self, extended_lba: int) -> None:
        self._extended_lba = extended_lba
        self.partitions: list[Partition] = []
        self.findings: list[Finding] = []
        self.records: set[int] = set()

    def walk(self, device: BlockDevice, block_bytes: int) -> None:
        """Follow the chain to its end, a loop or a broken link; ``MOST_LOGICAL`` links at most."""
        next_lba = self._extended_lba
        while next_lba:
            lba = next_lba
            if lba in self.records or len(self.records) >= MOST_LOGICAL:
                self.findings.append(_broken(f"the chain of logical partitions loops at LBA {lba}"))
                return
            sector = read_or_empty(device, lba * block_bytes, 512)
            if sector[510:512] != _SIGNATURE:
                self.findings.append(_broken(f"the extended boot record at LBA {lba} is missing"))
                return
            self.records.add(lba)
            next_lba = 0
            for entry in primary_entries(sector):
                if entry.type in EXTENDED:
                    next_lba = self._extended_lba + entry.first_lba
                else:
                    number, first_lba = 5 + len(self.partitions), lba + entry.first_lba
                    self.partitions.append(_partition(entry, number, first_lba, block_bytes))


def _broken(what: str) -> Finding:
    return Finding(
        severity="warning",
        code="partition-chain-broken",
        message=f"MBR: {what}; logical partitions behind it are not seen",
    )
