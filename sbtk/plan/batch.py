"""Command lists of a backup under any limits: to tape on record boundaries, to disk in windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sbtk.errors import PlanError
from sbtk.plan import loops
from sbtk.plan.kernels import load
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    BLOCK_TO_BLOCK,
    BLOCK_TO_STREAM,
    COPY,
    DIGEST,
    DIGEST_BYTES,
    EMBEDDED_TO_STREAM,
    HOST,
    HOST_WRITE,
    INLINE_TO_STREAM,
    NO_FETCHES,
    Commands,
    Fetches,
    Int64Array,
    Pieces,
    Segments,
    Target,
    UInt8Array,
)
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits

CSCD_LIST_BYTES = 64  # source and destination, 32 bytes each
MAX_LID4_BYTES = 65535  # 16-bit lengths (xcopy.md 2.2)
MAX_BLOCKS = 65535  # 16-bit NUMBER OF BLOCKS of 00h, 01h, 02h
MAX_OFFSET_BYTES = (1 << 32) - 1  # 32-bit NUMBER OF BYTES of 08h, 09h, 0Ah
COMMAND_BYTES = 256 << 20
"""Most bytes a command moves: what a killed job does again, and how often it tells progress."""
PIECE_BYTES = 1 << 20
"""Most bytes under one digest: a flipped byte is narrowed down to the files in so much."""
_MAX_TRANSFER = (1 << 24) - 1
_LEAST_ROOM = 96  # discard, locate, discard, read: one restore from tape


@dataclass(frozen=True)
class Rules:
    """Limits as the loops take them: everything in bytes, everything resolved.

    Attributes:
        limits: of the copy manager.
        digests: every segment adds 32 bytes to the held data.
        block_bytes: the block of the LUN.
        max_segments: segments a list, held data counted.
        list_room: bytes of segment descriptors a list.
        inline_room: bytes of inline data a list.
        unit_bytes: what a segment's bytes are a multiple of: block and granularity.
        max_segment_bytes: most bytes of a whole-block segment, a multiple of ``unit_bytes``.
        parts: the byte-offset type may be used.
        cap_bytes: most bytes of a command.
    """

    limits: Limits
    digests: bool
    block_bytes: int
    max_segments: int
    list_room: int
    inline_room: int
    unit_bytes: int
    max_segment_bytes: int
    parts: bool
    cap_bytes: int


@dataclass(frozen=True)
class Cut:
    """Pieces cut to segments, in their order.

    Attributes:
        archive: (n,) first byte in the archive.
        length: (n,) bytes.
        origin: (n,) first byte on the LUN, or of inline.
        what: (n,) uint8, a class of ``loops``.
    """

    archive: Int64Array
    length: Int64Array
    origin: Int64Array
    what: UInt8Array

    def taken(self, rows: Int64Array) -> Cut:
        """These rows, in this order."""
        return Cut(self.archive[rows], self.length[rows], self.origin[rows], self.what[rows])


def rules(
    limits: Limits,
    *,
    block_bytes: int,
    unit_bytes: int,
    part_type: int,
    lid4: bool,
    digests: bool,
    command_bytes: int = COMMAND_BYTES,
    counted_bytes: int = 0,
) -> Rules:
    """Resolve limits for one kind of work.

    Args:
        limits: of the copy manager.
        block_bytes: the block of the LUN.
        unit_bytes: from ``layout.unit_bytes``.
        part_type: 08h, 09h or 0Ah.
        lid4: lists have 16-bit lengths.
        digests: every segment adds 32 bytes to the held data.
        command_bytes: most bytes of a command.
        counted_bytes: the block that NUMBER OF BLOCKS counts, where it is not the LUN's.

    Raises:
        PlanError: the limits leave no room for a single segment, or blocks are no power of two.
    """
    if block_bytes & (block_bytes - 1) or unit_bytes & (unit_bytes - 1):
        raise PlanError(
            f"blocks of {block_bytes} and units of {unit_bytes} bytes are no powers of two",
            hint="Format the LUN with blocks of 512 or 4096 bytes",
        )
    list_bytes = min(limits.max_list_bytes, MAX_LID4_BYTES) if lid4 else limits.max_list_bytes
    inline = min(limits.max_inline_bytes, MAX_LID4_BYTES) if lid4 else limits.max_inline_bytes
    segments = limits.max_segments
    if digests:
        segments = min(segments, limits.held_data_bytes // DIGEST_BYTES)
    longest = min(
        MAX_BLOCKS * (counted_bytes or block_bytes), limits.max_segment_bytes or MAX_OFFSET_BYTES
    )
    if digests and segments * PIECE_BYTES >= command_bytes:  # else it would cost commands
        longest = min(longest, PIECE_BYTES)
    longest = longest // unit_bytes * unit_bytes
    room = list_bytes - CSCD_LIST_BYTES
    if segments < 1 or room < _LEAST_ROOM or longest < 1 or limits.max_cscds < 2:
        raise PlanError(
            f"the limits of {limits.name} leave no room for one segment of {unit_bytes} bytes",
            hint="Choose another profile; sbtk limits LOC shows what a device can take",
        )
    fine = 1 << limits.data_granularity <= loops.SECTOR
    has_part = limits.supports(part_type + (DIGEST if digests else 0))
    return Rules(
        limits=limits,
        digests=digests,
        block_bytes=block_bytes,
        max_segments=segments,
        list_room=room,
        inline_room=inline,
        unit_bytes=unit_bytes,
        max_segment_bytes=longest,
        parts=fine and has_part,
        cap_bytes=max(command_bytes, unit_bytes),
    )


def for_tape(limits: Limits) -> Limits:
    """The numbers of a manager that moves no tape, with the segment types of one that does.

    None of the managers in the field writes tape; their numbers show what a list of one or a few
    segments costs there.
    """
    if limits.supports(BLOCK_TO_STREAM):
        return limits
    able = profile_limits("spc")
    return replace(
        limits,
        name=f"{limits.name}+tape",
        types=able.types,
        max_stream_transfer_bytes=able.max_stream_transfer_bytes,
        held_data_bytes=limits.held_data_bytes or DIGEST_BYTES * limits.max_segments,
    )


def require(limits: Limits, type_code: int, what: str) -> None:
    """Refuse a manager without a segment type.

    Raises:
        PlanError: it does not implement it.
    """
    if not limits.supports(type_code):
        raise PlanError(
            f"{limits.name} cannot {what}: segment type {type_code:02X}h is not implemented",
            hint="Use another copy manager (profile spc is our own mover)",
        )


def inline_way(limits: Limits, digests: bool) -> int:
    """How headers reach a tape: 04h, 05h, or records that the host writes."""
    extra = DIGEST if digests else 0
    fine = 1 << limits.inline_granularity <= loops.SECTOR
    if limits.max_inline_bytes >= loops.SECTOR and limits.supports(INLINE_TO_STREAM + extra):
        return loops.BY_INLINE if fine else loops.BY_HOST
    if limits.supports(EMBEDDED_TO_STREAM + extra):
        return loops.BY_EMBEDDED if fine else loops.BY_HOST
    return loops.BY_HOST


def record_bytes(limits: Limits, wanted_bytes: int, unit_bytes: int) -> int:
    """The record that a tape gets: what is wanted, as far as the manager can.

    Raises:
        PlanError: a record cannot even hold one unit.
    """
    most = min(wanted_bytes, limits.max_stream_transfer_bytes or wanted_bytes, _MAX_TRANSFER)
    chosen = most // unit_bytes * unit_bytes
    if chosen < unit_bytes or chosen < loops.SECTOR:
        raise PlanError(
            f"records of {most} bytes cannot hold a unit of {unit_bytes} bytes",
            hint="Choose larger records (--record-bytes)",
        )
    return chosen


def to_tape(
    pieces: Pieces,
    inline_bytes: int,
    target: Target,
    limit: Rules,
) -> tuple[Segments, Commands, Fetches]:
    """Commands that write an archive to tape.

    Args:
        pieces: the whole archive, lengths multiples of 512.
        inline_bytes: bytes of ``Plan.inline``; fetched bytes get addresses behind it.
        target: the tape; its ``record_bytes`` from ``record_bytes``.
        limit: of the manager.

    Raises:
        PlanError: the manager cannot write tape, or a piece fits no list.
    """
    limits, digests, block_bytes = limit.limits, limit.digests, limit.block_bytes
    require(limits, BLOCK_TO_STREAM, "copy from disk to tape")
    if digests:
        require(limits, DIGEST + BLOCK_TO_STREAM, "make digests")
    way = inline_way(limits, digests)
    record = target.record_bytes
    cap = max(limit.cap_bytes // record, 1) * record
    pack = load(len(pieces)).pack_tape
    given = (
        pieces.archive_start_bytes, pieces.length_bytes, pieces.kind, pieces.origin_bytes,
        inline_bytes, limit.max_segments, limit.list_room, limit.inline_room, way, block_bytes,
        limit.unit_bytes, min(limit.max_segment_bytes, cap), limit.parts, record, cap,
    )  # fmt: skip
    i64, u8 = np.empty(0, np.int64), np.empty(0, np.uint8)
    segments, commands, fetched = pack(*given, i64, i64, i64, i64, u8, i64, i64, i64, u8)
    if segments < 0:
        raise PlanError(
            f"byte {int(pieces.archive_start_bytes[commands])} of the archive fits no list of "
            f"{limits.name}: {limit.list_room} bytes of descriptors, {limit.inline_room} inline",
            hint="Choose a manager with longer lists",
        )
    archive, length, origin, transfer = (np.empty(segments, np.int64) for _ in range(4))
    what = np.empty(segments, np.uint8)
    fetch_lun = np.empty(fetched, np.int64)
    first, own_record = np.empty(commands + 1, np.int64), np.empty(commands, np.int64)
    host = np.empty(commands, np.uint8)
    pack(
        *given, archive, length, origin, transfer, what, fetch_lun, first, own_record, host
    )  # fmt: skip
    codes = np.array([BLOCK_TO_STREAM, BLOCK_OFFSET_TO_STREAM, 0, 0], np.uint8)
    codes[2:] = EMBEDDED_TO_STREAM if way == loops.BY_EMBEDDED else INLINE_TO_STREAM
    codes += DIGEST if digests else 0
    codes[2:] = HOST_WRITE if way == loops.BY_HOST else codes[2:]
    made = Segments(codes[what], archive, length, origin, transfer)
    fetches = NO_FETCHES
    if fetched:
        sent = what == loops.FETCHED
        fetches = Fetches(origin[sent], fetch_lun, length[sent])
    return made, Commands(first, np.where(host > 0, HOST, COPY).astype(np.uint8)), fetches


def _fetches(cut: Cut, inline_bytes: int) -> Fetches:
    """Give what has to be fetched inline addresses of its own, in the order of execution."""
    rows = np.flatnonzero(cut.what == loops.FETCHED)
    if not rows.size:
        return NO_FETCHES
    length = cut.length[rows]
    fetches = Fetches(inline_bytes + np.cumsum(length) - length, cut.origin[rows], length)
    cut.origin[rows] = fetches.inline_start_bytes
    return fetches


def to_disk(
    pieces: Pieces,
    inline_bytes: int,
    target: Target,
    limit: Rules,
) -> tuple[Segments, Commands, Fetches]:
    """Commands that write an archive to a disk.

    No segment type takes inline bytes to a disk, so the host writes them itself. Its writes stand
    in front of the list that copies into the same blocks or behind them: a write fills the rest of
    its first block with zeros, and a byte-offset segment then puts a tail there.

    Raises:
        PlanError: the manager cannot copy from disk to disk.
    """
    limits, digests = limit.limits, limit.digests
    require(limits, BLOCK_TO_BLOCK, "copy from disk to disk")
    if digests:
        require(limits, DIGEST + BLOCK_TO_BLOCK, "make digests")
    cut = split_pieces(pieces, target, limit)
    order, commands = in_windows(cut, limit)
    cut = cut.taken(order) if (commands.kind == HOST).any() else cut
    fetches = _fetches(cut, inline_bytes)
    extra = DIGEST if digests else 0
    codes = np.array(
        [BLOCK_TO_BLOCK + extra, BLOCK_OFFSET_TO_BLOCK + extra, HOST_WRITE, HOST_WRITE], np.uint8
    )
    made = Segments(
        codes[cut.what], cut.archive, cut.length, cut.origin, np.zeros(order.size, np.int64)
    )
    return made, commands, fetches


def split_pieces(pieces: Pieces, target: Target, limit: Rules) -> Cut:
    """Cut pieces for block->block copies, see ``loops.cut_pieces``."""
    start = pieces.archive_start_bytes
    if target.start_bytes:
        start = start + target.start_bytes
    given = (
        start, pieces.length_bytes, pieces.kind, pieces.origin_bytes, limit.block_bytes,
        target.block_bytes, limit.unit_bytes, limit.max_segment_bytes,
        MAX_OFFSET_BYTES // 4096 * 4096, limit.parts,
    )  # fmt: skip
    cut = load(len(pieces)).cut_pieces
    none = np.empty(0, np.int64)
    rows = cut(*given, none, none, none, np.empty(0, np.uint8))
    archive, length, origin = (np.empty(rows, np.int64) for _ in range(3))
    what = np.empty(rows, np.uint8)
    cut(*given, archive, length, origin, what)
    if target.start_bytes:
        archive -= target.start_bytes
    return Cut(archive, length, origin, what)


def in_windows(cut: Cut, limit: Rules) -> tuple[Int64Array, Commands]:
    """Rows of a cut in the order of execution, and their commands (see ``loops.pack_disk``)."""
    kernels = load(cut.length.size)
    window, order = (np.empty(cut.length.size, np.int64) for _ in range(2))
    windows = kernels.pack_disk(
        cut.length, cut.what, limit.max_segments, limit.list_room, limit.cap_bytes, window
    )
    first, host = np.empty(2 * windows + 1, np.int64), np.empty(2 * windows, np.uint8)
    count = kernels.order_windows(window, cut.what, order, first, host)
    kind = np.where(host[:count] > 0, HOST, COPY).astype(np.uint8)
    return order, Commands(first[: count + 1], kind)
