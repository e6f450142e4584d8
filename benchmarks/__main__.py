"""All benchmarks, one after another: ``make bench``.

    python -m benchmarks [--only NAME]... [--large IMAGE] [--list]

Each is a process of its own, so that none inherits memory or caches of another; each prints its
budgets and whether they were kept, and ends with 0 or 1. Ratios within one run count, not seconds:
machines differ and are shared, so the machine and its load are printed first.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
# These look at the volume of a million files; bench_scan builds it where none is given (root, a
# quarter of an hour, once, in .cache/bench).
ON_LARGE_VOLUME = ("scan",)
PACKAGES = ("numpy", "numba", "pyarrow", "blake3")


def names() -> list[str]:
    """Names of the benchmarks: their modules' without ``bench_``."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def machine() -> str:
    """What the figures were measured on, one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return (
        f"{processor()}, {os.cpu_count()} processors, {memory_gib:.0f} GiB, {system}, {packages}; "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def processor() -> str:
    """The processor's name, as far as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()


def run(name: str, large: Path | None) -> tuple[bool, float]:
    """Run one benchmark; whether it kept its budgets, and its seconds."""
    command = [sys.executable, "-m", f"benchmarks.bench_{name}"]
    if large is not None and name in ON_LARGE_VOLUME:
        command += ["--volume", str(large)]
    print(f"\n== {name}", flush=True)
    begun_s = time.monotonic()
    done = subprocess.run(command, cwd=FOLDER.parent, check=False)
    return done.returncode == 0, time.monotonic() - begun_s


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; repeatable")
    parser.add_argument("--large", type=Path, metavar="IMAGE", help="a volume of a million files")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args(arguments)
    known = names()
    if options.list:
        print("\n".join(known))
        return 0
    chosen = options.only or known
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    if options.large is not None and not options.large.is_file():
        parser.error(f"there is no image {options.large}")
    print(machine(), flush=True)
    results = {name: run(name, options.large and options.large.resolve()) for name in chosen}
    print("\n== all")
    for name, (good, took_s) in results.items():
        print(f"  {name:<12} {took_s:7.0f} s  {'ok' if good else 'FAILED, or over its budget'}")
    return 0 if all(good for good, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
