"""The numbers behind the disk map: a range of clusters as a grid of cells, in three colourings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbtk.errors import UsageError
from sbtk.extents import kernels, runs
from sbtk.extents.map import ExtentMap
from sbtk.extents.occupancy import cell_bounds, runs_occupancy
from sbtk.extents.runs import Runs

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
Mode = Literal["occupancy", "fragmentation", "age"]

MODES: tuple[Mode, ...] = get_args(Mode)
MOST_FRAGMENTS = 64
MOST_DAYS = 3650.0
_MIN_CELL_PX, _MAX_CELL_PX = 5, 22
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Legend:
    """How a colouring is read.

    Attributes:
        title: what the colour says.
        low, high: what the two ends of the scale stand for.
        unit: what ``Frame.value`` counts.
    """

    title: str
    low: str
    high: str
    unit: str


LEGENDS: dict[Mode, Legend] = {
    "occupancy": Legend("share of the cell in use", "little", "all", "%"),
    "fragmentation": Legend(
        "fragments of the files in it (mean)", "1", f"{MOST_FRAGMENTS} or more", "fragments"
    ),
    "age": Legend("time since the last change (mean)", "new", "10 years or more", "days"),
}


@dataclass(frozen=True)
class Grid:
    """How many cells a picture has room for, and how large they are.

    Attributes:
        columns, rows: of the grid; the last row may be short.
        cells: cells shown.
        cell_px: edge of a cell.
    """

    columns: int
    rows: int
    cells: int
    cell_px: int


@dataclass(frozen=True)
class Frame:
    """One picture of the map; arrays have one entry a cell, row by row.

    Attributes:
        first_lcn, last_lcn: the clusters shown, both included.
        grid: the cells.
        mode: the colouring.
        bounds_lcn: (cells + 1,) where each cell begins.
        used_clusters: (cells,) clusters that files own.
        value: (cells,) float32, in the unit of the legend; 0 where the cell is free.
        shade: (cells,) uint8, 0 free, else 1 to 255 along the scale.
    """

    first_lcn: int
    last_lcn: int
    grid: Grid
    mode: Mode
    bounds_lcn: Int64Array
    used_clusters: Int64Array
    value: NDArray[np.float32]
    shade: NDArray[np.uint8]


def choose_grid(clusters: int, width_px: int, height_px: int) -> Grid:
    """The smallest cells, at least ``_MIN_CELL_PX`` wide, that do not outnumber the clusters."""
    cell_px = _MIN_CELL_PX
    while cell_px < _MAX_CELL_PX and (width_px // cell_px) * (height_px // cell_px) > clusters:
        cell_px += 1
    columns = max(width_px // cell_px, 1)
    cells = min(columns * max(height_px // cell_px, 1), clusters)
    return Grid(columns, -(-cells // columns), cells, cell_px)


class CellMap:
    """Frames of one volume; what a colouring needs of all runs is added up once and kept.

    A second colouring and every zoom cost a bisection for each cell's limits, whatever the number
    of extents.
    """

    def __init__(self, extent_map: ExtentMap) -> None:
        self.extent_map = extent_map
        self._sums: dict[Mode, Float64Array] = {}

    @property
    def total_clusters(self) -> int:
        """Clusters of the volume; of a bare $MFT, up to its last run."""
        total = self.extent_map.volume.total_clusters
        real = self.extent_map.real_rows
        if total or not real:
            return max(total, 1)
        return int((self.extent_map.lcn[:real] + self.extent_map.clusters[:real]).max())

    @cached_property
    def _held(self) -> tuple[Runs, Int64Array]:
        """Disjoint runs and the stream of each: a cluster with two owners counts once."""
        source = self.extent_map
        if source.pieces is not None:
            pieces = source.pieces
            return Runs(pieces.lcn, pieces.clusters), source.stream[pieces.row]
        real = slice(0, source.real_rows)
        return Runs(source.lcn[real], source.clusters[real]), source.stream[real]

    def frame(
        self,
        first_lcn: int,
        last_lcn: int,
        mode: Mode,
        *,
        width_px: int = 960,
        height_px: int = 400,
    ) -> Frame:
        """The clusters from ``first_lcn`` to ``last_lcn`` in as many cells as fit.

        Raises:
            UsageError: the range is empty or outside the volume, or there is no such colouring.
        """
        if mode not in MODES:
            raise UsageError(f"the map has no colouring {mode!r}", hint=f"Use {', '.join(MODES)}")
        if not 0 <= first_lcn <= last_lcn < self.total_clusters:
            raise UsageError(
                f"clusters {first_lcn} to {last_lcn} are no range of this volume",
                hint=f"It has clusters 0 to {self.total_clusters - 1}",
            )
        grid = choose_grid(last_lcn - first_lcn + 1, width_px, height_px)
        bounds = cell_bounds(first_lcn, last_lcn, grid.cells)
        used, value, level = self._levels(mode, bounds)
        shade = np.where(used > 0, 1 + np.rint(np.clip(level, 0, 1) * 254), 0).astype(np.uint8)
        return Frame(first_lcn, last_lcn, grid, mode, bounds, used, value.astype(np.float32), shade)

    def marked(self, frame: Frame, rows: Int64Array) -> NDArray[np.uint8]:
        """(cells,) 1 where a cell of the frame holds a cluster of these rows of ``extents``."""
        real = np.sort(rows[self.extent_map.lcn[rows] >= 0])
        held = runs.union(self.extent_map.lcn[real], self.extent_map.clusters[real])
        return self.marked_runs(frame, held)

    def marked_runs(self, frame: Frame, held: Runs) -> NDArray[np.uint8]:
        """(cells,) 1 where a cell of the frame holds a cluster of these runs."""
        return (runs_occupancy(held, frame.bounds_lcn) > 0).astype(np.uint8)

    def _levels(
        self, mode: Mode, bounds: Int64Array
    ) -> tuple[Int64Array, Float64Array, Float64Array]:
        """Per cell its used clusters, the value that hovering tells, and 0 to 1 on the scale."""
        held, stream = self._held
        if not len(held):
            none = np.zeros(bounds.size - 1)
            return none.astype(np.int64), none, none
        at = np.maximum(np.searchsorted(held.lcn, bounds, side="right") - 1, 0)
        into = np.clip(bounds - held.lcn[at], 0, held.clusters[at])
        used = np.diff(self._before[at] + into)
        if mode == "occupancy":
            share = used / np.maximum(np.diff(bounds), 1)
            return used, share * 100, share
        weight = self._fragments if mode == "fragmentation" else self._age_days
        if mode not in self._sums:
            self._sums[mode] = kernels.weighted_before(held.clusters, stream, weight)
        sums = np.diff(self._sums[mode][at] + into * weight[stream[at]])
        mean = sums / np.maximum(used, 1)
        if mode == "fragmentation":
            return used, mean, np.log2(np.maximum(mean, 1)) / np.log2(MOST_FRAGMENTS)
        return used, mean, np.log1p(np.maximum(mean, 0)) / np.log1p(MOST_DAYS)

    @cached_property
    def _before(self) -> Int64Array:
        """(runs + 1,) clusters in all runs before each."""
        return np.concatenate([[0], np.cumsum(self._held[0].clusters)])

    @cached_property
    def _fragments(self) -> NDArray[np.float32]:
        """(streams,) pieces of each stream; runs that follow one another on the disk count once."""
        source, real = self.extent_map, slice(0, self.extent_map.real_rows)
        pieces = kernels.pieces_of_streams(
            source.lcn[real], source.clusters[real], source.stream[real], source.vcn[real],
            len(source.owners),
        )  # fmt: skip
        return np.maximum(pieces, 1).astype(np.float32)

    @cached_property
    def _age_days(self) -> NDArray[np.float32]:
        """(streams,) days from each file's last change to the newest one; unknown is old."""
        column = self.extent_map.owners.table["modified"].combine_chunks()
        known = np.asarray(column.is_valid())
        time_ns = np.asarray(column.cast(pa.int64()).fill_null(0))
        newest_ns = int(time_ns[known].max()) if known.any() else 0
        days = np.where(known, (newest_ns - time_ns) / _DAY_NS, MOST_DAYS)
        return days.astype(np.float32)
