"""From a plan's rows to the wire: segment descriptors, inline data, the host's own writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbtk.errors import PlanError
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    BLOCK_TO_BLOCK,
    BLOCK_TO_STREAM,
    DIGEST,
    EMBEDDED_TO_STREAM,
    HOST_WRITE,
    INLINE_TO_STREAM,
    LOCATE,
    STREAM_DISCARD,
    STREAM_TO_BLOCK,
    STREAM_TO_BLOCK_OFFSET,
    Int64Array,
    Plan,
    UInt8Array,
)
from sbtk.plan.model import base_type as base_types
from sbtk.scsi import segment_arrays as bulk
from sbtk.scsi import segments as single
from sbtk.scsi.cscd import NULL_STREAM_ID

ReadLun = Callable[[int, int], bytes]
"""``read_lun(offset_bytes, length_bytes)`` of the source LUN: only for what a plan fetches."""

Rows = slice | Int64Array

SOURCE_ID = 0  # CSCD 0: what is read
DESTINATION_ID = 1  # CSCD 1: what is written


@dataclass(frozen=True)
class Encoded:
    """One command list without its CSCD descriptors.

    Attributes:
        segments: segment descriptors.
        inline: inline data of the list.
        digests: held data that comes back: 32 bytes for each segment that makes a digest.
    """

    segments: bytes
    inline: bytes
    digests: int


def segment_range(plan: Plan, command: int) -> slice:
    """Rows of ``plan.segments`` of one command."""
    first, end = plan.commands.first_segment[command : command + 2].tolist()
    return slice(first, end)


def archive_range(plan: Plan, command: int) -> tuple[int, int]:
    """First archive byte that a command touches, and the one behind its last."""
    rows = segment_range(plan, command)
    start = plan.segments.archive_start_bytes[rows]
    return int(start.min()), int((start + plan.segments.length_bytes[rows]).max())


def encode_command(
    plan: Plan, command: int, read_lun: ReadLun | None = None, *, first_object: int = 0
) -> Encoded:
    """The list of one ``COPY`` command.

    Args:
        plan: the plan.
        command: its number.
        read_lun: reads the source for inline bytes that have to be fetched.
        first_object: logical object number of the set's first record on its tape.

    Raises:
        PlanError: bytes have to be fetched, and there is nothing to read them with.
    """
    rows = segment_range(plan, command)
    codes = plan.segments.type_code[rows]
    base = base_types(codes)
    digests = int((codes != base).sum())
    inline = b""
    if (base == INLINE_TO_STREAM).any():
        sent = np.flatnonzero(base == INLINE_TO_STREAM) + rows.start
        inline = b"".join(inline_of_segment(plan, int(row), read_lun) for row in sent)
    kind = int(base[0]) if base.size and (base == base[0]).all() else -1
    if kind in _BULK:
        return Encoded(bytes(bulk.encoded(encode_rows(plan, rows))), inline, digests)
    return Encoded(_mixed(plan, rows, read_lun, first_object), inline, digests)


def encode_rows(plan: Plan, rows: Rows) -> NDArray[Any]:
    """Segments of one base type in bulk, as the structured array of ``scsi.segment_arrays``.

    Args:
        plan: the plan.
        rows: rows of ``plan.segments``, all of one of the types that move data.

    Raises:
        PlanError: other types among them.
    """
    codes = plan.segments.type_code[rows]
    base = base_types(codes[:1])
    if not codes.size or int(base[0]) not in _BULK or (base_types(codes) != base[0]).any():
        raise PlanError("these segments are not of one type that moves data")
    return _BULK[int(base[0])](plan, rows, _code_column(codes))


def _code_column(codes: UInt8Array) -> UInt8Array | int:
    first = int(codes[0])
    return first if (codes == first).all() else codes


def _kind(code: Any) -> int:
    return int(base_types(np.atleast_1d(np.asarray(code, np.uint8))[:1])[0])


def _places(plan: Plan, rows: Rows) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Bytes on the LUN, bytes on the archive's disk, length."""
    segments = plan.segments
    at = segments.archive_start_bytes[rows] + plan.target.start_bytes
    return segments.origin_bytes[rows], at, segments.length_bytes[rows]


def _transfer(plan: Plan, rows: Rows) -> Int64Array | int:
    transfer = plan.segments.transfer_bytes[rows]
    return int(transfer[0]) if (transfer == transfer[0]).all() else transfer


