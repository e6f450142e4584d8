"""The disk map: a volume as a picture of cells to zoom, hover and click; works offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import matplotlib as mpl
import numpy as np
import traitlets
from numpy.typing import NDArray

from sbtk.extents.map import ExtentMap
from sbtk.extents.runs import Runs
from sbtk.view.callbacks import guarded
from sbtk.view.cells import LEGENDS, MODES, CellMap, Frame, Mode

Int64Array = NDArray[np.int64]

HEIGHT_PX = 400
_MIN_WIDTH_PX = 240
_OVERVIEW_PX = 480
_HERE = Path(__file__).parent

Picked = Callable[[int, int], None]


def colour_table() -> NDArray[np.uint8]:
    """(256, 3) the scale of the map: cividis, which rises in lightness and has no red or green."""
    scale = mpl.colormaps["cividis"](np.arange(256))
    return np.asarray(np.rint(scale[:, :3] * 255), np.uint8)


class DiskMap(anywidget.AnyWidget):
    """The canvas; ``MapPanel`` puts the list of files beside it.

    Frames are one trait, so that numbers and picture change together. The browser asks by
    messages (show, pick, width), which tests send by calling the methods of the same names.
    """

    _esm = _HERE / "diskmap.js"
    _css = _HERE / "diskmap.css"

    total_clusters = traitlets.Int(1).tag(sync=True)
    cluster_bytes = traitlets.Int(0).tag(sync=True)
    modes = traitlets.List(list(MODES)).tag(sync=True)
    colours = traitlets.Bytes().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    overview = traitlets.Bytes().tag(sync=True)
    marks = traitlets.Bytes().tag(sync=True)
    marked_label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, extent_map: ExtentMap, *, on_pick: Picked, on_error: Callable[[str, str], None]
    ) -> None:
        """A map of the whole volume, coloured by occupancy.

        Args:
            extent_map: the volume.
            on_pick: called with the first and last cluster of a cell that is clicked.
            on_error: called with a message and its kind if something goes wrong.
        """
        self.cells = CellMap(extent_map)
        self._on_pick = on_pick
        self._on_error = on_error
        self._width_px = 960
        self._marked: Runs | None = None
        super().__init__(
            total_clusters=self.cells.total_clusters,
            cluster_bytes=extent_map.volume.cluster_bytes,
            colours=colour_table().tobytes(),
        )
        self.show(0, self.cells.total_clusters - 1, "occupancy")
        self.on_msg(self._receive)

    def say(self, text: str, kind: str = "info") -> None:
        """Hand a message to the panel."""
        self._on_error(text, kind)

    def show(self, first_lcn: int, last_lcn: int, mode: Mode) -> None:
        """Show a range of clusters in a colouring.

        Raises:
            UsageError: no such range, or no such colouring.
        """
        frame = self.cells.frame(
            first_lcn, last_lcn, mode, width_px=self._width_px, height_px=HEIGHT_PX
        )
        with self.hold_sync():
            if mode != self.frame.get("mode"):
                self.overview = self._overview(mode)
            self.current = frame
            self.marks = self._marks(frame)
            self.frame = _as_message(frame)

    def pick(self, first_lcn: int, last_lcn: int) -> None:
        """Tell the panel which clusters were clicked."""
        self._on_pick(first_lcn, last_lcn)

    def mark(self, held: Runs | None, label: str = "") -> None:
        """Light the cells that hold these clusters, and dim the others; None lights none."""
        self._marked = held
        with self.hold_sync():
            self.marked_label = label
            self.marks = self._marks(self.current)

    def width(self, px: int) -> None:
        """Fit the cells to the width of the page."""
        self._width_px = max(int(px), _MIN_WIDTH_PX)
        self.show(self.current.first_lcn, self.current.last_lcn, self.current.mode)

    @guarded
    def _receive(self, _: Any, content: dict[str, Any], __: Any) -> None:
        kind = content.get("type")
        if kind == "show":
            self.show(int(content["first"]), int(content["last"]), content["mode"])
        elif kind == "pick":
            self.pick(int(content["first"]), int(content["last"]))
        elif kind == "width":
            self.width(int(content["px"]))

    def _marks(self, frame: Frame) -> bytes:
        if self._marked is None:
            return b""
        return self.cells.marked_runs(frame, self._marked).tobytes()

    def _overview(self, mode: Mode) -> bytes:
        # One row of cells a pixel wide would be finer than choose_grid allows: ask for its cells.
        total = self.cells.total_clusters
        frame = self.cells.frame(0, total - 1, mode, width_px=_OVERVIEW_PX * 5, height_px=5)
        return frame.shade.tobytes()


def _as_message(frame: Frame) -> dict[str, Any]:
    legend = LEGENDS[frame.mode]
    return {
        "first_lcn": frame.first_lcn,
        "last_lcn": frame.last_lcn,
        "columns": frame.grid.columns,
        "rows": frame.grid.rows,
        "cells": frame.grid.cells,
        "cell_px": frame.grid.cell_px,
        "mode": frame.mode,
        "title": legend.title,
        "low": legend.low,
        "high": legend.high,
        "unit": legend.unit,
        "used": frame.used_clusters.astype(np.uint32).tobytes(),
        "value": frame.value.tobytes(),
        "shade": frame.shade.tobytes(),
    }
