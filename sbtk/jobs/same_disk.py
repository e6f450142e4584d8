"""Whether two locations are one disk by other names, and whether a disk is in use by this host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sbtk.device.location import parse
from sbtk.errors import TargetError
from sbtk.quiesce.mounts import above

_TRIES, _PAUSE_S = 10, 0.05


def refuse_source(target: str, source: str, what: str) -> None:
    """Refuse a target that is what is read, whatever it is called.

    Links are followed, hard links and loop devices are seen through, and a partition is part of
    its disk.

    Args:
        target: location, without a partition.
        source: location, without a partition.
        what: what to say of the target: ``"is the source itself"``.

    Raises:
        TargetError: they share blocks.
    """
    if target == source or _share_blocks(_path(target), _path(source)):
        raise TargetError(f"{target} {what}", hint="Choose another target")


def refuse_mounted(target: str) -> None:
    """Refuse to write below a file system that is mounted.

    Raises:
        TargetError: it is mounted on this host, directly or through other devices.
    """
    path = _path(target)
    if path is None:
        return
    mounts = above(str(path)).mounts
    if mounts:
        raise TargetError(
            f"{target} is mounted at {mounts[0].path}", hint="Unmount it, or choose another target"
        )


@contextlib.contextmanager
def only_writer(target: str) -> Iterator[None]:
    """Keep other jobs of this host from writing to a disk while the body runs.

    A lock on the file or device itself (flock), as udev and systemd respect it; a cartridge has one
    of its own, and a disk elsewhere has none.

    Raises:
        TargetError: another job writes to it.
    """
    path = _path(target)
    if path is None or parse(target).kind != "path" or path.is_dir():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(descriptor, target)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, target: str) -> None:
    for left in range(_TRIES, -1, -1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not left:
                raise TargetError(
                    f"another job is writing to {target}", hint="Wait until it has ended"
                ) from error
            time.sleep(_PAUSE_S)  # udev looks at a device for a moment when one has closed it
        else:
            return


def _path(location: str) -> Path | None:
    """The file or device of this host behind a location; None where there is none."""
    place = parse(location)
    path = Path(place.path)
    return path if place.kind in ("path", "tape") and place.path and path.exists() else None


def _share_blocks(one: Path | None, other: Path | None) -> bool:
    if one is None or other is None:
        return False
    if one.samefile(other):
        return True
    return bool(_numbers(one) & _numbers(other))


def _numbers(path: Path) -> set[int]:
    """Device numbers of a block device and of what lies over it; of a file, of its loop devices."""
    places = [str(path), *above(str(path)).devices]
    states = [os.stat(place) for place in places if os.path.exists(place)]
    return {state.st_rdev for state in states if stat.S_ISBLK(state.st_mode)}
