"""Large reads of disks, made and digested a few ahead of the segment in work.

A copy writes in order, in its own thread. Whoever has nothing to write takes the next chunk that
was announced, reads it and digests it: a second thread all the time, the copy's own while its next
chunk is not there yet. So two cores share the work, whichever part of it is the slowest, and what
was read in the copy's own thread is still in its cache when it is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Condition, Thread
from typing import NamedTuple

from blake3 import blake3

from sbtk.mover.base import BlockUnit
from sbtk.mover.buffers import CHUNK_BYTES, BufferPool

SMALL_BYTES = 128 << 10
"""Below this, handing a chunk over costs more than it saves."""

_DEPTH = 4  # one that is written, one that each thread reads into, one that waits

THREAD_NAME = "sbtk-read"


class BlockChunk(NamedTuple):
    """One read of a disk: whole blocks, at most ``CHUNK_BYTES``.

    Attributes:
        unit: the disk.
        lba: first block.
        length_bytes: of the whole blocks.
        start_byte: where in them the bytes begin that are wanted.
        end_byte: where those end.
    """

    unit: BlockUnit
    lba: int
    length_bytes: int
    start_byte: int
    end_byte: int


def chunks(
    unit: BlockUnit, start_byte: int, count_bytes: int, *, whole: bool
) -> Iterator[BlockChunk]:
    """The reads that cover a byte range.

    Args:
        unit: the disk.
        start_byte: first byte of the range.
        count_bytes: its length.
        whole: all of the last block is wanted, as in a read of whole blocks.
    """
    block = unit.block_bytes
    first, end = start_byte // block, -(-(start_byte + count_bytes) // block)
    end_byte = end * block if whole else start_byte + count_bytes
    step = CHUNK_BYTES // block
    for lba in range(first, end, step):
        begin, length_bytes = lba * block, min(step, end - lba) * block
        yield BlockChunk(
            unit,
            lba,
            length_bytes,
            max(0, start_byte - begin),
            min(length_bytes, end_byte - begin),
        )


class Piece(NamedTuple):
    """Bytes that a copy goes on with.

    Attributes:
        view: the bytes.
        digest: what they have been digested into already; None if into nothing.
    """

    view: memoryview
    digest: blake3 | None = None


@dataclass(slots=True, eq=False)
class _Reading:
    """An announced chunk that a thread is at, or has done."""

    chunk: BlockChunk
    digest: blake3 | None
    buffer: memoryview
    error: Exception | None = None
    done: bool = False

    def perform(self) -> None:
        """Read and digest it."""
        chunk = self.chunk
        try:
            chunk.unit.read_blocks(chunk.lba, self.buffer[: chunk.length_bytes])
            if self.digest is not None:
                self.digest.update(self.buffer[chunk.start_byte : chunk.end_byte])
        except Exception as raised:  # it belongs to the segment, and is raised when that has come
            self.error = raised


class ReadAhead:
    """Reads disks in the order that was announced. Used by one copy, and closed by it."""

    def __init__(self, buffers: BufferPool) -> None:
        self._buffers = buffers
        self._upcoming: Iterator[tuple[BlockChunk, blake3 | None]] = iter(())
        self._next: tuple[BlockChunk, blake3 | None] | None = None
        self._changed = Condition()
        self._claimed: deque[_Reading] = deque()
        self._last: _Reading | None = None
        self._free: list[memoryview] = []
        self._in_use: memoryview | None = None
        self._own: memoryview | None = None
        self._thread: Thread | None = None
        self._expects = self._ended = False

    def expect(self, upcoming: Iterable[tuple[BlockChunk, blake3 | None]]) -> None:
        """Announce what will be read; what was announced before is forgotten.

        Args:
            upcoming: chunks of at least ``SMALL_BYTES``, and the digest of the segment that each
                belongs to, if one is wanted. Chunks of one digest follow each other.
        """
        self.close()
        self._upcoming = iter(upcoming)
        self._expects, self._ended = True, False
        self._free = [self._buffers.take() for _ in range(_DEPTH)]

    def take(self, chunk: BlockChunk) -> Piece:
        """The bytes of a chunk, valid until the next one is taken.

        Raises:
            CheckCondition: the disk failed (or what else its ``read_blocks`` raises).
        """
        if self._expects and chunk.length_bytes >= SMALL_BYTES:
            reading = self._oldest()
            if reading is not None and reading.chunk == chunk:
                if reading.error is not None:
                    raise reading.error
                return Piece(reading.buffer[chunk.start_byte : chunk.end_byte], reading.digest)
            self.close()  # something else is read than was announced: nothing of it will match
        if self._own is None:
            self._own = self._buffers.take()
        chunk.unit.read_blocks(chunk.lba, self._own[: chunk.length_bytes])
        return Piece(self._own[chunk.start_byte : chunk.end_byte])

    def close(self) -> None:
        """Wait for the read that is under way and drop what was read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        buffers = [*self._free, *(reading.buffer for reading in self._claimed)]
        for buffer in (*buffers, self._in_use, self._own):
            if buffer is not None:
                self._buffers.give(buffer)
        self._claimed.clear()
        self._free, self._in_use, self._own = [], None, None
        self._upcoming, self._next, self._last = iter(()), None, None
        self._expects = False

    def _oldest(self) -> _Reading | None:
        """The first chunk that has not been taken, made here if no one is at it; None: no more."""
        while True:
            with self._changed:
                if self._in_use is not None:
                    self._free.append(self._in_use)
                    self._in_use = None
                    self._changed.notify_all()
                while not (self._claimed and self._claimed[0].done):
                    reading = self._claim()
                    if reading is not None:
                        break
                    if not self._claimed:
                        return None
                    self._changed.wait()
                else:
                    oldest = self._claimed.popleft()
                    self._in_use = oldest.buffer
                    return oldest
            if self._thread is None:
                self._thread = Thread(target=self._help, name=THREAD_NAME, daemon=True)
                self._thread.start()
            self._perform(reading)

    def _help(self) -> None:
        """Make chunk after chunk until the copy ends or all are made."""
        while True:
            with self._changed:
                while (reading := self._claim()) is None:
                    if self._ended or self._next is None:
                        return
                    self._changed.wait()
            self._perform(reading)

    def _claim(self) -> _Reading | None:
        """The next chunk, if it can be begun now: with a buffer, and behind its digest's others."""
        if self._ended:
            return None
        if self._next is None:
            self._next = next(self._upcoming, None)
        if self._next is None or not self._free:
            return None
        chunk, digest = self._next
        last = self._last
        if digest is not None and last is not None and last.digest is digest and not last.done:
            return None
        self._next = None
        self._last = _Reading(chunk, digest, self._free.pop())
        self._claimed.append(self._last)
        return self._last

    def _perform(self, reading: _Reading) -> None:
        try:
            reading.perform()
        finally:
            with self._changed:
                reading.done = True
                self._changed.notify_all()
