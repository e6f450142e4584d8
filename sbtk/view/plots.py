"""Pictures as PNG: legible on a light and on a dark page, with their facts as text beside them.

Transparent ground, grey type of equal contrast on white and on black, and hues of Okabe and Ito
that survive colour blindness; what hue tells, position or words tell too.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from sbtk.units import format_bytes, format_count
from sbtk.view import html
from sbtk.view.cells import LEGENDS, Frame
from sbtk.view.diskmap import colour_table
from sbtk.view.treemap import Tile

INK = "#797979"  # 4.4 to 1 on white and on JupyterLab's dark ground alike
BLUE, ORANGE, GREEN, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
_DPI = 144
_TYPE_PT, _LABEL_PT = 9.5, 8.5
_MAP_IN = (9.6, 4.4)
_FREE = (0.55, 0.57, 0.6, 0.18)


class Picture:
    """A PNG to display, and what it shows in words: beneath it, for whoever cannot see it."""

    def __init__(self, figure: Figure, text: str) -> None:
        """Draw the figure once; the PNG is all that is kept."""
        FigureCanvasAgg(figure)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=_DPI, transparent=True)
        self.png = target.getvalue()
        self.text = text
        self._size = (figure.get_size_inches() * 100).round().astype(int)

    def _ipython_display_(self) -> None:
        """Show both: JupyterLab gives a PNG no text of its own, unlike the pages made of it."""
        data, about = self._repr_mimebundle_()
        display(data, metadata=about, raw=True)  # type: ignore[no-untyped-call]
        display(html.folded("The picture as text", self.text))  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = (int(pixels) for pixels in self._size)
        about = {"width": width, "height": height, "alt": self.text}
        return {"image/png": self.png, "text/plain": self.text}, {"image/png": about}

    def __repr__(self) -> str:
        return self.text


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(colors=INK, labelsize=_TYPE_PT)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.title.set_color(INK)


def disk_map(frame: Frame, cluster_bytes: int, marks: NDArray[np.uint8] | None = None) -> Picture:
    """The frame as it stands, with its scale; the static twin of the widget.

    Args:
        frame: from ``CellMap.frame``.
        cluster_bytes: bytes a cluster; 0 if unknown.
        marks: (cells,) 1 where a cell is to stand out.
    """
    grid = frame.grid
    cells = np.zeros(grid.columns * grid.rows, np.int64)
    cells[: grid.cells] = frame.shade
    colours = _scale()(cells / 255)
    colours[cells == 0] = _FREE
    colours[grid.cells :] = 0
    if marks is not None and marks.any():
        lit = np.flatnonzero(marks)
        colours[: grid.cells, 3] *= 0.3
        colours[lit] = (0.835, 0.369, 0.0, 1.0)
    figure, axes = _figure(9.6, 9.6 * grid.rows / grid.columns + 0.75)
    axes.imshow(colours.reshape(grid.rows, grid.columns, 4), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    legend = LEGENDS[frame.mode]
    used, clusters = int(frame.used_clusters.sum()), frame.last_lcn - frame.first_lcn + 1
    size = f", {format_bytes(clusters * cluster_bytes)}" if cluster_bytes else ""
    text = (
        f"Disk map, clusters {format_count(frame.first_lcn)} to {format_count(frame.last_lcn)}"
        f"{size}, row by row; {used / clusters:.1%} in use. Colour: {legend.title}, "
        f"from {legend.low} (light) to {legend.high} (dark); grey is free"
    )
    if marks is not None and marks.any():
        text += f"; {format_count(int(marks.sum()))} cells are marked"
    figure.text(0.005, 0.005, _wrapped(text), color=INK, fontsize=_TYPE_PT, va="bottom")
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0.11, 1, 0.89)))
    return Picture(figure, text)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    labels: Sequence[str],
    *,
    heading: str,
    colour: str = BLUE,
) -> Picture:
    """Bars to the right with their values written behind them, first on top."""
    figure, axes = _figure(7.2, 0.6 + 0.27 * max(len(names), 1))
    at = np.arange(len(names))
    axes.barh(at, values, color=colour, height=0.68)
    axes.set_yticks(at, [_short(name) for name in names])
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    top = max([*values, 1e-12])
    axes.set_xlim(0, top * 1.25)
    for row, (value, label) in enumerate(zip(values, labels, strict=True)):
        axes.text(value + top * 0.01, row, label, va="center", color=INK, fontsize=_TYPE_PT)
    axes.set_title(heading, loc="left", fontsize=10.5, color=INK)
    lines = [f"{name}: {label}" for name, label in zip(names, labels, strict=True)]
    return Picture(figure, f"{heading}\n" + "\n".join(lines))


def treemap(tiles: Sequence[Tile], heading: str) -> Picture:
    """Folders as areas; names where there is room, sizes in the text."""
    figure, axes = _figure(*_MAP_IN)
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)
    shades = _scale()
    largest = max((tile.depth for tile in tiles), default=1) or 1
    for tile in tiles:
        colour = shades(0.2 + 0.6 * (tile.order % 5) / 4)
        axes.add_patch(
            Rectangle((tile.x, tile.y), tile.width, tile.height, facecolor=colour,
                      edgecolor=INK, linewidth=1.6 - 0.8 * tile.depth / largest)
        )  # fmt: skip
        words = _fitting(tile.name, tile.width * _MAP_IN[0] * 72 - 9)
        if tile.height > 0.055 and words:
            bright = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 0.5
            if tile.height > 0.11:
                words += f"\n{format_bytes(tile.size_bytes)}"
            axes.text(tile.x + 0.006, tile.y + 0.012, words, va="top", fontsize=_LABEL_PT,
                      clip_on=True, color="#111111" if bright else "#ffffff")  # fmt: skip
    lines = [f"{tile.name}: {format_bytes(tile.size_bytes)}" for tile in tiles]
    axes.set_title(heading, loc="left", fontsize=10.5, color=INK)
    return Picture(figure, f"{heading}\n" + "\n".join(lines))


def size_histogram(size_bytes: NDArray[np.int64]) -> Picture:
    """How many files are how large, with the percentiles."""
    limits = [0, *(1 << power for power in range(9, 63, 3))]
    within = np.searchsorted(limits, size_bytes)  # a file of 4 KiB is one of "to 4 KiB"
    counts = np.bincount(within, minlength=2)
    names = ["empty"] + [f"to {format_bytes(limit)}" for limit in limits[1 : counts.size]]
    figure, axes = _figure(9.6, 3.0)
    at = np.arange(len(counts))
    axes.bar(at, counts, color=BLUE, width=0.8)
    axes.set_xticks(at, names, rotation=0 if len(names) < 9 else 30)
    axes.set_ylabel("files", fontsize=_TYPE_PT)
    for column, number in enumerate(counts):
        axes.text(column, number, format_count(number), ha="center", va="bottom", color=INK,
                  fontsize=_TYPE_PT)  # fmt: skip
    axes.margins(y=0.15)
    points = percentiles(size_bytes)
    words = ", ".join(f"{name} {format_bytes(value)}" for name, value in points.items())
    axes.set_title(f"Files by size; {words}", loc="left", fontsize=10.5, color=INK)
    lines = [f"{name}: {format_count(count)}" for name, count in zip(names, counts, strict=True)]
    return Picture(figure, f"Files by size; {words}\n" + "\n".join(lines))


def percentiles(values: NDArray[np.int64]) -> dict[str, int]:
    """Values that half, 90 and 99 percent of all do not exceed, and the largest."""
    if values.size == 0:
        return {}
    ranked = np.sort(values)
    points = {"half up to": 50, "90% up to": 90, "99% up to": 99, "largest": 100}
    return {name: int(ranked[-(-p * ranked.size // 100) - 1]) for name, p in points.items()}


def _scale() -> Colormap:
    """The map's scale, light to dark, with the end next to white left out."""
    return ListedColormap(colour_table()[215::-1] / 255.0)


def _fitting(name: str, width_pt: float) -> str:
    """As much of a folder's name as fits: all, its last part, or a cut; empty if not even that."""
    cuts = (_short(name, room) for room in range(len(name) - 1, 5, -1))
    for words in (_short(name, len(name)), f"…/{_short(name.rpartition('/')[2])}", *cuts):
        if TextPath((0, 0), words, size=_LABEL_PT).get_extents().width <= width_pt:
            return words
    return ""


def _short(name: str, room: int = 42) -> str:
    name = "".join(letter if letter.isprintable() else "?" for letter in name).replace("$", r"\$")
    return name if len(name) <= room else f"{name[: room // 3]}…{name[-(room * 2 // 3 - 1) :]}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 150))
