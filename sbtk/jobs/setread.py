"""A set read through this host, row for row of its map: where no copy manager makes digests."""

from __future__ import annotations

from collections.abc import Iterator

from sbtk.errors import CheckConditionError
from sbtk.jobs.label import MOST_RECORD_BYTES
from sbtk.jobs.medium import Place
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.model import Target
from sbtk.plan.setmap import SetMap

_STEP_BYTES = 4 << 20


def read_archive(
    unit: Disk | Tape, rows: SetMap, target: Target, place: Place
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Every row of a map with its bytes; fewer bytes where the medium cannot read them."""
    if isinstance(unit, Disk):
        for row in range(len(rows)):
            at = int(rows.archive_start_bytes[row]) + target.start_bytes
            yield row, _from_disk(unit, at, int(rows.length_bytes[row]))
        return
    unit.locate(place.first_object)
    stream = _Records(unit)
    for row in range(len(rows)):
        yield row, stream.take(int(rows.archive_start_bytes[row]), int(rows.length_bytes[row]))


def _from_disk(disk: Disk, start_bytes: int, length_bytes: int) -> Iterator[bytes]:
    for offset in range(0, length_bytes, _STEP_BYTES):
        try:
            yield disk.read(start_bytes + offset, min(_STEP_BYTES, length_bytes - offset))
        except CheckConditionError:
            return


class _Records:
    """A tape's records as bytes, going forward."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._start = 0
        self._held = b""

    def take(self, start_bytes: int, length_bytes: int) -> Iterator[bytes]:
        """Bytes of the archive from ``start_bytes`` on."""
        end = start_bytes + length_bytes
        while start_bytes < end:
            if start_bytes >= self._start + len(self._held):
                self._start += len(self._held)
                try:
                    self._held = self._tape.read_record(MOST_RECORD_BYTES) or b""
                except CheckConditionError:
                    return
                if not self._held:
                    return
                continue
            at = start_bytes - self._start
            piece = self._held[at : at + end - start_bytes]
            start_bytes += len(piece)
            yield piece
