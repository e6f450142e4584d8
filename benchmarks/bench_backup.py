"""Backup of a 4 GiB volume beside ntfsclone and partclone on the same image in the same run.

    python -m benchmarks.bench_backup [--image IMAGE] [--folder DIR] [--repeat N] [--files N]

The volume: about 2 GiB used, 40,000 files, made with mkntfs and ntfs-3g where no image is given
(kept in DIR). Each program writes one file beside it; digests are on for sbtk and its time includes
imports, the scan, the plan and the closing member, but not the quiet window (0 s). sbtk ends when
its set is on the medium; the others leave theirs in the page cache, so the time until that is
written too (``sync FILE``) stands beside theirs. The budget is held against the shorter one. They
take turns, and the best of the repetitions counts. Bytes by path are those of ``run_stop``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import sbtk
from sbtk.mover.cartridge import create_cartridge
from sbtk.units import format_bytes

VOLUME_BYTES = 4 << 30
FILES = 40_000
USED_BYTES = 2 << 30
MB = 1_000_000
BACKUP = """
import sys, sbtk
result = sbtk.backup(sys.argv[1], to=sys.argv[2], snapshot="none", quiet_s=0.001, timeout_s=60)
print(result.stop.to_json())
"""


def make_volume(image: Path, files: int) -> None:
    """Fill a new volume with files of many sizes, some of them grown in turns."""
    numbers = random.Random(4)
    noise = numbers.randbytes(1 << 20)
    with image.open("xb") as file:
        file.truncate(VOLUME_BYTES)
    subprocess.run(["mkntfs", "-q", "-F", "-Q", "-L", "BENCH", image], check=True)
    with tempfile.TemporaryDirectory(prefix="sbtk-bench-") as mount:
        subprocess.run(["ntfs-3g", "-o", "big_writes", image, mount], check=True)
        try:
            _fill(Path(mount), files, numbers, noise)
        finally:
            subprocess.run(["umount", mount], check=True)


def _fill(root: Path, files: int, numbers: random.Random, noise: bytes) -> None:
    large = max(files // 40, 1)
    for number in range(files):
        folder = root / f"folder{number // 400:03}"
        if number % 400 == 0:
            folder.mkdir()
        size = numbers.randrange(0, 30_000)
        if number % 40 == 0:
            size = USED_BYTES // large * 3 // 4
        with (folder / f"file{number:05}.bin").open("wb") as file:
            while size > 0:
                start = numbers.randrange(0, len(noise) // 2)
                piece = noise[start : start + min(size, len(noise) // 2)]
                file.write(piece)
                size -= len(piece)


@dataclass(frozen=True, order=True)
class Taken:
    """Seconds of a program, those until its file was on the medium, and what it said."""

    took_s: float
    lasting_s: float
    output: str


def timed(words: list[str], target: Path) -> Taken:
    """Run a command that writes ``target``."""
    began_s = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began_s
    if done.returncode:
        sys.exit(f"{words[0]} failed: {done.stderr or done.stdout}")
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return Taken(took_s, time.perf_counter() - began_s, done.stdout)


def compare(image: Path, folder: Path, repeat: int) -> dict[str, Taken]:
    """The best run of each program."""
    target = folder / "bench.out"

    log = folder / "partclone.log"
    ways: dict[str, list[str | Path]] = {
        "ntfsclone": ["ntfsclone", "-q", "--save-image", "-o", target, image],
        "partclone": ["partclone.ntfs", "-q", "-c", "-s", image, "-o", target, "-L", log],
        "sbtk": [sys.executable, "-c", BACKUP, image, f"tape:{target}"],
    }
    found: dict[str, list[Taken]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, words in ways.items():
            if name == "sbtk":
                create_cartridge(target, capacity_bytes=16 << 30)
            os.sync()
            found[name].append(timed(list(map(str, words)), target))
            for item in folder.glob(target.name + "*"):
                item.unlink()
    return {name: min(runs) for name, runs in found.items()}


def metadata_bytes(image: Path) -> int:
    """Bytes of $MFT and $Bitmap."""
    with sbtk.open_volume(image) as opened:
        return sum(
            row["data_bytes"]
            for row in opened.streams.slice(0, 200).to_pylist()
            if row["record"] in (0, 6) and row["attribute_type"] == 0x80
        )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--files", type=int, default=FILES)
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sbtk-bench-", dir=chosen.folder))
    image = chosen.image or chosen.folder / "sbtk-bench-4g.img"
    if not image.exists():
        make_volume(image, chosen.files)
    os.environ.setdefault("SBTK_STATE_DIR", str(folder / "state"))
    image.read_bytes()  # into the page cache, for all of them
    results = compare(image, folder, chosen.repeat)
    stop = json.loads(results["sbtk"].output)
    slowest_ok_s = min(results["ntfsclone"].took_s, results["partclone"].took_s)
    for name, taken in results.items():
        print(f"{name:<10} {taken.took_s:6.2f} s, on the medium after {taken.lasting_s:6.2f} s")
    sent = stop["command_bytes"] + stop["inline_bytes"]
    rows = [
        ("file data through the host", stop["host_data_bytes"], 0),
        ("metadata read", stop["metadata_bytes"], metadata_bytes(image) + MB),
        ("commands and headers", sent, MB),
    ]
    missed = results["sbtk"].took_s > slowest_ok_s
    print(f"moved by the mover          {format_bytes(stop['moved_bytes'])}")
    print(f"copying alone               {stop['copied_s']:.2f} s")
    for name, value, most in rows:
        missed |= value > most
        print(f"{name:<27} {value:>12,} of at most {most:,} bytes")
    print("missed" if missed else "within the budgets")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
