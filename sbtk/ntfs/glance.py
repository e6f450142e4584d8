"""Whether a volume is fit to be copied, told by a few of its records: before anybody waits for it.

What changes meanwhile, or takes more than a glance, the scan of the snapshot finds (``health``).
"""

from __future__ import annotations

import re

from sbtk.device.base import BlockDevice
from sbtk.errors import DeviceReadError
from sbtk.ntfs import health, layout
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.mft import MftReader
from sbtk.ntfs.record import RecordError
from sbtk.ntfs.scan import read_boot
from sbtk.ntfs.tables import VolumeInfo

_INDEX = "$I30"
_MOST_INDEX_BYTES = 4 << 20
_ENTRY_HEAD_BYTES = 16  # of an index entry: reference, lengths, flags; then a $FILE_NAME
_HIBERNATION_FILE = re.compile(re.escape("hiberfil.sys".encode("utf-16-le")), re.IGNORECASE)


def glance(device: BlockDevice, *, source: str) -> VolumeInfo:
    """The health of a volume as far as its first records and its root folder tell it.

    Args:
        device: the volume: byte 0 is its boot sector.
        source: its location.

    Returns:
        ``dirty``, ``mirror`` and ``hibernated`` are filled in, and what names the volume.

    Raises:
        NotNtfsError: the device holds something else.
        VolumeDamagedError: neither boot sector is usable, or $MFT cannot be found.
    """
    findings = FindingList()
    boot = read_boot(device, findings)
    mft = MftReader(device, boot, findings)
    volume = VolumeInfo(source=source, serial=boot.serial_hex)
    volume.mirror = health.compare_mirror(device, boot, mft, findings)
    health.read_volume_record(mft, volume, findings)
    try:
        record = _hibernation_record(mft)
        data = mft.read_record(record).find(AttributeType.DATA) if record >= 0 else None
        if data is not None:
            volume.hibernated = mft.read_value(data, 4)[:4] in health.HIBERNATED
    except (RecordError, DeviceReadError):
        pass  # the scan tells what is wrong with it
    return volume


def _hibernation_record(mft: MftReader) -> int:
    """The record of hiberfil.sys by the root folder's index; -1 where that names none."""
    root = mft.read_record(layout.ROOT_RECORD)
    size = mft.boot.index_record_bytes
    blocks = []
    for kind in (AttributeType.INDEX_ROOT, AttributeType.INDEX_ALLOCATION):
        index = root.find(kind, _INDEX)
        if index is None:
            continue
        held = mft.read_value(index, _MOST_INDEX_BYTES)
        if index.resident:
            blocks.append(held)
        else:
            blocks += [_fixed(held[at : at + size]) for at in range(0, len(held), size)]
    for block in blocks:
        for match in _HIBERNATION_FILE.finditer(block):
            entry = match.start() - layout.FILE_NAME.size - _ENTRY_HEAD_BYTES
            characters = block[match.start() - 2]
            if entry >= 0 and 2 * characters == len(match[0]):
                reference = int.from_bytes(block[entry : entry + 8], "little")
                return reference & layout.REFERENCE_MASK
    return -1


def _fixed(block: bytes) -> bytes:
    """An INDX record with the true bytes at its sectors' ends."""
    if block[:4] != b"INDX":
        return b""
    start, entries = (int.from_bytes(block[at : at + 2], "little") for at in (4, 6))
    fixed = bytearray(block)
    for number in range(1, min(entries, len(block) // layout.FIXUP_STRIDE_BYTES + 1)):
        end = number * layout.FIXUP_STRIDE_BYTES
        fixed[end - 2 : end] = block[start + 2 * number : start + 2 * number + 2].ljust(2, b"\0")
    return bytes(fixed)
