"""Copies from a disk that meet nothing on their way: whole blocks, in and out.

That is most of what a copy manager is asked for. Segments that are plain (``routes``) are copied
here, several at a time, in large reads that are made ahead. On a disk the first that fails is left
to the engine, which does it again from its beginning and knows how to tell what is wrong; a tape's
record is written once, so what stops it is told here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

from sbtk.mover.copy_abort import DEVICE_FAILURES, CopyAbort, abort, device_failed
from sbtk.mover.copy_progress import CopyProgress
from sbtk.mover.endpoint import Endpoint
from sbtk.mover.held_data import HeldData
from sbtk.mover.queues import Queues
from sbtk.mover.read_ahead import Batch, ReadAhead
from sbtk.mover.routes import DiskRoute, StraightRead, TapeRoute, disk_route, tape_route
from sbtk.mover.work import WorkPlanner
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.limits import Limits
from sbtk.scsi.sense import Origin

_WORTH_BYTES = 64 << 20
"""To a tape, a shorter run would cost more than it saves: what was read ahead of it is dropped."""

_Ends = tuple[Endpoint, Endpoint]


@dataclass
class Straight:
    """Copies the plain segments of one list.

    Attributes:
        segments: the list.
        planner: finds their devices.
        limits: of the copy manager.
        ahead: makes the reads.
        queues: what waits between segments.
        held: takes the digests.
        progress: kept up to date.
        cancel: set from outside to stop.
    """

    segments: Sequence[seg.Segment]
    planner: WorkPlanner
    limits: Limits
    ahead: ReadAhead
    queues: Queues
    held: HeldData
    progress: CopyProgress
    cancel: Event
    _not_before: int = field(default=0, init=False)

    def go(self, index: int) -> int:
        """Copy the plain segments from ``index`` on; how many were copied whole.

        Raises:
            CopyAbort: a tape's segment failed; it tells which, and its residual.
        """
        if index < self._not_before or index == len(self.segments) or self.queues.source:
            return 0
        segment, done = self.segments[index], 0
        waiting_bytes = len(self.queues.destination)
        if type(segment) is seg.BlockToBlock and not waiting_bytes:
            way = self._endpoints(segment)
            to_disk = disk_route(*way, self.limits) if way else None
            if to_disk and (run := to_disk.plain_run(self.segments, index)):
                done = self._to_disk(to_disk, run, index)
        elif type(segment) is seg.BlockToStream:
            way, transfer = self._endpoints(segment), segment.stream_transfer
            to_tape = tape_route(*way, transfer, self.limits, waiting_bytes) if way else None
            plain = to_tape.plain_run(self.segments, index) if to_tape else []
            self._not_before = index + len(plain)
            if to_tape and to_tape.count_bytes >= _WORTH_BYTES:
                done = self._to_tape(to_tape, plain, index)
        return done

    def _endpoints(self, segment: seg.BlockToBlock | seg.BlockToStream) -> _Ends | None:
        try:
            return self.planner.source_of(segment), self.planner.target_of(segment)
        except CopyAbort:  # it is raised when it is planned
            return None

    # -- to a disk -------------------------------------------------------------------------------

    def _to_disk(self, route: DiskRoute, run: Sequence[seg.BlockToBlock], index: int) -> int:
        progress, done = self.progress, 0
        whole_bytes = progress.transferred_bytes
        progress.segments_processed = index + 1
        self.ahead.expect(route.reads(run))
        while isinstance(read := self.ahead.next_read(), StraightRead):
            if self.cancel.is_set() or not _written(route, read):
                progress.transferred_bytes = whole_bytes  # the engine begins the segment again
                break
            progress.transferred_bytes += read.length_bytes
            if read.ends_segment:
                done += 1
                whole_bytes = progress.transferred_bytes
                progress.segments_processed = index + min(done + 1, len(run))
                self._hold(read)
        self.ahead.close()
        return done

    # -- to a tape -------------------------------------------------------------------------------

    def _to_tape(self, route: TapeRoute, run: Sequence[seg.BlockToStream], index: int) -> int:
        progress, before_bytes = self.progress, self.progress.transferred_bytes
        done = 0
        progress.segments_processed = index + 1
        self.ahead.expect(route.reads(run))
        while batch := self.ahead.next_batch():
            ended = [
                read for read in batch.made if isinstance(read, StraightRead) and read.ends_segment
            ]
            number, stopped = done + len(ended), _source_failure(route, batch)
            try:
                self.queues.feed(batch.view, route.sink)
            except CopyAbort as told:
                number, stopped = route.segment_of(route.sink.begun_bytes), told
            for read in ended[: number - done]:
                self._hold(read)
            done = number
            progress.transferred_bytes = before_bytes + route.sink.written_bytes
            progress.segments_processed = index + min(done + 1, len(run))
            if stopped is None and done < len(run) and self.cancel.is_set():
                stopped = abort(codes.COMMANDS_CLEARED_BY_DEVICE_SERVER)
            if stopped is not None:
                raise stopped.within(index + done, route.residual(done)) from stopped
        self.ahead.close()
        return done

    def _hold(self, read: StraightRead) -> None:
        """Hold the digest of the segment that ends with this read, if it wants one."""
        if read.digest is not None:
            self.held.append(read.digest.digest())


def _written(route: DiskRoute, read: StraightRead) -> bool:
    """Write what was read; False where either failed."""
    if read.error is not None:
        return False
    try:
        route.target.write_blocks(read.target_lba, read.view)
    except DEVICE_FAILURES:
        return False
    return True


def _source_failure(route: TapeRoute, batch: Batch) -> CopyAbort | None:
    """What the disk failed with behind the bytes of the batch, if it did."""
    error = batch.error
    if error is None:
        return None
    if not isinstance(error, DEVICE_FAILURES):
        raise error
    return device_failed(Origin.COPY_SOURCE, error, route.source.pointer)
