"""Is a plan right? Found out from its arrays alone, not from how they were made.

Every rule is one vectorised comparison with a code of its own; a plan that was saved, changed or
damaged is held to the same rules as one that was just made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbtk.errors import PlanError
from sbtk.plan.batch import CSCD_LIST_BYTES, MAX_BLOCKS, MAX_LID4_BYTES, MAX_OFFSET_BYTES
from sbtk.plan.encode import descriptor_bytes
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    BLOCK_TO_BLOCK,
    BLOCK_TO_STREAM,
    COPY,
    DIGEST_BYTES,
    EMBEDDED_TO_STREAM,
    HOST,
    HOST_WRITE,
    INLINE,
    INLINE_TO_STREAM,
    LOCATE,
    MOVING_TYPES,
    REPEAT,
    SOURCE,
    STREAM_DISCARD,
    STREAM_TO_BLOCK,
    STREAM_TO_BLOCK_OFFSET,
    Int64Array,
    Plan,
    base_type,
)

SECTOR_BYTES = 512
WHOLE_BLOCK_TYPES = (BLOCK_TO_STREAM, STREAM_TO_BLOCK, BLOCK_TO_BLOCK)
_KNOWN = np.array(
    [*MOVING_TYPES, INLINE_TO_STREAM, EMBEDDED_TO_STREAM, STREAM_DISCARD, LOCATE], np.uint8
)
_SENT = np.array([INLINE_TO_STREAM, EMBEDDED_TO_STREAM, HOST_WRITE], np.uint8)


@dataclass(frozen=True)
class Fault:
    """One rule that a plan breaks.

    Attributes:
        code: stable word for programs.
        count: how often.
        first: row of the first breach (segment, command or piece, as the code's text says).
        message: one sentence for people.
    """

    code: str
    count: int
    first: int
    message: str


def check_plan(plan: Plan) -> None:
    """Raise unless every rule holds.

    Raises:
        PlanError: the plan breaks a rule; the message has the first one.
    """
    faults = find_faults(plan)
    if faults:
        more = f" (and {len(faults) - 1} more rules)" if len(faults) > 1 else ""
        raise PlanError(f"the plan is wrong: {faults[0].message}{more}", hint="Make the plan again")


def find_faults(plan: Plan) -> list[Fault]:
    """Every rule that the plan breaks, the basic ones first; a broken shape ends the search."""
    faults = _shape(plan)
    if faults:
        return faults
    base = base_type(plan.segments.type_code)
    by_host = np.repeat(plan.commands.kind, np.diff(plan.commands.first_segment)) == HOST
    for rule in (_types, _limits, _lengths, _addresses):
        faults += rule(plan, base, by_host)
    if plan.target.medium == "tape":
        faults += _records(plan)
    if plan.kind == "backup":
        faults += _archive_once(plan)
        faults += _pieces_once(plan)
    if plan.kind != "verify":
        faults += _source_once(plan, base)
    return faults


def _fault(bad: NDArray[np.bool_] | Int64Array, code: str, what: str, text: str) -> list[Fault]:
    """No fault where nothing is bad; else one with the first row."""
    rows = np.flatnonzero(bad)
    if not rows.size:
        return []
    first = int(rows[0])
    return [Fault(code, int(rows.size), first, f"{what} {first} {text}")]


def _shape(plan: Plan) -> list[Fault]:
    segments, pieces, commands = plan.segments, plan.pieces, plan.commands
    rows = len(segments)
    columns = (
        segments.archive_start_bytes, segments.length_bytes, segments.origin_bytes,
        segments.transfer_bytes,
    )  # fmt: skip
    piece_columns = (pieces.length_bytes, pieces.kind, pieces.origin_bytes)
    sizes_fit = (
        all(column.size == rows for column in columns)
        and all(column.size == len(pieces) for column in piece_columns)
        and commands.first_segment.size == len(commands) + 1
        and plan.selected.start_bytes.size == plan.selected.length_bytes.size
    )
    if not sizes_fit:
        return [Fault("shape", 1, 0, "its columns differ in length")]
    offsets = commands.first_segment
    if offsets[0] != 0 or offsets[-1] != rows:
        return [Fault("shape", 1, 0, "its commands do not hold all segments")]
    return [
        *_fault(np.diff(offsets) < 1, "command-empty", "command", "has no segment"),
        *_fault(
            (pieces.kind > REPEAT) | (pieces.length_bytes < 1) | (pieces.origin_bytes < 0),
            "piece", "piece", "is none of the kinds, or empty",
        ),
        *_fault(commands.kind > HOST, "command-kind", "command", "is none of the kinds"),
    ]  # fmt: skip


def _types(plan: Plan, base: NDArray[np.uint8], by_host: NDArray[np.bool_]) -> list[Fault]:
    codes = plan.segments.type_code
    able = np.zeros(256, np.bool_)
    able[list(plan.limits.types)] = True
    host_only = base == HOST_WRITE
    unknown = ~np.isin(base, _KNOWN) & ~host_only
    fits = {
        "backup": (BLOCK_TO_STREAM, BLOCK_OFFSET_TO_STREAM, INLINE_TO_STREAM, EMBEDDED_TO_STREAM),
        "restore": (STREAM_TO_BLOCK, STREAM_TO_BLOCK_OFFSET, STREAM_DISCARD, LOCATE),
        "verify": (STREAM_DISCARD, LOCATE),
    }[plan.kind]
    if plan.target.medium == "disk":
        fits = (BLOCK_TO_BLOCK, BLOCK_OFFSET_TO_BLOCK)
        if plan.kind == "verify":
            fits = (BLOCK_TO_STREAM, BLOCK_OFFSET_TO_STREAM)
    strange = ~np.isin(base, np.array(fits, np.uint8)) & ~host_only
    return [
        *_fault(unknown, "type-unknown", "segment", "has a type that no plan uses"),
        *_fault(strange, "type-medium", "segment", "has a type that does not fit the medium"),
        *_fault(host_only & ~by_host, "type-host", "segment", "is the host's, its command is not"),
        *_fault(
            ~able[codes] & ~by_host, "type-not-implemented", "segment",
            "has a type that the copy manager does not implement",
        ),
        *_fault(
            (codes != base) & ~by_host & (not plan.digests), "type-digest", "segment",
            "makes a digest that nobody asked for",
        ),
    ]  # fmt: skip


def _limits(plan: Plan, base: NDArray[np.uint8], by_host: NDArray[np.bool_]) -> list[Fault]:
    limits, offsets = plan.limits, plan.commands.first_segment
    copies = plan.commands.kind == COPY
    codes, length = plan.segments.type_code, plan.segments.length_bytes
    counts = np.diff(offsets)
    listed = np.add.reduceat(descriptor_bytes(codes, length), offsets[:-1]) + CSCD_LIST_BYTES
    inline = np.add.reduceat(np.where(base == INLINE_TO_STREAM, length, 0), offsets[:-1])
    held = np.add.reduceat((codes != base).astype(np.int64), offsets[:-1]) * DIGEST_BYTES
    most_listed = min(limits.max_list_bytes, MAX_LID4_BYTES) if plan.lid4 else limits.max_list_bytes
    most_inline = (
        min(limits.max_inline_bytes, MAX_LID4_BYTES) if plan.lid4 else limits.max_inline_bytes
    )
    moving = np.isin(base, MOVING_TYPES) & ~by_host & (plan.kind != "verify")
    grain = 1 << limits.data_granularity
    inline_grain = 1 << limits.inline_granularity
    sent = np.isin(base, _SENT) & ~by_host
    most = limits.max_segment_bytes or MAX_OFFSET_BYTES
    return [
        *_fault(
            copies & (counts > limits.max_segments), "segments", "command", "has too many segments"
        ),
        *_fault(
            copies & (listed > most_listed),
            "list-length",
            "command",
            "is longer than a list may be",
        ),
        *_fault(copies & (inline > most_inline), "inline", "command", "has too much inline data"),
        *_fault(
            copies & (held > limits.held_data_bytes), "held", "command", "makes too many digests"
        ),
        *_fault(moving & (length > most), "segment-length", "segment", "moves too many bytes"),
        *_fault(moving & (length % grain > 0), "granularity", "segment", "is no whole granule"),
        *_fault(
            sent & (length % inline_grain > 0), "granularity", "segment", "is no whole granule"
        ),
    ]


def _lengths(plan: Plan, base: NDArray[np.uint8], by_host: NDArray[np.bool_]) -> list[Fault]:
    length = plan.segments.length_bytes
    archive_block = plan.target.block_bytes if plan.target.medium == "disk" else 1
    reads_archive = plan.kind == "verify" and plan.target.medium == "disk"
    counted = archive_block if reads_archive else plan.geometry.block_bytes
    if plan.kind == "restore" and plan.target.medium == "disk":
        counted = archive_block
    whole = np.isin(base, np.array(WHOLE_BLOCK_TYPES, np.uint8)) & ~by_host
    blocks = max(plan.geometry.block_bytes if not reads_archive else 1, archive_block)
    return [
        *_fault((base == LOCATE) != (length == 0), "empty", "segment", "moves nothing"),
        *_fault(length < 0, "empty", "segment", "has a negative length"),
        *_fault(whole & (length % blocks > 0), "blocks", "segment", "is no whole number of blocks"),
        *_fault(
            whole & (length // counted > MAX_BLOCKS), "block-count", "segment",
            f"has more than {MAX_BLOCKS} blocks",
        ),
        *_fault(length > MAX_OFFSET_BYTES, "block-count", "segment", "has more than 4 GiB"),
    ]  # fmt: skip


def _addresses(plan: Plan, base: NDArray[np.uint8], by_host: NDArray[np.bool_]) -> list[Fault]:
    segments, geometry, target = plan.segments, plan.geometry, plan.target
    start, origin, length = (
        segments.archive_start_bytes, segments.origin_bytes, segments.length_bytes,
    )  # fmt: skip
    on_lun = np.isin(base, MOVING_TYPES) & (plan.kind != "verify")
    whole = np.isin(base, np.array(WHOLE_BLOCK_TYPES, np.uint8)) & ~by_host
    sent = np.isin(base, _SENT)
    faults = [
        *_fault(
            on_lun & ((origin < 0) | (origin + length > geometry.lun_bytes)), "outside-lun",
            "segment", "lies outside of the LUN",
        ),
        *_fault(
            on_lun & whole & (origin % geometry.block_bytes > 0), "lun-block", "segment",
            "does not begin on a block of the LUN",
        ),
        *_fault(
            (start < 0) | (start + length > plan.archive_bytes), "outside-archive", "segment",
            "lies outside of the archive",
        ),
        *_fault(
            sent & ((origin < 0) | (origin + length > plan.inline_bytes)), "outside-inline",
            "segment", "sends bytes that the plan does not have",
        ),
    ]  # fmt: skip
    if target.medium == "disk":
        at = start + target.start_bytes
        faults += _fault(
            whole & (at % target.block_bytes > 0), "archive-block", "segment",
            "does not begin on a block of the archive's disk",
        )  # fmt: skip
        if target.capacity_bytes:
            faults += _fault(
                at + length > target.capacity_bytes, "capacity", "segment",
                "lies behind the end of the target",
            )  # fmt: skip
    return faults


def _records(plan: Plan) -> list[Fault]:
    transfer, offsets = plan.segments.transfer_bytes, plan.commands.first_segment
    most = min(plan.limits.max_stream_transfer_bytes or (1 << 24) - 1, (1 << 24) - 1)
    faults = _fault(
        (transfer < 1) | (transfer > most) | (transfer % SECTOR_BYTES > 0), "record", "segment",
        "has a record that is no multiple of 512 or too long",
    )  # fmt: skip
    if faults or plan.kind != "backup":
        return faults
    first = transfer[offsets[:-1]]
    total = np.add.reduceat(plan.segments.length_bytes, offsets[:-1])
    same = np.repeat(first, np.diff(offsets)) == transfer
    faults += _fault(~same, "record-mixed", "segment", "has another record than its command")
    faults += _fault(total % first > 0, "record-boundary", "command", "ends inside a record")
    # Tape knows no addresses: what is written next lies behind what was written before.
    start = plan.segments.archive_start_bytes
    expected = np.concatenate([[0], np.cumsum(plan.segments.length_bytes)[:-1]])
    faults += _fault(start != expected, "tape-order", "segment", "is not where the tape stands")
    return faults


def _archive_once(plan: Plan) -> list[Fault]:
    """Every byte of the archive is written once; of a mirror, no byte twice."""
    start, length = plan.segments.archive_start_bytes, plan.segments.length_bytes
    order, start = _ascending(start)
    length = length[order] if order is not None else length
    ends = start + length
    twice = start[1:] < ends[:-1]
    rows = order[1:] if order is not None else np.arange(1, start.size)
    faults = [_renumbered(item, rows) for item in _fault(
        twice, "archive-twice", "segment", "writes what another one writes too")]  # fmt: skip
    if plan.layout != "mirror":
        gap = start[1:] > ends[:-1]
        faults += [_renumbered(item, rows) for item in _fault(
            gap, "archive-gap", "segment", "leaves a gap in front of it")]  # fmt: skip
        if start.size and (start[0] != 0 or ends[-1] != plan.archive_bytes):
            faults.append(
                Fault("archive-gap", 1, 0, "the archive's first or last bytes are missing")
            )
    return faults


def _renumbered(fault: Fault, rows: Int64Array) -> Fault:
    first = int(rows[fault.first])
    text = fault.message.replace(f" {fault.first} ", f" {first} ", 1)
    return Fault(fault.code, fault.count, first, text)


def _ascending(values: Int64Array) -> tuple[Int64Array | None, Int64Array]:
    """``(order, values in order)``; the order is None where they ascend already."""
    if values.size < 2 or (values[1:] >= values[:-1]).all():
        return None, values
    order = np.argsort(values, kind="stable")
    return order, values[order]


def _pieces_once(plan: Plan) -> list[Fault]:
    """Each segment carries what its piece says, from where its piece says."""
    pieces, segments = plan.pieces, plan.segments
    start = segments.archive_start_bytes
    if np.array_equal(start, pieces.archive_start_bytes):
        piece = np.arange(start.size)
    else:
        piece = np.searchsorted(pieces.archive_start_bytes, start, side="right") - 1
    if (piece < 0).any():
        return _fault(piece < 0, "piece-missing", "segment", "lies in no piece")
    skipped = start - pieces.archive_start_bytes[piece]
    over = skipped + segments.length_bytes > pieces.length_bytes[piece]
    sent = np.isin(base_type(segments.type_code), _SENT)
    inline = pieces.kind[piece] == INLINE
    expected = pieces.origin_bytes[piece] + skipped
    fetched = sent & ~inline
    real = segments.origin_bytes
    if fetched.any():
        real = real.copy()
        real[fetched] = _fetched_from(plan, segments.origin_bytes[fetched])
    return [
        *_fault(over, "piece-end", "segment", "goes beyond its piece"),
        *_fault(inline & ~sent, "piece-kind", "segment", "moves what the host has to send"),
        *_fault(real != expected, "piece-origin", "segment", "takes its bytes from elsewhere"),
    ]


def _fetched_from(plan: Plan, inline_start: Int64Array) -> Int64Array:
    fetches = plan.fetches
    if not len(fetches):
        return np.full(inline_start.size, -1, np.int64)
    row = np.searchsorted(fetches.inline_start_bytes, inline_start, side="right") - 1
    found = fetches.lun_start_bytes[row] + inline_start - fetches.inline_start_bytes[row]
    return np.where(row >= 0, found, -1)


def _source_once(plan: Plan, base: NDArray[np.uint8]) -> list[Fault]:
    """Segments hold every selected byte of the LUN once, and nothing else."""
    segments = plan.segments
    counted = np.isin(base, MOVING_TYPES)
    start, length = segments.origin_bytes, segments.length_bytes
    if plan.kind == "backup":
        piece = np.searchsorted(
            plan.pieces.archive_start_bytes, segments.archive_start_bytes, side="right"
        )
        kind = plan.pieces.kind[np.maximum(piece - 1, 0)]
        fetched = np.isin(base, _SENT) & (kind == SOURCE)
        if fetched.any():
            start = start.copy()
            start[fetched] = _fetched_from(plan, segments.origin_bytes[fetched])
        counted = (counted | fetched) & (kind == SOURCE)
    rows = np.flatnonzero(counted)
    if rows.size == len(segments):
        own_start, own_length = start, length
    else:
        own_start, own_length = start[rows], length[rows]
    order, own_start = _ascending(own_start)
    if order is not None:
        own_length, rows = own_length[order], rows[order]
    ends = own_start + own_length
    faults = [_renumbered(item, rows[1:]) for item in _fault(
        own_start[1:] < ends[:-1], "lun-twice", "segment", "holds blocks that another one has too"
    )]  # fmt: skip
    if faults:
        return faults
    covered = _joined(own_start, ends)
    wanted = _joined(plan.selected.start_bytes, plan.selected.end_bytes)
    if not np.array_equal(covered, wanted):
        short = int((wanted[1] - wanted[0]).sum() - (covered[1] - covered[0]).sum())
        text = f"it carries {abs(short)} bytes too {'few' if short > 0 else 'many'}"
        if short == 0:
            text = "it carries other blocks than the selected ones"
        faults.append(Fault("selection", 1, 0, text))
    return faults


def _joined(start: Int64Array, ends: Int64Array) -> Int64Array:
    """(2, n): ranges ascending and disjoint, those that touch joined."""
    if not start.size:
        return np.empty((2, 0), np.int64)
    begins = np.ones(start.size, np.bool_)
    begins[1:] = start[1:] != ends[:-1]
    if begins.all():
        return np.stack([start, ends])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], start.size) - 1
    return np.stack([start[first], ends[last]])
