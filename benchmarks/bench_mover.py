"""The mover beside ``dd bs=1M`` over the same bytes; small segments; the codec.

    python -m benchmarks.bench_mover [--mib N] [--folder DIR] [--repeat N]

The runs of an image layout (640 KiB on average, as on a used volume) go to a disk and to a fresh
cartridge, with and without digests, by EXTENDED COPY through the loopback. Beside each of them dd
copies the same bytes to the same kind of file: over the disk's file (both), or into a file that was
not there (dd's copy; the cartridge). The source lies in the page cache, and nothing is left to be
written when either of them starts; who goes first changes from pair to pair. Every figure is the
median of the pairs: the clock, and the CPU seconds of all threads, which other work on the machine
changes less. ``synced`` adds conv=fsync to dd and the flush of the unit, as a filemark does it, to
the mover: that is mostly the medium's time, so the budgets are held against the pairs without it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import numpy as np

from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.scsi import segment_arrays as arrays
from sbtk.scsi import segments as seg
from sbtk.scsi.cdb_copy import ExtendedCopyLid1
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.designator import Designator
from sbtk.scsi.segment_base import decode_segment
from sbtk.scsi.sense import describe
from sbtk.scsi.xcopy import assemble

MIB = 1 << 20
BLOCK = 512
RECORD_BYTES = 256 << 10
SEGMENTS_A_LIST = 4000
MEAN_RUN_BLOCKS = 1280
BUDGETS = {"off": 0.8, "on": 0.5}
SEGMENT_BYTES = 2 << 30
MOST_GROWTH_MIB = 8  # a handful of buffers of 1 MiB, whatever the segment
DESCRIPTORS, DESCRIPTORS_A_SECOND = 5_000_000, 5_000_000


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def runs(total_blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """(first block, blocks) of runs that cover a disk in order, as long as on real volumes."""
    lengths = np.random.default_rng(1).lognormal(0, 1.5, 8 * total_blocks // MEAN_RUN_BLOCKS + 100)
    lengths = np.clip(lengths * MEAN_RUN_BLOCKS / 3.08, 8, 65528).astype(np.int64) // 8 * 8
    ends = np.minimum(np.cumsum(lengths), total_blocks)
    ends = ends[: int(np.searchsorted(ends, total_blocks)) + 1]
    starts = np.concatenate(([0], ends[:-1]))
    return starts, ends - starts


class San:
    """A mover with a source, a disk and a tape drive, and the path to it."""

    def __init__(self, folder: Path, source: Path, disk: Path) -> None:
        self.folder, self.cartridges, self._slots = folder, 0, b""
        self.target = Target(open_access=True)
        self.units = [BlockLun(source), BlockLun(disk), TapeLun(self.new_cartridge())]
        for lun, unit in enumerate(self.units):
            self.target.add(lun, unit)

    def new_cartridge(self) -> Path:
        """A blank cartridge's file."""
        self.cartridges += 1
        path = self.folder / f"{self.cartridges}.tape"
        create_cartridge(path, capacity_bytes=1 << 40)
        return path

    def change_cartridge(self) -> None:
        """A blank cartridge, so that every run extends a new file."""
        old = self.target.remove(2)
        old.close()
        for path in self.folder.glob(f"{self.cartridges}.tape*"):
            path.unlink()
        self.units[2] = TapeLun(self.new_cartridge())
        self.target.add(2, self.units[2])
        self._slots = b""

    def slots(self) -> bytes:
        """The CSCD descriptors of the three units."""
        if not self._slots:
            self._slots = b"".join(
                IdentificationCscd.of(
                    Designator(unit.designator), device_type=unit.peripheral_device_type
                ).encode()
                for unit in self.units
            )
        return self._slots

    def send(self, segments: memoryview | bytes) -> None:
        """One EXTENDED COPY; the benchmark ends if it does."""
        wire = assemble(self.slots(), segments, list_id=1, usage=0b10)
        answer = self.target.execute("bench", 0, ExtendedCopyLid1(len(wire)).encode(), wire, 0)
        if answer.status:
            raise SystemExit(describe(answer.sense))

    def send_all(self, rows: np.ndarray, a_list: int = SEGMENTS_A_LIST) -> None:
        """All rows, ``a_list`` of them a command."""
        for start in range(0, len(rows), a_list):
            self.send(arrays.encoded(rows[start : start + a_list]))


