"""Page-aligned buffers of one size, lent to copies and taken back: memory stays what it is."""

from __future__ import annotations

import mmap
from threading import Lock

CHUNK_BYTES = 1 << 20
"""Bytes of one large read or write: enough to amortise the call, little enough for the cache."""

_KEPT = 64


class BufferPool:
    """Lends buffers of ``CHUNK_BYTES``; what comes back is lent again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._free: list[memoryview] = []

    def take(self) -> memoryview:
        """A buffer of ``CHUNK_BYTES`` whose content is undefined."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return aligned(CHUNK_BYTES)

    def give(self, buffer: memoryview) -> None:
        """Take a whole buffer back."""
        with self._lock:
            if len(self._free) < _KEPT:
                self._free.append(buffer)


def aligned(length_bytes: int) -> memoryview:
    """Zeroed memory that begins on a page."""
    return memoryview(mmap.mmap(-1, length_bytes))
