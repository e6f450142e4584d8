"""The data streams of a volume, sorted by what a tar can do with each, and their runs as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbtk.archive.manifest import Geometry
from sbtk.extents import runs
from sbtk.ntfs.columns import arrow_array, numpy_values
from sbtk.ntfs.layout import ATTRIBUTE_COMPRESSED, ATTRIBUTE_ENCRYPTED, AttributeType
from sbtk.ntfs.tables import Tables
from sbtk.plan.model import Int64Array

SECTOR_BYTES = 512
FIRST_USER_RECORD = 24

# What a stream becomes.
PLAIN = 0  # a member of its own, readable
RAW = 1  # a companion with its clusters as they are
LEFT = 2  # nothing of its own: its clusters are in the remainder

WHY = ("", "compressed", "encrypted", "cross-linked", "incomplete")
COMPRESSED, ENCRYPTED, CROSS_LINKED, INCOMPLETE = 1, 2, 3, 4


@dataclass(frozen=True)
class DataStreams:
    """All $DATA streams of users' files that are chosen, by row; runs by stream.

    Attributes:
        row: (s,) row of ``streams``.
        record: (s,) base record.
        name: (s,) attribute names; empty for the unnamed stream.
        resident: (s,) bool.
        data_bytes, valid_bytes: (s,) size, and how much of it was ever written.
        becomes: (s,) uint8, ``PLAIN``, ``RAW`` or ``LEFT``.
        why: (s,) uint8, index into ``WHY`` where it is not plain.
        first_run: (s + 1,) offsets into the runs.
        vcn, lcn, clusters: (r,) real runs of each stream, by vcn.
    """

    row: Int64Array
    record: Int64Array
    name: list[str]
    resident: NDArray[np.bool_]
    data_bytes: Int64Array
    valid_bytes: Int64Array
    becomes: NDArray[np.uint8]
    why: NDArray[np.uint8]
    first_run: Int64Array
    vcn: Int64Array
    lcn: Int64Array
    clusters: Int64Array


def data_streams(tables: Tables, geometry: Geometry, chosen_records: Int64Array) -> DataStreams:
    """Collect the $DATA streams of ``chosen_records`` (ascending)."""
    streams = tables.streams
    record = numpy_values(streams.column("record")).astype(np.int64)
    is_data = numpy_values(streams.column("attribute_type")) == AttributeType.DATA
    row = np.flatnonzero(is_data & _is_in(record, chosen_records))
    picked = streams.take(arrow_array(row))
    found = _runs_of(tables.extents, row)
    first_run, vcn, lcn, clusters = found.first_run, found.vcn, found.lcn, found.clusters
    flags = numpy_values(picked.column("flags"))
    resident = numpy_values(picked.column("resident"))
    data = numpy_values(picked.column("data_bytes"))
    valid = np.minimum(data, numpy_values(picked.column("initialized_bytes")))
    why = np.zeros(row.size, np.uint8)
    broken = _incomplete(found, valid, geometry)
    why[broken & ~resident] = INCOMPLETE
    why[_cross_linked(tables.extents, found)] = CROSS_LINKED
    why[(flags & ATTRIBUTE_COMPRESSED > 0) & ~resident & (why == 0)] = COMPRESSED
    why[(flags & ATTRIBUTE_ENCRYPTED > 0) & ~resident & (why == 0)] = ENCRYPTED
    becomes = np.where(why == 0, PLAIN, np.where(why <= ENCRYPTED, RAW, LEFT)).astype(np.uint8)
    # Holes of real runs have no clusters to carry: only runs with an lcn stay.
    stream_of = np.repeat(np.arange(row.size), np.diff(first_run))
    real = lcn >= 0
    counts = np.bincount(stream_of[real], minlength=row.size)
    return DataStreams(
        row=row,
        record=record[row],
        name=[text or "" for text in picked.column("attribute_name").to_pylist()],
        resident=resident,
        data_bytes=data,
        valid_bytes=np.where(resident, data, valid),
        becomes=becomes,
        why=why,
        first_run=np.concatenate([[0], np.cumsum(counts)]),
        vcn=vcn[real],
        lcn=lcn[real],
        clusters=clusters[real],
    )


def _is_in(values: Int64Array, ascending: Int64Array) -> NDArray[np.bool_]:
    if not ascending.size:
        return np.zeros(values.size, np.bool_)
    at = np.minimum(np.searchsorted(ascending, values), ascending.size - 1)
    return np.asarray(ascending[at] == values)


@dataclass(frozen=True)
class StreamRuns:
    """Runs, holes too, by stream and vcn; ``first_run`` is (s + 1,) offsets into the others."""

    first_run: Int64Array
    vcn: Int64Array
    lcn: Int64Array
    clusters: Int64Array


def _runs_of(extents: pa.Table, row: Int64Array) -> StreamRuns:
    stream = numpy_values(extents.column("stream"))
    mine = np.flatnonzero(_is_in(stream, row))
    vcn = numpy_values(extents.column("vcn"))[mine]
    order = np.lexsort((vcn, stream[mine]))
    mine = mine[order]
    first_run = np.searchsorted(stream[mine], np.append(row, np.iinfo(np.int64).max))
    return StreamRuns(
        first_run,
        vcn[order],
        numpy_values(extents.column("lcn"))[mine],
        numpy_values(extents.column("clusters"))[mine],
    )


def _incomplete(found: StreamRuns, valid: Int64Array, geometry: Geometry) -> NDArray[np.bool_]:
    """Streams whose runs leave a gap before their end, overlap, or lie outside of the volume."""
    first_run, vcn, lcn, clusters = found.first_run, found.vcn, found.lcn, found.clusters
    count = np.diff(first_run)
    stream_of = np.repeat(np.arange(count.size), count)
    expected = np.zeros(vcn.size, np.int64)
    expected[1:] = vcn[:-1] + clusters[:-1]
    has_runs = count > 0
    expected[first_run[:-1][has_runs]] = 0
    bad_run = (vcn != expected) | ((lcn >= 0) & (lcn + clusters > geometry.total_clusters))
    bad = np.zeros(count.size, np.bool_)
    bad[stream_of[bad_run]] = True
    covered = np.zeros(count.size, np.int64)
    last = first_run[1:][has_runs] - 1
    covered[has_runs] = (vcn[last] + clusters[last]) * geometry.cluster_bytes
    return bad | (covered < valid)


def _cross_linked(extents: pa.Table, own: StreamRuns) -> NDArray[np.bool_]:
    """Streams with a cluster that another run claims too."""
    first_run, lcn, clusters = own.first_run, own.lcn, own.clusters
    all_lcn = numpy_values(extents.column("lcn"))
    real = int(np.searchsorted(all_lcn < 0, True))
    twice = runs.shared(all_lcn[:real], numpy_values(extents.column("clusters"))[:real])
    found = np.zeros(first_run.size - 1, np.bool_)
    if len(twice):
        stream_of = np.repeat(np.arange(found.size), np.diff(first_run))
        first = np.searchsorted(twice.end_lcn, lcn, side="right")
        behind = np.searchsorted(twice.lcn, lcn + clusters, side="left")
        found[stream_of[(behind > first) & (lcn >= 0)]] = True
    return found


@dataclass(frozen=True)
class StreamBytes:
    """The data of one stream on the LUN, and the map of the file that it makes.

    Attributes:
        lun_start, length: (n,) ranges of the LUN, whole sectors.
        file_start, file_length: (m,) what of the file they hold, exact.
        is_sparse: some of the file is a hole.
    """

    lun_start: Int64Array
    length: Int64Array
    file_start: Int64Array
    file_length: Int64Array
    is_sparse: bool


def stream_bytes(streams: DataStreams, index: int, geometry: Geometry) -> StreamBytes:
    """Where the written data of a plain stream lies; what was never written is a hole."""
    part = slice(streams.first_run[index], streams.first_run[index + 1])
    at = streams.vcn[part] * geometry.cluster_bytes
    run_bytes = streams.clusters[part] * geometry.cluster_bytes
    valid = int(streams.valid_bytes[index])
    exact = np.minimum(run_bytes, valid - at)
    kept = exact > 0
    at, exact = at[kept], exact[kept]
    lun = streams.lcn[part][kept] * geometry.cluster_bytes + geometry.volume_start_bytes
    length = -(-exact // SECTOR_BYTES) * SECTOR_BYTES
    data_bytes = int(streams.data_bytes[index])
    is_sparse = int(exact.sum()) != data_bytes
    if not is_sparse or not at.size:
        return StreamBytes(lun, length, at, exact, is_sparse)
    # Touching pieces are one entry of the map.
    begins = np.ones(at.size, np.bool_)
    begins[1:] = at[1:] != at[:-1] + exact[:-1]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], at.size) - 1
    return StreamBytes(lun, length, at[first], at[last] + exact[last] - at[first], True)


def raw_bytes(
    streams: DataStreams, index: int, geometry: Geometry
) -> tuple[Int64Array, Int64Array]:
    """All clusters of a stream as ``(lun_start, length)``, in the order of the stream."""
    part = slice(streams.first_run[index], streams.first_run[index + 1])
    start = streams.lcn[part] * geometry.cluster_bytes + geometry.volume_start_bytes
    return start, streams.clusters[part] * geometry.cluster_bytes


def runs_text(streams: DataStreams, index: int) -> str:
    """The runs of a stream as a pax value: ``vcn:lcn+clusters`` with commas between."""
    part = slice(streams.first_run[index], streams.first_run[index + 1])
    rows = zip(
        streams.vcn[part].tolist(),
        streams.lcn[part].tolist(),
        streams.clusters[part].tolist(),
        strict=True,
    )
    return ",".join(f"{vcn}:{lcn}+{clusters}" for vcn, lcn, clusters in rows)
