"""Builds the volume of the scan benchmark with real tools (mkntfs, lowntfs-3g); needs root.

    python -m benchmarks.large_volume IMAGE [--files N] [--minutes M]

A million files in a deep tree take about 12 minutes; the image is sparse, 64 GiB in name and some
11 GiB on the disk. Files grow in turns and by re-opened appends, so that they fragment; 6 % are
deleted as it goes.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VOLUME_BYTES = 64 << 30
SUFFIXES = [
    ".txt", ".dll", ".json", ".py", ".pyc", ".js", ".png", ".log", ".docx", ".mui", ".xml", ".tmp",
    ".manifest", ".cat",
]  # fmt: skip
WORDS = [
    "Windows", "System32", "Program", "Files", "assembly", "amd64", "microsoft", "en-US",
    "node_modules", "dist", "lib", "cache", "data", "backup", "user", "report", "invoice", "photo",
    "build", "release", "résumé", "Größe", "данные", "資料",
]  # fmt: skip
MAX_DEPTH = 14
OPEN_AT_ONCE = 6


def file_bytes(rnd: random.Random) -> int:
    """About 45 % resident, most of the rest a few clusters, a few of megabytes."""
    kind = rnd.random()
    if kind < 0.45:
        return rnd.randrange(0, 700)
    if kind < 0.94:
        return min(int(rnd.lognormvariate(8.1, 0.9)), 40_000)
    return rnd.randrange(16_000, 80_000) if kind < 0.9995 else rnd.randrange(500_000, 4_000_000)


class Populator:
    """Fills a mounted volume with files until there are enough or the time is over."""

    def __init__(self, mount_point: str, seed: int) -> None:
        self._top = mount_point
        self._rnd = random.Random(seed)
        self._noise = self._rnd.randbytes(1 << 20)
        self._folders = [mount_point]
        self._growing: list[list[int]] = []
        self._closed: list[str] = []
        self.made = 0

    def run(self, files: int, end_s: float) -> None:
        """Make files until there are that many or the clock shows ``end_s``."""
        while self.made < files and time.monotonic() < end_s:
            folder = self._new_folder()
            for _ in range(self._rnd.randrange(2, 24)):
                self._new_file(folder)
            if self._closed and self._rnd.random() < 0.6:
                at = self._rnd.randrange(len(self._closed))
                os.unlink(self._closed[at])
                self._closed[at] = self._closed[-1]
                self._closed.pop()
        self._grow()
        os.chdir("/")

    def _new_folder(self) -> str:
        near = self._rnd.random() < 0.7
        parent = self._rnd.choice(self._folders[-400:] if near else self._folders)
        if parent.count("/") > self._top.count("/") + MAX_DEPTH:
            parent = self._rnd.choice(self._folders[:50])
        folder = f"{parent}/{self._rnd.choice(WORDS)}_{len(self._folders):x}"
        os.mkdir(folder)
        os.chdir(folder)  # short relative names: one look-up through FUSE a file, not fifteen
        self._folders.append(folder)
        return folder

    def _new_file(self, folder: str) -> None:
        rnd = self._rnd
        tail = f"_{rnd.randbytes(rnd.randrange(2, 12)).hex()}" if rnd.random() < 0.6 else ""
        name = f"{rnd.choice(WORDS)}-{rnd.choice(WORDS)}_{self.made:x}{tail}{rnd.choice(SUFFIXES)}"
        size = file_bytes(rnd)
        descriptor = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_EXCL)
        self.made += 1
        if size > 8192:
            self._growing.append([descriptor, size])
            if len(self._growing) >= OPEN_AT_ONCE:
                self._grow()
            return
        self._write(descriptor, size)
        os.close(descriptor)
        if rnd.random() < 0.25:
            self._closed.append(f"{folder}/{name}")

    def _grow(self) -> None:
        """Write the open files in turns."""
        while self._growing:
            for item in list(self._growing):
                item[1] -= self._write(item[0], min(item[1], 16384 if item[1] < 500_000 else 65536))
                if item[1] <= 0:
                    os.close(item[0])
                    self._growing.remove(item)

    def _write(self, descriptor: int, count: int) -> int:
        start = self._rnd.randrange(0, 1 << 19)
        return os.write(descriptor, self._noise[start : start + count]) if count else 0


def fragment(mount_point: str, end_s: float, seed: int) -> None:
    """Append to files again and again: ntfs-3g keeps an open file contiguous."""
    rnd = random.Random(seed)
    noise = rnd.randbytes(1 << 17)
    files: list[str] = []
    for folder, _, names in os.walk(mount_point):
        files += [f"{folder}/{name}" for name in names]
        if len(files) > 300_000:
            break
    rnd.shuffle(files)
    hot, warm, cold = files[:40], files[40:4000], files[4000:90_000]
    while time.monotonic() < end_s:
        kind = rnd.random()
        group = hot if kind < 0.12 else warm if kind < 0.4 else cold
        with open(rnd.choice(group or files), "ab", buffering=0) as file:
            file.write(noise[: rnd.randrange(1000, 24_000)])


def build(image: Path, files: int, minutes: float) -> None:
    """Make ``image``; it appears only when it is whole."""
    part = image.with_suffix(".part")
    with part.open("wb") as file:
        file.truncate(VOLUME_BYTES)
    subprocess.run(["mkntfs", "-q", "-f", "-F", "-T", "-L", "large", "-c", "4096", "-s", "512",
                    "-p", "0", "-H", "255", "-S", "63", part], check=True)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sbtk-bench-") as mount_point:
        options = "noatime,big_writes,streams_interface=none"
        subprocess.run(["lowntfs-3g", "-o", options, part, mount_point], check=True)
        try:
            begun_s = time.monotonic()
            populator = Populator(mount_point, seed=7)
            populator.run(files, begun_s + minutes * 60 * 0.85)
            fragment(mount_point, begun_s + minutes * 60, seed=11)
        finally:
            subprocess.run(["umount", mount_point], check=True)
    part.rename(image)
    print(f"{image}: {populator.made:,} files made in {time.monotonic() - begun_s:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=14)
    options = parser.parse_args()
    build(options.image, options.files, options.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
