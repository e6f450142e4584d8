"""From the rows of a whole $MFT to the tables: streams, extents, names, files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sbtk.ntfs import layout
from sbtk.ntfs.chunk import NO_TIME
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.owners import I64, Owners, join_pieces, order_by_owner
from sbtk.ntfs.paths import PathBuilder, text_array
from sbtk.ntfs.rows import Rows
from sbtk.ntfs.tables import EXTENTS, FILES, NAMES, STREAMS, TIMESTAMP


def build_streams(rows: Rows, owners: Owners, findings: FindingList) -> tuple[pa.Table, pa.Table]:
    """The ``streams`` and ``extents`` tables; takes their columns out of ``rows``."""
    owner = owners.of_record[rows.pop("stream_record")]
    piece_runs = rows.pop("runs")
    last_run = np.cumsum(piece_runs, dtype=np.int64)
    names = text_array(rows.pop("stream_offsets"), rows.pop("stream_blob"))
    columns: dict[str, npt.NDArray[Any]] = {
        name: rows.pop(name)
        for name in ("attribute_type", "resident", "attribute_flags", "data_bytes",
                     "allocated_bytes", "initialized_bytes", "compression_unit", "lowest_vcn")
    }  # fmt: skip
    end_vcn = _end_vcn(columns["lowest_vcn"], piece_runs, last_run, rows["vcn"], rows["clusters"])
    order = order_by_owner(owner) if owners.has_extensions else None
    place = np.arange(len(owner), dtype=np.int64)
    if order is not None:
        place = np.full(len(owner), -1, np.int64)
        place[order] = np.arange(len(order))
        owner, end_vcn = owner[order], end_vcn[order]
        names = names.take(pa.array(order))
        columns = {name: column[order] for name, column in columns.items()}
    pieces = join_pieces(
        owner, columns["attribute_type"], names, columns.pop("lowest_vcn"), columns["resident"],
        end_vcn, findings,
    )  # fmt: skip
    for name in ("data_bytes", "allocated_bytes", "initialized_bytes"):
        columns[name][pieces.no_start] = 0
    stream_of_head = np.cumsum(pieces.is_head) - 1
    # piece in record order -> its stream; -1 where its record has no owner
    stream_of_piece = np.where(place >= 0, stream_of_head[pieces.head[place]], -1)
    if not pieces.is_head.all():
        owner = owner[pieces.is_head]
        names = names.filter(pa.array(pieces.is_head))
        columns = {name: column[pieces.is_head] for name, column in columns.items()}
    streams = pa.table(
        [
            np.arange(len(owner), dtype=np.int64), owner.view(np.uint64),
            columns["attribute_type"], names, columns["resident"], columns["attribute_flags"],
            columns["data_bytes"], columns["allocated_bytes"], columns["initialized_bytes"],
            columns["compression_unit"],
        ],
        schema=STREAMS,
    )  # fmt: skip
    return streams, _build_extents(rows, np.repeat(stream_of_piece, piece_runs), streams)


def _end_vcn(
    lowest_vcn: I64, piece_runs: npt.NDArray[np.int32], last_run: I64, vcn: I64, clusters: I64
) -> I64:
    """VCN behind each piece's last run."""
    end = lowest_vcn.copy()
    some = np.flatnonzero(piece_runs)
    last = last_run[some] - 1
    end[some] = vcn[last] + clusters[last]
    return end


def _build_extents(rows: Rows, stream: I64, streams: pa.Table) -> pa.Table:
    vcn, lcn, clusters = rows.pop("vcn"), rows.pop("lcn"), rows.pop("clusters")
    # Holes last: as an unsigned number, -1 is behind every cluster.
    order = np.argsort(lcn.view(np.uint64), kind="stable")
    if (stream < 0).any():
        order = order[stream[order] >= 0]
    stream = stream[order]
    rows_of = pa.array(stream)
    names = pc.dictionary_encode(streams["attribute_name"].combine_chunks())
    attribute_name = pa.DictionaryArray.from_arrays(names.indices.take(rows_of), names.dictionary)
    return pa.table(
        [
            streams["record"].combine_chunks().take(rows_of), stream,
            streams["attribute_type"].combine_chunks().take(rows_of), attribute_name,
            vcn[order], lcn[order], clusters[order],
        ],
        schema=EXTENTS,
    )  # fmt: skip


