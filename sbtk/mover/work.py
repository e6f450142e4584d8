"""From a segment descriptor to what has to be read, processed and written (xcopy.md 4.1-4.3).

This is where each type's rule stands: how many bytes it processes, from where, in which units, and
how far it may write. Nothing is moved here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sbtk.mover.copy_abort import abort, field_error, out_of_range
from sbtk.mover.endpoint import Endpoint, Resolver
from sbtk.mover.sinks import BlockSink, ByteSink, NullSink, Sink, StreamSink
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.limits import Limits
from sbtk.scsi.segment_base import DESTINATION_BYTE, SOURCE_BYTE
from sbtk.scsi.sense import Origin
from sbtk.transport.base import ByteView


class DiskRange(NamedTuple):
    """A byte range of a disk that a segment reads.

    Attributes:
        start_byte: first byte.
        whole: the unit of reading is a block; the rest of the last one is residual source data.
        field_byte: where its LBA stands in the segment, for errors.
    """

    start_byte: int
    whole: bool
    field_byte: int


@dataclass(slots=True)  # not frozen: a segment makes one, and that takes four times as long
class Work:
    """One data segment.

    Attributes:
        count_byte: where the segment's count stands, for errors.
        source: None for inline and embedded data.
        disk: what is read, if the source is a disk.
        transfer: STREAM DEVICE TRANSFER LENGTH, if the source is a tape.
        data: inline or embedded data.
        need_bytes: bytes to process; None: as many as fill the sink's range.
        target: None for discard and hold.
        sink: None for discard and hold.
        target_start_byte: first byte written, if the destination is a disk.
        target_field_byte: where its LBA stands in the segment.
    """

    count_byte: int
    source: Endpoint | None = None
    disk: DiskRange | None = None
    transfer: int = 0
    data: ByteView | None = None
    need_bytes: int | None = None
    target: Endpoint | None = None
    sink: Sink | None = None
    target_start_byte: int = 0
    target_field_byte: int = 0

    def planned_bytes(self, waiting_bytes: int, *, pads: bool) -> int:
        """Bytes that the segment writes if nothing goes wrong.

        Args:
            waiting_bytes: residual destination data that it begins with.
            pads: whether a rest is filled up at its end.
        """
        if self.sink is None:
            return 0
        if self.sink.limit_bytes is not None:
            return self.sink.limit_bytes
        total, unit = waiting_bytes + (self.need_bytes or 0), self.sink.transfer_bytes
        if not total or not unit:
            return 0
        return (-(-total // unit) if pads else total // unit) * unit


class WorkPlanner:
    """Makes the work of data segments under one copy manager's limits."""

    def __init__(self, resolver: Resolver, limits: Limits, inline: ByteView) -> None:
        self._resolver = resolver
        self._limits = limits
        self._inline = inline

    def plan(self, segment: seg.Segment) -> Work:
        """The work of one segment.

        Raises:
            CopyAbort: a device cannot be used, or a field says what cannot be done.
        """
        return _PLANS[type(segment)](self, segment)

    def source_of(self, segment: Any) -> Endpoint:
        """The segment's source, of the kind that its type wants."""
        found = self._resolver.resolve(segment.source, SOURCE_BYTE, Origin.COPY_SOURCE)
        if found.kind != segment.SOURCE_KIND:
            raise field_error(SOURCE_BYTE, codes.INVALID_OPERATION_FOR_COPY)
        return found

    def target_of(self, segment: Any) -> Endpoint:
        """The segment's destination, of the kind that its type wants."""
        found = self._resolver.resolve(
            segment.destination, DESTINATION_BYTE, Origin.COPY_DESTINATION
        )
        if found.kind != segment.DESTINATION_KIND:
            raise field_error(DESTINATION_BYTE, codes.INVALID_OPERATION_FOR_COPY)
        if found.unit is None and not seg.is_digest(segment.type_code):
            raise field_error(DESTINATION_BYTE)
        return found

    def unit_of(self, cscd_id: int) -> object | None:
        """The unit behind an id, to tell units apart."""
        return self._resolver.resolve(cscd_id, SOURCE_BYTE, Origin.COPY_SOURCE).unit

    # -- one rule a layout -----------------------------------------------------------------------

    def _block_to_stream(self, segment: seg.BlockToStream) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        return Work(
            count_byte=segment.byte_of("blocks"),
            source=source,
            disk=_blocks(source, segment.lba, segment.byte_of("lba")),
            need_bytes=segment.blocks * source.block_bytes,
            target=target,
            sink=self._stream_sink(target, segment),
        )

    def _stream_to_block(self, segment: seg.StreamToBlock) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        start, limit = segment.lba * target.block_bytes, segment.blocks * target.block_bytes
        return Work(
            count_byte=segment.byte_of("blocks"),
            source=source,
            transfer=self._transfer(segment, source),
            target=target,
            sink=_block_sink(target, start, limit),
            target_start_byte=start,
            target_field_byte=segment.byte_of("lba"),
        )

    def _block_to_block(self, segment: seg.BlockToBlock) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        start = segment.destination_lba * target.block_bytes
        exact = segment.destination_count
        limit = segment.blocks * target.block_bytes if exact else None
        return Work(
            count_byte=segment.byte_of("blocks"),
            source=source,
            disk=_blocks(source, segment.source_lba, segment.byte_of("source_lba")),
            need_bytes=None if exact else segment.blocks * source.block_bytes,
            target=target,
            sink=_block_sink(target, start, limit),
            target_start_byte=start,
            target_field_byte=segment.byte_of("destination_lba"),
        )

    def _inline_to_stream(self, segment: seg.InlineToStream) -> Work:
        target = self.target_of(segment)
        start, end = segment.inline_offset_bytes, segment.inline_offset_bytes + segment.count_bytes
        if end > len(self._inline):
            raise field_error(
                segment.byte_of("inline_offset_bytes"), codes.INLINE_DATA_LENGTH_EXCEEDED
            )
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            data=memoryview(self._inline)[start:end],
            need_bytes=segment.count_bytes,
            target=target,
            sink=self._stream_sink(target, segment),
        )

    def _embedded_to_stream(self, segment: seg.EmbeddedToStream) -> Work:
        target = self.target_of(segment)
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            data=segment.data,
            need_bytes=segment.count_bytes,
            target=target,
            sink=self._stream_sink(target, segment),
        )

    def _stream_to_nothing(self, segment: seg.StreamToNothing) -> Work:
        source = self.source_of(segment)
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            source=source,
            transfer=self._transfer(segment, source),
            need_bytes=segment.count_bytes,
        )

    def _block_bytes_to_stream(self, segment: seg.BlockBytesToStream) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        start = segment.lba * source.block_bytes + segment.offset_bytes
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            source=source,
            disk=DiskRange(start, whole=False, field_byte=segment.byte_of("lba")),
            need_bytes=segment.count_bytes,
            target=target,
            sink=self._stream_sink(target, segment),
        )

    def _stream_to_block_bytes(self, segment: seg.StreamToBlockBytes) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        start = segment.lba * target.block_bytes + segment.offset_bytes
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            source=source,
            transfer=self._transfer(segment, source),
            target=target,
            sink=_byte_sink(target, start, segment.count_bytes),
            target_start_byte=start,
            target_field_byte=segment.byte_of("lba"),
        )

    def _block_bytes_to_block_bytes(self, segment: seg.BlockBytesToBlockBytes) -> Work:
        source, target = self.source_of(segment), self.target_of(segment)
        first = segment.source_lba * source.block_bytes + segment.source_offset_bytes
        start = segment.destination_lba * target.block_bytes + segment.destination_offset_bytes
        return Work(
            count_byte=segment.byte_of("count_bytes"),
            source=source,
            disk=DiskRange(first, whole=False, field_byte=segment.byte_of("source_lba")),
            need_bytes=segment.count_bytes,
            target=target,
            sink=_byte_sink(target, start, segment.count_bytes),
            target_start_byte=start,
            target_field_byte=segment.byte_of("destination_lba"),
        )

    # -- shared ----------------------------------------------------------------------------------

    def _transfer(self, segment: Any, device: Endpoint) -> int:
        transfer: int = segment.stream_transfer
        if transfer * device.record_unit_bytes > self._limits.max_stream_transfer_bytes:
            raise field_error(segment.byte_of("stream_transfer"))
        return transfer

    def _stream_sink(self, target: Endpoint, segment: Any) -> Sink:
        transfer = self._transfer(segment, target)
        return StreamSink(target, transfer) if target.unit is not None else NullSink()


