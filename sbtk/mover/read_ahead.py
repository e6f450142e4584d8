"""Large reads of disks, made and digested ahead of the segment in work.

A copy writes in order, in its own thread. Whoever has nothing to write makes the next batch of the
reads that were announced: a second thread all the time, the copy's own whenever its next batch is
not there yet. So two cores share the work, whichever of reading, digesting and writing takes the
longest; and on a core to itself a copy loses little by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import NamedTuple

from blake3 import blake3

from sbtk.mover.base import BlockUnit
from sbtk.mover.buffers import CHUNK_BYTES, BufferPool

SMALL_BYTES = 128 << 10
"""Below this, a digest is computed sooner than another thread is woken for it."""

THREAD_NAME = "sbtk-read"

_DEPTH = 6  # one that is written, one that each thread reads into, and some that wait

_NOTHING = memoryview(b"")


@dataclass(slots=True)
class Read:
    """One read of a disk: whole blocks, at most ``CHUNK_BYTES``.

    Attributes:
        unit: the disk.
        lba: first block.
        length_bytes: of the whole blocks.
        start_byte: where in them the bytes begin that are wanted.
        end_byte: where those end.
        digest: of the segment that it belongs to, if one is wanted; it takes the bytes.
        view: the bytes that are wanted, once they are read.
        error: what went wrong instead.
    """

    unit: BlockUnit
    lba: int
    length_bytes: int
    start_byte: int
    end_byte: int
    digest: blake3 | None = field(default=None, compare=False)
    view: memoryview = field(default=_NOTHING, compare=False)
    error: Exception | None = field(default=None, compare=False)

    def make(self, buffer: memoryview) -> None:
        """Read into ``buffer``, of ``length_bytes``, and digest."""
        self.unit.read_blocks(self.lba, buffer)
        self.view = buffer[self.start_byte : self.end_byte]
        if self.digest is not None:
            self.digest.update(self.view)


def reads(
    unit: BlockUnit,
    start_byte: int,
    count_bytes: int,
    *,
    whole: bool,
    digest: blake3 | None = None,
) -> Iterator[Read]:
    """The reads that cover a byte range.

    Args:
        unit: the disk.
        start_byte: first byte of the range.
        count_bytes: its length.
        whole: all of the last block is wanted, as in a read of whole blocks.
        digest: takes the bytes in order.
    """
    block = unit.block_bytes
    first, end = start_byte // block, -(-(start_byte + count_bytes) // block)
    end_byte = end * block if whole else start_byte + count_bytes
    step = CHUNK_BYTES // block
    for lba in range(first, end, step):
        begin, length_bytes = lba * block, min(step, end - lba) * block
        yield Read(
            unit,
            lba,
            length_bytes,
            max(0, start_byte - begin),
            min(length_bytes, end_byte - begin),
            digest,
        )


class Piece(NamedTuple):
    """Bytes that a copy goes on with.

    Attributes:
        view: the bytes.
        digest: what they have been digested into already; None if into nothing.
    """

    view: memoryview
    digest: blake3 | None = None


class Batch:
    """Announced reads that fit into a buffer: what one thread makes at a time.

    To wake a thread costs as much as a small read; so they meet once in a buffer.

    Attributes:
        reads: in order; after one that fails, none is made.
        buffer: takes their bytes, one behind another.
        made_count: how many of the reads are made.
        done: nothing more will be made.
    """

    def __init__(self, reads: list[Read], buffer: memoryview) -> None:
        self.reads = reads
        self.buffer = buffer
        self.made_count = 0
        self.done = False
        self._filled_bytes = 0

    def make(self, read: Read) -> bool:
        """Make the next of the reads; False if it fails."""
        end = self._filled_bytes + read.length_bytes
        try:
            read.make(self.buffer[self._filled_bytes : end])
        except Exception as raised:  # it belongs to the segment, and is raised when it comes
            read.error = raised
            return False
        self._filled_bytes, self.made_count = end, self.made_count + 1
        return True

    @property
    def made(self) -> Sequence[Read]:
        """The reads that went well."""
        return self.reads[: self.made_count]

    @property
    def view(self) -> memoryview:
        """The whole blocks of these."""
        return self.buffer[: self._filled_bytes]

    @property
    def error(self) -> Exception | None:
        """What went wrong behind them."""
        return self.reads[self.made_count].error if self.made_count < len(self.reads) else None


class ReadAhead:
    """Reads disks in the order that was announced. Used by one copy, and closed by it."""

    def __init__(self, buffers: BufferPool) -> None:
        self._buffers = buffers
        self._upcoming: Iterator[Read] = iter(())
        self._next: Read | None = None
        self._changed = Condition()
        self._begun: deque[Batch] = deque()
        self._last: Batch | None = None
        self._taken: Batch | None = None
        self._to_take: deque[Read] = deque()
        self._free: list[memoryview | None] = []
        self._own: memoryview | None = None
        self._thread: Thread | None = None
        self._expects = self._ended = False

    def expect(self, upcoming: Iterable[Read]) -> None:
        """Announce what will be read; what was announced before is forgotten.

        Args:
            upcoming: the reads; those of one digest follow each other.
        """
        self.close()
        self._upcoming = iter(upcoming)
        self._expects, self._ended = True, False
        self._free = [None] * _DEPTH  # taken when they are needed

    def take(self, wanted: Read) -> Piece:
        """The bytes of a read, valid until the next one is taken.

        Only reads of ``SMALL_BYTES`` and more are looked for among what was announced.

        Raises:
            CheckCondition: the disk failed (or what else its ``read_blocks`` raises).
        """
        if self._expects and wanted.length_bytes >= SMALL_BYTES:
            read = self.next_read()
            if read is not None and read == wanted:
                if read.error is not None:
                    raise read.error
                return Piece(read.view, read.digest)
            self.close()  # something else is read than was announced: nothing of it will match
        if self._own is None:
            self._own = self._buffers.take()
        wanted.make(self._own[: wanted.length_bytes])
        return Piece(wanted.view, wanted.digest)

    def next_read(self) -> Read | None:
        """The next of the announced reads, made; its bytes are valid until this is called again.

        None: there are no more. Behind one with an error nothing may be asked for.
        """
        if not self._to_take:
            self._taken = self._oldest()
            self._to_take.extend(self._taken.reads if self._taken else ())
        batch = self._taken
        if batch is None:
            return None
        read = self._to_take.popleft()
        # One that is not done is this thread's own, and made as it is taken.
        if not batch.done and not (batch.make(read) and self._to_take):
            self._finish(batch)
        if read.error is not None:
            self._to_take.clear()
        return read

    def next_batch(self) -> Batch | None:
        """The next of the batches, made; its bytes are valid until this is called again.

        None: there are no more. Behind one with an error nothing may be asked for.
        """
        self._taken = self._oldest()
        if self._taken is not None and not self._taken.done:
            self._make(self._taken)
        return self._taken

    def close(self) -> None:
        """Wait for the read that is under way and drop what was read."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        left = [batch.buffer for batch in (*self._begun, self._taken) if batch is not None]
        for buffer in (*self._free, *left, self._own):
            if buffer is not None:
                self._buffers.give(buffer)
        self._begun.clear()
        self._to_take.clear()
        self._free, self._own, self._taken = [], None, None
        self._upcoming, self._next, self._last = iter(()), None, None
        self._expects = False

    def _oldest(self) -> Batch | None:
        """The first batch not taken yet; None: there is no more.

        It is done, or nobody is at it, and it is the caller's to make.
        """
        used, self._taken = self._taken, None
        while True:
            with self._changed:
                if used is not None:
                    self._free.append(used.buffer)
                    used = None
                    self._changed.notify()
                while not (self._begun and self._begun[0].done):
                    batch = self._begin()
                    if batch is not None:
                        break
                    if not self._begun:
                        return None
                    self._changed.wait()
                else:
                    return self._begun.popleft()
                if self._begun[0] is batch:
                    self._start_thread()
                    return self._begun.popleft()
            self._make(batch)

    def _start_thread(self) -> None:
        if self._thread is None and self._next is not None:
            self._thread = Thread(target=self._help, name=THREAD_NAME, daemon=True)
            self._thread.start()

    def _help(self) -> None:
        """Make batch after batch until the copy ends or all are made."""
        while True:
            with self._changed:
                while (batch := self._begin()) is None:
                    if self._ended or self._next is None:
                        return
                    self._changed.wait()
            self._make(batch)

    def _begin(self) -> Batch | None:
        """The next batch, if it can be begun now: with a buffer, and behind its digest's others."""
        if self._next is None:
            self._next = next(self._upcoming, None)
        if self._ended or self._next is None or not self._free:
            return None
        last, digest = self._last, self._next.digest
        if last and not last.done and digest is not None and last.reads[-1].digest is digest:
            return None
        buffer, chosen = self._free.pop() or self._buffers.take(), list[Read]()
        left = len(buffer)
        while self._next is not None and self._next.length_bytes <= left:
            chosen.append(self._next)
            left -= self._next.length_bytes
            self._next = next(self._upcoming, None)
        self._last = Batch(chosen, buffer)
        self._begun.append(self._last)
        return self._last

    def _make(self, batch: Batch) -> None:
        try:
            for read in batch.reads:
                if self._ended or not batch.make(read):
                    break
        finally:
            self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        with self._changed:
            batch.done = True
            self._changed.notify()
