"""Plans that read a set: restore to a LUN, whole or in part, and verify by digests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sbtk.archive.manifest import Geometry
from sbtk.errors import PlanError
from sbtk.plan import batch, loops
from sbtk.plan.kernels import load
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    BLOCK_TO_BLOCK,
    BLOCK_TO_STREAM,
    COPY,
    DIGEST,
    HOST,
    LOCATE,
    NO_FETCHES,
    NOTHING,
    SOURCE,
    STREAM_DISCARD,
    STREAM_TO_BLOCK,
    STREAM_TO_BLOCK_OFFSET,
    Commands,
    Int64Array,
    Kind,
    Pieces,
    Plan,
    Ranges,
    Segments,
    Target,
)
from sbtk.plan.setmap import SetMap, record_runs
from sbtk.scsi.limits import Limits

_NO_INLINE = np.empty(0, np.uint8)


@dataclass(frozen=True)
class Reads:
    """What is read: (n,) each, ascending by archive address."""

    start: Int64Array
    length: Int64Array
    lun: Int64Array


def plan_restore(
    rows: SetMap,
    geometry: Geometry,
    source: Target,
    limits: Limits,
    *,
    layout: str = "image",
    wanted: Ranges | None = None,
    shift_bytes: int = 0,
    lid4: bool | None = None,
    digests: bool = False,
    notes: dict[str, Any] | None = None,
) -> Plan:
    """A plan that carries a set's blocks back to a LUN.

    Args:
        rows: the set's map.
        geometry: of the LUN that is written to; its blocks are those of the commands.
        source: where the set is (``Target.start_bytes`` its first byte on a disk).
        limits: of the copy manager.
        layout: of the set.
        wanted: ranges of the set's LUN to restore; None for all of them.
        shift_bytes: added to every address on the LUN, for a partition that moved.
        lid4: send lists as LID4; None where the manager can.
        digests: ask for a digest of every piece that is read.
        notes: kept in the plan.

    Raises:
        PlanError: the LUN is too small, addresses are no blocks, or the manager cannot read this
            medium.
    """
    reads = _wanted_reads(rows, wanted)
    lun = reads.lun + shift_bytes
    ends = int((lun + reads.length).max(initial=0))
    if ends > geometry.lun_bytes or (lun < 0).any():
        raise PlanError(
            f"the set reaches to byte {ends} and the LUN has {geometry.lun_bytes}",
            hint="Restore to a LUN at least as large as the source was",
        )
    if shift_bytes % geometry.block_bytes or (lun % loops.SECTOR).any():
        raise PlanError("the set's addresses are no blocks of this LUN")
    reads = replace(reads, lun=lun)
    return _plan_reads(
        "restore", rows, reads, geometry, source, limits=limits, layout=layout, lid4=lid4,
        digests=digests, notes=notes or {},
    )  # fmt: skip


def plan_verify(
    rows: SetMap,
    geometry: Geometry,
    source: Target,
    limits: Limits,
    *,
    layout: str = "image",
    chosen: Int64Array | None = None,
    lid4: bool | None = None,
    notes: dict[str, Any] | None = None,
) -> Plan:
    """A plan by which the mover reads a set and makes the digest of every row; nothing is written.

    Digests come back in the order of the segments that have ``is_digest`` (see ``digest_rows``).

    Args:
        rows: the set's map.
        geometry: of the LUN that was backed up.
        source: where the set is.
        limits: of the copy manager.
        layout: of the set.
        chosen: the rows to read, ascending; None for all of them.
        lid4: send lists as LID4; None where the manager can.
        notes: kept in the plan.

    Raises:
        PlanError: the manager makes no digests of this medium.
    """
    type_code = STREAM_DISCARD if source.medium == "tape" else BLOCK_TO_STREAM
    batch.require(limits, DIGEST + type_code, "verify by digests; the host has to read the set")
    own = np.arange(len(rows)) if chosen is None else chosen
    grain = 1 << limits.data_granularity
    if (rows.length_bytes[own] % grain).any():
        raise PlanError(
            f"{limits.name} makes no digests of less than {grain} bytes",
            hint="Let the host read the set: sbtk verify --through-host",
        )
    reads = Reads(
        rows.archive_start_bytes[own], rows.length_bytes[own], np.full(own.size, -1, np.int64)
    )
    return _plan_reads(
        "verify", rows, reads, geometry, source, limits=limits, layout=layout, lid4=lid4,
        digests=True, notes=notes or {},
    )  # fmt: skip


def _wanted_reads(rows: SetMap, wanted: Ranges | None) -> Reads:
    """The rows of the LUN that are wanted, cut to it, joined where they touch at both ends."""
    own = rows.kind == SOURCE
    start, length, lun = rows.archive_start_bytes, rows.length_bytes, rows.lun_start_bytes
    start, length, lun = start[own], length[own], lun[own]
    if wanted is not None:
        start, length, lun = _intersect(start, length, lun, wanted)
    if not start.size:
        return Reads(start, length, lun)
    joins = np.zeros(start.size, np.bool_)
    joins[1:] = (start[1:] == start[:-1] + length[:-1]) & (lun[1:] == lun[:-1] + length[:-1])
    first = np.flatnonzero(~joins)
    ends = np.append(first[1:], start.size) - 1
    return Reads(start[first], start[ends] + length[ends] - start[first], lun[first])


def _intersect(
    start: Int64Array, length: Int64Array, lun: Int64Array, wanted: Ranges
) -> tuple[Int64Array, Int64Array, Int64Array]:
    first = np.searchsorted(wanted.end_bytes, lun, side="right")
    behind = np.searchsorted(wanted.start_bytes, lun + length, side="left")
    pairs = np.maximum(behind - first, 0)
    mine = np.repeat(np.arange(start.size), pairs)
    theirs = np.arange(mine.size) - np.repeat(np.cumsum(pairs) - pairs, pairs) + first[mine]
    low = np.maximum(lun[mine], wanted.start_bytes[theirs])
    high = np.minimum(lun[mine] + length[mine], wanted.end_bytes[theirs])
    return start[mine] + low - lun[mine], high - low, low


def _plan_reads(
    kind: Kind,
    rows: SetMap,
    reads: Reads,
    geometry: Geometry,
    source: Target,
    *,
    limits: Limits,
    layout: str,
    lid4: bool | None,
    digests: bool,
    notes: dict[str, Any],
) -> Plan:
    use_lid4 = limits.lid4 if lid4 is None else lid4
    unit = max(geometry.block_bytes, 1 << limits.data_granularity, loops.SECTOR)
    if source.medium == "disk":
        unit = max(unit, source.block_bytes)
    verify = kind == "verify"
    on_tape = source.medium == "tape"
    if verify:
        part = STREAM_DISCARD if on_tape else BLOCK_OFFSET_TO_STREAM
    else:
        part = STREAM_TO_BLOCK_OFFSET if on_tape else BLOCK_OFFSET_TO_BLOCK
    counted = source.block_bytes if not on_tape else geometry.block_bytes
    limit = batch.rules(
        limits, block_bytes=geometry.block_bytes, counted_bytes=counted, unit_bytes=unit,
        part_type=part, lid4=use_lid4, digests=digests,
    )  # fmt: skip
    if on_tape:
        segments, commands = _from_tape(rows, reads, limit)
    elif verify:
        segments, commands = _verify_disk(reads, source, limit)
    else:
        segments, commands = _from_disk(reads, source, limit)
    order = np.argsort(reads.lun, kind="stable")
    return Plan(
        kind=kind,
        layout=layout,
        geometry=geometry,
        target=source,
        limits=limits,
        selected=NOTHING if verify else Ranges(reads.lun[order], reads.length[order]),
        pieces=_pieces(reads, verify=verify),
        segments=segments,
        commands=commands,
        inline=_NO_INLINE,
        fetches=NO_FETCHES,
        archive_bytes=rows.end_bytes,
        digests=digests,
        lid4=use_lid4,
        notes=notes,
    )


def _pieces(reads: Reads, *, verify: bool) -> Pieces:
    kind = np.full(reads.start.size, SOURCE, np.uint8)
    # Where the other end is nothing, a piece's origin is its own place.
    return Pieces(reads.start, reads.length, kind, reads.start if verify else reads.lun)


def _from_tape(rows: SetMap, reads: Reads, limit: batch.Rules) -> tuple[Segments, Commands]:
    limits, digests = limit.limits, limit.digests
    batch.require(limits, STREAM_TO_BLOCK, "copy from tape to disk")
    batch.require(limits, STREAM_DISCARD, "skip on tape")
    runs = record_runs(rows)
    has_seek = limits.supports(LOCATE)
    if not has_seek:
        raise PlanError(f"{limits.name} cannot locate on tape: segment type 12h is missing")
    given = (
        reads.start, reads.length, reads.lun, runs.start_bytes, runs.end_bytes, runs.record_bytes,
        runs.first_object, limit.max_segments, limit.list_room, limit.block_bytes,
        limit.unit_bytes, limit.max_segment_bytes, limit.parts, limit.cap_bytes,
    )  # fmt: skip
    pack = load(reads.start.size).pack_tape_reads
    i64, u8 = np.empty(0, np.int64), np.empty(0, np.uint8)
    segments, commands = pack(*given, u8, i64, i64, i64, i64, i64, u8)
    if segments < 0:
        raise PlanError(
            f"byte {int(reads.start[commands])} of the archive lies in no record of the set",
            hint="The set's map is damaged: rebuild it from the medium",
        )
    what, host = np.empty(segments, np.uint8), np.empty(commands, np.uint8)
    archive, length, origin, record = (np.empty(segments, np.int64) for _ in range(4))
    first = np.empty(commands + 1, np.int64)
    pack(*given, what, archive, length, origin, record, first, host)
    codes = np.zeros(6, np.uint8)
    extra = DIGEST if digests else 0
    codes[loops.WHOLE] = STREAM_TO_BLOCK + extra
    codes[loops.PART] = STREAM_TO_BLOCK_OFFSET + extra
    codes[loops.SKIP] = STREAM_DISCARD
    codes[loops.SEEK] = LOCATE
    type_code = codes[what]
    read_whole = origin == -2  # verify: discarded, and counted in the digest
    type_code[read_whole] = STREAM_DISCARD + DIGEST
    origin[read_whole] = -1
    kind = np.where(host > 0, HOST, COPY).astype(np.uint8)
    return Segments(type_code, archive, length, origin, record), Commands(first, kind)


def _from_disk(reads: Reads, source: Target, limit: batch.Rules) -> tuple[Segments, Commands]:
    limits, digests = limit.limits, limit.digests
    batch.require(limits, BLOCK_TO_BLOCK, "copy from disk to disk")
    kind = np.full(reads.start.size, SOURCE, np.uint8)
    pieces = Pieces(reads.start, reads.length, kind, reads.lun)
    cut = batch.split_pieces(pieces, source, limit)
    extra = DIGEST if digests else 0
    codes = np.array(
        [BLOCK_TO_BLOCK + extra, BLOCK_OFFSET_TO_BLOCK + extra, 0, BLOCK_OFFSET_TO_BLOCK], np.uint8
    )
    order, commands = batch.in_windows(cut, limit)
    cut = cut.taken(order)
    segments = Segments(
        codes[cut.what], cut.archive, cut.length, cut.origin, np.zeros(order.size, np.int64)
    )
    return segments, commands


def _verify_disk(reads: Reads, source: Target, limit: batch.Rules) -> tuple[Segments, Commands]:
    limits = limit.limits
    at = reads.start + source.start_bytes
    unit = limit.unit_bytes
    whole = (
        (at % source.block_bytes == 0)
        & (reads.length % unit == 0)
        & (reads.length <= limit.max_segment_bytes)
    )
    if not whole.all():
        batch.require(limits, DIGEST + BLOCK_OFFSET_TO_STREAM, "make digests of parts of blocks")
        if not limit.parts:
            raise PlanError(
                f"{limits.name} makes no digests of less than {unit} bytes",
                hint="Let the host read the set: sbtk verify --through-host",
            )
    codes = np.where(whole, DIGEST + BLOCK_TO_STREAM, DIGEST + BLOCK_OFFSET_TO_STREAM)
    what = np.where(whole, loops.WHOLE, loops.PART).astype(np.uint8)
    cut = batch.Cut(reads.start, reads.length, reads.lun, what)
    _, commands = batch.in_windows(cut, limit)
    # The destination is the null stream unit (CSCD id C001h): any transfer length will do.
    transfer = np.full(at.size, loops.SECTOR, np.int64)
    origin = np.full(at.size, -1, np.int64)
    made = Segments(codes.astype(np.uint8), reads.start, reads.length, origin, transfer)
    return made, commands


def digest_rows(plan: Plan) -> Int64Array:
    """Segments whose digests come back in the held data, in that order, as rows of ``segments``."""
    code = plan.segments.type_code
    return np.flatnonzero((code >= DIGEST) & (code < 0xE0))
