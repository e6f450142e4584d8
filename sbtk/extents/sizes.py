"""Sizes of non-resident streams that contradict their runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from sbtk.extents.map import ExtentMap
from sbtk.ntfs.layout import ATTRIBUTE_COMPRESSED, ATTRIBUTE_SPARSE
from sbtk.units import format_count, plural

Int64Array = NDArray[np.int64]


def size_contradictions(
    extent_map: ExtentMap, limit: int, skip_records: Collection[int]
) -> Iterator[tuple[int, str, str]]:
    """Streams whose sizes and runs cannot both be right.

    Args:
        extent_map: the volume.
        limit: findings of one code; one more, with stream -1, then sums up the rest.
        skip_records: records that were reported already: their runs are not what they were.

    Yields:
        ``(stream, code, message)``.
    """
    owners, cluster_bytes = extent_map.owners, extent_map.volume.cluster_bytes
    if cluster_bytes == 0:  # a bare $MFT does not tell
        return
    judged = ~np.asarray(owners.table["resident"]).astype(np.bool_)
    judged &= ~np.isin(owners.record, list(skip_records))
    data, allocated, initialized = (
        owners.column(f"{name}_bytes") for name in ("data", "allocated", "initialized")
    )
    covered, gap, twice, holes = _coverage(extent_map)
    # In clusters: a sparse file may be so large that its bytes overflow.
    differs = (allocated // cluster_bytes != covered) | (allocated % cluster_bytes != 0)
    flagged = (owners.column("flags") & (ATTRIBUTE_SPARSE | ATTRIBUTE_COMPRESSED)) != 0
    whole = ~gap & ~twice
    checks: tuple[tuple[str, NDArray[np.bool_], Callable[[int], str]], ...] = (
        ("vcn-gap", gap, lambda _: "its runs leave out clusters of the stream"),
        ("vcn-twice", twice, lambda _: "two of its runs hold the same cluster of the stream"),
        (
            "allocated-differs",
            whole & differs,
            lambda s: (
                f"its allocated size is {_bytes(allocated[s])}, its runs cover "
                f"{_bytes(int(covered[s]) * cluster_bytes)}"
            ),
        ),
        (
            "data-exceeds",
            whole & ~differs & (data > allocated),
            lambda s: (
                f"its size is {_bytes(data[s])}, more than the {_bytes(allocated[s])} "
                "allocated to it"
            ),
        ),
        (
            "initialized-exceeds",
            initialized > data,
            lambda s: (
                f"{_bytes(initialized[s])} are initialised, more than its size of {_bytes(data[s])}"
            ),
        ),
        (
            "hole-unflagged",
            holes & ~flagged & ~owners.bad_clusters,
            lambda _: "its runs have holes, but it is neither sparse nor compressed",
        ),
    )
    for code, wrong, say in checks:
        streams = np.flatnonzero(wrong & judged)
        for stream in streams[:limit].tolist():
            yield stream, code, say(stream)
        if streams.size > limit:
            yield -1, code, f"{plural(int(streams.size) - limit, 'more stream')} of this kind"


def _coverage(
    extent_map: ExtentMap,
) -> tuple[Int64Array, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """By stream: clusters up to its last run, whether there are gaps, doubles, holes."""
    streams = len(extent_map.owners)
    rows = extent_map.file_order
    stream, vcn = extent_map.stream[rows], extent_map.vcn[rows]
    end_vcn = vcn + extent_map.clusters[rows]
    covered = np.zeros(streams, np.int64)
    last = extent_map.stream_starts[1:] - 1
    filled = np.diff(extent_map.stream_starts) > 0
    covered[filled] = end_vcn[last[filled]]
    expected_vcn = np.zeros(vcn.size, np.int64)
    follows = np.zeros(vcn.size, np.bool_)
    follows[1:] = stream[1:] == stream[:-1]
    expected_vcn[1:] = np.where(follows[1:], end_vcn[:-1], 0)
    flags = []
    for rows_hit in (vcn > expected_vcn, vcn < expected_vcn, extent_map.lcn[rows] < 0):
        by_stream = np.zeros(streams, np.bool_)
        by_stream[stream[rows_hit]] = True
        flags.append(by_stream)
    return covered, flags[0], flags[1], flags[2]


def _bytes(count: np.int64 | int) -> str:
    return f"{format_count(int(count))} B"
