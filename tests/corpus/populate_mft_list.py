"""Grow $MFT over single free clusters until its run list needs an attribute list.

usage: python populate_mft_list.py comb|grow|content MOUNTPOINT CLUSTER_BYTES

``comb`` fills the volume, then shortens files of two clusters to one: all free space is single
clusters. ``grow`` (after a new mount, for ntfs-3g remembers full zones) makes records until
nothing is left: $MFT takes those clusters one by one. ``content`` frees room and writes ordinary
files. With 512-byte clusters most records of the grown part lie in two places.
"""

from __future__ import annotations

import os
import random
import sys
from collections import deque
from pathlib import Path

COMB_FILES = 2000
SEED = 2


def write_until_full(path: Path, total_bytes: int) -> None:
    block = b"Z" * 65536
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while total_bytes > 0:
            total_bytes -= os.write(descriptor, block[:total_bytes])
    except OSError:
        pass  # full: that is what was wanted
    finally:
        os.close(descriptor)


def comb(root: Path, cluster_bytes: int) -> None:
    (root / "comb").mkdir()
    teeth = [root / f"comb/c{i:05d}" for i in range(COMB_FILES)]
    for i, tooth in enumerate(teeth):
        tooth.write_bytes(bytes([i & 255]) * (2 * cluster_bytes))
    room = os.statvfs(root)
    write_until_full(root / "blocker", 2 * room.f_bfree * room.f_frsize)
    for tooth in teeth:
        os.truncate(tooth, cluster_bytes)


def grow(root: Path, cluster_bytes: int) -> None:
    """Folders of four folders each: their indexes stay resident and take no cluster."""
    (root / "tree").mkdir()
    waiting = deque([root / "tree"])
    try:
        while True:
            folder = waiting.popleft()
            for k in range(4):
                (folder / str(k)).mkdir()
                waiting.append(folder / str(k))
    except OSError:
        pass  # full: that is what was wanted


def content(root: Path, cluster_bytes: int) -> None:
    (root / "blocker").unlink()
    rnd = random.Random(SEED)
    (root / "late").mkdir()
    for i in range(40):
        (root / f"late/file_{i:02d}.bin").write_bytes(
            rnd.randbytes(rnd.choice((50, 700, 5000, 70_000)))
        )
    for tooth in (root / "comb").iterdir():
        if rnd.random() < 0.2:
            tooth.unlink()
    for i in range(200):
        with (root / "late/appended.log").open("ab") as file:
            file.write(b"%06d " % i * 200)
    os.link(root / "late/appended.log", root / "late/second_name.log")
    os.setxattr(root / "late/appended.log", "user.note", rnd.randbytes(4000))


if __name__ == "__main__":
    {"comb": comb, "grow": grow, "content": content}[sys.argv[1]](
        Path(sys.argv[2]), int(sys.argv[3])
    )