def _block_stream(plan: Plan, rows: Rows, code: Any) -> NDArray[Any]:
    lun, at, length = _places(plan, rows)
    verify = plan.kind == "verify"
    block = plan.target.block_bytes if verify else plan.geometry.block_bytes
    destination = NULL_STREAM_ID if verify else DESTINATION_ID
    place = at if verify else lun
    if _kind(code) == BLOCK_TO_STREAM:
        return bulk.block_stream(
            place // block, length // block, source=SOURCE_ID, destination=destination,
            stream_transfer=_transfer(plan, rows), type_code=code,
        )  # fmt: skip
    return bulk.block_bytes_to_stream(
        place // block, place % block, length, source=SOURCE_ID, destination=destination,
        stream_transfer=_transfer(plan, rows), type_code=code,
    )  # fmt: skip


def _stream_block(plan: Plan, rows: Rows, code: Any) -> NDArray[Any]:
    lun, _, length = _places(plan, rows)
    block = plan.geometry.block_bytes
    if _kind(code) == STREAM_TO_BLOCK:
        return bulk.block_stream(
            lun // block, length // block, source=SOURCE_ID, destination=DESTINATION_ID,
            stream_transfer=_transfer(plan, rows), type_code=code,
        )  # fmt: skip
    # 09h has the layout of 08h; its block address is the destination's.
    return bulk.block_bytes_to_stream(
        lun // block, lun % block, length, source=SOURCE_ID, destination=DESTINATION_ID,
        stream_transfer=_transfer(plan, rows), type_code=code,
    )  # fmt: skip


def _block_block(plan: Plan, rows: Rows, code: Any) -> NDArray[Any]:
    lun, at, length = _places(plan, rows)
    lun_block, archive_block = plan.geometry.block_bytes, plan.target.block_bytes
    back = plan.kind == "restore"
    source, source_block = (at, archive_block) if back else (lun, lun_block)
    destination, destination_block = (lun, lun_block) if back else (at, archive_block)
    if _kind(code) == BLOCK_TO_BLOCK:
        return bulk.block_to_block(
            source // source_block, destination // destination_block, length // source_block,
            source=SOURCE_ID, destination=DESTINATION_ID, type_code=code,
        )  # fmt: skip
    return bulk.block_bytes_to_block_bytes(
        source // source_block, destination // destination_block, length,
        source=SOURCE_ID, destination=DESTINATION_ID, source_offset_bytes=source % source_block,
        destination_offset_bytes=destination % destination_block, type_code=code,
    )  # fmt: skip


_BULK: dict[int, Callable[[Plan, Rows, Any], NDArray[Any]]] = {
    BLOCK_TO_STREAM: _block_stream,
    BLOCK_OFFSET_TO_STREAM: _block_stream,
    STREAM_TO_BLOCK: _stream_block,
    STREAM_TO_BLOCK_OFFSET: _stream_block,
    BLOCK_TO_BLOCK: _block_block,
    BLOCK_OFFSET_TO_BLOCK: _block_block,
}


def _mixed(plan: Plan, rows: slice, read_lun: ReadLun | None, first_object: int) -> bytes:
    """Descriptors of several types, in order: each type in bulk, then put in their places."""
    codes = plan.segments.type_code[rows]
    base = base_types(codes)
    sizes = descriptor_bytes(codes, plan.segments.length_bytes[rows])
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    sent = np.where(base == INLINE_TO_STREAM, plan.segments.length_bytes[rows], 0)
    inline_at = np.cumsum(sent) - sent
    for kind in np.unique(base).tolist():
        own = np.flatnonzero(base == kind)
        place = ends[own] - sizes[own]
        if kind in _BULK:
            wire = encode_rows(plan, own + rows.start)
            width = wire.dtype.itemsize
            octets = np.frombuffer(bulk.encoded(wire), np.uint8).reshape(-1, width)
            out[place[:, None] + np.arange(width)] = octets
            continue
        for index, at in zip(own.tolist(), place.tolist(), strict=True):
            row = rows.start + index
            wire_one = _one(plan, row, int(inline_at[index]), read_lun, first_object)
            out[at : at + len(wire_one)] = np.frombuffer(wire_one, np.uint8)
    return out.tobytes()


