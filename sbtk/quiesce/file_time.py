"""The change time of an image file that other processes write to."""

from __future__ import annotations

import os
import stat

from sbtk.errors import ActivitySourceError
from sbtk.quiesce.activity import Reading


class FileTimeSource:
    """Change time (with modification time and length) of one file.

    The kernel sets the change time in write(2) itself, before the page cache holds anything back,
    and nobody can set it back. The number of allocated blocks is not part of it: xfs trims what
    it has allocated ahead minutes after the last write, and that is no activity.
    """

    granularity = "any write(2), at once; writes within one tick of the file system's clock are one"
    blind_to = (
        "stores through a memory map until the file is flushed; writes below the file system "
        "(to its disk, or by another host of a cluster file system); on network file systems, "
        "other clients' writes until the server tells"
    )

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        status = self._stat()
        self._identity = (status.st_dev, status.st_ino)

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"change time of {self._path}"

    def read(self) -> Reading:
        """Change time, modification time (ns) and length."""
        status = self._stat()
        if (status.st_dev, status.st_ino) != self._identity:
            raise ActivitySourceError(
                f"{self._path} is another file now than when the wait began",
                hint="Something replaced it; start again when that is done",
            )
        return Reading((status.st_ctime_ns, status.st_mtime_ns, status.st_size))

    def _stat(self) -> os.stat_result:
        # Opened anew each time: that is what makes an NFS client ask its server.
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ActivitySourceError(
                f"{self._path} cannot be opened: {error.strerror}", hint="Check path and permission"
            ) from error
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ActivitySourceError(f"{self._path} is no regular file")
        return status

    def close(self) -> None:
        """Nothing is held."""
