"""Do the headers that a plan sends describe the bytes that its segments carry?

The archive is read with ``archive.reader`` as it will lie on the medium, with zeros where the mover
puts data: headers, sparse maps and pieces then have to tell the same story.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sbtk.archive import manifest as names
from sbtk.archive import reader
from sbtk.errors import ArchiveError
from sbtk.plan.check import Fault
from sbtk.plan.model import INLINE, REPEAT, Plan


def inline_reader(plan: Plan) -> Callable[[int, int], bytes]:
    """``read_at`` of the archive before its data is there: inline bytes, and zeros for the rest."""
    pieces = plan.pieces
    inline = np.flatnonzero(pieces.kind == INLINE)
    start = pieces.archive_start_bytes[inline]
    length = pieces.length_bytes[inline]
    origin = pieces.origin_bytes[inline]

    def read_at(offset_bytes: int, length_bytes: int) -> bytes:
        end_bytes = min(offset_bytes + length_bytes, plan.archive_bytes)
        if end_bytes <= offset_bytes:
            return b""
        out = bytearray(end_bytes - offset_bytes)
        row = max(int(np.searchsorted(start, offset_bytes, side="right")) - 1, 0)
        while row < start.size and start[row] < end_bytes:
            low = max(offset_bytes, int(start[row]))
            high = min(end_bytes, int(start[row] + length[row]))
            if low < high:
                at = int(origin[row]) + low - int(start[row])
                out[low - offset_bytes : high - offset_bytes] = plan.inline[
                    at : at + high - low
                ].tobytes()
            row += 1
        return bytes(out)

    return read_at


def find_archive_faults(plan: Plan) -> list[Fault]:
    """Faults of the headers of a backup plan; a mirror has none."""
    if plan.layout == "mirror" or plan.kind != "backup":
        return []
    read_at = inline_reader(plan)
    end_bytes = 0
    faults = []
    try:
        manifest, _ = reader.read_manifest(read_at)
        if manifest.to_bytes() != plan.manifest:
            faults.append(Fault("manifest", 1, 0, "the manifest is not the one that was planned"))
        for member in reader.iterate_members(read_at, limit_bytes=plan.archive_bytes):
            end_bytes = member.end_bytes
            if member.name in (names.IMAGE_NAME, names.REMAINDER_NAME):
                faults += _map_faults(plan, reader.read_map(read_at, member))
    except ArchiveError as error:
        return [*faults, Fault("headers", 1, 0, str(error))]
    tail = read_at(end_bytes, plan.archive_bytes - end_bytes)
    if tail and tail[156:157] != b"g":
        faults.append(Fault("headers", 1, 0, f"the last member ends at byte {end_bytes}"))
    return faults


def _map_faults(plan: Plan, rows: tuple[reader.Int64Array, ...]) -> list[Fault]:
    """The map says where the volume's bytes lie: so do the pieces."""
    file_start, archive_start, length = rows
    pieces = plan.pieces
    if not file_start.size:
        return []
    first = int(np.searchsorted(pieces.archive_start_bytes, archive_start[0]))
    end = first + file_start.size
    mine = slice(first, end)
    same = (
        end <= len(pieces)
        and np.array_equal(pieces.archive_start_bytes[mine], archive_start)
        and np.array_equal(pieces.length_bytes[mine], length)
        and np.array_equal(pieces.origin_bytes[mine], file_start + plan.geometry.volume_start_bytes)
        and not (pieces.kind[mine] == INLINE).any()
        and not (pieces.kind[mine] == REPEAT).any()
    )
    return [] if same else [Fault("map", 1, first, "the sparse map does not tell the pieces")]
