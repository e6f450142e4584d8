"""Buffers for the data of large commands, lent and coming back by themselves.

New memory is what a large command spends most time on: the system has to clear each page of it.
So the memory of buffers is used again, as soon as nobody holds a view of it any more: what was
cut off, given up or is still being sent keeps its buffer, and no command sees another's bytes
that has put its own there.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable

_SIZES_BYTES = tuple(1 << power for power in range(17, 23))  # 128 KiB to 4 MiB
_MOST_KEPT_BYTES = 16 << 20  # of each size


class _Pool:
    """Buffers of one size."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        # A deque with a bound needs no lock, which a destructor, run at any moment, must not take.
        self._kept: deque[bytearray] = deque(maxlen=_MOST_KEPT_BYTES // size_bytes)
        keep = self._kept.append

        class Lent(ctypes.Array[ctypes.c_ubyte]):
            """What all views of one lent buffer keep alive."""

            _type_ = ctypes.c_ubyte
            _length_ = size_bytes
            memory: bytearray

            def __del__(self, keep: Callable[[bytearray], None] = keep) -> None:
                keep(self.memory)

        self._lent = Lent

    def lend(self, length_bytes: int) -> memoryview:
        try:
            memory = self._kept.pop()
        except IndexError:
            memory = bytearray(self.size_bytes)
        lent = self._lent.from_buffer(memory)
        lent.memory = memory
        return memoryview(lent).cast("B")[:length_bytes]


_POOLS = tuple(map(_Pool, _SIZES_BYTES))


def lend(length_bytes: int) -> memoryview:
    """A buffer of so many bytes, whose content is undefined; to be filled before it is shown.

    Short ones, and those that are longer than any command has to be, are new memory.
    """
    if length_bytes > _SIZES_BYTES[0] // 2:
        for pool in _POOLS:
            if length_bytes <= pool.size_bytes:
                return pool.lend(length_bytes)
    return memoryview(bytearray(length_bytes))
