"""Which partitions a disk has and which of them hold NTFS; one partition as a device.

``read_table`` reads GPT or MBR, ``find_volumes`` keeps what is NTFS by its content, whatever the
type in the table says.
"""

from __future__ import annotations

from dataclasses import replace

from sbtk.device import gpt, mbr
from sbtk.device.base import BlockDevice, DeviceBase, check_range
from sbtk.device.partition_table import Partition, PartitionTable, read_or_empty

NTFS_OEM_ID = b"NTFS    "  # bytes 3-10 of the boot sector
BLOCK_SIZES = (512, 4096)  # logical block sizes that disks have


class PartitionView(DeviceBase):
    """A slice of a device, as a ``BlockDevice`` of its own. Closing it closes the whole device."""

    def __init__(
        self, device: BlockDevice, start_bytes: int, size_bytes: int, *, suffix: str = ""
    ) -> None:
        """Look at ``size_bytes`` of ``device`` from ``start_bytes`` on.

        Raises:
            DeviceReadError: the slice ends behind the device.
        """
        check_range(device, start_bytes, size_bytes)
        self.device = device
        self.start_bytes = start_bytes
        self._size_bytes = size_bytes
        self._name = f"{device.name}{suffix}"

    @property
    def name(self) -> str:
        """Location of the partition."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """Bytes of the slice."""
        return self._size_bytes

    @property
    def block_bytes(self) -> int:
        """Logical block size of the whole device."""
        return self.device.block_bytes

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset_bytes`` of the slice on.

        Raises:
            DeviceReadError: outside the slice, or the device failed.
        """
        check_range(self, offset_bytes, buffer.nbytes)
        self.device.read_into(self.start_bytes + offset_bytes, buffer)

    def close(self) -> None:
        """Close the whole device."""
        self.device.close()


def is_ntfs_boot_sector(sector: bytes) -> bool:
    """Whether these bytes look like the first or last sector of an NTFS volume."""
    return sector[3:11] == NTFS_OEM_ID and sector[510:512] == b"\x55\xaa"


def has_backup_boot_sector(device: BlockDevice, start_bytes: int, size_bytes: int) -> bool:
    """Whether the last sector of a range is an NTFS boot sector (the backup of the first one)."""
    for sector_bytes in BLOCK_SIZES:
        if size_bytes >= 2 * sector_bytes:
            offset_bytes = start_bytes + size_bytes - sector_bytes
            if is_ntfs_boot_sector(read_or_empty(device, offset_bytes, 512)):
                return True
    return False


def read_table(device: BlockDevice) -> PartitionTable:
    """Read the partition table, GPT or MBR, whichever the disk goes by.

    The blocks that the table counts in are the device's own. An image file does not tell them, so
    512 and 4096 bytes are tried and the size that leads to NTFS volumes is taken.
    """
    sizes = [device.block_bytes, *(size for size in BLOCK_SIZES if size != device.block_bytes)]
    found = [table for size in sizes if (table := _read_table(device, size)).scheme]
    with_volumes = [table for table in found if any(item.is_ntfs for item in table.partitions)]
    return next(iter(with_volumes or found), PartitionTable())


def find_volumes(device: BlockDevice) -> list[Partition]:
    """The partitions whose content is NTFS; a damaged first boot sector with a backup counts."""
    return [item for item in read_table(device).partitions if item.is_ntfs]


def _read_table(device: BlockDevice, block_bytes: int) -> PartitionTable:
    sector = read_or_empty(device, 0, 512)
    entries = mbr.primary_entries(sector)
    protective = any(entry.type == mbr.PROTECTIVE for entry in entries)
    if protective or not entries:
        table = gpt.read(device, block_bytes, protective=protective)
        if table.scheme:
            return _with_content(device, table)
    if not entries or all(entry.type == mbr.PROTECTIVE for entry in entries):
        return PartitionTable()
    return _with_content(device, mbr.read(device, block_bytes, entries))


def _with_content(device: BlockDevice, table: PartitionTable) -> PartitionTable:
    """The table with ``is_ntfs`` and ``boot_damaged`` of each partition filled in."""
    checked = []
    for item in table.partitions:
        first = is_ntfs_boot_sector(read_or_empty(device, item.start_bytes, 512))
        backup = not first and has_backup_boot_sector(device, item.start_bytes, item.size_bytes)
        checked.append(replace(item, is_ntfs=first or backup, boot_damaged=backup))
    return replace(table, partitions=tuple(checked))
