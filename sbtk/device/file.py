"""Image files and kernel block devices, opened for reading and never otherwise."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from sbtk.device.base import DeviceBase, check_range
from sbtk.errors import (
    DeviceReadError,
    LocationError,
    LocationNotFoundError,
    LocationPermissionError,
)

FILE_BLOCK_BYTES = 512
_BLKSSZGET = 0x1268  # _IO(0x12, 104), linux/fs.h: logical block size of a block device
_READ_BYTES = 1 << 30  # most that one preadv is asked for; Linux stops at 2 GiB less a page


class FileDevice(DeviceBase):
    """A file or a block device as a ``BlockDevice``.

    ``read_into`` is positioned reading without a shared file position, hence thread-safe.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path`` read-only.

        Raises:
            LocationNotFoundError: nothing is there.
            LocationPermissionError: this user may not read it.
            LocationError: it is a folder, a pipe, a socket or a character device.
            DeviceReadError: the device does not tell its size.
        """
        self._name = os.fspath(path)
        self._fd = _open_read_only(self._name)
        try:
            self._size_bytes, self._block_bytes = _measure(self._fd)
        except OSError as error:
            self.close()
            raise DeviceReadError(
                f"{self._name}: the size cannot be read ({error.strerror})",
                hint="Check the device with lsblk and dmesg",
            ) from error

    @property
    def name(self) -> str:
        """The path it was opened by."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """Bytes from the first to the last, as they were when it was opened."""
        return self._size_bytes

    @property
    def block_bytes(self) -> int:
        """Logical block size of a block device; 512 for a file."""
        return self._block_bytes

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes from ``offset_bytes`` on.

        Raises:
            DeviceReadError: the range is not all inside the device, or a read failed.
        """
        view = buffer.cast("B")
        length_bytes = len(view)
        if offset_bytes < 0 or offset_bytes + length_bytes > self._size_bytes:
            check_range(self, offset_bytes, length_bytes)
        done = 0
        while done < length_bytes:
            piece = view[done : done + _READ_BYTES]
            try:
                count = os.preadv(self._fd, [piece], offset_bytes + done)
            except OSError as error:
                raise self._read_error(
                    offset_bytes, length_bytes, done, str(error.strerror)
                ) from error
            if count == 0:
                raise self._read_error(offset_bytes, length_bytes, done, "the device ends there")
            done += count

    def read_cached(self, offset_bytes: int, buffer: memoryview) -> bool:
        """Fill ``buffer`` if that waits for nothing; False, its content undefined, if it may wait.

        False as well where the file system does not tell, and behind the end.
        """
        length_bytes = len(buffer)
        if not 0 <= offset_bytes <= self._size_bytes - length_bytes:
            return False
        try:
            return os.preadv(self._fd, (buffer,), offset_bytes, os.RWF_NOWAIT) == length_bytes
        except OSError:  # EAGAIN: it would wait; EOPNOTSUPP: the file system does not tell
            return False

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_error(
        self, offset_bytes: int, length_bytes: int, done: int, reason: str
    ) -> DeviceReadError:
        return DeviceReadError(
            f"{self._name}: reading {length_bytes} bytes from byte {offset_bytes} stopped "
            f"at byte {offset_bytes + done} ({reason})",
            hint="Check the device (dmesg, smartctl) or copy it with ddrescue and use the copy",
        )


def _open_read_only(path: str) -> int:
    try:
        kind = os.stat(path).st_mode
        refusal = _refusal(kind)
        if refusal:
            raise LocationError(
                f"{path} is {refusal}", hint="Name an image file or a block device instead"
            )
        # O_NONBLOCK: whatever took the file's place since the check above must not hang us.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(fd, True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LocationNotFoundError(
            f"{path} does not exist", hint="Check the path; lsblk lists the block devices"
        ) from error
    except PermissionError as error:
        raise LocationPermissionError(
            f"{path} may not be read by this user",
            hint="Run as root, or have someone grant read access (group disk for block devices)",
        ) from error
    except (OSError, ValueError) as error:
        raise LocationError(
            f"{path!r} cannot be opened ({_reason(error)})", hint="Check the path and the medium"
        ) from error
    return fd


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOMEDIUM:
        return "no medium in the drive"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _refusal(mode: int) -> str:
    """What a path is that is neither a file nor a block device; empty for those two."""
    if stat.S_ISDIR(mode):
        return "a folder, not an image or device"
    if stat.S_ISFIFO(mode):
        return "a pipe, and a volume is read from many places, not from front to back"
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISCHR(mode):
        return "a character device"
    return ""


def _measure(fd: int) -> tuple[int, int]:
    """Size in bytes and logical block size of an open file or block device."""
    size_bytes = os.lseek(fd, 0, os.SEEK_END)
    if not stat.S_ISBLK(os.fstat(fd).st_mode):
        return size_bytes, FILE_BLOCK_BYTES
    answer = fcntl.ioctl(fd, _BLKSSZGET, struct.pack("i", 0))
    return size_bytes, int(struct.unpack("i", answer)[0])
