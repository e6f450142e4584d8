"""Large reads or writes by libiscsi, an initiator in C, in a process of its own.

    python -m benchmarks.stream_libiscsi PORTAL TARGET LUN MIB read|write [--in-flight N]

Prints MiB/s. Python here only starts each command and waits: what the bytes cost on the client's
side is libiscsi's, so that the rate is the target's far more than with an initiator in Python.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import sys
import time

from tests.oracles.libiscsi import Initiator

MIB = 1 << 20
REQUEST_BYTES = 1 << 20
INITIATOR = "iqn.2026-11.test:bench"

_Callback = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)  # iscsi_command_cb


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]  # struct scsi_iovec


class Stream(Initiator):
    """One session that keeps several large commands in flight."""

    def __init__(self, portal: str, target: str, lun: int, *, in_flight: int) -> None:
        super().__init__(portal, target, lun, name=INITIATOR)
        self._in_flight = in_flight
        self._buffers = [ctypes.create_string_buffer(REQUEST_BYTES) for _ in range(in_flight)]
        for buffer in self._buffers:
            buffer[:] = os.urandom(REQUEST_BYTES)
        self._iovecs = [_Iovec(ctypes.addressof(item), REQUEST_BYTES) for item in self._buffers]
        self._free = list(range(in_flight))
        self._failed = 0
        self._callback = _Callback(self._ended)
        pointer, number, word = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
        begin = [pointer, number, ctypes.c_uint64]
        flags = [number] * 6
        self._lib.iscsi_read16_iov_task.restype = pointer
        self._lib.iscsi_read16_iov_task.argtypes = [
            *begin, word, *flags, _Callback, pointer, ctypes.POINTER(_Iovec), number
        ]  # fmt: skip
        self._lib.iscsi_write16_task.restype = pointer
        self._lib.iscsi_write16_task.argtypes = [*begin, pointer, word, *flags, _Callback, pointer]
        for name in ("iscsi_get_fd", "iscsi_which_events"):
            getattr(self._lib, name).argtypes = [pointer]
        self._lib.iscsi_service.argtypes = [pointer, number]

    def run(self, requests: int, *, write: bool) -> float:
        """Seconds that so many commands take."""
        start_s = time.perf_counter()
        poll = select.poll()
        begun = 0
        while begun < requests or len(self._free) < self._in_flight:
            while self._free and begun < requests:
                self._begin(self._free.pop(), begun * REQUEST_BYTES // 512, write=write)
                begun += 1
            poll.register(
                self._lib.iscsi_get_fd(self._context), self._lib.iscsi_which_events(self._context)
            )
            for _, happened in poll.poll():
                if self._lib.iscsi_service(self._context, happened):
                    raise SystemExit("libiscsi: the connection broke")
            if self._failed:
                raise SystemExit(f"libiscsi: a command ended with status {self._failed}")
        return time.perf_counter() - start_s

    def _begin(self, slot: int, lba: int, *, write: bool) -> None:
        where = (self._context, self._lun, lba)
        tail = (512, 0, 0, 0, 0, 0, self._callback, slot)
        if write:
            address = ctypes.addressof(self._buffers[slot])
            task = self._lib.iscsi_write16_task(*where, address, REQUEST_BYTES, *tail)
        else:
            iovec = ctypes.byref(self._iovecs[slot])
            task = self._lib.iscsi_read16_iov_task(*where, REQUEST_BYTES, *tail, iovec, 1)
        if not task:
            raise SystemExit("libiscsi takes no command")

    def _ended(self, _context: int, status: int, task: int, slot: int | None) -> None:
        self._failed |= status
        self._free.append(slot or 0)  # ctypes gives a null pointer as None
        self._lib.scsi_free_scsi_task(task)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portal")
    parser.add_argument("target")
    parser.add_argument("lun", type=int)
    parser.add_argument("mib", type=int)
    parser.add_argument("direction", choices=["read", "write"])
    parser.add_argument("--in-flight", type=int, default=4)
    options = parser.parse_args(arguments)
    with Stream(options.portal, options.target, options.lun, in_flight=options.in_flight) as stream:
        took_s = stream.run(options.mib, write=options.direction == "write")
    print(options.mib / took_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