def _blocks(source: Endpoint, lba: int, field_byte: int) -> DiskRange:
    return DiskRange(lba * source.block_bytes, whole=True, field_byte=field_byte)


def _block_sink(target: Endpoint, start_byte: int, limit_bytes: int | None) -> Sink:
    if target.unit is None:
        return NullSink(limit_bytes)
    return BlockSink(target, start_byte, limit_bytes)


def _byte_sink(target: Endpoint, start_byte: int, limit_bytes: int) -> Sink:
    if target.unit is None:
        return NullSink(limit_bytes)
    return ByteSink(target, start_byte, limit_bytes)


_PLANS: dict[type[seg.Segment], Callable[[WorkPlanner, Any], Work]] = {
    seg.BlockToStream: WorkPlanner._block_to_stream,
    seg.StreamToBlock: WorkPlanner._stream_to_block,
    seg.BlockToBlock: WorkPlanner._block_to_block,
    seg.InlineToStream: WorkPlanner._inline_to_stream,
    seg.EmbeddedToStream: WorkPlanner._embedded_to_stream,
    seg.StreamToNothing: WorkPlanner._stream_to_nothing,
    seg.BlockBytesToStream: WorkPlanner._block_bytes_to_stream,
    seg.StreamToBlockBytes: WorkPlanner._stream_to_block_bytes,
    seg.BlockBytesToBlockBytes: WorkPlanner._block_bytes_to_block_bytes,
}

