"""Look-ups as DataFrames: rows of the map with the names that people know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.extents.map import ExtentMap, Unit

Int64Array = NDArray[np.int64]


def owner_frame(extent_map: ExtentMap, places: Int64Array, unit: Unit) -> pd.DataFrame:
    """One row a place: ``ExtentMap.owner_of`` describes the columns."""
    lcn, rest_bytes = extent_map.to_lcn(places, unit)
    row = extent_map.owner_rows(lcn)
    stream, at = _streams(extent_map, row)
    frame = extent_map.owners.frame(
        stream, ["path", "stream_name", "record", "compression_unit", "data_bytes"]
    )
    vcn = lcn - extent_map.lcn[at] + extent_map.vcn[at] if at.size and row.max() >= 0 else lcn
    unit_clusters = np.left_shift(1, frame.pop("compression_unit").fillna(0).to_numpy(np.int64))
    compressed = unit_clusters > 1
    # A compressed stream's clusters hold compressed bytes: only the unit's start is known.
    at_vcn = np.where(compressed, vcn // unit_clusters * unit_clusters, vcn)
    offset_bytes = at_vcn * extent_map.volume.cluster_bytes + np.where(compressed, 0, rest_bytes)
    owned = row >= 0
    known = owned & (extent_map.volume.cluster_bytes > 0)
    slack = known & (offset_bytes >= frame.pop("data_bytes").fillna(0).to_numpy(np.int64))
    frame.insert(0, "lcn", lcn)
    if unit == "lcn":
        frame["lcn"] = places
    else:
        frame.insert(0, unit, places)
    frame["vcn"] = _nullable(vcn, owned)
    frame["file_offset_bytes"] = _nullable(offset_bytes, known)
    frame["slack"] = slack
    frame["owners"] = _owner_count(extent_map, lcn)
    frame["row"] = row
    frame["allocated"] = pd.Series(_allocated(extent_map, lcn), frame.index, dtype="boolean")
    return frame


def extent_frame(extent_map: ExtentMap, rows: Int64Array) -> pd.DataFrame:
    """One row an extent: path, stream_name, record, vcn, lcn (-1 a hole), clusters, row."""
    frame = extent_map.owners.frame(extent_map.stream[rows], ["path", "stream_name", "record"])
    for name in ("vcn", "lcn", "clusters"):
        frame[name] = getattr(extent_map, name)[rows]
    frame["row"] = rows
    return frame


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts of plain values, None where one is missing: for JSON and for people."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _streams(extent_map: ExtentMap, row: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Stream number of each row, -1 for row -1; and the rows with -1 replaced by 0."""
    at = np.maximum(row, 0)
    if extent_map.stream.size == 0:
        return row, at
    return np.where(row >= 0, extent_map.stream[at], -1), at


def _owner_count(extent_map: ExtentMap, lcn: Int64Array) -> Int64Array:
    """How many runs hold each cluster: those that start at or before it less those that end."""
    real_lcn = extent_map.lcn[: extent_map.real_rows]
    if not extent_map.overlaps:
        return (extent_map.owner_rows(lcn) >= 0).astype(np.int64)
    end_lcn = np.sort(real_lcn + extent_map.clusters[: extent_map.real_rows])
    started = np.searchsorted(real_lcn, lcn, side="right")
    return started - np.searchsorted(end_lcn, lcn, side="right")


def _allocated(extent_map: ExtentMap, lcn: Int64Array) -> NDArray[np.bool_] | None:
    return None if extent_map.allocated is None else extent_map.is_allocated(lcn)


def _nullable(values: Int64Array, valid: NDArray[np.bool_]) -> pd.Series[int]:
    return pd.Series(pd.arrays.IntegerArray(values.copy(), ~valid))
