"""Planning ten million extents, and encoding what was planned, against their budgets.

    python -m benchmarks.bench_plan [--extents N]

Every extent is a run of its own, so that nothing merges: the worst a volume can be. For scale, the
same run times a sort of as many numbers, which is the least that any planner does. Seconds are of
processor time: planning runs in one thread, and who else uses the machine is not its doing.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sbtk.plan import archive_check, check, cost, encode, store
from sbtk.plan.model import COPY, Plan, Target
from sbtk.plan.restore import plan_restore
from sbtk.plan.setmap import map_of
from sbtk.scsi.limits import limits
from tests.plan.volumes import Shape, shape

EXTENTS = 10_000_000
PLAN_S = 3.0
SEGMENTS_A_SECOND = 5e6
SEED = 1


def timed(call: Callable[[], Any], repeat: int = 3) -> tuple[float, Any]:
    """Processor seconds of the quickest of ``repeat`` calls, and what the last one returned."""
    seconds, result = [], None
    for _ in range(repeat):
        result = None  # its memory is free again before the next one asks for some
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def made_up(extents: int) -> Shape:
    """``extents`` runs of 1-8 clusters with gaps of 1-11 between them."""
    rng = np.random.default_rng(SEED)
    step = rng.integers(2, 12, extents)
    clusters = np.minimum(rng.integers(1, 9, extents), step - 1)
    lcn = np.cumsum(step) - step
    whole = shape([(int(lcn[-1] + step[-1]), 1)])
    return Shape(lcn, clusters, whole.geometry)


def packed(volume: Shape) -> np.ndarray:
    edges = np.zeros(volume.geometry.total_clusters + 1, np.int8)
    edges[volume.lcn] += 1
    edges[volume.lcn + volume.clusters] -= 1
    return np.packbits(np.cumsum(edges[:-1], dtype=np.int8).view(np.uint8), bitorder="little")


def encode_all(plan: Plan) -> int:
    copies = np.flatnonzero(plan.commands.kind == COPY).tolist()
    return sum(len(encode.encode_command(plan, command).segments) for command in copies)


def show(name: str, value: str, passed: bool | None = None) -> bool:
    verdict = "" if passed is None else "  ok" if passed else "  OVER"
    print(f"  {name:<46} {value:>18}{verdict}", flush=True)
    return passed is not False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extents", type=int, default=EXTENTS)
    extents = parser.parse_args().extents
    volume = made_up(extents)
    tables, bitmap = volume.tables, packed(volume)
    print(f"{extents:,} extents, none of which touch (quickest of 3, kernel cache warm)")
    budget_s = PLAN_S * max(extents, EXTENTS // 100) / EXTENTS
    sorted_s, _ = timed(lambda: np.sort(np.random.default_rng(2).integers(0, 1 << 60, extents)))
    show("sorting as many random numbers", f"{sorted_s:.2f} s")
    good = True
    for name, target, layout in (
        ("image to tape", Target("tape", 1), "image"),
        ("image to disk", Target("disk"), "image"),
        ("mirror", Target("disk"), "mirror"),
    ):
        plan_s, plan = timed(
            lambda target=target, layout=layout: volume.plan(
                target, limits("spc"), layout=layout, tables=tables, bitmap=bitmap
            )
        )
        good &= show(f"plan, {name}", f"{plan_s:.2f} s", plan_s <= budget_s)
        encode_s, _ = timed(lambda plan=plan: encode_all(plan), 2)
        rate = len(plan.segments) / encode_s
        good &= show(f"encode, {name}", f"{rate / 1e6:.1f} M seg/s", rate >= SEGMENTS_A_SECOND)
        check_s, faults = timed(lambda plan=plan: check.find_faults(plan), 1)
        good &= show(f"check, {name}", f"{check_s:.2f} s", not faults)
    headers_s, faults = timed(lambda: archive_check.find_archive_faults(plan), 1)
    good &= show("check of the headers, mirror", f"{headers_s:.2f} s", not faults)
    rows = map_of(volume.plan(Target("tape", 1), limits("spc"), tables=tables, bitmap=bitmap))
    back_s, back = timed(
        lambda: plan_restore(rows, plan.geometry, Target("tape", 1, 262144), limits("spc")), 1
    )
    show("plan of a restore from tape", f"{back_s:.2f} s")
    show("price of it", f"{timed(lambda: cost.price(back), 1)[0]:.2f} s")
    save_s, content = timed(lambda: store.to_bytes(plan), 1)
    show("saving the mirror's plan", f"{save_s:.2f} s, {len(content) / 1e6:.0f} MB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show("peak memory of all of it", f"{peak:.0f} MB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
