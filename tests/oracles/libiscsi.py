"""Debian's libiscsi7 as an independent initiator: any CDB to any LUN, through ctypes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.oracles.commands import OracleError

_SESSION_NORMAL = 2
_READ, _WRITE, _NONE = 1, 2, 0


class _Data(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("data", ctypes.c_char_p)]  # struct iscsi_data


class _Sense(ctypes.Structure):
    """struct scsi_sense."""

    _fields_ = [
        ("error_type", ctypes.c_ubyte),
        ("key", ctypes.c_int),
        ("ascq", ctypes.c_int),
        ("flags", ctypes.c_ubyte),
        ("bit_pointer", ctypes.c_ubyte),
        ("field_pointer", ctypes.c_uint16),
    ]


class _Task(ctypes.Structure):
    """The beginning of struct scsi_task (libiscsi 1.19, scsi-lowlevel.h)."""

    _fields_ = [
        ("status", ctypes.c_int),
        ("cdb_size", ctypes.c_int),
        ("xfer_dir", ctypes.c_int),
        ("expxferlen", ctypes.c_int),
        ("cdb", ctypes.c_ubyte * 16),
        ("residual_status", ctypes.c_int),
        ("residual", ctypes.c_size_t),
        ("sense", _Sense),
        ("datain_size", ctypes.c_int),
        ("datain", ctypes.c_void_p),
    ]


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: SCSI status.
        data: data-in; with CHECK CONDITION libiscsi leaves the sense data there.
        key: sense key, 0 without CHECK CONDITION.
        code: ASC << 8 | ASCQ.
    """

    status: int
    data: bytes
    key: int
    code: int


class Initiator:
    """One logged-in session to one LUN."""

    def __init__(
        self, portal: str, target: str, lun: int, *, name: str = "iqn.2026-11.test"
    ) -> None:
        self._lib = _library()
        self._lun = lun
        self._context = self._lib.iscsi_create_context(name.encode())
        self._lib.iscsi_set_targetname(self._context, target.encode())
        self._lib.iscsi_set_session_type(self._context, _SESSION_NORMAL)
        if self._lib.iscsi_full_connect_sync(self._context, portal.encode(), lun):
            error = self._lib.iscsi_get_error(self._context).decode(errors="replace")
            self._lib.iscsi_destroy_context(self._context)
            raise OracleError(f"libiscsi cannot log in to {target} at {portal}: {error}")

    def execute(self, cdb: bytes, *, data_out: bytes = b"", data_in_bytes: int = 0) -> Answer:
        """Send one command."""
        direction = _WRITE if data_out else _READ if data_in_bytes else _NONE
        task = self._lib.scsi_create_task(len(cdb), cdb, direction, len(data_out) or data_in_bytes)
        data = _Data(len(data_out), data_out)
        done = self._lib.iscsi_scsi_command_sync(
            self._context, self._lun, task, ctypes.byref(data) if data_out else None
        )
        if not done:
            raise OracleError(self._lib.iscsi_get_error(self._context).decode(errors="replace"))
        try:
            found = ctypes.cast(done, ctypes.POINTER(_Task)).contents
            got = ctypes.string_at(found.datain, found.datain_size) if found.datain else b""
            failed = found.status == 2
            return Answer(
                found.status,
                got,
                found.sense.key if failed else 0,
                found.sense.ascq if failed else 0,
            )
        finally:
            self._lib.scsi_free_scsi_task(done)

    def close(self) -> None:
        """Log out."""
        self._lib.iscsi_logout_sync(self._context)
        self._lib.iscsi_destroy_context(self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libiscsi.so.7")
    except OSError as error:
        raise OracleError("libiscsi.so.7 is missing: see packages.debian.txt") from error
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    lib.iscsi_create_context.restype = pointer
    lib.iscsi_create_context.argtypes = [text]
    lib.iscsi_get_error.restype = text
    lib.iscsi_get_error.argtypes = [pointer]
    lib.iscsi_set_targetname.argtypes = [pointer, text]
    lib.iscsi_set_session_type.argtypes = [pointer, ctypes.c_int]
    lib.iscsi_full_connect_sync.argtypes = [pointer, text, ctypes.c_int]
    lib.iscsi_logout_sync.argtypes = [pointer]
    lib.iscsi_destroy_context.argtypes = [pointer]
    lib.scsi_create_task.restype = pointer
    lib.scsi_create_task.argtypes = [ctypes.c_int, text, ctypes.c_int, ctypes.c_int]
    lib.iscsi_scsi_command_sync.restype = pointer
    lib.iscsi_scsi_command_sync.argtypes = [pointer, ctypes.c_int, pointer, pointer]
    lib.scsi_free_scsi_task.argtypes = [pointer]
    return lib
