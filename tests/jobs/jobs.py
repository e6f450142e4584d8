"""Backups of corpus volumes for tests, media for them, and what a restored volume must be."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import blake3
import numpy as np

import sbtk
from sbtk.extents import runs
from sbtk.jobs.results import JobResult
from sbtk.mover.cartridge import create_cartridge
from sbtk.ntfs.bitmap import bitmap_runs
from tests.corpus import manifest as corpus_manifest
from tests.corpus import volume
from tests.oracles.mount import mounted

MIB = 1 << 20


def tape(folder: Path, name: str = "a.tape", capacity_bytes: int = 4 << 30) -> str:
    """A new cartridge's location."""
    create_cartridge(folder / name, capacity_bytes=capacity_bytes)
    return f"tape:{folder / name}"


def disk(folder: Path, name: str = "archive.img", size_bytes: int = 640 * MIB) -> str:
    """A new blank disk's location."""
    path = folder / name
    with path.open("xb") as file:
        file.truncate(size_bytes)
    return str(path)


def back_up(source: Path | str, to: str, **options: Any) -> JobResult:
    """A backup of an image that nobody writes to."""
    chosen = {"snapshot": "none", "quiet_s": 0.01, "timeout_s": 60, "paging_files": True, **options}
    return sbtk.backup(source, to=to, **chosen)


_MOUNT = re.compile(r"^.*/sbtk-(corpus|mount)-[^/]*")
_mounted: dict[tuple[str, str], bool] = {}


def assert_mounts_equal(name: str, image: Path) -> None:
    """A restored volume mounts, and every path is what it was, content, streams and all.

    An image with the bytes of one that this process has mounted already is that one.
    """
    key = name, _digest(image)
    if key not in _mounted:
        with mounted(image) as root:
            found = [_unmounted(row) for row in corpus_manifest.walk(str(root))]
        assert found == [_unmounted(row) for row in volume(name).manifest]
        _mounted[key] = True


def _unmounted(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the folder that its volume was mounted on: ntfs-3g shows it in junctions."""
    plain = json.loads(json.dumps(row))
    target = _MOUNT.sub("/mount", plain.get("target", ""))
    return plain | {"target": target, "size": 0} if target != plain.get("target", "") else plain


def _digest(image: Path) -> str:
    return blake3.blake3(max_threads=2).update_mmap(image).hexdigest()


@cache
def allocated(name: str) -> tuple[list[tuple[int, int]], int]:
    """(start, length) in bytes of all that $Bitmap or a record owns, and both boot sectors."""
    with sbtk.open_volume(volume(name).image) as opened:
        tables = opened.tables
    info = tables.volume
    by_bitmap = bitmap_runs(tables.bitmap, info.total_clusters)
    lcn = tables.extents["lcn"].to_numpy()
    clusters = tables.extents["clusters"].to_numpy()
    start = np.concatenate([by_bitmap[0], lcn[lcn >= 0]])
    length = np.concatenate([by_bitmap[1], clusters[lcn >= 0]])
    order = np.argsort(start, kind="stable")
    merged = runs.union(start[order], length[order])
    size = info.cluster_bytes
    found = [
        (int(a) * size, int(b) * size) for a, b in zip(merged.lcn, merged.clusters, strict=True)
    ]
    boot = info.sector_bytes
    return [(0, boot), *found, (info.total_sectors * boot, boot)], info.total_sectors * boot + boot


def assert_clusters_equal(name: str, image: Path) -> None:
    """Every allocated cluster and both boot sectors are equal, byte for byte."""
    ranges, _ = allocated(name)
    source = np.memmap(volume(name).image, np.uint8, "r")
    restored = np.memmap(image, np.uint8, "r")
    for start, length in ranges:
        assert np.array_equal(source[start : start + length], restored[start : start + length]), (
            f"{length} bytes from {start} differ"
        )
