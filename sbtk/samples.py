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


def names(folder: Path = FOLDER) -> list[str]:
    """Names of the samples, such as ``"office.ntfs"``."""
    return sorted(path.name.removesuffix(".img.xz") for path in folder.glob("*.img.xz"))


def unpack(name: str, folder: Path = FOLDER) -> Path:
    """The image of a sample, unpacked unless it is there already and newer than its archive.

    Raises:
        LocationNotFoundError: there is no such sample.
    """
    packed = folder / f"{name}.img.xz"
    image = folder / f"{name}.img"
    if not packed.exists():
        raise LocationNotFoundError(
            f"there is no sample {name!r} in {folder}",
            hint=f"There are: {', '.join(names(folder))}" if names(folder) else "Use a checkout",
        )
    if image.exists() and image.stat().st_mtime >= packed.stat().st_mtime:
        return image
    handle, unfinished = tempfile.mkstemp(prefix=f".{name}.", suffix=".img", dir=folder)
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
    """Unpack the samples of the folder that is named, or of the checkout's own."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    try:
        for name in names(folder):
            sys.stdout.write(f"{unpack(name, folder)}\n")
    except SbtkError as error:
        sys.exit(f"sbtk: {error.line}")


if __name__ == "__main__":
    main()
