"""A plan with zeros in place of what cannot be read; every other address stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sbtk.errors import JobError
from sbtk.plan import batch
from sbtk.plan import layout as layouts
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    INLINE,
    Int64Array,
    Pieces,
    Plan,
    Ranges,
)


def with_zeros(plan: Plan, bad: Ranges, *, keep: int) -> tuple[Plan, int]:
    """The plan with the bytes of one range of the source sent as zeros.

    Args:
        plan: a backup plan.
        bad: one range of the LUN, inside one piece.
        keep: lists that were carried out.

    Returns:
        The plan, and how many of those lists are the same in it: the next one is carried out
        next. On a disk the host's write of the zeros may belong in front of an earlier one.

    Raises:
        JobError: a mirror, which has no place for bytes of the host.
    """
    pieces, zeros = _split(plan, int(bad.start_bytes[0]), int(bad.length_bytes[0]))
    inline = np.concatenate([plan.inline, np.zeros(zeros, np.uint8)])
    on_tape = plan.target.medium == "tape"
    limit = batch.rules(
        plan.limits,
        block_bytes=plan.geometry.block_bytes,
        unit_bytes=layouts.unit_bytes(
            plan.geometry, plan.target, 1 << plan.limits.data_granularity
        ),
        part_type=BLOCK_OFFSET_TO_STREAM if on_tape else BLOCK_OFFSET_TO_BLOCK,
        lid4=plan.lid4,
        digests=plan.digests,
    )
    pack = batch.to_tape if on_tape else batch.to_disk
    segments, commands, fetches = pack(pieces, inline.size, plan.target, limit)
    made = replace(
        plan, pieces=pieces, segments=segments, commands=commands, fetches=fetches,
        inline=inline, owners=None, selected=_without(plan.selected, bad),
    )  # fmt: skip
    return made, min(keep, _same_commands(plan, made))


def _same_commands(old: Plan, new: Plan) -> int:
    """How many commands two plans begin with alike."""
    most = min(len(old.commands), len(new.commands))
    first, other = old.commands.first_segment[: most + 1], new.commands.first_segment[: most + 1]
    kinds = old.commands.kind[:most] == new.commands.kind[:most]
    bounds = (first == other)[1:] & kinds
    same = most if bounds.all() else int(np.argmin(bounds))
    rows = int(first[same])
    alike = np.ones(rows, np.bool_)
    for name in ("type_code", "archive_start_bytes", "length_bytes"):
        alike &= getattr(old.segments, name)[:rows] == getattr(new.segments, name)[:rows]
    if not alike.all():
        same = int(np.searchsorted(first, int(np.argmin(alike)), side="right")) - 1
    return same


def _split(plan: Plan, start_bytes: int, length_bytes: int) -> tuple[Pieces, int]:
    """The pieces with the range cut out of the one that holds it, and bytes of zeros for it."""
    pieces = plan.pieces
    if plan.layout == "mirror":
        raise JobError(
            "a mirror cannot leave out what cannot be read",
            hint="Back up with the layout image and --on-error skip",
        )
    holds = np.flatnonzero(
        (pieces.kind != INLINE)
        & (pieces.origin_bytes <= start_bytes)
        & (start_bytes + length_bytes <= pieces.origin_bytes + pieces.length_bytes)
    )
    if not holds.size:
        raise JobError(f"byte {start_bytes} of the source lies in no piece of the plan")
    row = int(holds[0])
    lead = start_bytes - int(pieces.origin_bytes[row])
    tail = int(pieces.length_bytes[row]) - lead - length_bytes
    at = int(pieces.archive_start_bytes[row])
    kind = int(pieces.kind[row])
    rows = [
        (at, lead, kind, start_bytes - lead),
        (at + lead, length_bytes, INLINE, int(plan.inline.size)),
        (at + lead + length_bytes, tail, kind, start_bytes + length_bytes),
    ]
    new = np.array([item for item in rows if item[1]], np.int64)

    def spliced(old: Int64Array, column: int) -> Int64Array:
        return np.concatenate([old[:row], new[:, column], old[row + 1 :]])

    kinds = np.concatenate([pieces.kind[:row], new[:, 2].astype(np.uint8), pieces.kind[row + 1 :]])
    return (
        Pieces(
            spliced(pieces.archive_start_bytes, 0), spliced(pieces.length_bytes, 1), kinds,
            spliced(pieces.origin_bytes, 3),
        ),
        length_bytes,
    )  # fmt: skip


def _without(selected: Ranges, bad: Ranges) -> Ranges:
    start, end = selected.start_bytes, selected.end_bytes
    low, high = int(bad.start_bytes[0]), int(bad.end_bytes[0])
    starts = np.concatenate([start, np.where((start < high) & (high < end), high, end)])
    ends = np.concatenate([np.where((start < low) & (low < end), low, end), end])
    inside = (start >= low) & (end <= high)
    ends[: start.size] = np.where(inside, start, ends[: start.size])
    kept = ends > starts
    touched = (start < high) & (end > low)
    kept[start.size :] &= touched
    order = np.argsort(starts[kept], kind="stable")
    return Ranges(starts[kept][order], (ends - starts)[kept][order])
