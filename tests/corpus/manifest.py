"""Walk a mounted volume and write what any reader should see, one JSON line a path.

usage: python manifest.py MOUNTPOINT OUT.jsonl

Keys: path ("." is the root), ino, mode, nlink, size, blocks (of 512 bytes), mtime_ns; and where
they apply: sha256 (regular files), target (symbolic links), streams (name -> sha256 of every named
stream), dos (8.3 name), times (created, modified, accessed, changed: 100 ns since 1601),
attributes (NTFS file attributes), reparse_tag, error (what the mount says instead of content).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def xattr(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def named_streams(path: str) -> dict[str, str]:
    try:
        names = [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user.")]
    except OSError:
        return {}
    content = {name[5:]: xattr(path, name) for name in names}
    return {n: hashlib.sha256(data).hexdigest() for n, data in content.items() if data is not None}


def describe(mountpoint: str, path: str) -> dict[str, Any]:
    info = os.lstat(path)
    row: dict[str, Any] = {
        "path": os.path.relpath(path, mountpoint),
        "ino": info.st_ino,
        "mode": info.st_mode,
        "nlink": info.st_nlink,
        "size": info.st_size,
        "blocks": info.st_blocks,
        "mtime_ns": info.st_mtime_ns,
    }
    if stat.S_ISREG(info.st_mode):
        try:
            row["sha256"] = sha256_of(path)
        except OSError as error:  # $Extend/$ObjId and friends have no unnamed $DATA
            row["error"] = str(error.strerror)
    elif stat.S_ISLNK(info.st_mode):
        row["target"] = os.readlink(path)
    if streams := named_streams(path):
        row["streams"] = streams
    if (dos := xattr(path, "system.ntfs_dos_name")) is not None:
        row["dos"] = dos.decode("utf-8", "replace")
    if (times := xattr(path, "system.ntfs_times")) is not None:
        row["times"] = list(struct.unpack("=4Q", times))
    if (attributes := xattr(path, "system.ntfs_attrib")) is not None:
        row["attributes"] = struct.unpack("=I", attributes)[0]
    if (reparse := xattr(path, "system.ntfs_reparse_data")) is not None:
        row["reparse_tag"] = struct.unpack_from("<I", reparse)[0]
    return row


def walk(mountpoint: str) -> list[dict[str, Any]]:
    rows = [describe(mountpoint, mountpoint)]
    for root, folders, files in os.walk(mountpoint):
        folders.sort()
        rows.extend(describe(mountpoint, os.path.join(root, name)) for name in folders + files)
    return sorted(rows, key=lambda row: str(row["path"]))


def main(mountpoint: str, out: str) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in walk(mountpoint)]
    Path(out).write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    main(*sys.argv[1:3])
