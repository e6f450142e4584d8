"""From the rows of a whole $MFT to the tables: streams, extents, names, files.

Every function takes its columns out of ``Rows``, so that none exists twice for longer than it has
to: at a million records each 8-byte column is 8 MB or more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.ntfs import layout
from sbtk.ntfs.chunk import NO_TIME
from sbtk.ntfs.columns import (
    arrow_array,
    arrow_table,
    encode_text,
    numpy_values,
    take,
    text_array,
    text_buffers,
)
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.owners import I64, Owners, Pieces, join_pieces, order_by_owner
from sbtk.ntfs.paths import PathBuilder
from sbtk.ntfs.rows import TIMES, Rows
from sbtk.ntfs.tables import EXTENTS, FILES, NAMES, STREAMS, TIMESTAMP

_STREAM_COLUMNS = (
    "attribute_type", "resident", "attribute_flags", "data_bytes", "allocated_bytes",
    "initialized_bytes", "compression_unit", "lowest_vcn",
)  # fmt: skip


def build_streams(
    rows: Rows, owners: Owners, findings: FindingList
) -> tuple[pa.Table, npt.NDArray[np.int32]]:
    """The ``streams`` table, and for each run the row of its stream there; -1 without an owner."""
    owner = owners.of_record[rows.pop("stream_record")]
    piece_runs = rows.pop("runs")
    names = text_array(rows.pop("stream_offsets"), rows.pop("stream_blob"))
    columns: dict[str, npt.NDArray[Any]] = {name: rows.pop(name) for name in _STREAM_COLUMNS}
    order = order_by_owner(owner) if owners.has_extensions else None
    if order is not None:
        owner = owner[order]
        names = take(names, order)
        _reorder(columns, order)

    def end_vcn(wanted: I64) -> I64:
        """VCN behind the last run of each piece; its lowest VCN if it has no runs."""
        piece = wanted if order is None else order[wanted]
        some = piece_runs[piece] > 0
        last = np.cumsum(piece_runs, dtype=np.int64)[piece] - 1
        end = columns["lowest_vcn"][wanted]
        end[some] = (rows["vcn"][last] + rows["clusters"][last])[some]
        return end

    pieces = join_pieces(owner, columns, names, end_vcn, findings)
    stream_of_piece = _number_streams(len(owner), pieces, order, len(piece_runs))
    for name in ("data_bytes", "allocated_bytes", "initialized_bytes"):
        columns[name][pieces.no_start] = 0
    del columns["lowest_vcn"]
    if len(pieces.rows):
        heads = np.ones(len(owner), np.bool_)
        heads[pieces.rows] = False
        owner = owner[heads]
        names = take(names, np.flatnonzero(heads))
        for name in columns:
            columns[name] = columns[name][heads]
    streams = arrow_table(
        [
            np.arange(len(owner), dtype=np.int64), owner.view(np.uint64),
            columns.pop("attribute_type"), names, *(columns.pop(name) for name in list(columns)),
        ],
        STREAMS,
    )  # fmt: skip
    return streams, np.repeat(stream_of_piece, piece_runs)


def _reorder(columns: dict[str, npt.NDArray[Any]], order: I64) -> None:
    """Replace each column by its rows in ``order``, written over the column before it.

    Memory that was written to before costs the system nothing; new memory it has to clear.
    """
    spare: dict[np.dtype[Any], npt.NDArray[Any]] = {}
    for name, column in columns.items():
        room = spare.get(column.dtype)
        ordered = np.empty(len(order), column.dtype) if room is None else room[: len(order)]
        np.take(column, order, out=ordered, mode="clip")  # "raise" would go through a buffer
        columns[name], spare[column.dtype] = ordered, column


def _number_streams(
    count: int, pieces: Pieces, order: I64 | None, piece_count: int
) -> npt.NDArray[np.int32]:
    """For each piece, in record order, the row of its stream in the table; -1 without an owner."""
    number = np.arange(count, dtype=np.int32)
    if len(pieces.rows):
        heads = np.ones(count, np.int32)
        heads[pieces.rows] = 0
        number = np.cumsum(heads, dtype=np.int32) - np.int32(1)
        number[pieces.rows] = number[pieces.heads]
    if order is None:
        return number
    of_piece = np.full(piece_count, -1, np.int32)
    of_piece[order] = number
    return of_piece


def build_extents(rows: Rows, stream: npt.NDArray[np.int32], streams: pa.Table) -> pa.Table:
    """The ``extents`` table, from the stream of each run."""
    order, lcn = _by_lcn(rows.pop("lcn"))
    if len(stream) and int(stream.min()) < 0:
        owned = stream[order] >= 0
        order, lcn = order[owned], lcn[owned]
    stream = stream[order]
    names = encode_text(streams["attribute_name"].chunk(0))
    attribute_name = pa.DictionaryArray.from_arrays(
        arrow_array(numpy_values(names.indices)[stream]), names.dictionary
    )
    del names
    return arrow_table(
        [
            numpy_values(streams["record"])[stream], stream.astype(np.int64),
            numpy_values(streams["attribute_type"])[stream], attribute_name,
            rows.pop("vcn")[order], lcn, rows.pop("clusters")[order],
        ],
        EXTENTS,
    )  # fmt: skip


def _by_lcn(lcn: I64) -> tuple[I64, I64]:
    """The order of runs by their first cluster, holes (-1) last, equals as they are; and sorted.

    Row numbers travel in the low bits of what is sorted: several times quicker than a stable sort
    of the rows, which is left for clusters behind all that real volumes have.
    """
    row_bits = len(lcn).bit_length()
    if int(lcn.max(initial=0)) >> (63 - row_bits):
        order = np.argsort(lcn.view(np.uint64), kind="stable")
        return order, lcn[order]
    packed = (lcn << row_bits).view(np.uint64)
    packed |= np.arange(len(lcn), dtype=np.uint64)
    packed.sort()  # as unsigned numbers, -1 is behind every cluster
    numbers = packed.view(np.int64)
    return numbers & ((1 << row_bits) - 1), numbers >> row_bits


def build_names(rows: Rows, owners: Owners, paths: PathBuilder) -> pa.Table:
    """The ``names`` table."""
    owner = owners.of_record[rows.pop("name_record")]
    names = text_array(rows.pop("name_offsets"), rows.pop("name_blob"))
    columns = {name: rows.pop(name) for name in ("parent", "parent_sequence", "namespace")}
    order = order_by_owner(owner) if owners.has_extensions else None
    if order is not None:
        owner = owner[order]
        names = take(names, order)
        _reorder(columns, order)
    names = paths.escape_dots(owner, names)
    sequence_of = np.full(rows.record_count, -1, np.int32)
    sequence_of[rows["record"][owners.base_rows]] = rows["sequence"][owners.base_rows]
    path = paths.build(owner, columns, names, sequence_of)
    return arrow_table(
        [owner.view(np.uint64), columns["parent"].view(np.uint64), columns["namespace"], names,
         path],
        NAMES,
    )  # fmt: skip


def build_files(
    rows: Rows, owners: Owners, name_paths: pa.LargeStringArray,
    data: dict[str, npt.NDArray[Any]], paths: PathBuilder,
) -> pa.Table:  # fmt: skip
    """The ``files`` table: one row an in-use base record, in record order.

    Args:
        rows: of the $MFT.
        owners: of its records.
        name_paths: the path of every name.
        data: from ``unnamed_data``.
        paths: made those paths.
    """
    whole = len(owners.base_rows) == len(rows["record"])

    def base(name: str) -> npt.NDArray[Any]:
        return rows.pop(name) if whole else rows.pop(name)[owners.base_rows]

    record = base("record").astype(np.int64)
    files = {
        "record": record.view(np.uint64),
        "sequence": base("sequence"),
        "path": paths.of_files(record, name_paths),
        "is_directory": (base("flags") & layout.RECORD_IS_DIRECTORY) != 0,
        "hard_links": base("hard_links"),
        "attributes": base("attributes"),
        **{name: _timestamps(base(name)) for name in TIMES},
        "lsn": base("lsn"),
        **data,
    }
    return arrow_table([files.pop(name) for name in FILES.names], FILES)


def _timestamps(nanoseconds: I64) -> pa.Array:
    missing = nanoseconds == NO_TIME
    if missing.any():
        present = pa.py_buffer(np.packbits(~missing, bitorder="little"))
        return pa.Array.from_buffers(
            TIMESTAMP, len(nanoseconds), [present, pa.py_buffer(nanoseconds)]
        )
    return pa.Array.from_buffers(TIMESTAMP, len(nanoseconds), [None, pa.py_buffer(nanoseconds)])


def unnamed_data(
    rows: Rows, owners: Owners, streams: pa.Table, extents: pa.Table
) -> dict[str, npt.NDArray[Any]]:
    """Sizes and flags of each file's unnamed $DATA, (files,) each, zero where there is none."""
    record = rows["record"][owners.base_rows].astype(np.int64)
    name_offsets = text_buffers(streams["attribute_name"].chunk(0))[0]
    is_data = numpy_values(streams["attribute_type"]) == AttributeType.DATA
    is_data &= name_offsets[1:] == name_offsets[:-1]
    chosen = np.flatnonzero(is_data).astype(np.int32)
    place = np.full(rows.record_count, -1, np.int32)
    place[record] = np.arange(len(record), dtype=np.int32)
    to = place[numpy_values(streams["record"])[chosen].view(np.int64)]
    del place, is_data

    def spread(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = np.zeros(len(record), column.dtype)
        values[to] = column
        return values

    real = numpy_values(extents["stream"])[: _count_real(extents)]
    runs = np.bincount(real, minlength=len(streams)).astype(np.int32)[chosen]
    flags = spread(numpy_values(streams["flags"])[chosen])
    return {
        "size_bytes": spread(numpy_values(streams["data_bytes"])[chosen]),
        "allocated_bytes": spread(numpy_values(streams["allocated_bytes"])[chosen]),
        "extents": spread(runs),
        "resident": spread(numpy_values(streams["resident"])[chosen]),
        "compressed": (flags & layout.ATTRIBUTE_COMPRESSED) != 0,
        "sparse": (flags & layout.ATTRIBUTE_SPARSE) != 0,
        "encrypted": (flags & layout.ATTRIBUTE_ENCRYPTED) != 0,
    }


def _count_real(extents: pa.Table) -> int:
    """Rows that are no holes; the holes are last."""
    lcn = numpy_values(extents["lcn"]).view(np.uint64)
    return int(np.searchsorted(lcn, np.uint64(1 << 63)))