_DESCRIPTOR_BYTES = np.zeros(256, np.int64)
for _type, _bytes in (
    (BLOCK_TO_STREAM, 24), (STREAM_TO_BLOCK, 24), (BLOCK_TO_BLOCK, 28), (INLINE_TO_STREAM, 20),
    (EMBEDDED_TO_STREAM, 16), (STREAM_DISCARD, 16), (BLOCK_OFFSET_TO_STREAM, 28),
    (STREAM_TO_BLOCK_OFFSET, 28), (BLOCK_OFFSET_TO_BLOCK, 32), (LOCATE, 12),
):  # fmt: skip
    _DESCRIPTOR_BYTES[_type] = _bytes


def descriptor_bytes(type_code: UInt8Array, length_bytes: Int64Array) -> Int64Array:
    """Bytes of each descriptor in a list (xcopy.md 4.1); 0 for what the host writes itself."""
    base = base_types(type_code)
    embedded = np.where(base == EMBEDDED_TO_STREAM, -(-length_bytes // 4) * 4, 0)
    return _DESCRIPTOR_BYTES[base] + embedded


def _one(
    plan: Plan, row: int, inline_at: int, read_lun: ReadLun | None, first_object: int
) -> bytes:
    segments = plan.segments
    code, length = int(segments.type_code[row]), int(segments.length_bytes[row])
    transfer = int(segments.transfer_bytes[row])
    kind = code - DIGEST if code >= DIGEST else code
    if kind == INLINE_TO_STREAM:
        return single.InlineToStream(
            code, True, DESTINATION_ID, transfer, inline_at, length
        ).encode()
    if kind == EMBEDDED_TO_STREAM:
        data = inline_of_segment(plan, row, read_lun)
        return single.EmbeddedToStream.of(
            data, DESTINATION_ID, transfer, cat=True, type_code=code
        ).encode()
    if kind == STREAM_DISCARD:
        return single.StreamToNothing(code, True, SOURCE_ID, transfer, length).encode()
    if kind == LOCATE:
        thing = int(segments.origin_bytes[row]) + first_object
        return single.Locate(code, SOURCE_ID, thing).encode()
    raise PlanError(f"segment type {code:02X}h is executed by the host")


def inline_of_segment(plan: Plan, row: int, read_lun: ReadLun | None) -> bytes:
    """The inline bytes of one segment.

    Raises:
        PlanError: they have to be fetched, and there is nothing to read them with.
    """
    start = int(plan.segments.origin_bytes[row])
    return inline_bytes(plan, start, int(plan.segments.length_bytes[row]), read_lun)


def inline_bytes(
    plan: Plan, start_bytes: int, length_bytes: int, read_lun: ReadLun | None
) -> bytes:
    """A range of the inline address space: stored bytes, or bytes fetched from the source.

    Raises:
        PlanError: see ``inline_of_segment``.
    """
    if start_bytes < plan.inline.size:
        return plan.inline[start_bytes : start_bytes + length_bytes].tobytes()
    fetches = plan.fetches
    row = int(np.searchsorted(fetches.inline_start_bytes, start_bytes, side="right")) - 1
    if row < 0 or read_lun is None:
        raise PlanError("bytes of the source have to be sent, and there is no source to read")
    skipped = start_bytes - int(fetches.inline_start_bytes[row])
    return read_lun(int(fetches.lun_start_bytes[row]) + skipped, length_bytes)


def host_writes(
    plan: Plan, command: int, read_lun: ReadLun | None = None
) -> list[tuple[int, bytes]]:
    """What the host writes to a disk target for one ``HOST`` command of a backup.

    Returns:
        ``(byte of the LUN, whole blocks)``, ascending. The rest of a first or last block that the
        plan's bytes do not fill is zeros: copies that follow put their bytes there.
    """
    rows = segment_range(plan, command)
    block = plan.target.block_bytes
    joined: list[tuple[int, list[bytes]]] = []
    end = -1
    for row in range(rows.start, rows.stop):
        if int(plan.segments.type_code[row]) != HOST_WRITE:
            raise PlanError("this command writes nothing from the host")
        at = int(plan.segments.archive_start_bytes[row]) + plan.target.start_bytes
        data = inline_of_segment(plan, row, read_lun)
        if at == end:
            joined[-1][1].append(data)
        else:
            joined.append((at, [data]))
        end = at + len(data)
    return [_whole_blocks(at, b"".join(parts), block) for at, parts in joined]


def _whole_blocks(at_bytes: int, data: bytes, block_bytes: int) -> tuple[int, bytes]:
    lead = at_bytes % block_bytes
    tail = -(lead + len(data)) % block_bytes
    return at_bytes - lead, bytes(lead) + data + bytes(tail)