def dd(source: Path, target: Path, *options: str) -> float:
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "status=none", *options]
    return timed(lambda: subprocess.run(command, check=True))


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU in all threads and child processes."""
    before, start = cpu_s(), time.perf_counter()
    call()
    return time.perf_counter() - start, cpu_s() - before


def cpu_s() -> float:
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def throughput(san: San, source: Path, disk: Path, fresh: Path, repeat: int) -> bool:
    """Time to a disk and to a tape, beside dd; False where a budget is missed."""
    total = source.stat().st_size
    lba, blocks = runs(total // BLOCK)
    print(f"{total // MIB} MiB in {len(lba)} runs, {repeat} pairs of dd and mover in turn; medians")
    fine = True
    for kind in ("disk", "tape"):
        for digests, budget in BUDGETS.items():
            code = seg.DIGEST_BASE if digests == "on" else 0
            rows = _rows(kind, lba, blocks, code)
            for synced in (False, True):
                pairs = []
                for number in range(repeat):
                    turns = [
                        partial(_their_turn, kind, (source, disk, fresh), synced=synced),
                        partial(_our_turn, san, kind, rows, synced=synced),
                    ]
                    if number % 2:
                        ours, theirs = turns[1](), turns[0]()
                    else:
                        theirs, ours = turns[0](), turns[1]()
                    pairs.append((theirs, ours))
                name = f"to {kind}, digests {digests}{', synced' if synced else ''}"
                ratio = _tell(name, pairs, total)
                if synced:
                    print()
                    continue
                fine &= ratio >= budget
                print(f"  budget {budget}  {'ok' if ratio >= budget else 'UNDER'}")
    return fine


def _rows(kind: str, lba: np.ndarray, blocks: np.ndarray, code: int) -> np.ndarray:
    if kind == "disk":
        return arrays.block_to_block(lba, lba, blocks, source=0, destination=1, type_code=2 + code)
    return arrays.block_stream(
        lba, blocks, source=0, destination=2, stream_transfer=RECORD_BYTES, type_code=code
    )


def _their_turn(kind: str, paths: tuple[Path, Path, Path], *, synced: bool) -> tuple[float, float]:
    """(clock, CPU) seconds of dd: over the disk's file, or into one that was not there."""
    source, disk, fresh = paths
    target = disk if kind == "disk" else fresh
    flags = [*(["notrunc"] if kind == "disk" else []), *(["fsync"] if synced else [])]
    options = [f"conv={','.join(flags)}"] if flags else []
    taken = spent(lambda: dd(source, target, *options))
    with target.open("rb") as file:
        os.fsync(file.fileno())  # what is left to be written is not on the next one's time
    fresh.unlink(missing_ok=True)
    return taken


def _our_turn(san: San, kind: str, rows: np.ndarray, *, synced: bool) -> tuple[float, float]:
    """(clock, CPU) seconds of the mover: over the disk's file, or to a blank cartridge."""
    if kind == "tape":
        san.change_cartridge()
    unit = san.units[1 if kind == "disk" else 2]

    def copy() -> None:
        san.send_all(rows)
        if synced:
            unit.flush()

    taken = spent(copy)
    unit.flush()
    return taken


def _tell(
    name: str, pairs: list[tuple[tuple[float, float], tuple[float, float]]], total: int
) -> float:
    """Print one comparison; the median of the ratios of the pairs."""
    theirs, ours = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    ratio, cpu_ratio = np.median(theirs / ours, axis=0)
    rates = [total / MIB / np.median(times[:, 0]) for times in (theirs, ours)]
    print(
        f"  {name:<32} dd {rates[0]:6.0f}, mover {rates[1]:6.0f} MiB/s: {ratio:5.2f} of dd; "
        f"CPU {np.median(theirs[:, 1]):.2f} s, {np.median(ours[:, 1]):.2f} s: {cpu_ratio:5.2f}",
        end="",
    )
    return float(ratio)


