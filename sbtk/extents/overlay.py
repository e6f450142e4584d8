"""Two sets of run lists laid over each other: which stretches of which streams lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.extents import owners
from sbtk.extents.runs import order_by
from sbtk.ntfs.tables import Tables

Int64Array = NDArray[np.int64]

ABSENT = -2
"""lcn of a stretch that a stream does not have, as -1 is that of a hole."""

_IDENTITY = ["record", "sequence", "attribute_type", "stream_name"]


@dataclass(frozen=True)
class _Side:
    """The runs of one scan, by ``key`` (number of the stream in both scans) and vcn."""

    key: Int64Array
    vcn: Int64Array
    clusters: Int64Array
    lcn: Int64Array

    def take(self, rows: NDArray[np.bool_] | Int64Array) -> _Side:
        return _Side(self.key[rows], self.vcn[rows], self.clusters[rows], self.lcn[rows])


def changed_extents(before: Tables, after: Tables) -> pd.DataFrame:
    """Every stretch of a stream whose place on the disk differs between two scans.

    A stream is the same if record, sequence, attribute type and name are. How a run list is cut
    into runs does not matter, where the clusters lie does.

    Returns:
        Columns: record, sequence, path, stream_name, vcn, clusters, lcn_before, lcn_after (-1 a
        hole, missing where the stream has no such cluster); and, to be summed: moved (clusters
        real on both sides), mapped (all), new_clusters (clusters that the stream has now, where
        it did not have them). Sorted by record, stream and vcn.
    """
    (streams_after, rows_after), (streams_before, rows_before) = _read(after), _read(before)
    both = pd.concat([streams_after, streams_before], ignore_index=True)
    code = np.asarray(both.groupby(_IDENTITY, sort=False).ngroup(), np.int64)
    named = both.iloc[np.unique(code, return_index=True)[1]].reset_index(drop=True)
    side_after = _side(rows_after, code[: len(streams_after)])
    side_before = _side(rows_before, code[len(streams_after) :])
    changed = _changed_keys(side_before, side_after, len(named))
    key, vcn, clusters, lcn_before, lcn_after = _overlay(
        side_before.take(changed[side_before.key]), side_after.take(changed[side_after.key])
    )
    frame = named.iloc[key].reset_index(drop=True).drop(columns="attribute_type")
    frame["vcn"], frame["clusters"] = vcn, clusters
    for name, lcn in (("lcn_before", lcn_before), ("lcn_after", lcn_after)):
        frame[name] = pd.Series(pd.arrays.IntegerArray(lcn, lcn == ABSENT))
    frame["moved"] = np.where((lcn_before >= 0) & (lcn_after >= 0), clusters, 0)
    frame["mapped"] = clusters
    frame["new_clusters"] = np.where(lcn_after >= 0, clusters, 0)
    return frame.sort_values(["record", "stream_name", "vcn"], ignore_index=True)


def _read(tables: Tables) -> tuple[pd.DataFrame, _Side]:
    """Identity and path of each stream that has runs, and the runs with row numbers of these."""
    columns = ("stream", "vcn", "clusters", "lcn")
    runs = _Side(*(np.asarray(tables.extents[name].combine_chunks()) for name in columns))
    used = np.bincount(runs.key, minlength=tables.streams.num_rows) > 0
    streams, key = np.flatnonzero(used), (np.cumsum(used) - 1)[runs.key]
    wanted = ["record", "attribute_type", "path", "stream_name"]
    frame = owners.from_tables(tables).frame(streams, wanted)
    record = frame["record"].to_numpy(np.int64)
    files = tables.files
    sequence = pd.Series(
        np.asarray(files["sequence"].combine_chunks()).astype(np.int64),
        index=np.asarray(files["record"].combine_chunks()).astype(np.int64),
    )
    frame = frame.assign(record=record, sequence=sequence.reindex(record).fillna(0).to_numpy("i8"))
    frame = frame[["record", "sequence", "path", "stream_name", "attribute_type"]]
    return frame, _Side(key, runs.vcn, runs.clusters, runs.lcn)


def _side(runs: _Side, code: Int64Array) -> _Side:
    side = _Side(code[runs.key], runs.vcn, runs.clusters, runs.lcn)
    return side.take(order_by(side.key, side.vcn))


def _changed_keys(before: _Side, after: _Side, keys: int) -> NDArray[np.bool_]:
    """(keys,) whether the run lists differ; only these are worth laying over each other."""
    runs_before = np.bincount(before.key, minlength=keys)
    runs_after = np.bincount(after.key, minlength=keys)
    changed: NDArray[np.bool_] = runs_before != runs_after
    # With equal counts the rows of a key stand in the same places once the others are left out.
    one, other = before.take(~changed[before.key]), after.take(~changed[after.key])
    same = (one.vcn == other.vcn) & (one.clusters == other.clusters) & (one.lcn == other.lcn)
    changed[one.key[~same]] = True
    return changed


def _overlay(
    before: _Side, after: _Side
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]:
    """The stretches that differ: (key, vcn, clusters, lcn before, lcn after)."""
    vcns = np.unique(
        np.concatenate([edge for s in (before, after) for edge in (s.vcn, s.vcn + s.clusters)])
    )
    scale = max(vcns.size, 1)  # key and rank of the vcn fit one integer, any vcn does not
    edges = np.unique(
        np.concatenate(
            [
                s.key * scale + np.searchsorted(vcns, edge)
                for s in (before, after)
                for edge in (s.vcn, s.vcn + s.clusters)
            ]
        )
    )
    key, vcn = edges[:-1] // scale, vcns[edges[:-1] % scale]
    inside = key == edges[1:] // scale
    clusters = vcns[edges[1:] % scale] - vcn
    key, vcn, clusters = key[inside], vcn[inside], clusters[inside]
    lcn_before, lcn_after = (
        _place(
            side, side.key * scale + np.searchsorted(vcns, side.vcn), edges[:-1][inside], key, vcn
        )
        for side in (before, after)
    )
    differs = lcn_before != lcn_after
    return _joined(*(v[differs] for v in (key, vcn, clusters, lcn_before, lcn_after)))


def _place(
    side: _Side, starts: Int64Array, edges: Int64Array, key: Int64Array, vcn: Int64Array
) -> Int64Array:
    """Lcn of each stretch; ``starts`` and ``edges`` are key and rank of the vcn in one integer."""
    if starts.size == 0:
        return np.full(edges.size, ABSENT, np.int64)
    at = np.maximum(np.searchsorted(starts, edges, side="right") - 1, 0)
    into = vcn - side.vcn[at]
    held = (side.key[at] == key) & (into >= 0) & (into < side.clusters[at])
    return np.where(held, np.where(side.lcn[at] >= 0, side.lcn[at] + into, -1), ABSENT)


def _joined(
    key: Int64Array,
    vcn: Int64Array,
    clusters: Int64Array,
    lcn_before: Int64Array,
    lcn_after: Int64Array,
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]:
    """Neighbouring stretches that go on in the same way on both sides, as one."""
    goes_on = np.zeros(key.size, np.bool_)
    goes_on[1:] = (key[1:] == key[:-1]) & (vcn[1:] == vcn[:-1] + clusters[:-1])
    for lcn in (lcn_before, lcn_after):
        step = np.where(lcn[:-1] >= 0, clusters[:-1], 0)
        goes_on[1:] &= lcn[1:] == lcn[:-1] + step
    first = np.flatnonzero(~goes_on)
    total = np.add.reduceat(clusters, first) if first.size else clusters
    return key[first], vcn[first], total, lcn_before[first], lcn_after[first]