def build_names(rows: Rows, owners: Owners, paths: PathBuilder) -> pa.Table:
    """The ``names`` table; takes its columns out of ``rows``."""
    owner = owners.of_record[rows.pop("name_record")]
    names = text_array(rows.pop("name_offsets"), rows.pop("name_blob"))
    parent, parent_sequence, namespace = (
        rows.pop("parent"), rows.pop("parent_sequence"), rows.pop("namespace"),
    )  # fmt: skip
    order = order_by_owner(owner) if owners.has_extensions else None
    if order is not None:
        owner, parent, parent_sequence, namespace = (
            owner[order], parent[order], parent_sequence[order], namespace[order],
        )  # fmt: skip
        names = names.take(pa.array(order))
    sequence_of = np.full(rows.record_count, -1, np.int32)
    sequence_of[rows["record"][owners.base_rows]] = rows["sequence"][owners.base_rows]
    path = paths.build(owner, parent, parent_sequence, namespace, names, sequence_of)
    return pa.table(
        [owner.view(np.uint64), parent.view(np.uint64), namespace, names, path], schema=NAMES
    )


def build_files(
    rows: Rows, owners: Owners, names: pa.Table, streams: pa.Table, extents: pa.Table,
    paths: PathBuilder,
) -> pa.Table:  # fmt: skip
    """The ``files`` table: one row an in-use base record, in record order."""
    at = owners.base_rows
    whole = len(at) == len(rows["record"])
    record = rows["record"] if whole else rows["record"][at]
    get = rows.pop if whole else lambda name: rows.pop(name)[at]
    flags, times = get("flags"), get("times")
    data = _unnamed_data(record, rows.record_count, streams, extents)
    columns: list[Any] = [
        record.view(np.uint64), get("sequence"), paths.of_files(record, names["path"].combine_chunks()),
        (flags & layout.RECORD_IS_DIRECTORY) != 0, data["size_bytes"], data["allocated_bytes"],
        data["extents"], data["resident"], data["compressed"], data["sparse"], data["encrypted"],
        get("hard_links"), get("attributes"),
        *(_timestamps(times[:, i]) for i in range(4)), get("lsn"),
    ]  # fmt: skip
    return pa.table(columns, schema=FILES)


def _timestamps(nanoseconds: I64) -> pa.Array:
    return pa.array(nanoseconds, mask=nanoseconds == NO_TIME).cast(TIMESTAMP)


def _unnamed_data(
    record: I64, record_count: int, streams: pa.Table, extents: pa.Table
) -> dict[str, npt.NDArray[Any]]:
    """Sizes and flags of each file's unnamed $DATA, (n,) each, zero where there is none."""
    is_data = pc.and_(
        pc.equal(streams["attribute_type"], pa.scalar(int(AttributeType.DATA), pa.uint32())),
        pc.equal(pc.binary_length(streams["attribute_name"]), 0),
    )
    rows = np.flatnonzero(is_data.to_numpy())
    place = np.full(record_count, -1, np.int64)
    place[record] = np.arange(len(record))
    to = place[streams["record"].to_numpy()[rows].view(np.int64)]
    real = extents["stream"].to_numpy()[: _count_real(extents)]
    runs = np.bincount(real, minlength=len(streams))
    flags = streams["flags"].to_numpy()[rows]
    values = {
        "size_bytes": streams["data_bytes"].to_numpy()[rows],
        "allocated_bytes": streams["allocated_bytes"].to_numpy()[rows],
        "extents": runs[rows].astype(np.int32),
        "resident": streams["resident"].to_numpy()[rows],
        "compressed": (flags & layout.ATTRIBUTE_COMPRESSED) != 0,
        "sparse": (flags & layout.ATTRIBUTE_SPARSE) != 0,
        "encrypted": (flags & layout.ATTRIBUTE_ENCRYPTED) != 0,
    }
    result = {}
    for name, column in values.items():
        spread = np.zeros(len(record), column.dtype)
        spread[to] = column
        result[name] = spread
    return result


def _count_real(extents: pa.Table) -> int:
    """Rows that are no holes; the holes are last."""
    lcn = extents["lcn"].to_numpy().view(np.uint64)
    return int(np.searchsorted(lcn, np.uint64(1 << 63)))
