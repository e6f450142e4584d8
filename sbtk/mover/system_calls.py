"""A call of Linux that Python has no name for: fallocate(2)."""

from __future__ import annotations

import ctypes
import errno
import os

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_NOT_THERE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

_libc = ctypes.CDLL(None, use_errno=True)


def punch_hole(fd: int, offset_bytes: int, length_bytes: int) -> bool:
    """Make a range a hole that reads as zeros; False where the file system has none.

    Raises:
        OSError: the file cannot be changed.
    """
    place, length = ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)
    if not _libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, place, length):
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number))


def reserve(fd: int, offset_bytes: int, length_bytes: int) -> bool:
    """Have the file system set blocks aside for a range; the file's size stays. False: it did not.

    Not ``os.posix_fallocate``, which writes zeros where a file system cannot do it.
    """
    place, length = ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)
    return not _libc.fallocate(fd, _KEEP_SIZE, place, length)
