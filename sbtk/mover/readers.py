"""Where a copy's bytes come from: whole blocks of disks, records of tapes, in turn.

Readers yield pieces of large aligned buffers; one is valid until the next has been asked for.
Disks are read ahead of the segment in work (``read_ahead``), never past a write that could change
what is read (xcopy.md 3.2); tapes only within a segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from itertools import cycle

from sbtk.mover.buffers import CHUNK_BYTES, aligned
from sbtk.mover.copy_abort import DEVICE_FAILURES, CopyAbort, abort, device_failed, device_reported
from sbtk.mover.endpoint import Endpoint
from sbtk.mover.read_ahead import Piece, ReadAhead, reads
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.sense import Origin


def read_disk(
    source: Endpoint, start_byte: int, count_bytes: int, *, whole: bool, ahead: ReadAhead
) -> Iterator[Piece]:
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
    for read in reads(source.block, start_byte, count_bytes, whole=whole):
        try:
            piece = ahead.take(read)
        except DEVICE_FAILURES as error:
            raise device_failed(Origin.COPY_SOURCE, error, source.pointer) from error
        yield piece


def read_tape(
    source: Endpoint, transfer: int, count_bytes: int, lent: Sequence[memoryview]
) -> Iterator[Piece]:
    """Whole transfers of a tape, as many as hold ``count_bytes``.

    Args:
        source: the drive.
        transfer: STREAM DEVICE TRANSFER LENGTH: bytes, or records of a fixed length.
        count_bytes: bytes that are needed.
        lent: two buffers of ``CHUNK_BYTES``, used in turn unless one record is longer.

    Raises:
        CopyAbort: the drive failed, or met something else than a record of this length; what was
            read before has been yielded.
    """
    record = source.block_bytes if source.fixed else transfer
    transfers = -(-count_bytes // (transfer * source.record_unit_bytes))
    records = transfers * (transfer if source.fixed else 1)
    length_bytes = min(records, max(1, CHUNK_BYTES // record)) * record
    # In turn: one is used, the other is filled (``in_background``).
    count = 1 if records * record <= length_bytes else 2
    longer = length_bytes > CHUNK_BYTES
    buffers = cycle([aligned(length_bytes) for _ in range(count)] if longer else lent)
    while records:
        buffer = next(buffers)[:length_bytes]
        done, stopped = _read_records(source, buffer, record, records)
        if done:
            yield Piece(buffer[: done * record])
        if stopped is not None:
            raise stopped
        records -= done


def in_background(pieces: Iterator[Piece], workers: Executor) -> Iterator[Piece]:
    """The same pieces, each fetched by a worker while the one before it is being used."""
    future: Future[Piece | None] = workers.submit(next, pieces, None)
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
        except DEVICE_FAILURES as error:
            return done, device_failed(Origin.COPY_SOURCE, error, source.pointer)
        if told.sense:
            return done, device_reported(Origin.COPY_SOURCE, told.sense, source.pointer)
        if length != record:
            short = length < record
            code = codes.COPY_TARGET_UNDERRUN if short else codes.COPY_TARGET_OVERRUN
            return done, abort(code, source.pointer)
    return count, None
