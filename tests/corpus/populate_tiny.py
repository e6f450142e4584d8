"""Fill a very small volume with one of each kind of record: what the fuzzer starts from.

usage: python populate_tiny.py MOUNTPOINT
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import sys
from pathlib import Path

SEED = 3
ATTRIBUTE_COMPRESSED_ARCHIVE = 0x820


def main(mountpoint: str) -> None:
    root, rnd = Path(mountpoint), random.Random(SEED)
    docs = root / "docs"
    docs.mkdir()
    (docs / "empty.txt").write_bytes(b"")
    (docs / "resident.txt").write_bytes(b"resident")
    (docs / "plain.bin").write_bytes(rnd.randbytes(20_000))
    (docs / "A rather long name.document").write_bytes(b"with a short name, too")
    os.setxattr(docs / "A rather long name.document", "system.ntfs_dos_name", b"ARATHE~1.DOC")
    os.link(docs / "plain.bin", root / "second name.bin")
    for i in range(12):
        (docs / f"entry_{i:02d}.tmp").write_bytes(b"%d" % i)
    for i in range(8):
        os.setxattr(docs / "plain.bin", f"user.stream_{i}", rnd.randbytes(60 if i % 2 else 3000))
    crowded = docs / "resident_list.bin"
    crowded.write_bytes(rnd.randbytes(300))
    os.link(crowded, docs / ("L" * 200))  # its attribute list stays resident
    with (docs / "sparse.bin").open("wb") as file:
        for k in range(6):
            file.seek(k * 60_000)
            file.write(rnd.randbytes(1500))
    packed = root / "packed"
    packed.mkdir()
    os.setxattr(packed, "system.ntfs_attrib_be", struct.pack(">I", ATTRIBUTE_COMPRESSED_ARCHIVE))
    (packed / "text.log").write_bytes(b"the quick brown fox jumps over the lazy dog\n" * 2000)
    (packed / "mixed.bin").write_bytes((b"A" * 16_384 + rnd.randbytes(16_384)) * 2)
    scatter(root)


def scatter(root: Path) -> None:
    """A file in so many pieces that its run list needs extension records."""
    fillers = [root / f"filler_{i:03d}" for i in range(240)]
    for path in fillers:
        path.write_bytes(b"F" * 2048)
    for path in fillers:
        os.truncate(path, 1024)
    room = os.statvfs(root)
    with contextlib.suppress(OSError):  # it takes what it gets
        (root / "blocker").write_bytes(b"Z" * (room.f_bfree * room.f_frsize))
    with (root / "scattered.bin").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"S" * 1024)
    for path in fillers[20:]:
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
