"""The copy engine: executes the segments of one EXTENDED COPY, in order, with constant memory.

Source data flows through two byte queues (``queues``) from readers, which run ahead in a thread
where reads wait, to sinks that write large pieces; digests are computed on the way. What a segment
means stands in ``work``; how it fails, in ``copy_abort``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from threading import Event
from typing import Any

from sbtk.mover import tape_segments, work
from sbtk.mover.buffers import CHUNK_BYTES, BufferPool
from sbtk.mover.copy_abort import CopyAbort, abort, field_error
from sbtk.mover.digests import SegmentDigests
from sbtk.mover.endpoint import Resolver
from sbtk.mover.held_data import HeldData
from sbtk.mover.queues import Queues
from sbtk.mover.readers import (
    SMALL_BYTES,
    BlockChunk,
    ReadAhead,
    chunks,
    in_background,
    read_disk,
    read_tape,
)
from sbtk.mover.sinks import Sink
from sbtk.mover.work import Work, WorkPlanner
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.limits import Limits
from sbtk.scsi.segment_base import HOLD_TYPES, SOURCE_BYTE
from sbtk.scsi.xcopy import ParameterList

_NOTHING = memoryview(b"")
_MANY_BLOCKS = SMALL_BYTES // 4096


@dataclass
class CopyProgress:
    """How far a copy has come; read by status queries while it runs.

    Attributes:
        segments_processed: the one in work included.
        transferred_bytes: written, in order.
        residual_bytes: left in the queues when the last segment had ended.
    """

    segments_processed: int = 0
    transferred_bytes: int = 0
    residual_bytes: int = 0


@dataclass
class CopyResources:
    """What copies of one mover share.

    Attributes:
        workers: threads that read tapes a buffer ahead.
        buffers: large aligned buffers.
    """

    workers: Executor
    buffers: BufferPool = field(default_factory=BufferPool)


class Engine:
    """Executes one parameter list; made for it and thrown away after it."""

    def __init__(
        self,
        command: ParameterList,
        resolver: Resolver,
        limits: Limits,
        resources: CopyResources,
        *,
        held: HeldData,
        progress: CopyProgress,
        cancel: Event,
    ) -> None:
        """Prepare; no device is touched yet.

        Args:
            command: the list, already checked (``copy_check``).
            resolver: from its CSCD ids to units.
            limits: of the copy manager.
            resources: threads and buffers.
            held: where hold and digest segments put their bytes.
            progress: kept up to date.
            cancel: set from outside to stop.
        """
        self._command = command
        self._resolver = resolver
        self._limits = limits
        self._resources = resources
        self._held = held
        self._progress = progress
        self._cancel = cancel
        self._planner = WorkPlanner(resolver, limits, command.inline)
        self._queues = Queues()
        self._ahead = ReadAhead(resources.buffers)
        self._digests = SegmentDigests(held)
        self._sink: Sink | None = None
        self._planned_bytes = 0
        self._before_bytes = 0
        self._shared_disk = False
        self._holds = False

    def run(self) -> None:
        """Process all segments.

        Raises:
            CopyAbort: with the number of the segment in work and its residual.
        """
        index = 0
        try:
            self._announce_reads()
            for index, segment in enumerate(self._command.segments):
                self._progress.segments_processed = index + 1
                self._check_cancel()
                self._sink = None
                self._execute(segment)
            left = len(self._queues.source) + len(self._queues.destination)
            self._progress.residual_bytes = left
        except CopyAbort as stopped:
            raise stopped.within(index, self._residual()) from stopped
        finally:
            with closing(self._ahead):
                self._digests.close()  # before the buffer that it may still read is lent again

    # -- one segment -----------------------------------------------------------------------------

    def _execute(self, segment: seg.Segment) -> None:
        if type(segment) in work.DATA_SEGMENTS:
            self._move(segment)
        elif isinstance(segment, seg.VerifyDevice):
            tape_segments.verify(segment, self._resolver)
        elif isinstance(segment, seg.WriteFilemarks | seg.Space | seg.Locate):
            tape_segments.position(segment, self._planner)
        elif isinstance(segment, seg.TapeImageCopy):
            tape_segments.tape_image(
                segment, self._planner, self._limits.max_stream_transfer_bytes, self._count_record
            )
        else:  # phase 1 refuses every type that is not announced
            raise field_error(0, codes.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE)

    def _move(self, segment: Any) -> None:
        item = self._planner.plan(segment)
        waiting = len(self._queues.destination)
        need = item.need_bytes
        if need is None:
            need = max(0, (item.sink.limit_bytes or 0) - waiting) if item.sink else 0
        target_pad = item.target is not None and item.target.pad
        self._check_counts(item, segment, need)
        self._planned_bytes = item.planned_bytes(waiting, pads=target_pad and not segment.cat)
        self._check_segment_length(item)
        unread = max(0, need - len(self._queues.source))
        work.check_ranges(item, unread, self._planned_bytes)
        if self._shared_disk:
            self._announce_within(item, unread, waiting)
        self._before_bytes = self._progress.transferred_bytes
        self._sink = item.sink
        if item.sink is not None and item.sink.transfer_bytes and waiting and not need:
            self._queues.feed(_NOTHING, item.sink)
        self._holds = seg.base_type(segment.type_code) in HOLD_TYPES
        self._digests.begin(wanted=seg.is_digest(segment.type_code))
        if need:
            self._pump(item, need)
        source_pad = item.source is not None and item.source.pad
        self._queues.end_segment(
            cat=segment.cat, source_pad=source_pad, target_pad=target_pad, sink=item.sink
        )
        self._note_progress()
        self._digests.end()

    def _pump(self, item: Work, need: int) -> None:
        """Process ``need`` bytes: to the sink, to the digest, to the held data."""
        if item.disk is None or self._waits(item.sink):
            with closing(self._processed(item, need)) as pieces:
                for piece in pieces:
                    self._process(piece, item.sink)
            return
        for view in self._read(item, need):  # the same where nothing has to come first
            self._process(view[:need], item.sink)
            if len(view) > need:
                self._queues.source += view[need:]
            need -= min(need, len(view))

    def _waits(self, sink: Sink | None) -> bool:
        """Whether earlier segments left bytes that can be processed or written before any read."""
        left = len(self._queues.destination)
        return bool(self._queues.source) or (sink is not None and left >= sink.transfer_bytes)

    def _process(self, piece: memoryview, sink: Sink | None) -> None:
        self._digests.update(piece)
        if self._holds:
            self._held.append(piece)
        if sink is not None:
            self._queues.feed(piece, sink)
        self._note_progress()
        self._check_cancel()

    def _processed(self, item: Work, need: int) -> Generator[memoryview, None, None]:
        """Exactly ``need`` bytes: what earlier segments left first, then what is read."""
        if item.data is not None:
            yield memoryview(item.data)
            return
        left = memoryview(self._queues.take_source(need))
        need -= len(left)
        if not need:
            if left:
                yield left
            return
        # The first read comes before the first write: a short range that reaches into itself is
        # read whole. What was left in either queue is processed even if that read fails.
        views = self._read(item, need)
        first, stopped = _first_of(views)
        if left or stopped is not None:
            yield left
        if stopped is not None:
            raise stopped
        for view in chain((first,), views):
            yield view[:need]
            if len(view) > need:
                self._queues.source += view[need:]
            need -= min(need, len(view))

    def _read(self, item: Work, need: int) -> Iterator[memoryview]:
        source = item.source
        if source is None or source.unit is None:
            raise field_error(SOURCE_BYTE)
        if item.disk is not None:
            disk = item.disk
            return read_disk(source, disk.start_byte, need, whole=disk.whole, ahead=self._ahead)
        pieces = read_tape(source, item.transfer, need)
        if need > CHUNK_BYTES:
            return in_background(pieces, self._resources.workers)
        return pieces

    # -- checks ----------------------------------------------------------------------------------

    def _check_counts(self, item: Work, segment: Any, need: int) -> None:
        """Granularity, and a transfer length wherever bytes go to or come from a tape."""
        limits = self._limits
        log2 = limits.data_granularity if item.data is None else limits.inline_granularity
        if need & ((1 << log2) - 1):
            raise field_error(item.count_byte, codes.COPY_SEGMENT_GRANULARITY_VIOLATION)
        streams = seg.STREAM in (segment.SOURCE_KIND, segment.DESTINATION_KIND)
        if streams and not segment.stream_transfer:
            to_tape = segment.DESTINATION_KIND == seg.STREAM and not segment.cat
            if need or (to_tape and self._queues.destination):
                raise field_error(segment.byte_of("stream_transfer"))

    def _check_segment_length(self, item: Work) -> None:
        most = self._limits.max_segment_bytes
        if most and self._planned_bytes > most:
            raise field_error(item.count_byte)

    def _check_cancel(self) -> None:
        if self._cancel.is_set():
            raise abort(codes.COMMANDS_CLEARED_BY_DEVICE_SERVER)

    # -- progress --------------------------------------------------------------------------------

    def _note_progress(self) -> None:
        if self._sink is not None:
            self._progress.transferred_bytes = self._before_bytes + self._sink.written_bytes

    def _count_record(self, length_bytes: int) -> None:
        self._progress.transferred_bytes += length_bytes
        self._check_cancel()

    def _residual(self) -> int | None:
        """INFORMATION: what of the segment was not written; None where nothing was."""
        if self._sink is None or not self._sink.written_bytes:
            return None
        self._note_progress()
        return self._sink.residual(self._planned_bytes)

    # -- reading ahead ---------------------------------------------------------------------------

    def _announce_reads(self) -> None:
        """Read ahead across segments, unless one of the disks is both read and written."""
        if not any(_is_large(item) for item in self._command.segments):
            return
        read: set[int] = set()
        written: set[int] = set()
        for item in self._command.segments:
            if item.SOURCE_KIND == seg.BLOCK:
                read.add(getattr(item, "source", -1))
            if item.DESTINATION_KIND == seg.BLOCK:
                written.add(getattr(item, "destination", -1))
        units = {id(unit) for unit in map(self._unit_of, read) if unit is not None}
        self._shared_disk = any(id(self._unit_of(item)) in units for item in written)
        if not self._shared_disk:
            self._ahead.expect(self._large_reads())

    def _announce_within(self, item: Work, unread: int, waiting: int) -> None:
        """Read ahead inside this segment only, if it does not reach into itself."""
        safe = work.check_overlap(item, unread, waiting + len(self._queues.source), CHUNK_BYTES)
        if safe and item.disk is not None and item.source is not None and unread > CHUNK_BYTES:
            self._digests.settle()
            self._ahead.expect(_large(chunks(item.source.block, item.disk.start_byte, unread)))

    def _large_reads(self) -> Iterator[BlockChunk]:
        """What the disks will be asked for if no segment leaves residual source data."""
        for segment in self._command.segments:
            if segment.SOURCE_KIND == seg.BLOCK and _is_large(segment):
                try:
                    item = self._planner.plan(segment)
                except CopyAbort:  # it is raised when its turn has come
                    return
                if item.disk and item.source and item.source.unit and item.need_bytes:
                    start = item.disk.start_byte
                    yield from _large(chunks(item.source.block, start, item.need_bytes))

    def _unit_of(self, cscd_id: int) -> object | None:
        try:
            return self._planner.unit_of(cscd_id)
        except CopyAbort:
            return None


def _is_large(segment: seg.Segment) -> bool:
    """Whether a segment may be worth reading ahead for."""
    count_bytes = getattr(segment, "count_bytes", 0)
    return bool(count_bytes >= SMALL_BYTES or getattr(segment, "blocks", 0) >= _MANY_BLOCKS)


def _large(reads: Iterator[BlockChunk]) -> Iterator[BlockChunk]:
    return (item for item in reads if item.length_bytes >= SMALL_BYTES)


def _first_of(views: Iterator[memoryview]) -> tuple[memoryview, CopyAbort | None]:
    """The first piece, or what went wrong instead."""
    try:
        return next(views), None
    except CopyAbort as stopped:
        return _NOTHING, stopped
