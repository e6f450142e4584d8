"""Copies from disk to disk that meet nothing on their way: whole blocks, in and out.

That is most of what a copy manager is asked for, and needs none of the queues. Segments that are
plain (02h, nothing waits, ranges on both disks, other disks than those that are read) are copied
here, several at a time; the first that is not, or that fails, is left to the engine, which does it
again from its beginning and knows how to tell what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from blake3 import blake3

from sbtk.errors import SbtkError
from sbtk.mover.base import CheckCondition
from sbtk.mover.buffers import CHUNK_BYTES
from sbtk.mover.endpoint import Endpoint
from sbtk.mover.read_ahead import Read
from sbtk.scsi import segments as seg
from sbtk.scsi.limits import Limits

_PLAIN_TYPE = 0x02


@dataclass(slots=True)
class StraightRead(Read):
    """A read, and where its bytes go.

    Attributes:
        target_lba: first block written.
        ends_segment: whether its segment ends with it.
    """

    target_lba: int = 0
    ends_segment: bool = False


class Route:
    """From one disk to another with blocks of the same length."""

    def __init__(self, source: Endpoint, target: Endpoint, limits: Limits) -> None:
        """Prepare; nothing is read."""
        self._source, self._target = source.block, target.block
        self._block_bytes = source.block_bytes
        self._most_bytes = limits.max_segment_bytes
        self._part_bytes = (1 << limits.data_granularity) - 1
        self._source_end, self._target_end = source.block.block_count, target.block.block_count

    def plain_run(self, segments: Sequence[seg.Segment], first: int) -> list[seg.BlockToBlock]:
        """The segments from ``first`` on that go this way and are plain."""
        run = list[seg.BlockToBlock]()
        ends = None
        for segment in islice(segments, first, None):
            if not isinstance(segment, seg.BlockToBlock):
                break
            ends = ends or (segment.source, segment.destination)
            if (segment.source, segment.destination) != ends or not self._is_plain(segment):
                break
            run.append(segment)
        return run

    def _is_plain(self, segment: seg.BlockToBlock) -> bool:
        count_bytes = segment.blocks * self._block_bytes
        return (
            count_bytes > 0
            and seg.base_type(segment.type_code) == _PLAIN_TYPE
            and not segment.destination_count
            and not count_bytes & self._part_bytes
            and not 0 < self._most_bytes < count_bytes
            and segment.source_lba + segment.blocks <= self._source_end
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

    def write(self, read: StraightRead) -> bool:
        """Write what was read; False where either failed."""
        if read.error is not None:
            return False
        try:
            self._target.write_blocks(read.target_lba, read.view)
        except (CheckCondition, SbtkError, OSError):
            return False
        return True


def digest_of(segment: seg.Segment) -> blake3 | None:
    """A new digest, if the segment wants one."""
    return blake3() if seg.is_digest(segment.type_code) else None


def route_of(source: Endpoint, target: Endpoint, limits: Limits) -> Route | None:
    """The route between two endpoints, if plain segments can take one."""
    disks = source.kind == target.kind == seg.BLOCK and source.unit and target.unit
    if not disks or source.unit is target.unit or source.block_bytes != target.block_bytes:
        return None
    return Route(source, target, limits)
