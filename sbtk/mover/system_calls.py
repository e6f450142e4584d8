"""Calls of Linux that Python has no name for."""

from __future__ import annotations

import ctypes
import errno
import os

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_START_WRITING = 0x02  # sync_file_range(2): SYNC_FILE_RANGE_WRITE
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


def start_writing(fd: int, offset_bytes: int, length_bytes: int) -> None:
    """Have what was written to a range go to the medium now, without waiting for it.

    It is a hint: an error is told by the next ``fsync``, and here by nothing.
    """
    place, length = ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)
    _libc.sync_file_range(fd, place, length, _START_WRITING)
