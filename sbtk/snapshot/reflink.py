"""Provider ``reflink``: a clone of an image file that shares its blocks (xfs, btrfs, bcachefs)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import ClassVar

from sbtk.device.location import parse
from sbtk.errors import NoStaticViewError, SnapshotError, SnapshotFullError
from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.commands import Runner
from sbtk.snapshot.records import Record
from sbtk.units import format_bytes

# include/uapi/linux/fs.h: _IOW(0x94, 9, int), _IOR('f', 1, long), _IOW('f', 2, long).
FICLONE = 0x40049409
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_NOCOW_FL = 0x00800000
_FLAGS = struct.Struct("l")

_MARK = ".sbtk-snapshot-"
_PROBE_BYTES = 4096
_LEAST_FREE_SHARE = 0.01


class ReflinkProvider(SnapshotProvider):
    """FICLONE into a file beside the source (or in ``store``, on the same file system).

    The kernel clones under the file's lock: writers wait for the few milliseconds that it takes,
    and the clone holds the file as it was between two writes. While it lives, writers to the
    source need new blocks; ``check`` fails the job before the file system is full of them.
    """

    name: ClassVar[str] = "reflink"

    def check(self) -> None:
        """Clone one block of a scratch file in the same place."""
        source = Path(self.request.path)
        try:
            is_file = stat.S_ISREG(source.stat().st_mode)
        except OSError as error:
            raise SnapshotError(f"{source} cannot be looked at: {error.strerror}") from error
        if not is_file:
            raise _no_view(source, "it is no image file")
        try:
            if self._folder().stat().st_dev != source.stat().st_dev:
                raise _no_view(source, f"{self._folder()} is on another file system")
            with (
                tempfile.TemporaryFile(dir=self._folder()) as one,
                tempfile.TemporaryFile(dir=self._folder()) as other,
            ):
                one.write(bytes(_PROBE_BYTES))
                one.flush()
                fcntl.ioctl(other.fileno(), FICLONE, one.fileno())
        except OSError as error:
            raise _no_view(source, _reason(error)) from error

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """The path of the clone."""
        # A name has 255 bytes at most, and 180 characters may have more.
        stem = os.fsencode(Path(self.request.path).name)[:180].decode(errors="ignore")
        return {"path": str(self._folder() / f".{stem}{_MARK}{snapshot_id}")}

    def make(self, record: Record) -> Snapshot:
        """Clone the file."""
        clone = record.text("path")
        try:
            with (
                open(self.request.path, "rb", buffering=0) as source,
                open(clone, "xb", buffering=0) as target,
            ):
                os.fchmod(target.fileno(), 0o400)
                _copy_nocow(source.fileno(), target.fileno())
                fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError as error:
            raise SnapshotError(
                f"{self.request.path} cannot be cloned: {_reason(error)}",
                hint="Free space on its file system, or use another --snapshot",
            ) from error
        number = parse(self.request.source).partition
        location = clone if number is None else f"{clone}#{number}"
        return Snapshot(self, record, location, check=partial(_check_clone, clone))

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Unlink the clone."""
        del run
        clone = Path(record.text("path"))
        # A record is a file that somebody may have edited: only ever remove a clone of ours.
        if not clone.name.endswith(_MARK + record.id):
            raise SnapshotError(f"record {record.id} names {clone}, which is no snapshot of sbtk")
        try:
            clone.unlink(missing_ok=True)
        except OSError as error:
            raise SnapshotError(
                f"the snapshot {clone} cannot be removed: {error.strerror}",
                hint="`sbtk snapshot clean` removes it later",
            ) from error

    def _folder(self) -> Path:
        return self.request.store or Path(os.path.realpath(self.request.path)).parent


def _check_clone(clone: str) -> None:
    """Fail while writers still have room, and where the clone has been taken away."""
    try:
        space = os.statvfs(clone)
    except OSError as error:
        raise SnapshotFullError(f"the snapshot {clone} is gone: {error.strerror}") from error
    if space.f_bavail < space.f_blocks * _LEAST_FREE_SHARE:
        raise SnapshotFullError(
            f"the file system of {clone} has {format_bytes(space.f_bavail * space.f_frsize)} "
            "left; the snapshot is given up before writers run out of it",
            hint="Free space there, or copy at a time with fewer writes",
        )


def _copy_nocow(source: int, target: int) -> None:
    """On btrfs a file without copy-on-write can only be cloned into one without."""
    with contextlib.suppress(OSError):
        flags = bytearray(_FLAGS.size)
        fcntl.ioctl(source, _FS_IOC_GETFLAGS, flags)
        if _FLAGS.unpack(flags)[0] & _FS_NOCOW_FL:
            fcntl.ioctl(target, _FS_IOC_SETFLAGS, _FLAGS.pack(_FS_NOCOW_FL))


def _reason(error: OSError) -> str:
    texts = {
        errno.EOPNOTSUPP: "its file system has no reflinks",
        errno.ENOTTY: "its file system has no reflinks",
        errno.EINVAL: "its file system has no reflinks, or not for this file",
        errno.EXDEV: "source and store are on different file systems",
        errno.EACCES: "its folder cannot be written",
        errno.EROFS: "its file system is mounted read-only",
    }
    return texts.get(error.errno or 0, error.strerror or str(error))


def _no_view(source: Path, why: str) -> NoStaticViewError:
    return NoStaticViewError(
        f"there is no static view of {source} to be had by reflink: {why}",
        hint="Keep it on xfs or btrfs, let its writers come through `sbtk san serve`, or stop them "
        "and pass --snapshot none",
    )
