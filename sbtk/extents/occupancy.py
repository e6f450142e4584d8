"""How full each part of a volume is: exact cluster counts, from cumulative sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbtk.errors import UsageError
from sbtk.extents.runs import Runs, clip

if TYPE_CHECKING:
    from sbtk.extents.map import ExtentMap

Int64Array = NDArray[np.int64]


def occupancy(extent_map: ExtentMap, first_lcn: int, last_lcn: int, cells: int) -> Int64Array:
    """Clusters that files own in each of ``cells`` parts of a range of clusters.

    The parts differ by at most one cluster: ``cell_bounds`` has their limits. A cluster with two
    owners counts once.

    Returns:
        (cells,) int64; their sum is what files own of the range.

    Raises:
        UsageError: the range is empty, or there are no cells.
    """
    bounds_lcn = cell_bounds(first_lcn, last_lcn, cells)
    if extent_map.overlaps:
        return runs_occupancy(extent_map.owned, bounds_lcn)
    real = slice(0, extent_map.real_rows)
    held = Runs(extent_map.lcn[real], extent_map.clusters[real])
    total_clusters = extent_map.volume.total_clusters or int(bounds_lcn[-1])
    return runs_occupancy(clip(held, total_clusters), bounds_lcn)


def cell_bounds(first_lcn: int, last_lcn: int, cells: int) -> Int64Array:
    """(cells + 1,) where each of ``cells`` equal parts of a range, both ends included, begins."""
    if cells < 1 or last_lcn < first_lcn:
        raise UsageError(
            f"clusters {first_lcn} to {last_lcn} cannot be shown in {cells} cells",
            hint="Give at least one cluster and one cell",
        )
    clusters = last_lcn + 1 - first_lcn
    part, rest = divmod(clusters, cells)
    index = np.arange(cells + 1, dtype=np.int64)
    return first_lcn + index * part + index * rest // cells


def runs_occupancy(runs: Runs, bounds_lcn: Int64Array) -> Int64Array:
    """Clusters of ``runs``, which may touch, between neighbours of ascending ``bounds_lcn``."""
    if len(runs) == 0:
        return np.zeros(bounds_lcn.size - 1, np.int64)
    row = np.searchsorted(runs.lcn, bounds_lcn, side="right") - 1
    before = np.concatenate([[0], np.cumsum(runs.clusters)])
    at = np.maximum(row, 0)
    into = np.clip(bounds_lcn - runs.lcn[at], 0, runs.clusters[at])
    return np.diff(np.where(row >= 0, before[at] + into, 0))
