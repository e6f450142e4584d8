"""SG_IO: SCSI commands through a node of the Linux kernel, /dev/sgN or a block device.

The layout is that of ``struct sg_io_hdr`` (linux/include/scsi/sg.h); ctypes gives it the paddings
of this machine.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import threading

from sbtk.errors import (
    LocationError,
    LocationNotFoundError,
    LocationPermissionError,
    TransportError,
)
from sbtk.transport.base import ByteView, Response

_SG_IO = 0x2285
_SG_GET_VERSION_NUM = 0x2282
_OLDEST_VERSION = 30000  # the first driver with this structure
_TO_DEVICE, _FROM_DEVICE, _NO_DATA = -2, -3, -1
_SENSE_BYTES = 252  # SPC-4 4.5.1: the longest sense data
_DRIVER_SENSE = 0x08
_HOST_TEXT = {
    0x01: "no connection", 0x02: "the bus is busy", 0x03: "no answer in time", 0x04: "bad target",
    0x05: "aborted", 0x07: "an error of the host adapter", 0x08: "the bus was reset",
    0x0D: "the path is not usable", 0x0E: "the transport is disrupted",
    0x0F: "the transport failed", 0x10: "the target failed", 0x11: "the path failed",
}  # fmt: skip


class _SgIoHdr(ctypes.Structure):
    """``struct sg_io_hdr``."""

    _fields_ = (
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    )


class SgTransport:
    """A ``Transport`` to the unit behind a SCSI node of the kernel.

    Commands of one transport go out one after another. A SCSI command may be sent to a node that
    was opened for reading only where it changes nothing, so the node is opened for both.

    Attributes:
        name: the node.
    """

    def __init__(self, path: str) -> None:
        """Open the node.

        Raises:
            LocationError: it is not there, may not be opened, or is no SCSI device.
        """
        self.name = path
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise LocationNotFoundError(
                f"there is no {path}", hint="List SCSI nodes with lsscsi -g; load the sg driver"
            ) from error
        except PermissionError as error:
            raise LocationPermissionError(
                f"{path} may not be used by this user", hint="Run as root, or join its group"
            ) from error
        except OSError as error:
            raise LocationError(f"{path}: {error.strerror}") from error
        version = ctypes.c_int(0)
        try:
            fcntl.ioctl(self._fd, _SG_GET_VERSION_NUM, version)
        except OSError:
            version.value = 0
        if version.value < _OLDEST_VERSION:
            os.close(self._fd)
            raise LocationError(
                f"{path} takes no SCSI commands", hint="Name a SCSI node: lsscsi -g lists them"
            )

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
        timeout_s: float = 60.0,
    ) -> Response:
        """Send one command and wait for its end; see ``Transport.execute``."""
        length_bytes = len(data_out) or data_in_bytes
        # The kernel moves whole pages to and from a mapping without looking for their ends.
        with mmap.mmap(-1, max(length_bytes, 1)) as area, self._lock:
            if len(data_out):
                area[:length_bytes] = data_out
            direction = _TO_DEVICE if len(data_out) else _FROM_DEVICE if data_in_bytes else _NO_DATA
            header, sense = self._run(cdb, area, direction, length_bytes, timeout_s)
            moved_bytes = max(0, length_bytes - header.resid)
            data_in = bytes(memoryview(area)[:moved_bytes]) if direction == _FROM_DEVICE else b""
        return Response(header.status, data_in, sense)

    def _run(
        self, cdb: bytes, area: mmap.mmap, direction: int, length_bytes: int, timeout_s: float
    ) -> tuple[_SgIoHdr, bytes]:
        command = ctypes.create_string_buffer(cdb, len(cdb))
        sense = ctypes.create_string_buffer(_SENSE_BYTES)
        data = (ctypes.c_char * len(area)).from_buffer(area)
        header = _SgIoHdr(
            interface_id=ord("S"),
            dxfer_direction=direction,
            cmd_len=len(cdb),
            mx_sb_len=_SENSE_BYTES,
            dxfer_len=length_bytes,
            dxferp=ctypes.addressof(data) if length_bytes else None,
            cmdp=ctypes.addressof(command),
            sbp=ctypes.addressof(sense),
            timeout=min(int(timeout_s * 1000), 0xFFFFFFFF),
        )
        try:
            if self._fd < 0:
                raise TransportError(f"the path to {self.name} is closed")
            fcntl.ioctl(self._fd, _SG_IO, header)
        except OSError as error:
            raise TransportError(
                f"{self.name}: the command could not be sent: {error.strerror or error}",
                hint="Check that the device is still there (lsscsi -g, dmesg)",
            ) from error
        finally:
            del data  # the mapping cannot be closed while it is looked at
        self._check(header, timeout_s)
        return header, sense.raw[: header.sb_len_wr]

    def _check(self, header: _SgIoHdr, timeout_s: float) -> None:
        """What the host or its driver says went wrong, as an error; a device's status is none."""
        driver = header.driver_status & 0x0F
        if header.host_status or (driver and driver != _DRIVER_SENSE):
            what = _HOST_TEXT.get(header.host_status, f"host status {header.host_status:02X}h")
            if driver == 0x06:
                what = f"no answer within {timeout_s:g} s; the command was aborted"
            raise TransportError(
                f"{self.name}: {what} (driver status {driver:02X}h)",
                hint="Check the path to the device (dmesg), or allow more time",
            )

    def close(self) -> None:
        """Close the node; safe to call twice."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
