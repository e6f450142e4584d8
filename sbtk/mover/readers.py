"""Where a copy's bytes come from: whole blocks of disks, read ahead; records of tapes, in turn.

Readers yield views of large aligned buffers. A view is valid until the next but one has been asked
for, across segments too: its digest may still be computed while the next one is read.
Disks whose reads wait are read ahead of the segment in work by a thread, never past a write that
could change what is read (xcopy.md 3.2); tapes only within a segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from itertools import cycle, islice
from queue import SimpleQueue
from resource import RUSAGE_THREAD, getrusage
from threading import Thread
from typing import NamedTuple

from sbtk.errors import SbtkError
from sbtk.mover.base import BlockUnit, CheckCondition
from sbtk.mover.buffers import CHUNK_BYTES, BufferPool, aligned
from sbtk.mover.copy_abort import CopyAbort, abort, device_failed, device_reported
from sbtk.mover.endpoint import Endpoint
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.sense import Origin

SMALL_BYTES = 128 << 10
"""Below this a thread costs more than it saves."""

_DEPTH = 4  # one in use, one whose digest is computed, two to read into
_FEW_SLEEPS = 3  # a read now and then sleeps for a lock or for memory


class BlockChunk(NamedTuple):
    """One read of a disk: whole blocks, at most ``CHUNK_BYTES``."""

    unit: BlockUnit
    lba: int
    length_bytes: int


def chunks(unit: BlockUnit, start_byte: int, count_bytes: int) -> Iterator[BlockChunk]:
    """The reads that cover a byte range, rounded outwards to blocks."""
    block = unit.block_bytes
    first, end = start_byte // block, -(-(start_byte + count_bytes) // block)
    step = CHUNK_BYTES // block
    for lba in range(first, end, step):
        yield BlockChunk(unit, lba, min(step, end - lba) * block)


_Read = tuple[BlockChunk | None, memoryview, BaseException | None]


class ReadAhead:
    """Reads disks in the order that was announced, a few buffers before they are needed.

    One thread a copy does it, with queues of C on both sides, and only once reads were seen to
    sleep: what lies in memory is read quickest where it is used, into two buffers in turn that stay
    in the cache.
    """

    def __init__(self, buffers: BufferPool) -> None:
        self._buffers = buffers
        self._upcoming: Iterator[BlockChunk] | None = None
        self._read = self._slept = 0
        self._thread: Thread | None = None
        self._own: dict[int, memoryview] = {}
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._ready: SimpleQueue[_Read] = SimpleQueue()
        self._head: _Read | None = None
        self._last: memoryview | None = None
        self._turns: list[memoryview] = []

    def expect(self, upcoming: Iterable[BlockChunk]) -> None:
        """Announce what will be read; what was announced before is forgotten.

        Only chunks of at least ``SMALL_BYTES`` are worth announcing.
        """
        self.close()
        self._upcoming = iter(upcoming)

    def take(self, chunk: BlockChunk) -> memoryview:
        """A buffer that begins with the chunk's bytes; ``give`` it back before the next is taken.

        Raises:
            CheckCondition: the disk failed (or what else its ``read_blocks`` raises).
        """
        large = chunk.length_bytes >= SMALL_BYTES and self._upcoming is not None
        if large and self._announced() == chunk and self._head:
            _, buffer, error = self._head
            self._head = None
            if error is not None:
                self._free.put(buffer)
                raise error
            return buffer
        before = getrusage(RUSAGE_THREAD).ru_nvcsw if large else 0
        if not self._turns:
            self._turns = [self._buffers.take(), self._buffers.take()]
        self._turns.reverse()
        buffer = self._turns[0]
        chunk.unit.read_blocks(chunk.lba, buffer[: chunk.length_bytes])
        if large:
            self._read += 1
            self._slept += getrusage(RUSAGE_THREAD).ru_nvcsw != before
        return buffer

    def give(self, buffer: memoryview) -> None:
        """Take a buffer back; it is read into again when the next one has come back too."""
        if self._thread is not None and id(buffer) in self._own:
            last, self._last = self._last, buffer
            if last is not None:
                self._free.put(last)

    def close(self) -> None:
        """Wait for the read that is under way and drop what was read."""
        self._upcoming = None
        self._read = self._slept = 0
        for buffer in self._turns:
            self._buffers.give(buffer)
        self._turns = []
        if self._thread is None:
            return
        self._free.put(None)
        # The thread takes what is free before it sees the end: it may read these few in vain.
        self._thread.join()
        self._thread = self._head = self._last = None
        for buffer in self._own.values():
            self._buffers.give(buffer)
        self._own = {}

    def _announced(self) -> BlockChunk | None:
        """The next chunk that was announced, read; None where none is read ahead."""
        if self._thread is None:
            if self._upcoming is None or self._slept < max(_FEW_SLEEPS, self._read // 4):
                return None
            self._start(islice(self._upcoming, self._read, None))
        if self._head is None:
            self._head = self._ready.get()
        return self._head[0]

    def _start(self, upcoming: Iterator[BlockChunk]) -> None:
        self._free, self._ready = SimpleQueue(), SimpleQueue()
        for _ in range(_DEPTH):
            buffer = self._buffers.take()
            self._own[id(buffer)] = buffer
            self._free.put(buffer)
        self._thread = Thread(
            target=_read_all,
            args=(upcoming, self._free, self._ready),
            name="sbtk-read",
            daemon=True,
        )
        self._thread.start()


def _read_all(
    upcoming: Iterator[BlockChunk],
    free: SimpleQueue[memoryview | None],
    ready: SimpleQueue[_Read],
) -> None:
    """Read chunk after chunk into what is free, until None comes or all are read."""
    try:
        for chunk in upcoming:
            buffer = free.get()
            if buffer is None:
                return
            error: BaseException | None = None
            try:
                chunk.unit.read_blocks(chunk.lba, buffer[: chunk.length_bytes])
            except BaseException as raised:  # it belongs to the copy, and is raised there
                error = raised
            ready.put((chunk, buffer, error))
    finally:
        ready.put((None, memoryview(b""), None))  # nobody may wait for more


def read_disk(
    source: Endpoint, start_byte: int, count_bytes: int, *, whole: bool, ahead: ReadAhead
) -> Iterator[memoryview]:
    """The bytes of a range of a disk, in pieces.

    Args:
        source: the disk.
        start_byte: first byte.
        count_bytes: bytes that are needed.
        whole: yield the last block to its end, as a read of whole blocks does.
        ahead: reads the chunks.

    Raises:
        CopyAbort: the disk failed.
    """
    skip = start_byte % source.block_bytes
    left = count_bytes + (-(skip + count_bytes) % source.block_bytes if whole else 0)
    for chunk in chunks(source.block, start_byte, count_bytes):
        try:
            buffer = ahead.take(chunk)
        except (CheckCondition, SbtkError, OSError) as error:
            raise device_failed(Origin.COPY_SOURCE, error, source.pointer) from error
        piece = buffer[skip : min(chunk.length_bytes, skip + left)]
        left -= len(piece)
        yield piece
        ahead.give(buffer)
        skip = 0


def read_tape(source: Endpoint, transfer: int, count_bytes: int) -> Iterator[memoryview]:
    """Whole transfers of a tape, as many as hold ``count_bytes``.

    Args:
        source: the drive.
        transfer: STREAM DEVICE TRANSFER LENGTH: bytes, or records of a fixed length.
        count_bytes: bytes that are needed.

    Raises:
        CopyAbort: the drive failed, or met something else than a record of this length; what was
            read before has been yielded.
    """
    record = source.block_bytes if source.fixed else transfer
    transfers = -(-count_bytes // (transfer * source.record_unit_bytes))
    records = transfers * (transfer if source.fixed else 1)
    length_bytes = min(records, max(1, CHUNK_BYTES // record)) * record
    # In turn: one is used, the digest of another is computed, one is filled (``in_background``).
    count = 1 if records * record <= length_bytes else 3
    buffers = cycle([aligned(length_bytes) for _ in range(count)])
    while records:
        buffer = next(buffers)
        done, stopped = _read_records(source, buffer, record, records)
        if done:
            yield buffer[: done * record]
        if stopped is not None:
            raise stopped
        records -= done


def in_background(pieces: Iterator[memoryview], workers: Executor) -> Iterator[memoryview]:
    """The same pieces, each fetched by a worker while the one before it is being used."""
    future: Future[memoryview | None] = workers.submit(next, pieces, None)
    try:
        while (piece := future.result()) is not None:
            future = workers.submit(next, pieces, None)
            yield piece
    finally:
        wait([future])


def _read_records(
    source: Endpoint, buffer: memoryview, record: int, records: int
) -> tuple[int, CopyAbort | None]:
    """Records read into the buffer, and what stopped it before the buffer was full."""
    count = min(records, len(buffer) // record)
    for done in range(count):
        view = buffer[done * record : (done + 1) * record]
        try:
            length, told = source.tape.read_record(view)
        except (CheckCondition, SbtkError, OSError) as error:
            return done, device_failed(Origin.COPY_SOURCE, error, source.pointer)
        if told.sense:
            return done, device_reported(Origin.COPY_SOURCE, told.sense, source.pointer)
        if length != record:
            short = length < record
            code = codes.COPY_TARGET_UNDERRUN if short else codes.COPY_TARGET_OVERRUN
            return done, abort(code, source.pointer)
    return count, None
