"""Ways from a disk to one other device, and which segments are plain enough to take them.

A plain segment copies whole blocks, keeps to every limit and to the ends of its disks, and leaves
nothing to decide at its end. Nothing is moved here (``straight`` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from sbtk.mover.buffers import CHUNK_BYTES
from sbtk.mover.endpoint import Endpoint
from sbtk.mover.read_ahead import Read
from sbtk.mover.sinks import StreamSink
from sbtk.scsi import segments as seg
from sbtk.scsi.limits import Limits

_TO_STREAM, _TO_BLOCK = 0x00, 0x02


@dataclass(slots=True)
class StraightRead(Read):
    """A read, and what becomes of its bytes.

    Attributes:
        target_lba: first block written, on a disk.
        ends_segment: whether its segment ends with it.
    """

    target_lba: int = 0
    ends_segment: bool = False


class DiskRoute:
    """From one disk to another with blocks of the same length."""

    def __init__(self, source: Endpoint, target: Endpoint, limits: Limits) -> None:
        """Prepare; nothing is read."""
        self._source, self.target = source.block, target.block
        self._block_bytes = source.block_bytes
        self._limits = _CountLimits(source, limits)
        self._target_end = target.block.block_count

    def plain_run(self, segments: Sequence[seg.Segment], first: int) -> list[seg.BlockToBlock]:
        """The segments from ``first`` on that go this way and are plain."""
        run = list[seg.BlockToBlock]()
        ends = None
        for segment in segments_from(segments, first):
            if not isinstance(segment, seg.BlockToBlock):
                break
            ends = ends or (segment.source, segment.destination)
            if (segment.source, segment.destination) != ends or not self._is_plain(segment):
                break
            run.append(segment)
        return run

    def _is_plain(self, segment: seg.BlockToBlock) -> bool:
        return (
            seg.base_type(segment.type_code) == _TO_BLOCK
            and not segment.destination_count
            and self._limits.allow(segment.source_lba, segment.blocks)
            and self._limits.allow_writing(segment.blocks * self._block_bytes)
            and segment.destination_lba + segment.blocks <= self._target_end
        )

    def reads(self, run: Sequence[seg.BlockToBlock]) -> Iterator[Read]:
        """The reads of plain segments, in order."""
        block, step = self._block_bytes, CHUNK_BYTES // self._block_bytes
        for segment in run:
            digest = digest_of(segment)
            for first in range(0, segment.blocks, step):
                count_bytes = min(step, segment.blocks - first) * block
                yield StraightRead(
                    self._source, segment.source_lba + first, count_bytes, 0, count_bytes, digest,
                    target_lba=segment.destination_lba + first,
                    ends_segment=first + step >= segment.blocks,
                )  # fmt: skip


class TapeRoute:
    """From a disk to a tape whose records need not end where segments do (CAT).

    Bytes are counted from the beginning of a run, those that waited before it included.

    Attributes:
        source: the disk.
        sink: writes the records.
    """

    def __init__(
        self, source: Endpoint, target: Endpoint, transfer: int, limits: Limits, waiting_bytes: int
    ) -> None:
        """Prepare; nothing is read.

        Args:
            source: the disk.
            target: the drive.
            transfer: STREAM DEVICE TRANSFER LENGTH.
            limits: of the copy manager.
            waiting_bytes: processed by earlier segments and not written yet: less than a transfer.
        """
        self.source = source
        self.sink = StreamSink(target, transfer)
        self._limits = _CountLimits(source, limits)
        self._waiting_bytes = waiting_bytes
        self._ends_bytes = list[int]()

    def plain_run(self, segments: Sequence[seg.Segment], first: int) -> list[seg.BlockToStream]:
        """The segments from ``first`` on that go this way and are plain; asked for once."""
        run, ends = list[seg.BlockToStream](), self._ends_bytes
        way, end, written = None, self._waiting_bytes, 0
        for segment in segments_from(segments, first):
            if not isinstance(segment, seg.BlockToStream):
                break
            way = way or _way_of(segment)
            end += segment.blocks * self.source.block_bytes
            even = self._whole(end)
            if (
                _way_of(segment) != way
                or seg.base_type(segment.type_code) != _TO_STREAM
                or not (segment.cat or even == end)
                or not self._limits.allow(segment.lba, segment.blocks)
                or not self._limits.allow_writing(even - written)
            ):
                break
            run.append(segment)
            ends.append(end)
            written = even
        return run

    def reads(self, run: Sequence[seg.BlockToStream]) -> Iterator[Read]:
        """The reads of plain segments, in order: every ``CHUNK_BYTES`` of them end with one."""
        block, chunk_blocks = self.source.block_bytes, CHUNK_BYTES // self.source.block_bytes
        room = chunk_blocks
        for segment in run:
            digest, lba, left = digest_of(segment), segment.lba, segment.blocks
            while left:
                count = min(left, room)
                left, room = left - count, room - count or chunk_blocks
                yield StraightRead(
                    self.source.block, lba, count * block, 0, count * block, digest,
                    ends_segment=not left,
                )  # fmt: skip
                lba += count

    @property
    def count_bytes(self) -> int:
        """What the run reads."""
        return self._ends_bytes[-1] - self._waiting_bytes if self._ends_bytes else 0

    def segment_of(self, record_end_byte: int) -> int:
        """Which segment of the run writes the record that ends at this byte: one that it fills."""
        return next(n for n in range(len(self._ends_bytes)) if record_end_byte <= self._planned(n))

    def residual(self, number: int) -> int | None:
        """INFORMATION of a segment that fails (``StreamSink.residual``); None: nothing written."""
        before = self._planned(number - 1) if number else 0
        if self.sink.written_bytes <= before:
            return None
        return self.sink.residual(self._planned(number))

    def _planned(self, number: int) -> int:
        """How many bytes of the run are written when a segment has ended."""
        return self._whole(self._ends_bytes[number])

    def _whole(self, end_byte: int) -> int:
        return end_byte - end_byte % self.sink.transfer_bytes


class _CountLimits:
    """What a segment's count of blocks must keep to."""

    def __init__(self, source: Endpoint, limits: Limits) -> None:
        self._block_bytes = source.block_bytes
        self._part_bytes = (1 << limits.data_granularity) - 1
        self._most_bytes = limits.max_segment_bytes
        self._source_end = source.block.block_count

    def allow(self, lba: int, blocks: int) -> bool:
        """Whether these blocks may be read, and are some."""
        uneven = blocks * self._block_bytes & self._part_bytes
        return blocks > 0 and not uneven and lba + blocks <= self._source_end

    def allow_writing(self, count_bytes: int) -> bool:
        """Whether a segment may write so much."""
        return not 0 < self._most_bytes < count_bytes


