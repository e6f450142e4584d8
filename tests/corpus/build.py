"""Make one volume of the corpus with real tools (mkntfs, ntfs-3g); needs root and /dev/fuse.

usage: python -m tests.corpus.build NAME FOLDER   (leaves volume.img, manifest.jsonl, notes.json)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
MIB = 1 << 20
WRITABLE = "compression,streams_interface=xattr,special_files=interix,big_writes"
READ_ONLY = "ro,streams_interface=xattr,show_sys_files"
PREALLOCATED = "plain/size_1025.bin"  # allocated behind the end of its data
SHORT_INITIALIZED = "plain/size_4097.bin"  # data size grown, initialised size left behind


@dataclass(frozen=True)
class Recipe:
    """What mkntfs is told, and which script fills the volume with which options."""

    size_bytes: int
    cluster_bytes: int
    sector_bytes: int = 512
    options: tuple[str, ...] = ("--compressed",)
    script: str = "populate_zoo.py"


RECIPES = {
    "zoo": Recipe(64 * MIB, 4096),
    "zoo_c512": Recipe(64 * MIB, 512),
    "zoo_c65536": Recipe(256 * MIB, 65536, options=()),  # NTFS compresses up to 4 KiB clusters only
    "zoo_c2m": Recipe(1024 * MIB, 2 * MIB, options=("--no-frag",)),
    "zoo_s4096": Recipe(64 * MIB, 4096, sector_bytes=4096),
    "mft_list": Recipe(16 * MIB, 512, script="populate_mft_list.py"),
    "tiny": Recipe(4 * MIB, 1024, script="populate_tiny.py"),
}


class BuildError(RuntimeError):
    """A tool refused; the message holds its own words."""


def run(*command: str | Path) -> str:
    """Run a tool and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip()
        raise BuildError(f"{Path(str(command[0])).name} ended with {done.returncode}: {words}")
    return done.stdout


@contextmanager
def mounted(image: Path, options: str) -> Iterator[Path]:
    """``image`` mounted with ntfs-3g on a folder of its own, unmounted and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="sbtk-corpus-") as folder:
        run("ntfs-3g", "-o", options, image, folder)
        try:
            yield Path(folder)
        finally:
            run("umount", folder)


def format_volume(name: str, recipe: Recipe, image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(recipe.size_bytes)
    sectors = recipe.size_bytes // recipe.sector_bytes
    geometry = ("-c", str(recipe.cluster_bytes), "-s", str(recipe.sector_bytes))
    start = ("-p", "0", "-H", "255", "-S", "63")
    run("mkntfs", "-q", "-f", "-F", "-T", "-L", name, *geometry, *start, image, str(sectors))


def fill_zoo(recipe: Recipe, image: Path) -> dict[str, str | int]:
    with mounted(image, WRITABLE) as folder:
        printed = run(sys.executable, SCRIPTS / recipe.script, folder, *recipe.options)
    with mounted(image, WRITABLE) as folder:
        run(sys.executable, SCRIPTS / recipe.script, folder, "--again")
    notes: dict[str, str | int] = json.loads(printed)
    for path, options in (
        (PREALLOCATED, ("-n", "-l", "200000")),
        (SHORT_INITIALIZED, ("-l", "150000")),
    ):
        try:
            run("ntfsfallocate", "-f", "-q", *options, image, path)
        except BuildError as error:  # it crashes on clusters of 2 MiB
            notes[f"ntfsfallocate {path}"] = str(error)
    return notes


def fill_mft_list(recipe: Recipe, image: Path) -> dict[str, str | int]:
    for step in ("comb", "grow", "content"):
        with mounted(image, WRITABLE) as folder:
            run(sys.executable, SCRIPTS / recipe.script, step, folder, str(recipe.cluster_bytes))
    return {}


def fill_tiny(recipe: Recipe, image: Path) -> dict[str, str | int]:
    with mounted(image, WRITABLE) as folder:
        run(sys.executable, SCRIPTS / recipe.script, folder)
    return {}


FILL = {
    "populate_zoo.py": fill_zoo,
    "populate_mft_list.py": fill_mft_list,
    "populate_tiny.py": fill_tiny,
}


def build(name: str, folder: Path) -> None:
    """Leave volume.img, manifest.jsonl and notes.json of the volume ``name`` in ``folder``."""
    recipe = RECIPES[name]
    image = folder / "volume.img"
    format_volume(name, recipe, image)
    notes = FILL[recipe.script](recipe, image)
    with mounted(image, READ_ONLY) as mountpoint:
        run(sys.executable, SCRIPTS / "manifest.py", mountpoint, folder / "manifest.jsonl")
    (folder / "notes.json").write_text(json.dumps(notes, indent=1) + "\n")
    image.chmod(0o444)


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
