"""What lies above an image file or block device on this host: loop devices, holders, mounts."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_SYS = Path("/sys")
_MOUNTINFO = Path("/proc/self/mountinfo")
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5)).

    Attributes:
        path: where it is mounted.
        source: what is mounted: a device, a file (FUSE), or a word.
        fs_type: ``"xfs"``, ``"fuse"``, ...
        device_number: ``"major:minor"`` of its files.
    """

    path: str
    source: str
    fs_type: str
    device_number: str


@dataclass(frozen=True)
class Above:
    """Everything on this host that may hold data back on its way down to a source.

    Attributes:
        mounts: file systems on it, mounted from it directly or through the devices.
        devices: paths of block devices: the source itself if it is one, its partitions, loop
            devices and device-mapper devices over it; the lowest first.
    """

    mounts: tuple[Mount, ...]
    devices: tuple[str, ...]


def mounts(mountinfo: Path = _MOUNTINFO) -> list[Mount]:
    """The mounts of this process's namespace."""
    found = []
    for line in mountinfo.read_text(errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        fields, (fs_type, source) = left.split(" "), right.split(" ")[:2]
        found.append(Mount(_plain(fields[4]), _plain(source), fs_type, fields[2]))
    return found


def mount_of(path: str | os.PathLike[str]) -> Mount | None:
    """The mount that a path lies on: the one with the longest matching folder, the latest first."""
    real = Path(os.path.realpath(path))
    holding = [m for m in mounts() if real == Path(m.path) or Path(m.path) in real.parents]
    return max(reversed(holding), key=lambda mount: len(mount.path), default=None)


def above(path: str) -> Above:
    """Find the loop devices, device-mapper devices and mounts over a file or block device."""
    status = os.stat(path)
    numbers: list[str] = []
    if stat.S_ISBLK(status.st_mode):
        numbers = _with_holders(_number(status.st_rdev))
    files = {(status.st_dev, status.st_ino)}
    # A loop device may lie over a device that is found only through another loop device.
    pending = True
    while pending:
        loops = [n for n in _loop_devices_over(files, numbers) if n not in numbers]
        for loop in loops:
            numbers += [n for n in _with_holders(loop) if n not in numbers]
        pending = bool(loops)
    found = [m for m in mounts() if m.device_number in numbers or _lies_on(m, files, numbers)]
    return Above(tuple(found), tuple(filter(None, map(_device_path, numbers))))


def _lies_on(mount: Mount, files: set[tuple[int, int]], numbers: list[str]) -> bool:
    """Whether its source is one of them: btrfs and FUSE have device numbers of their own."""
    if not mount.source.startswith("/") or mount.source.startswith("//"):
        return False
    try:
        status = os.stat(mount.source)
    except OSError:
        return False
    if stat.S_ISBLK(status.st_mode):
        return _number(status.st_rdev) in numbers
    return (status.st_dev, status.st_ino) in files


def _loop_devices_over(files: set[tuple[int, int]], numbers: list[str]) -> list[str]:
    found = []
    for entry in sorted((_SYS / "block").glob("loop*")):
        with contextlib.suppress(OSError):
            backing = (entry / "loop" / "backing_file").read_text().rstrip("\n")
            status = os.stat(backing.removesuffix(_DELETED))
            is_over_device = stat.S_ISBLK(status.st_mode) and _number(status.st_rdev) in numbers
            if is_over_device or (status.st_dev, status.st_ino) in files:
                found.append((entry / "dev").read_text().strip())
    return found


def _with_holders(number: str) -> list[str]:
    """A device, its partitions and the device-mapper and md devices made of them, lowest first."""
    found: list[str] = []
    pending = [number]
    while pending:
        current = pending.pop(0)
        if current in found:
            continue
        found.append(current)
        folder = (_SYS / "dev" / "block" / current).resolve()
        over = [p.parent / "dev" for p in folder.glob("*/partition")]
        over += [holder / "dev" for holder in folder.glob("holders/*")]
        for path in over:
            with contextlib.suppress(OSError):
                pending.append(path.read_text().strip())
    return found


def _device_path(number: str) -> str:
    with contextlib.suppress(OSError):
        text = (_SYS / "dev" / "block" / number / "uevent").read_text()
        match = re.search(r"^DEVNAME=(.+)$", text, re.MULTILINE)
        if match:
            return f"/dev/{match.group(1)}"
    return ""


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _plain(field: str) -> str:
    r"""Undo mountinfo's escapes: ``\040`` is a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)
