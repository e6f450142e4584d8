"""What a job insists on before it writes: a sound source, and a target that may be overwritten."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from sbtk.device.location import find_ntfs, open_device, parse
from sbtk.device.partition import has_backup_boot_sector, read_table
from sbtk.device.scsi import ScsiDevice
from sbtk.errors import NotConfirmedError, VolumeUnfitError
from sbtk.events import Finding, Listener
from sbtk.jobs.counting import CountingDevice
from sbtk.jobs.session import without_partition
from sbtk.jobs.units import Disk
from sbtk.ntfs.glance import glance
from sbtk.ntfs.signature import HEAD_BYTES, identify
from sbtk.ntfs.tables import VolumeInfo
from sbtk.units import format_bytes, plural

_BLANK = identify(bytes(HEAD_BYTES))


class Health(StrEnum):
    """What to do with a source that is dirty, hibernated, or whose $MFTMirr differs."""

    WARN = "warn"
    FAIL = "fail"
    ALLOW = "allow"


class OnError(StrEnum):
    """What to do with blocks of the source that cannot be read."""

    STOP = "stop"
    SKIP = "skip"


def refuse_unfit(info: VolumeInfo, policy: Health) -> list[tuple[str, str]]:
    """Refuse a source that the policy does not take.

    Args:
        info: of the volume.
        policy: what to do where it is unfit.

    Returns:
        Code and text of each reason against it.

    Raises:
        VolumeUnfitError: it is unfit, and the policy is to fail.
    """
    reasons = []
    if info.dirty:
        reasons.append(("volume-dirty", "its dirty flag is set (chkdsk has not been run)"))
    if info.hibernated:
        reasons.append(("hibernated", "Windows is hibernated on it"))
    if info.mirror not in ("equal", "used"):
        reasons.append(("mirror-differs", f"$MFT and $MFTMirr: {info.mirror}"))
    if info.mirror == "used":
        reasons.append(("mirror-used", "record 0 could be read from $MFTMirr only"))
    if reasons and policy is Health.FAIL:
        raise VolumeUnfitError(
            f"{info.source} is not fit to be backed up: {'; '.join(text for _, text in reasons)}",
            hint="Run chkdsk there, or take it as it is with --health warn",
        )
    return reasons


def check_health(info: VolumeInfo, policy: Health, emit: Listener) -> dict[str, object]:
    """Judge the volume that is about to be copied.

    Args:
        info: of the snapshot.
        policy: what to do where it is unfit.
        emit: told of each reason.

    Returns:
        What the set's manifest says about it.

    Raises:
        VolumeUnfitError: it is unfit, and the policy is to fail.
    """
    reasons = refuse_unfit(info, policy)
    if policy is Health.WARN:
        for code, text in reasons:
            emit(
                Finding(
                    severity="warning", code=code, message=f"the source is copied though {text}"
                )
            )
    return {"policy": policy.value, "unfit": [code for code, _ in reasons], "log": info.log}


def look_at_source(location: str, policy: Health) -> int:
    """Judge a source at a glance, so that nobody waits for one that will be refused.

    Returns:
        Bytes that were read.

    Raises:
        LocationError, NotNtfsError, PartitionError, VolumeDamagedError: it cannot be backed up.
        VolumeUnfitError: it is unfit, and the policy is to fail.
    """
    with CountingDevice(open_device(without_partition(location))) as disk:
        opened = find_ntfs(location, disk)
        refuse_unfit(glance(opened.device, source=location), policy)
        return disk.read_bytes


def target_name(location: str) -> str:
    """The name that a user gives to confirm that a target may be overwritten."""
    place = parse(location)
    if place.kind == "iscsi":
        return f"{place.target}/{place.lun}"
    return Path(place.path).name


def what_is_on(disk: Disk) -> str:
    """What a disk holds, in words; empty where it is blank."""
    device = ScsiDevice(disk.transport)
    size = device.size_bytes
    head = device.read(0, min(size, HEAD_BYTES))
    table = read_table(device)
    if table.partitions:
        volumes = sum(item.is_ntfs for item in table.partitions)
        found = plural(len(table.partitions), "partition")
        return f"{found} ({table.scheme.upper()}), {volumes} of them NTFS"
    what = identify(head)
    if what == _BLANK or not any(head):
        if has_backup_boot_sector(device, 0, size):
            return "an NTFS volume whose first sector is wiped"
        return ""
    return what


def confirm_overwrite(location: str, disk: Disk, holds: str, yes: str, verb: str) -> None:
    """Refuse to overwrite something unless its name was given.

    Args:
        location: of the target.
        disk: the target.
        holds: what is on it; nothing is asked where that is empty.
        yes: the name that the user gave.
        verb: what would happen: ``"restore to"``.

    Raises:
        NotConfirmedError: it holds something, and the name is missing or another.
    """
    name = target_name(location)
    if not holds or yes == name:
        return
    given = f" ({yes!r} is not its name)" if yes else ""
    raise NotConfirmedError(
        f"{location} ({format_bytes(disk.size_bytes)}) holds {holds}: to {verb} it destroys that"
        f"{given}",
        hint=f"If that is meant, pass --yes {name}",
    )
