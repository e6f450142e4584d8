"""Overlay snapshots: a block unit as it was, on any file system, while it is being written to.

Before a write changes a chunk for the first time, the chunk's old bytes are saved in the overlay's
file (copy before write). The snapshot reads saved chunks from there and all others from the unit.
The unit always holds the latest bytes, so removing the snapshot merges nothing, and a crash leaves
the unit as it is. When the store is full the snapshot fails; the writer never does.

Why readers need no lock: a writer saves, then marks the chunk as saved, then changes the unit. A
reader reads the unit first and looks at the marks after: a chunk that is not marked then had not
been changed while it was read. The same holds for the mark that says that the snapshot failed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import numpy as np

from sbtk.device.base import DeviceBase
from sbtk.errors import DeviceReadError, SnapshotError, SnapshotFullError, UsageError
from sbtk.mover.overlay_store import (
    HEADER_BYTES,
    Leftover,
    create_store,
    find_leftovers,
    new_owner,
)
from sbtk.scsi.designator import naa6
from sbtk.units import format_bytes

__all__ = ["Leftover", "OverlaySnapshot", "default_chunk_bytes", "find_leftovers"]

SMALLEST_CHUNK_BYTES = 4096
_MOST_CHUNKS = 1 << 28  # one byte each in memory, and only where something was saved
_COPY_BYTES = 1 << 20
_STRIPES = 16
_STRIPE_BYTES = 16 << 20


def default_chunk_bytes(size_bytes: int) -> int:
    """4 KiB, a file system's usual block, and more only on units above 1 TiB.

    82 MB of random 4 KiB writes fill 81 MB of overlay with chunks of 4 KiB, 982 MB with 64 KiB
    and 1,967 MB with 256 KiB. Small chunks cost no more calls: neighbours are copied together.
    """
    chunk_bytes = SMALLEST_CHUNK_BYTES
    while size_bytes > chunk_bytes * _MOST_CHUNKS:
        chunk_bytes *= 2
    return chunk_bytes


class OverlaySnapshot(DeviceBase):
    """A block unit's bytes as they were when this was made. Thread-safe.

    Made by ``BlockLun.create_overlay``. It is a ``BlockDevice``: ``read_into`` and ``read``.

    Attributes:
        path: the overlay's file; ``close`` deletes it.
        designator: 16-byte NAA name of its own, for serving it as a disk (``ReadOnlyLun``).
        chunk_bytes: what is saved at once.
        cap_bytes: most that may be saved.
        failure: why the snapshot is lost, None while it is good.
    """

    def __init__(
        self,
        *,
        unit: str,
        designator: bytes,
        unit_fd: int,
        size_bytes: int,
        block_bytes: int,
        store: Path,
        chunk_bytes: int | None,
        cap_bytes: int | None,
        detach: Callable[[OverlaySnapshot], None],
    ) -> None:
        """Prepare the store; ``detach`` is called when the snapshot ends.

        Raises:
            SnapshotError: the store cannot be made.
            UsageError: a chunk size that is no power of two of at least a block and 4 KiB.
        """
        chunk_bytes = chunk_bytes or max(default_chunk_bytes(size_bytes), block_bytes)
        if chunk_bytes < max(SMALLEST_CHUNK_BYTES, block_bytes) or chunk_bytes & (chunk_bytes - 1):
            raise UsageError(
                f"chunks of {chunk_bytes} bytes", hint="Use a power of two from 4096 bytes on"
            )
        self._name = f"snapshot of {unit}"
        self._size_bytes = size_bytes
        self._block_bytes = block_bytes
        self.chunk_bytes = chunk_bytes
        self.failure: SnapshotError | None = None
        self.path, self._store_fd = create_store(
            store, unit, new_owner(unit, designator, size_bytes, chunk_bytes)
        )
        self.designator = naa6(os.fsencode(self.path.resolve()))
        self.cap_bytes = _half_of_free(self._store_fd) if cap_bytes is None else cap_bytes
        self._unit_fd = os.dup(unit_fd)
        self._saved = np.zeros(-(-size_bytes // chunk_bytes), np.bool_)
        self._stored_bytes = 0
        self._detach = detach
        self._account = Lock()
        self._stripes = [Lock() for _ in range(_STRIPES)]

    # -- what the writer calls -----------------------------------------------------------------

    def before_write(self, offset_bytes: int, length_bytes: int) -> None:
        """Save what a write of this range is about to change; never fails the writer."""
        first = offset_bytes // self.chunk_bytes
        last = -(-(offset_bytes + length_bytes) // self.chunk_bytes)
        if self.failure is not None or self._saved[first:last].all():
            return
        with ExitStack() as held:
            for stripe in self._stripes_of(first, last):
                held.enter_context(self._stripes[stripe])
            try:
                for start, end in _runs(~self._saved[first:last], first):
                    self._save(start, end)
            except OSError as error:
                self._fail(f"{self._name}: {error.strerror or error}")

    def _stripes_of(self, first: int, last: int) -> list[int]:
        """The locks of a range of chunks, in the order in which everybody takes them."""
        low = first * self.chunk_bytes // _STRIPE_BYTES
        high = (last * self.chunk_bytes - 1) // _STRIPE_BYTES
        return sorted({region % _STRIPES for region in range(low, min(high, low + _STRIPES) + 1)})

    def _save(self, first: int, last: int) -> None:
        """Copy chunks ``first`` to ``last`` (not included) of the unit and mark them."""
        step = max(1, _COPY_BYTES // self.chunk_bytes)
        for start in range(first, last, step):
            end = min(start + step, last)
            offset = start * self.chunk_bytes
            length = min(end * self.chunk_bytes, self._size_bytes) - offset
            if not self._reserve(length):
                return
            old = os.pread(self._unit_fd, length, offset)
            if len(old) != length:
                raise OSError(errno.EIO, f"the unit ends at byte {offset + len(old)}")
            _write_all(self._store_fd, old, offset)
            self._saved[start:end] = True

    def _reserve(self, length_bytes: int) -> bool:
        with self._account:
            fits = self._stored_bytes + length_bytes <= self.cap_bytes
            if fits:
                self._stored_bytes += length_bytes
        if not fits:
            self._fail(f"{self._name} is full: {format_bytes(self.cap_bytes)} were changed")
        return fits

    def _fail(self, why: str) -> None:
        if self.failure is None:
            self.failure = SnapshotFullError(
                why, hint="Give the overlay more space, or back up when less is being written"
            )
            os.ftruncate(self._store_fd, HEADER_BYTES)  # its space may be what the writer needs

    # -- what the reader calls -----------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it is a snapshot of."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """Size of the unit."""
        return self._size_bytes

    @property
    def block_bytes(self) -> int:
        """Logical block length of the unit."""
        return self._block_bytes

    @property
    def stored_bytes(self) -> int:
        """How much has been saved."""
        return self._stored_bytes

    def check(self) -> None:
        """Raise if the snapshot is lost.

        Raises:
            SnapshotFullError: the store filled up or failed; the unit itself is untouched.
        """
        if self.failure is not None:
            raise SnapshotFullError(str(self.failure), hint=self.failure.hint)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes from ``offset_bytes`` on, as they were.

        Raises:
            SnapshotFullError: the snapshot is lost.
            DeviceReadError: the range ends behind the unit, or cannot be read.
        """
        end_bytes = offset_bytes + len(buffer)
        if offset_bytes < 0 or end_bytes > self._size_bytes:
            raise DeviceReadError(f"{self._name} ends at {self._size_bytes}, not at {end_bytes}")
        self._read(self._unit_fd, offset_bytes, buffer)
        first, last = offset_bytes // self.chunk_bytes, -(-end_bytes // self.chunk_bytes)
        saved = self._saved[first:last].copy()
        for start, end in _runs(saved, first) if saved.any() else ():
            low = max(start * self.chunk_bytes, offset_bytes)
            high = min(end * self.chunk_bytes, end_bytes)
            part = buffer[low - offset_bytes : high - offset_bytes]
            self._read(self._store_fd, HEADER_BYTES + low, part)
        self.check()

    def _read(self, fd: int, offset_bytes: int, buffer: memoryview) -> None:
        try:
            done = 0
            while done < len(buffer):
                got = os.preadv(fd, [buffer[done:]], offset_bytes + done)
                if not got:
                    self.check()  # a store that failed meanwhile was cut to nothing
                    raise DeviceReadError(f"{self._name} ends at byte {offset_bytes + done}")
                done += got
        except OSError as error:
            if isinstance(error, DeviceReadError):
                raise
            raise DeviceReadError(f"{self._name}: {error.strerror}") from error

    def close(self) -> None:
        """End the snapshot and delete its file; safe to call twice."""
        if self._store_fd < 0:
            return
        self._detach(self)
        self.path.unlink(missing_ok=True)
        os.close(self._store_fd)
        os.close(self._unit_fd)
        self._store_fd = self._unit_fd = -1


def _runs(marks: np.ndarray, base: int) -> list[tuple[int, int]]:
    """(first, last + 1) of every run of True in ``marks``, counted from ``base``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marks, [False])).astype(np.int8)))
    return [(base + int(a), base + int(b)) for a, b in edges.reshape(-1, 2)]


def _write_all(fd: int, data: bytes, offset_bytes: int) -> None:
    view = memoryview(data)
    place = HEADER_BYTES + offset_bytes
    while view:
        done = os.pwrite(fd, view, place)
        view, place = view[done:], place + done


def _half_of_free(fd: int) -> int:
    """Half of what is free where the store lies: the other half is left to the writers."""
    stat = os.fstatvfs(fd)
    return stat.f_bavail * stat.f_frsize // 2
