"""Budgets of what notebooks show: the disk map of 10 M extents, zooms, search over 1 M paths."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from sbtk.extents.kernels import COMPILED_FROM
from sbtk.extents.map import ExtentMap
from sbtk.extents.owners import SCHEMA, Owners
from sbtk.extents.runs import Runs
from sbtk.ntfs.tables import FILES, VolumeInfo
from sbtk.view.cells import MODES, CellMap
from sbtk.view.search import find

EXTENTS, STREAMS, PATHS = 10_000_000, 1_000_000, 1_000_000
REPEATS = 5


def best(work: Callable[[], Any]) -> float:
    took = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        work()
        took.append(time.perf_counter() - began_s)
    return min(took)


def made_map(seed: int = 1) -> ExtentMap:
    """Ten million extents with gaps between them, of a million streams."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(1, 60, EXTENTS)
    gaps = rng.integers(0, 3, EXTENTS)
    lcn = np.cumsum(clusters + gaps) - clusters
    columns = {
        "lcn": lcn,
        "clusters": clusters,
        "vcn": np.zeros(EXTENTS, np.int64),
        "stream": rng.integers(0, STREAMS, EXTENTS),
    }
    total = int(lcn[-1] + clusters[-1]) + 1000
    info = VolumeInfo(cluster_bytes=4096, total_clusters=total)
    return ExtentMap(info, columns, EXTENTS, pieces=None, allocated=Runs(lcn, clusters),
                     load_owners=made_owners)  # fmt: skip


def made_owners() -> Owners:
    """A million streams with a time of change each."""
    stamps = np.random.default_rng(2).integers(10**18, 17 * 10**17, STREAMS)
    columns = {
        "record": pa.array(np.arange(STREAMS)),
        "modified": pa.array(stamps).cast(pa.timestamp("ns", "UTC")),
    }
    rows = [columns.get(item.name, pa.nulls(STREAMS, item.type)) for item in SCHEMA]
    return Owners(pa.table(rows, schema=SCHEMA))


def made_files() -> Any:
    """What ``find`` reads: a table of files of a million paths."""
    numbers = np.random.default_rng(3).integers(0, 1000, (PATHS, 3)).tolist()
    paths = [
        f"Users/user{a}/Projects {b}/Report {c}_{at}.docx" for at, (a, b, c) in enumerate(numbers)
    ]
    filled = {
        "path": pa.array(paths, pa.large_string()),
        "size_bytes": pa.array(np.random.default_rng(4).integers(0, 10**7, PATHS)),
    }
    rows = [filled.get(item.name, pa.nulls(PATHS, item.type)) for item in FILES]

    class Tables:
        files = pa.table(rows, schema=FILES)

    return Tables()


def main() -> None:
    extent_map = made_map()
    for mode in MODES:  # compiled once on a machine, and loaded, before anything is timed
        CellMap(extent_map).frame(0, COMPILED_FROM * 50, mode)
    extent_map.owners  # noqa: B018 - joined when the notebook opens a volume, not by the map
    last = extent_map.volume.total_clusters - 1
    print(f"disk map of {EXTENTS:,} extents (budget 0.5 s; a zoom 0.3 s)")
    for mode in MODES:
        cells = CellMap(extent_map)
        began_s, worked_s = time.perf_counter(), time.process_time()
        cells.frame(0, last, mode)
        first_s, cpu_s = time.perf_counter() - began_s, time.process_time() - worked_s
        zoom_s = best(lambda m=mode, c=cells: c.frame(last // 3, last // 2, m))
        half_s = best(lambda m=mode, c=cells: c.frame(0, last // 2, m))
        print(f"  {mode:14} first {first_s:6.3f} s ({cpu_s:.3f} s of CPU)   "
              f"zoom to a half {half_s:6.3f} s   to a sixth {zoom_s:6.3f} s")  # fmt: skip
    tables = made_files()
    print(f"search over {PATHS:,} paths (budget 0.3 s)")
    for text in ("report 99", "user12/", "no such path", "e"):
        print(f"  {text!r:16} {best(lambda t=text: find(tables, t)):6.3f} s")


if __name__ == "__main__":
    main()
