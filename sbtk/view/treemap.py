"""Where the space is: folders as rectangles whose areas are their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.extents.groups import folder_of
from sbtk.ntfs.tables import Tables

REST = "(other folders)"
ROOT = "(root folder and NTFS itself)"


@dataclass(frozen=True)
class Tile:
    """One rectangle; places and edges are shares of the whole picture.

    Attributes:
        name: folder.
        size_bytes: of all files below it, or of what its inner tiles leave.
        x, y, width, height: where it is.
        depth: 0 for the outer folders.
        order: its place among all, the largest first.
    """

    name: str
    size_bytes: int
    x: float
    y: float
    width: float
    height: float
    depth: int
    order: int


def folder_sizes(tables: Tables, depth: int = 1) -> pd.DataFrame:
    """Folders with the files and bytes on disk below them, the largest first.

    Args:
        tables: a scan.
        depth: how many folders of a path count; "." holds what lies in the root itself.

    Returns:
        Columns: folder, files, size_bytes, on_disk_bytes, share (of all bytes on disk).
    """
    frame = tables.files.select(["path", "is_directory", "size_bytes"]).to_pandas()
    frame["on_disk_bytes"] = on_disk_bytes(tables)
    frame["folder"] = folder_of(frame["path"], depth)
    frame["files"] = (~frame["is_directory"].astype(bool)).astype(np.int64)
    sums: pd.DataFrame = frame.groupby("folder")[["files", "size_bytes", "on_disk_bytes"]].sum()
    sums["share"] = sums["on_disk_bytes"] / max(int(sums["on_disk_bytes"].sum()), 1)
    sums = sums.reset_index()
    order = ["on_disk_bytes", "folder"]
    return sums.sort_values(order, ascending=[False, True], ignore_index=True)


def on_disk_bytes(tables: Tables) -> NDArray[np.int64]:
    """(files,) bytes of the clusters that each file owns; holes take none."""
    record = tables.files["record"].to_numpy()
    owner = tables.extents["record"].to_numpy()
    clusters = np.where(tables.extents["lcn"].to_numpy() >= 0, tables.extents["clusters"], 0)
    row = np.searchsorted(record, owner)
    known = row < record.size
    known[known] = record[row[known]] == owner[known]
    found = np.bincount(row[known], weights=clusters[known], minlength=record.size)
    return found.astype(np.int64) * tables.volume.cluster_bytes


def tiles(tables: Tables, *, most: int = 14, inner: int = 8) -> list[Tile]:
    """Two levels of folders, the largest ones; what is left of a level is one tile of its own."""
    outer = _largest(folder_sizes(tables, 1), most)
    deep = folder_sizes(tables, 2)
    found: list[Tile] = []
    for order, (name, size, box) in enumerate(_squarify(outer, (0.0, 0.0, 1.0, 1.0))):
        below = deep[deep["folder"].str.startswith(f"{name}/")]
        parts = _largest(below, inner)
        rest = size - sum(part for _, part in parts)
        if not parts or rest < 0 or box[2] * box[3] < 0.02:
            found.append(Tile(name, size, *box, 0, order))
            continue
        if rest:
            parts.append((f"{name}: the rest", rest))
        found += [
            Tile(part, part_size, *part_box, 1, order)
            for part, part_size, part_box in _squarify(parts, box)
        ]
    return found


Box = tuple[float, float, float, float]


def _largest(frame: pd.DataFrame, most: int) -> list[tuple[str, int]]:
    sized = frame[frame["on_disk_bytes"] > 0]
    head = sized.head(most)
    names, sizes = head["folder"].tolist(), head["on_disk_bytes"].tolist()
    pairs = [
        (ROOT if name == "." else str(name), int(size))
        for name, size in zip(names, sizes, strict=True)
    ]
    rest = int(sized["on_disk_bytes"].sum()) - sum(size for _, size in pairs)
    return [*pairs, (REST, rest)] if rest else pairs


def _squarify(parts: Sequence[tuple[str, int]], box: Box) -> list[tuple[str, int, Box]]:
    """Lay out parts, the largest first, as squares as far as that goes (Bruls et al., 2000)."""
    x, y, width, height = box
    left = sorted((part for part in parts if part[1] > 0), key=lambda part: -part[1])
    scale = width * height / max(sum(size for _, size in left), 1)
    found: list[tuple[str, int, Box]] = []
    while left:
        row, edge = 1, min(width, height)
        while row < len(left) and _worst(left[: row + 1], edge, scale) <= _worst(
            left[:row], edge, scale
        ):
            row += 1
        taken, left = left[:row], left[row:]
        thick = sum(size for _, size in taken) * scale / edge if edge > 0 else 0.0
        at = 0.0
        for name, size in taken:
            long = size * scale / thick if thick > 0 else 0.0
            place = (x, y + at, thick, long) if width >= height else (x + at, y, long, thick)
            found.append((name, size, place))
            at += long
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
    return found


def _worst(row: Sequence[tuple[str, int]], edge: float, scale: float) -> float:
    areas = [size * scale for _, size in row]
    total = sum(areas)
    if total <= 0 or edge <= 0:
        return float("inf")
    return max(edge**2 * max(areas) / total**2, total**2 / (edge**2 * min(areas)))
