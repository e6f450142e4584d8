"""Partition tables as values, whichever scheme they came from."""

from __future__ import annotations

from dataclasses import dataclass

from sbtk.device.base import BlockDevice
from sbtk.errors import DeviceReadError
from sbtk.events import Finding


@dataclass(frozen=True)
class Partition:
    """One entry of a partition table.

    Attributes:
        number: as the kernel numbers it: entry of a GPT, 1-4 primary and 5- logical of an MBR.
        first_lba: first block, counted in ``block_bytes``.
        blocks: number of blocks.
        block_bytes: what the table counts in.
        type: ``"07h"`` of an MBR, the type GUID of a GPT.
        name: name in a GPT; empty in an MBR.
        is_ntfs: its content is NTFS.
        boot_damaged: its first sector is not NTFS, and the backup in its last sector is.
    """

    number: int
    first_lba: int
    blocks: int
    block_bytes: int
    type: str
    name: str = ""
    is_ntfs: bool = False
    boot_damaged: bool = False

    @property
    def start_bytes(self) -> int:
        """Offset of its first byte on the disk."""
        return self.first_lba * self.block_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of the partition."""
        return self.blocks * self.block_bytes


@dataclass(frozen=True)
class PartitionTable:
    """What a disk's partition table says.

    Attributes:
        scheme: ``"gpt"``, ``"mbr"``, or ``""`` where there is none.
        block_bytes: what its LBAs count.
        partitions: used entries, in the order of the table.
        findings: what is wrong with the table, and what was done about it.
        own_ranges: (start_bytes, length_bytes) of the blocks that the table itself takes, in
            ascending order: boot records, GPT headers and entries, of the intact copies only.
    """

    scheme: str = ""
    block_bytes: int = 512
    partitions: tuple[Partition, ...] = ()
    findings: tuple[Finding, ...] = ()
    own_ranges: tuple[tuple[int, int], ...] = ()


def read_or_empty(device: BlockDevice, offset_bytes: int, length_bytes: int) -> bytes:
    """Bytes of the device, or none where they do not exist or cannot be read."""
    try:
        return device.read(offset_bytes, length_bytes)
    except DeviceReadError:
        return b""