def segments_from(segments: Sequence[seg.Segment], first: int) -> Iterator[seg.Segment]:
    """The segments from ``first`` on; ``islice`` would walk over those before it each time."""
    return map(segments.__getitem__, range(first, len(segments)))


def digest_of(segment: seg.Segment) -> blake3 | None:
    """A new digest, if the segment wants one."""
    return blake3() if seg.is_digest(segment.type_code) else None


def disk_route(source: Endpoint, target: Endpoint, limits: Limits) -> DiskRoute | None:
    """The route between two endpoints, if they are two disks that plain segments can take."""
    disks = source.kind == target.kind == seg.BLOCK and source.unit and target.unit
    if not disks or source.unit is target.unit or source.block_bytes != target.block_bytes:
        return None
    return DiskRoute(source, target, limits)


def tape_route(
    source: Endpoint, target: Endpoint, transfer: int, limits: Limits, waiting_bytes: int
) -> TapeRoute | None:
    """The route from a disk to a drive, if plain segments can take one with this transfer."""
    there = source.kind == seg.BLOCK and target.kind == seg.STREAM and source.unit and target.unit
    transfer_bytes = transfer * target.record_unit_bytes
    fits = waiting_bytes < transfer_bytes <= limits.max_stream_transfer_bytes
    return TapeRoute(source, target, transfer, limits, waiting_bytes) if there and fits else None


def _way_of(segment: seg.BlockToStream) -> tuple[int, int, int]:
    return segment.source, segment.destination, segment.stream_transfer
