"""Segment lists built in bulk from arrays: the same layouts as ``segments``, millions a second.

Every builder returns one structured array, a row a descriptor; ``encoded(rows)`` is the wire form
of any slice of it without a copy. A test compares them byte for byte with the classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sbtk.errors import LocalScsiError

Column = npt.NDArray[Any] | int
"""A column of values, or one value for all rows."""

# SPC-4 tables 149-151, 157, 159; 24-bit fields are the low bytes of a 32-bit one whose first byte
# is reserved. FLAGS: bit 0 CAT, bit 1 DC.
_HEADER: list[Any] = [("type", "u1"), ("flags", "u1"), ("length", ">u2"), ("source", ">u2"),
                      ("destination", ">u2")]  # fmt: skip

STREAM_DTYPE = np.dtype(
    [*_HEADER, ("stream_transfer", ">u4"), ("reserved", ">u2"), ("blocks", ">u2"), ("lba", ">u8")]
)
"""00h, 01h, 0Bh, 0Ch: 24 bytes."""

BLOCK_DTYPE = np.dtype(
    [
        *_HEADER, ("reserved", ">u2"), ("blocks", ">u2"), ("source_lba", ">u8"),
        ("destination_lba", ">u8"),
    ]
)  # fmt: skip
"""02h, 0Dh: 28 bytes."""

STREAM_BYTES_DTYPE = np.dtype(
    [
        *_HEADER, ("stream_transfer", ">u4"), ("count_bytes", ">u4"), ("lba", ">u8"),
        ("reserved", ">u2"), ("offset_bytes", ">u2"),
    ]
)  # fmt: skip
"""08h, 09h: 28 bytes."""

BLOCK_BYTES_DTYPE = np.dtype(
    [
        *_HEADER, ("count_bytes", ">u4"), ("source_lba", ">u8"), ("destination_lba", ">u8"),
        ("source_offset_bytes", ">u2"), ("destination_offset_bytes", ">u2"),
    ]
)  # fmt: skip
"""0Ah: 32 bytes."""

_MAX_STREAM_TRANSFER = (1 << 24) - 1


def block_stream(
    lba: Column,
    blocks: Column,
    *,
    source: int,
    destination: int,
    stream_transfer: Column,
    cat: Column = 1,
    type_code: Column = 0x00,
) -> npt.NDArray[Any]:
    """Rows of 00h (0Bh, C0h), whole blocks of a disk to a tape, or of 01h (0Ch, C1h), back.

    Raises:
        LocalScsiError: a value does not fit its field.
    """
    rows = _rows(STREAM_DTYPE, (lba, blocks), source, destination)
    _kind(rows, type_code, cat)
    _fill(rows, "stream_transfer", stream_transfer, _MAX_STREAM_TRANSFER)
    _fill(rows, "blocks", blocks)
    _fill(rows, "lba", lba)
    return rows


def block_to_block(
    source_lba: Column,
    destination_lba: Column,
    blocks: Column,
    *,
    source: int,
    destination: int,
    cat: Column = 0,
    type_code: Column = 0x02,
) -> npt.NDArray[Any]:
    """Rows of 02h (or 0Dh, C2h) with DC 0.

    Raises:
        LocalScsiError: a value does not fit its field.
    """
    columns = (source_lba, destination_lba, blocks)
    rows = _rows(BLOCK_DTYPE, columns, source, destination)
    _kind(rows, type_code, cat)
    _fill(rows, "blocks", blocks)
    _fill(rows, "source_lba", source_lba)
    _fill(rows, "destination_lba", destination_lba)
    return rows


def block_bytes_to_stream(
    lba: Column,
    offset_bytes: Column,
    count_bytes: Column,
    *,
    source: int,
    destination: int,
    stream_transfer: Column,
    cat: Column = 1,
    type_code: Column = 0x08,
) -> npt.NDArray[Any]:
    """Rows of 08h (or C8h): a byte range of a disk to a tape, by default with CAT.

    Raises:
        LocalScsiError: a value does not fit its field.
    """
    columns = (lba, offset_bytes, count_bytes)
    rows = _rows(STREAM_BYTES_DTYPE, columns, source, destination)
    _kind(rows, type_code, cat)
    _fill(rows, "stream_transfer", stream_transfer, _MAX_STREAM_TRANSFER)
    _fill(rows, "count_bytes", count_bytes)
    _fill(rows, "lba", lba)
    _fill(rows, "offset_bytes", offset_bytes)
    return rows


def block_bytes_to_block_bytes(
    source_lba: Column,
    destination_lba: Column,
    count_bytes: Column,
    *,
    source: int,
    destination: int,
    source_offset_bytes: Column = 0,
    destination_offset_bytes: Column = 0,
    cat: Column = 0,
    type_code: Column = 0x0A,
) -> npt.NDArray[Any]:
    """Rows of 0Ah (or CAh): any bytes of a disk to any bytes of a disk.

    Raises:
        LocalScsiError: a value does not fit its field.
    """
    columns = (source_lba, destination_lba, count_bytes)
    rows = _rows(BLOCK_BYTES_DTYPE, columns, source, destination)
    _kind(rows, type_code, cat)
    _fill(rows, "count_bytes", count_bytes)
    _fill(rows, "source_lba", source_lba)
    _fill(rows, "destination_lba", destination_lba)
    _fill(rows, "source_offset_bytes", source_offset_bytes)
    _fill(rows, "destination_offset_bytes", destination_offset_bytes)
    return rows


def encoded(rows: npt.NDArray[Any]) -> memoryview:
    """The wire form of contiguous rows, without a copy."""
    return rows.view(np.uint8).data


def _rows(
    dtype: np.dtype[Any],
    columns: tuple[Column, ...],
    source: int,
    destination: int,
) -> npt.NDArray[Any]:
    count = max((len(column) for column in columns if isinstance(column, np.ndarray)), default=1)
    # One header is written and repeated; only what differs from row to row is filled in.
    head = np.zeros(1, dtype)
    head["length"] = dtype.itemsize - 4
    _fill(head, "source", source)
    _fill(head, "destination", destination)
    return np.repeat(head, count)


def _kind(rows: npt.NDArray[Any], type_code: Column, cat: Column) -> None:
    _fill(rows, "type", type_code)
    _fill(rows, "flags", cat, 1)


def _fill(rows: npt.NDArray[Any], name: str, column: Column, most: int = 0) -> None:
    limit = most or int(np.iinfo(rows.dtype[name]).max)
    lowest, highest = (
        (column.min(initial=0), column.max(initial=0))
        if isinstance(column, np.ndarray)
        else (column, column)
    )
    if lowest < 0 or highest > limit:
        bad = lowest if lowest < 0 else highest
        raise LocalScsiError(f"{name}: {bad} does not fit its field, 0 to {limit} does")
    rows[name] = column
