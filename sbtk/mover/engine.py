"""The copy engine: executes the segments of one EXTENDED COPY, in order, with constant memory.

Source data flows through two byte queues (``queues``) from readers, which run ahead and digest what
they read, to sinks that write large pieces in order. What a segment means stands in ``work``; how
it fails, in ``copy_abort``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from threading import Event
from typing import Any

from blake3 import blake3

from sbtk.mover import tape_segments, work
from sbtk.mover.buffers import CHUNK_BYTES, BufferPool
from sbtk.mover.copy_abort import CopyAbort, abort, field_error
from sbtk.mover.copy_progress import CopyProgress
from sbtk.mover.endpoint import Resolver
from sbtk.mover.held_data import HeldData
from sbtk.mover.queues import Queues
from sbtk.mover.read_ahead import SMALL_BYTES, Piece, Read, ReadAhead, reads
from sbtk.mover.readers import in_background, read_disk, read_tape
from sbtk.mover.routes import digest_of, segments_from
from sbtk.mover.sinks import Sink
from sbtk.mover.straight import Straight
from sbtk.mover.work import Work, WorkPlanner
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.limits import Limits
from sbtk.scsi.segment_base import HOLD_TYPES, SOURCE_BYTE
from sbtk.scsi.xcopy import ParameterList

_NOTHING = Piece(memoryview(b""))
_MANY_BLOCKS = SMALL_BYTES // 4096


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
        self._straight = Straight(
            command.segments,
            self._planner,
            limits,
            self._ahead,
            self._queues,
            held,
            progress,
            cancel,
        )
        self._lent: list[memoryview] = []
        self._digest: blake3 | None = None
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
        segments, index = self._command.segments, 0
        try:
            self._announce_reads()
            while (index := index + self._go_straight(index)) < len(segments):
                self._execute(index, segments[index])
                index += 1
            left = len(self._queues.source) + len(self._queues.destination)
            self._progress.residual_bytes = left
        finally:
            self._ahead.close()
            for buffer in self._lent:
                self._resources.buffers.give(buffer)

    def _go_straight(self, index: int) -> int:
        if self._shared_disk:
            return 0
        done = self._straight.go(index)
        if done:
            self._ahead.expect(self._upcoming(index + done))
        return done

    # -- one segment -----------------------------------------------------------------------------

    def _execute(self, index: int, segment: seg.Segment) -> None:
        self._progress.segments_processed = index + 1
        self._sink = None
        try:
            self._check_cancel()
            self._execute_one(segment)
        except CopyAbort as stopped:
            raise stopped.within(index, self._residual()) from stopped

    def _execute_one(self, segment: seg.Segment) -> None:
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
            self._announce_within(item, segment, unread, waiting)
        unannounced = item.disk is not None and item.need_bytes is None
        if self._queues.source or unannounced:
            # Less is read than was announced, and digests begin with the rest; or a later segment's
            # read of the same blocks would be taken for this one's, and its digest with it.
            self._ahead.close()
        self._before_bytes = self._progress.transferred_bytes
        self._sink = item.sink
        if item.sink is not None and item.sink.transfer_bytes and waiting and not need:
            self._queues.feed(_NOTHING.view, item.sink)
        self._holds = seg.base_type(segment.type_code) in HOLD_TYPES
        self._digest = digest_of(segment)
        if need:
            self._pump(item, need)
        source_pad = item.source is not None and item.source.pad
        self._queues.end_segment(
            cat=segment.cat, source_pad=source_pad, target_pad=target_pad, sink=item.sink
        )
        self._note_progress()
        if self._digest is not None:
            self._held.append(self._digest.digest())

    def _pump(self, item: Work, need: int) -> None:
        """Process ``need`` bytes: to the sink, to the digest, to the held data."""
        if item.disk is None or self._waits(item.sink):
            with closing(self._processed(item, need)) as pieces:
                for piece in pieces:
                    self._process(piece, item.sink)
            return
        for piece in self._read(item, need):  # the same where nothing has to come first
            self._process(self._needed(piece, need), item.sink)
            need -= min(need, len(piece.view))

    def _waits(self, sink: Sink | None) -> bool:
        """Whether earlier segments left bytes that can be processed or written before any read."""
        left = len(self._queues.destination)
        return bool(self._queues.source) or (sink is not None and left >= sink.transfer_bytes)

    def _needed(self, piece: Piece, need: int) -> Piece:
        """What is to be processed; what was read beyond it is residual source data."""
        if len(piece.view) <= need:
            return piece
        self._queues.source += piece.view[need:]
        return piece._replace(view=piece.view[:need])

    def _process(self, piece: Piece, sink: Sink | None) -> None:
        if piece.digest is not None:
            self._digest = piece.digest
        elif self._digest is not None:
            self._digest.update(piece.view)
        if self._holds:
            self._held.append(piece.view)
        if sink is not None:
            self._queues.feed(piece.view, sink)
        self._note_progress()
        self._check_cancel()

    def _processed(self, item: Work, need: int) -> Generator[Piece, None, None]:
        """Exactly ``need`` bytes: what earlier segments left first, then what is read."""
        if item.data is not None:
            yield Piece(memoryview(item.data))
            return
        left = Piece(memoryview(self._queues.take_source(need)))
        need -= len(left.view)
        if not need:
            if left.view:
                yield left
            return
        # The first read comes before the first write: a short range that reaches into itself is
        # read whole. What was left in either queue is processed even if that read fails.
        pieces = self._read(item, need)
        first, stopped = _first_of(pieces)
        if left.view or stopped is not None:
            yield left
        if stopped is not None:
            raise stopped
        for piece in chain((first,), pieces):
            yield self._needed(piece, need)
            need -= min(need, len(piece.view))

    def _read(self, item: Work, need: int) -> Iterator[Piece]:
        source = item.source
        if source is None or source.unit is None:
            raise field_error(SOURCE_BYTE)
        if item.disk is not None:
            disk = item.disk
            return read_disk(source, disk.start_byte, need, whole=disk.whole, ahead=self._ahead)
        if not self._lent:
            self._lent = [self._resources.buffers.take() for _ in range(2)]
        pieces = read_tape(source, item.transfer, need, self._lent)
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
        read: set[int] = set()
        written: set[int] = set()
        for item in self._command.segments:
            if item.SOURCE_KIND == seg.BLOCK:
                read.add(getattr(item, "source", -1))
            if item.DESTINATION_KIND == seg.BLOCK:
                written.add(getattr(item, "destination", -1))
        units = {id(unit) for unit in map(self._unit_of, read) if unit is not None}
        self._shared_disk = any(id(self._unit_of(item)) in units for item in written)
        if not self._shared_disk and any(map(_is_large, self._command.segments)):
            self._ahead.expect(self._upcoming(0))

    def _announce_within(self, item: Work, segment: Any, unread: int, waiting: int) -> None:
        """Read ahead inside this segment only, if it does not reach into itself."""
        safe = work.check_overlap(item, unread, waiting + len(self._queues.source), CHUNK_BYTES)
        if safe and (item.need_bytes or 0) > CHUNK_BYTES:
            self._ahead.expect(_large_reads(item, segment))

    def _upcoming(self, first: int) -> Iterator[Read]:
        """What the disks will be asked for if no segment leaves residual source data."""
        for segment in segments_from(self._command.segments, first):
            if segment.SOURCE_KIND == seg.BLOCK and _is_large(segment):
                try:
                    item = self._planner.plan(segment)
                except CopyAbort:  # it is raised when its turn has come
                    return
                yield from _large_reads(item, segment)

    def _unit_of(self, cscd_id: int) -> object | None:
        try:
            return self._planner.unit_of(cscd_id)
        except CopyAbort:
            return None


def _is_large(segment: seg.Segment) -> bool:
    """Whether a segment may be worth reading ahead for."""
    count_bytes = getattr(segment, "count_bytes", 0)
    return bool(count_bytes >= SMALL_BYTES or getattr(segment, "blocks", 0) >= _MANY_BLOCKS)


def _large_reads(item: Work, segment: seg.Segment) -> Iterator[Read]:
    """The reads of a segment that are worth making ahead."""
    disk, source, need = item.disk, item.source, item.need_bytes
    if disk is None or source is None or source.unit is None or not need:
        return
    digest = digest_of(segment)
    for read in reads(source.block, disk.start_byte, need, whole=disk.whole, digest=digest):
        if read.length_bytes >= SMALL_BYTES:
            yield read


def _first_of(pieces: Iterator[Piece]) -> tuple[Piece, CopyAbort | None]:
    """The first piece, or what went wrong instead."""
    try:
        return next(pieces), None
    except CopyAbort as stopped:
        return _NOTHING, stopped