DATA_SEGMENTS = frozenset(_PLANS)
"""Layouts that move bytes through the queues."""


def check_ranges(work: Work, need_bytes: int, planned_bytes: int) -> None:
    """Both ends of the segment have to be on their disks, before anything is read.

    Raises:
        CopyAbort: they are not.
    """
    if work.disk is not None and work.source is not None and need_bytes:
        end = work.disk.start_byte + need_bytes
        if work.source.unit is None:
            raise field_error(SOURCE_BYTE)
        if end > work.source.block.block_count * work.source.block_bytes:
            raise out_of_range(Origin.COPY_SOURCE, work.disk.field_byte)
    target = work.target
    if target is not None and target.unit is not None and target.kind == seg.BLOCK:
        end = work.target_start_byte + planned_bytes
        if planned_bytes and end > target.block.block_count * target.block_bytes:
            raise out_of_range(Origin.COPY_DESTINATION, work.target_field_byte)


def check_overlap(work: Work, need_bytes: int, ahead_bytes: int, chunk_bytes: int) -> bool:
    """Whether reading ahead inside the segment is safe: source and destination do not overlap.

    Args:
        work: the segment.
        need_bytes: bytes it reads.
        ahead_bytes: bytes in the queues, which are written before what is read.
        chunk_bytes: what is read at once.

    Raises:
        CopyAbort: 26/0Ch: a range that reaches into itself forwards, too long to be held.
    """
    source, target = work.source, work.target
    if work.disk is None or source is None or target is None or source.unit is not target.unit:
        return True
    first, start = work.disk.start_byte, work.target_start_byte
    if start + ahead_bytes + need_bytes <= first or first + need_bytes <= start:
        return True
    if need_bytes > chunk_bytes and start + ahead_bytes > first:
        raise abort(codes.INVALID_OPERATION_FOR_COPY)
    return False
