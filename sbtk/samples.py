"""The sample volumes of data/samples: ``python -m sbtk.samples`` unpacks them beside their .xz."""

from __future__ import annotations

import lzma
import os
import shutil
import sys
import tempfile
from pathlib import Path

from sbtk.errors import LocationNotFoundError, SbtkError

FOLDER = Path(__file__).resolve().parents[1] / "data" / "samples"


def names() -> list[str]:
    """Names of the samples, such as ``"office.ntfs"``."""
    return sorted(path.name.removesuffix(".img.xz") for path in FOLDER.glob("*.img.xz"))


def unpack(name: str) -> Path:
    """The image of a sample, unpacked unless it is there already and newer than its archive.

    Raises:
        LocationNotFoundError: there is no such sample.
    """
    packed = FOLDER / f"{name}.img.xz"
    image = FOLDER / f"{name}.img"
    if not packed.exists():
        raise LocationNotFoundError(
            f"there is no sample {name!r} in {FOLDER}",
            hint=f"There are: {', '.join(names())}" if names() else "Run from a checkout of sbtk",
        )
    if image.exists() and image.stat().st_mtime >= packed.stat().st_mtime:
        return image
    handle, unfinished = tempfile.mkstemp(prefix=f".{name}.", suffix=".img", dir=FOLDER)
    try:
        with os.fdopen(handle, "wb") as target, lzma.open(packed) as source:
            shutil.copyfileobj(source, target, 1 << 20)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, image)
    except BaseException:
        os.unlink(unfinished)
        raise
    return image


def main() -> None:
    """Unpack the samples that are named, or all of them, and print where they are."""
    try:
        for name in sys.argv[1:] or names():
            sys.stdout.write(f"{unpack(name)}\n")
    except SbtkError as error:
        sys.exit(f"sbtk: {error.line}")


if __name__ == "__main__":
    main()
