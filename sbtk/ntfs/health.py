"""Volume health: is the source fit to be trusted. Reads only; each doubt is a finding."""

from __future__ import annotations

import numpy as np

from sbtk.device.base import BlockDevice
from sbtk.errors import DeviceReadError
from sbtk.ntfs import layout
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType, SystemRecord
from sbtk.ntfs.mft import MftReader
from sbtk.ntfs.owners import Owners
from sbtk.ntfs.record import RecordError, fix_up
from sbtk.ntfs.rows import Rows
from sbtk.ntfs.system import SystemFiles
from sbtk.ntfs.tables import VolumeInfo

MIRRORED_RECORDS = 4
_LOG_PAGE_LIMITS_BYTES = (512, 65536)
_LOG_HEAD_BYTES = 2 * 65536
_HIBERNATION_FILE = b"hiberfil.sys"
HIBERNATED = (b"hibr", b"HIBR")


def check(
    device: BlockDevice, boot: BootSector, mft: MftReader, files: SystemFiles,
    volume: VolumeInfo, findings: FindingList,
) -> None:  # fmt: skip
    """Fill the health fields of ``volume`` and add the findings that belong to them."""
    volume.mirror = compare_mirror(device, boot, mft, findings)
    read_volume_record(mft, volume, findings)
    volume.log = _check_log(files, findings)
    volume.hibernated = _check_hibernation(files, mft, findings)


def compare_mirror(
    device: BlockDevice, boot: BootSector, mft: MftReader, findings: FindingList
) -> str:
    """Compare the first records of $MFT with $MFTMirr: ``VolumeInfo.mirror``."""
    if mft.mirror_used:
        return "used"
    if boot.mft_mirror_lcn < 0:
        findings.add("error", "mirror-unread", "$MFTMirr lies outside the volume", record=1)
        return "unread"
    differing = []
    for number in range(_mirrored_records(boot, mft)):
        at = boot.mft_mirror_lcn * boot.cluster_bytes + number * boot.record_bytes
        try:
            copy = device.read(at, boot.record_bytes)
            original = mft.stream.read(number * boot.record_bytes, boot.record_bytes)
        except DeviceReadError as error:
            findings.add("error", "mirror-unread", str(error.args[0]), record=number)
            return "unread"
        if _content(original) != _content(copy):
            differing.append(number)
    for place, number in enumerate(differing[:MIRRORED_RECORDS], 1):
        more = len(differing) - place if place == MIRRORED_RECORDS else 0
        others = f", nor are {more} more" if more else ""
        findings.add(
            "error", "mirror-differs",
            f"record {number} is not the same in $MFT and $MFTMirr{others}: run chkdsk",
            record=number, lcn=boot.mft_mirror_lcn,
        )  # fmt: skip
    return "differs" if differing else "equal"


