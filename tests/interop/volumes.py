"""NTFS volumes with so much data that copying them takes a while."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.interop.network import run

MIB = 1 << 20
_FILES = 4


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The volume by ntfs-3g."""
    folder.mkdir()
    run("ntfs-3g", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def ntfs_with_data(folder: Path, data_bytes: int) -> Path:
    """A new volume with four files of numbered mebibytes."""
    image = folder / "volume.ntfs"
    with image.open("wb") as stream:
        stream.truncate(data_bytes + data_bytes // 16 + 16 * MIB)
    run("mkntfs", "-Q", "-F", "-q", image)
    piece = os.urandom(MIB)
    with mounted(image, folder / "m") as mount:
        for name in range(_FILES):
            with (mount / f"file{name}").open("wb") as stream:
                for number in range(data_bytes // _FILES // MIB):
                    stream.write(number.to_bytes(4, "big") + piece[4:])
    return image