def memory(folder: Path) -> bool:
    """What one segment of 2 GiB adds to the peak of resident memory; False above the limit.

    To be run first: a peak that was higher before would hide it.
    """
    units = []
    for name in ("large-source", "large-target"):
        with (folder / name).open("wb") as file:
            file.truncate(SEGMENT_BYTES)
        units.append(folder / name)
    san = San(folder, *units)
    try:
        step = seg.BlockBytesToBlockBytes
        san.send(step(0xCA, False, 0, 1, 2 * MIB, 0, 0).encode())
        before = getrusage(RUSAGE_SELF).ru_maxrss
        san.send(step(0xCA, False, 0, 1, SEGMENT_BYTES, 0, 0).encode())
        grown_mib = (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024
    finally:
        san.target.close()
    fine = grown_mib <= MOST_GROWTH_MIB
    verdict = "ok" if fine else "OVER"
    print(
        f"  {'memory added by a segment of 2 GiB':<50} {grown_mib:10.1f} MiB"
        f"  limit {MOST_GROWTH_MIB}  {verdict}"
    )
    return fine


def small_segments(san: San, count: int = 20_000) -> None:
    """4 KiB segments, disk to disk, in lists of 1, 64 and 1,000."""
    places = min(60_000, san.units[1].block_count // 8)
    lba = np.random.default_rng(2).permutation(places)[:count].astype(np.int64) * 8
    rows = arrays.block_to_block(lba, lba, 8, source=0, destination=1)
    for a_list in (1, 64, 1000):
        part = rows[: 4000 if a_list == 1 else count]
        taken = [spent(lambda part=part, n=a_list: san.send_all(part, n)) for _ in range(3)]
        best_s, cpu = np.min(taken, axis=0)
        name = f"segments of 4 KiB, lists of {a_list}"
        print(
            f"  {name:<50} {len(part) / best_s:10,.0f} segments/s"
            f"  CPU {cpu / len(part) * 1e6:.0f} us each"
        )


def codec() -> bool:
    """Descriptors a second: built from arrays, and decoded one by one."""
    lba = np.arange(DESCRIPTORS, dtype=np.int64) * 8
    blocks = np.full(DESCRIPTORS, 8)
    fine = True
    builders = {
        "00h": lambda: arrays.block_stream(
            lba, blocks, source=0, destination=1, stream_transfer=65536
        ),
        "02h": lambda: arrays.block_to_block(lba, lba, blocks, source=0, destination=1),
        "08h": lambda: arrays.block_bytes_to_stream(
            lba, 0, blocks, source=0, destination=1, stream_transfer=65536
        ),
        "0Ah": lambda: arrays.block_bytes_to_block_bytes(lba, lba, blocks, source=0, destination=1),
    }
    for name, build in builders.items():
        rate = DESCRIPTORS / min(timed(lambda b=build: arrays.encoded(b())) for _ in range(3))
        fine &= rate >= DESCRIPTORS_A_SECOND
        verdict = "ok" if rate >= DESCRIPTORS_A_SECOND else "UNDER"
        print(
            f"  {name + ' built from arrays':<50} {rate:10,.0f} a second"
            f"  budget {DESCRIPTORS_A_SECOND:,}  {verdict}"
        )
    wire = seg.BlockToBlock(blocks=8).encode()
    taken = timed(lambda: [decode_segment(wire) for _ in range(50_000)])
    print(f"  {'02h decoded one by one':<50} {50_000 / taken:10,.0f} a second")
    return fine


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=1024, help="bytes copied, MiB")
    options.add_argument("--folder", type=Path, help="where the files are made; deleted afterwards")
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="sbtk-bench-") as name:
        folder = Path(name)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            fine = memory(Path(place))
        fine &= codec()
        source, disk = folder / "source", folder / "disk"
        for path in (source, disk):
            with path.open("wb") as file:
                for _ in range(chosen.mib):
                    file.write(os.urandom(MIB))
        san = San(folder, source, disk)
        try:
            small_segments(san)
            fine &= throughput(san, source, disk, folder / "fresh", chosen.repeat)
        finally:
            san.target.close()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