def _mirrored_records(boot: BootSector, mft: MftReader) -> int:
    """Four, or as many as a cluster holds, as far as $MFTMirr itself says that it has them."""
    count = max(MIRRORED_RECORDS, boot.cluster_bytes // boot.record_bytes)
    try:
        data = mft.read_record(SystemRecord.MFT_MIRROR).find(AttributeType.DATA)
        held = data.data_bytes // boot.record_bytes if data is not None else MIRRORED_RECORDS
    except (RecordError, DeviceReadError):
        held = MIRRORED_RECORDS
    return min(max(MIRRORED_RECORDS, min(count, held)), mft.record_count)


def _content(raw: bytes) -> bytes:
    """What a record says: fixed up, its used bytes, without the update sequence itself."""
    try:
        fixed, _ = fix_up(raw)
    except RecordError:
        return raw
    start = int.from_bytes(fixed[4:6], "little")
    end = start + 2 * int.from_bytes(fixed[6:8], "little")
    used_bytes = int.from_bytes(fixed[24:28], "little")
    return fixed[:start] + fixed[end:used_bytes]


def read_volume_record(mft: MftReader, volume: VolumeInfo, findings: FindingList) -> None:
    """Label, version and the dirty flag, from record 3."""
    try:
        record = mft.read_record(SystemRecord.VOLUME)
    except (RecordError, DeviceReadError) as error:
        findings.add("error", "volume-record-damaged", str(error.args[0]), record=3)
        return
    name = record.find(AttributeType.VOLUME_NAME)
    if name is not None:
        volume.label = name.value.decode("utf-16-le", "replace")
    information = record.find(AttributeType.VOLUME_INFORMATION)
    if information is None or len(information.value) < layout.VOLUME_INFORMATION.size:
        findings.add(
            "error", "volume-record-damaged", "it has no $VOLUME_INFORMATION: the dirty flag is "
            "unknown", record=3,
        )  # fmt: skip
        return
    major, minor, flags = layout.VOLUME_INFORMATION.unpack_from(information.value)
    volume.version = f"{major}.{minor}"
    volume.dirty = bool(flags & layout.VOLUME_IS_DIRTY)
    if volume.dirty:
        findings.add(
            "warning", "volume-dirty",
            "the dirty flag is set: Windows wants to check this volume (chkdsk)", record=3,
        )  # fmt: skip


def _check_log(files: SystemFiles, findings: FindingList) -> str:
    """State of $LogFile: ``VolumeInfo.log``."""
    stream = files.data_of(SystemRecord.LOG_FILE)
    if stream is None:
        findings.add("error", "log-unread", "$LogFile has no run list", record=2)
        return "unread"
    try:
        state = log_state(stream.read(_LOG_HEAD_BYTES))
    except DeviceReadError as error:
        findings.add("error", "log-unread", str(error.args[0]), record=2)
        return "unread"
    if state == "open":
        findings.add(
            "warning", "log-open",
            "$LogFile holds changes that are not in the volume yet: it was not unmounted, or "
            "Windows fast startup holds it", record=2,
        )  # fmt: skip
    elif state == "damaged":
        findings.add("warning", "log-damaged", "$LogFile has no valid restart page", record=2)
    return state


def log_state(head: bytes) -> str:
    """``"clean"``, ``"open"``, ``"empty"`` or ``"damaged"``, from the first bytes of $LogFile.

    The newer of the two restart pages counts; a log that was reset is all FFh.
    """
    if head and not head.strip(b"\xff"):
        return "empty"
    newest: tuple[int, str] | None = None
    position = 0
    while position + layout.RESTART_PAGE.size <= len(head):
        page = _restart_page(head[position:])
        if page is None:
            position += _LOG_PAGE_LIMITS_BYTES[0] if position else 4096
            if position > 4096:
                break
            continue
        lsn, state, page_bytes = page
        if newest is None or lsn > newest[0]:
            newest = (lsn, state)
        if position:
            break
        position = page_bytes
    return newest[1] if newest else "damaged"


def _restart_page(data: bytes) -> tuple[int, str, int] | None:
    """LSN, state and bytes of the restart page at the start of ``data``; None if it is none."""
    (signature, _, _, _, system_page_bytes, _, area_offset, _, _) = layout.RESTART_PAGE.unpack_from(
        data
    )
    low, high = _LOG_PAGE_LIMITS_BYTES
    if (
        signature != b"RSTR"
        or not low <= system_page_bytes <= high
        or area_offset + layout.RESTART_AREA.size > min(len(data), low - 2)
    ):
        return None
    lsn, _, _, in_use_client, flags = layout.RESTART_AREA.unpack_from(data, area_offset)
    clean = in_use_client == layout.RESTART_NO_CLIENT or flags & layout.RESTART_IS_CLEAN
    return lsn, "clean" if clean else "open", system_page_bytes


def find_hibernation_file(rows: Rows, owners: Owners) -> int:
    """The record of hiberfil.sys in the root; -1 where there is none."""
    offsets, blob = rows["name_offsets"], rows["name_blob"]
    fits = rows["parent"] == layout.ROOT_RECORD
    fits &= np.diff(offsets) == len(_HIBERNATION_FILE)
    for row in np.flatnonzero(fits):
        if blob[offsets[row] : offsets[row + 1]].tobytes().lower() == _HIBERNATION_FILE:
            return int(owners.of_record[rows["name_record"][row]])
    return -1


def _check_hibernation(files: SystemFiles, mft: MftReader, findings: FindingList) -> bool:
    """Whether hiberfil.sys in the root holds the image of a system that will resume."""
    record = files.hibernation_record
    if record < 0:
        return False
    stream = files.data_of(record)
    try:
        if stream is not None:
            head = stream.read(4096)
        else:
            data = mft.read_record(record).find(AttributeType.DATA)
            head = data.value if data is not None else b""
    except (RecordError, DeviceReadError) as error:
        findings.add("warning", "hibernation-unread", str(error.args[0]), record=record)
        return False
    if head[:4] not in HIBERNATED:
        return False
    findings.add(
        "warning", "hibernated",
        "Windows is hibernated (or shut down with fast startup) on this volume: what it holds in "
        "memory is not on the disk", record=record,
    )  # fmt: skip
    return True
