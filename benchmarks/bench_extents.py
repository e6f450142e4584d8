"""The extent map at ten million extents, and beside other tools on a real volume.

    python -m benchmarks.bench_extents [--extents N] [--volume IMAGE]

The first half times the map on made-up extents against its budgets; the second asks the same
questions of a real volume (the zoo of the test corpus, or IMAGE) with sbtk, ``ntfscluster -c`` and
``ifind -d``. One run, one machine: the ratios count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sbtk.extents.difference import difference
from sbtk.extents.map import ExtentMap
from sbtk.extents.store import open_map
from tests.extents.synthetic import from_arrays

EXTENTS = 10_000_000
EXTENTS_A_STREAM = 10
SEED = 1


def timed(call: Callable[[], object], repeat: int = 3) -> tuple[float, object]:
    """Seconds of the quickest of ``repeat`` calls, and what the last one returned."""
    seconds, result = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def show(name: str, taken_s: float, budget_s: float | None = None) -> bool:
    verdict = ""
    if budget_s is not None:
        verdict = f"  budget {budget_s:.1f} s  {'ok' if taken_s <= budget_s else 'OVER'}"
    print(f"  {name:<52} {taken_s:9.4f} s{verdict}", flush=True)
    return budget_s is None or taken_s <= budget_s


def made_up(extents: int):
    """Tables of ``extents`` runs of 1-7 clusters with gaps of 1-7, in streams of ten."""
    rng = np.random.default_rng(SEED)
    edges = np.cumsum(rng.integers(1, 8, 2 * extents))
    lcn, clusters = edges[0::2].copy(), np.empty(extents, np.int64)
    clusters[:-1] = edges[1:-1:2] - lcn[:-1]
    clusters[-1] = 1
    stream = rng.permutation(np.arange(extents) // EXTENTS_A_STREAM)
    order = np.argsort(stream, kind="stable")
    vcn = np.empty(extents, np.int64)
    sums = np.cumsum(clusters[order]) - clusters[order]
    vcn[order] = sums - np.repeat(sums[::EXTENTS_A_STREAM], EXTENTS_A_STREAM)[:extents]
    total_clusters = int(lcn[-1] + 10)
    return from_arrays(lcn, clusters, vcn, stream, total_clusters)


def budgets(extents: int) -> bool:
    print(f"{extents:,} made-up extents (quickest of 3, kernel cache warm)")
    tables = made_up(extents)
    rng = np.random.default_rng(SEED + 1)
    total = tables.volume.total_clusters
    anywhere = rng.integers(0, total, extents)
    ascending = np.sort(anywhere)
    built_s, extent_map = timed(lambda: ExtentMap.from_tables(tables))
    assert isinstance(extent_map, ExtentMap)
    extent_map.owner_rows(ascending[:100_000])  # compile
    extent_map.owner_rows(anywhere[:100_000])
    scale = extents / EXTENTS
    good = [show("build the map from Arrow tables", built_s, 3 * scale)]
    sorted_s, _ = timed(lambda: extent_map.owner_rows(ascending))
    good.append(show(f"owner of {extents:,} clusters, sorted", sorted_s, 0.5 * scale))
    random_s, _ = timed(lambda: extent_map.owner_rows(anywhere))
    show(f"owner of {extents:,} clusters, any order", random_s)
    with tempfile.TemporaryDirectory() as folder:
        saved_s, _ = timed(lambda: extent_map.save(Path(folder)), 1)
        show("save the map, owners with it", saved_s)
        opened_s, _ = timed(lambda: open_map(Path(folder)))
        good.append(show("open the saved map", opened_s, 0.2))
        first_s, _ = timed(lambda: open_map(Path(folder)).owner_rows(ascending[:1]))
        show("open it and look one cluster up", first_s)
        fresh_s = timed(lambda: fresh_process(Path(folder)))[0]
        show("a new Python that opens it and looks one up", fresh_s)

    def shown() -> np.ndarray:
        return ExtentMap.from_tables(tables).occupancy(0, total - 1, 1_000_000)

    good.append(show("disk map: occupancy of 1,000,000 cells", timed(shown)[0], 0.5 * scale))
    show("fragmentation of every file", timed(extent_map.fragmentation, 1)[0])
    show("difference of the volume with itself", timed(lambda: difference(tables, tables), 1)[0])
    return all(good)


def fresh_process(folder: Path) -> None:
    code = "import sys; from pathlib import Path; from sbtk.extents.store import open_map; " + (
        "import numpy as np; open_map(Path(sys.argv[1])).owner_rows(np.array([5000]))"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def beside_others(image: Path) -> None:
    """One owner, and all owners, by sbtk and by the tools that can answer the same."""
    from sbtk.volume import read_tables

    print(f"{image.name}: the same questions to other tools")
    scan_s, tables = timed(lambda: read_tables(image), 2)
    build_s, extent_map = timed(lambda: ExtentMap.from_tables(tables))
    total = tables.volume.total_clusters
    show(f"sbtk: scan ({tables.files.num_rows:,} files, {tables.extents.num_rows:,} runs)", scan_s)
    show("sbtk: build the map", build_s)
    lcn = int(extent_map.lcn[extent_map.real_rows // 2])
    ask_s, _ = timed(lambda: extent_map.owner_of([lcn]))
    all_s, _ = timed(lambda: extent_map.owner_rows(np.arange(total)))
    show("sbtk: owner of one cluster, path and all", ask_s)
    show(f"sbtk: owner of all {total:,} clusters", all_s)
    cli = [sys.executable, "-m", "sbtk", "owner", str(image), str(lcn)]
    show("sbtk owner IMAGE LCN: the whole command", timed(lambda: quiet(cli), 2)[0])
    mine_s = scan_s + build_s + all_s
    one = ["ntfscluster", "-f", "-c", f"{lcn}-{lcn}", str(image)]
    one_s, _ = timed(lambda: quiet(one), 1)
    show("ntfscluster -c LCN-LCN", one_s)
    every = ["ntfscluster", "-f", "-c", f"0-{total - 1}", str(image)]
    every_s, _ = timed(lambda: quiet(every), 1)
    show("ntfscluster -c 0-LAST", every_s)
    ifind = ["ifind", "-f", "ntfs", "-d", str(lcn), str(image)]
    ifind_s, _ = timed(lambda: quiet(ifind), 1)
    show("ifind -d LCN", ifind_s)
    print(
        f"  ratios (theirs / ours): all owners, scan included {every_s / mine_s:.1f}; "
        f"one owner, scan included {one_s / (scan_s + build_s + ask_s):.1f} (ntfscluster) "
        f"{ifind_s / (scan_s + build_s + ask_s):.1f} (ifind);\n"
        f"  each further owner {one_s / ask_s:,.0f} (ntfscluster) {ifind_s / ask_s:,.0f} (ifind)"
    )


def quiet(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode not in (0, 1):
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-200:]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--extents", type=int, default=EXTENTS)
    parser.add_argument("--volume", type=Path, help="an NTFS image; the corpus zoo without it")
    options = parser.parse_args(arguments)
    good = budgets(options.extents)
    image = options.volume
    if image is None:
        from tests.corpus import volume

        image = volume("zoo").image
    beside_others(image)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
