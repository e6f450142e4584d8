"""Which run holds a cluster, and overlapping runs cut into pieces: Numba, or NumPy as its twin.

``settings().kernels`` chooses; both give the same arrays (a test compares them). Numba is imported
on the first call that is large enough to pay for it, so that one look-up in a saved map stays at
milliseconds.
"""

from __future__ import annotations

from types import ModuleType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sbtk.extents import loops

Int64Array = NDArray[np.int64]
Int32Array = NDArray[np.int32]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
_Number = TypeVar("_Number", np.int64, np.float32)

# Below this many queries the NumPy twin is done before Numba would be imported.
COMPILED_FROM = 50_000


def find_runs(lcn: Int64Array, clusters: Int64Array, query_lcn: Int64Array) -> Int64Array:
    """The run that each cluster lies in.

    Args:
        lcn: (n,) first clusters of disjoint runs, ascending.
        clusters: (n,) clusters of each run, at least 1.
        query_lcn: (m,) clusters to look up, any order, any value.

    Returns:
        (m,) index of the run, -1 where none holds the cluster. O(log n) a query; sorted queries
        cost less because each search starts where the last one ended.
    """
    compiled = _compiled(query_lcn.size)
    if compiled is None or lcn.size == 0:
        return find_runs_numpy(lcn, clusters, query_lcn)
    found = np.empty(query_lcn.size, np.int64)
    lcn, clusters, query_lcn = _frozen(lcn), _frozen(clusters), _frozen(query_lcn)
    if compiled.is_sorted(query_lcn):
        compiled.find_sorted(lcn, clusters, query_lcn, found)
        return found
    first_lcn, span_clusters = int(lcn[0]), int(lcn[-1] - lcn[0])
    shift = (span_clusters // lcn.size).bit_length()  # about one run a bucket
    starts = np.empty((span_clusters >> shift) + 2, np.int64)
    compiled.bucket_starts(lcn, first_lcn, shift, starts)
    compiled.find_bucketed(lcn, clusters, first_lcn, shift, _frozen(starts), query_lcn, found)
    return found


def find_runs_numpy(lcn: Int64Array, clusters: Int64Array, query_lcn: Int64Array) -> Int64Array:
    """``find_runs`` without Numba; the same arguments and result."""
    if lcn.size == 0:
        return np.full(query_lcn.size, -1, np.int64)
    row = np.searchsorted(lcn, query_lcn, side="right").astype(np.int64, copy=False) - 1
    candidate = np.maximum(row, 0)
    row[(row < 0) | (query_lcn - lcn[candidate] >= clusters[candidate])] = -1
    return row


def flatten_runs(
    lcn: Int64Array, clusters: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Cut overlapping runs into disjoint pieces with one owner each.

    The owner of a cluster is the run that starts last; of those the shortest; of those the one
    with the lowest row. A run that is damaged and claims half the volume so takes nothing from
    the files inside it.

    Args:
        lcn: (n,) first clusters, ascending.
        clusters: (n,) clusters of each run, at least 1.

    Returns:
        ``(piece_lcn, piece_clusters, piece_row)``, at most 2n - 1 pieces, ascending and disjoint,
        covering the union of the runs; ``piece_row`` is the owner of each.
    """
    end_lcn = lcn + clusters
    row = np.arange(lcn.size, dtype=np.int64)
    alone = _alone(lcn, end_lcn)
    mixed = row[~alone]
    mixed = mixed[np.lexsort((-mixed, -clusters[mixed], lcn[mixed]))]
    cut_lcn, cut_end, cut_row = _sweep(lcn[mixed], end_lcn[mixed])
    piece_lcn = np.concatenate([lcn[alone], cut_lcn])
    order = np.argsort(piece_lcn, kind="stable")
    piece_clusters = np.concatenate([clusters[alone], cut_end - cut_lcn])
    piece_row = np.concatenate([row[alone], mixed[cut_row]])
    return piece_lcn[order], piece_clusters[order], piece_row[order]


def _alone(lcn: Int64Array, end_lcn: Int64Array) -> NDArray[np.bool_]:
    """Which runs share no cluster with another."""
    reached_lcn = np.maximum.accumulate(end_lcn)
    begins = np.ones(lcn.size + 1, np.bool_)  # no earlier run reaches into this one
    begins[1:-1] = lcn[1:] >= reached_lcn[:-1]
    return begins[:-1] & begins[1:]


def _sweep(lcn: Int64Array, end_lcn: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    if lcn.size == 0:
        return lcn, end_lcn, lcn
    stack = np.empty(lcn.size, np.int64)
    piece_lcn, piece_end, piece_row = (np.empty(2 * lcn.size, np.int64) for _ in range(3))
    # The twin of this loop is the loop itself, on the few runs that overlap.
    sweep = (_compiled(lcn.size) or loops).sweep
    count = sweep(_frozen(lcn), _frozen(end_lcn), stack, piece_lcn, piece_end, piece_row)
    return piece_lcn[:count], piece_end[:count], piece_row[:count]


def pieces_of_streams(
    lcn: Int64Array, clusters: Int64Array, stream: Int64Array, vcn: Int64Array, streams: int
) -> Int32Array:
    """In how many pieces each stream lies.

    Args:
        lcn: (n,) first clusters, ascending.
        clusters: (n,) of each run.
        stream: (n,) whose it is.
        vcn: (n,) where it begins in its stream.
        streams: how many streams there are.

    Returns:
        (streams,) pieces; 0 for a stream without runs. Of 32 bits, because the rows go through
        the streams in no order: what is half as large is twice as often in the cache.
    """
    pieces = np.zeros(streams, np.int32)
    compiled = _compiled(lcn.size)
    if compiled is not None:
        compiled.count_pieces(
            _frozen(lcn), _frozen(clusters), _frozen(stream), _frozen(vcn), pieces
        )
        return pieces
    touching = np.flatnonzero(lcn[1:] == lcn[:-1] + clusters[:-1])
    on = (stream[touching + 1] == stream[touching]) & (vcn[touching + 1] > vcn[touching])
    pieces += np.bincount(stream, minlength=streams).astype(np.int32)
    return pieces - np.bincount(stream[touching[on]], minlength=streams).astype(np.int32)


def weighted_before(clusters: Int64Array, stream: Int64Array, weight: Float32Array) -> Float64Array:
    """Clusters times the weight of their stream, added up over the runs.

    Args:
        clusters: (n,) of each run.
        stream: (n,) whose it is.
        weight: (streams,) of each stream.

    Returns:
        (n + 1,) sum over all runs before each, and over all.
    """
    compiled = _compiled(clusters.size)
    if compiled is None:
        return np.concatenate([[0.0], np.cumsum(clusters * weight[stream].astype(np.float64))])
    before = np.empty(clusters.size + 1)
    compiled.weigh_runs(_frozen(clusters), _frozen(stream), _frozen(weight), before)
    return before


def _compiled(items: int) -> ModuleType | None:
    if items < COMPILED_FROM:
        return None
    from sbtk.settings import settings

    if settings().kernels != "numba":
        return None
    from sbtk.extents import kernels_numba

    return kernels_numba


def _frozen(values: NDArray[_Number]) -> NDArray[_Number]:
    """A read-only view: mapped and owned arrays then share one compiled specialisation."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view
