"""NTFS volumes made by real tools, built on demand and kept in a cache.

``volume("zoo").image`` is the path of a read-only image and ``.manifest`` what a read-only ntfs-3g
mount shows of it (keys: manifest.py). A volume is built once for all processes; its place in the
cache is named after the scripts that make it, so a changed script makes new volumes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.corpus.build import RECIPES, SCRIPTS, BuildError, build

NAMES = tuple(RECIPES)
BUILDERS = ("build.py", "manifest.py", *sorted({r.script for r in RECIPES.values()}))
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class CorpusVolume:
    """One volume of the corpus.

    Attributes:
        name: as in NAMES.
        folder: where its files are; nothing in it may be changed.
    """

    name: str
    folder: Path

    @property
    def image(self) -> Path:
        """The volume, from its boot sector to its backup boot sector; mode 0444."""
        return self.folder / "volume.img"

    @cached_property
    def manifest(self) -> list[dict[str, Any]]:
        """One dict a path, sorted by path."""
        text = (self.folder / "manifest.jsonl").read_text(
            encoding="utf-8", errors="surrogateescape"
        )
        return [json.loads(line) for line in text.split("\n") if line]

    @cached_property
    def notes(self) -> dict[str, Any]:
        """What the tools refused while the volume was filled."""
        notes: dict[str, Any] = json.loads((self.folder / "notes.json").read_text())
        return notes


def _digest_of_builders() -> str:
    digest = hashlib.sha256()
    for script in BUILDERS:
        digest.update((SCRIPTS / script).read_bytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest_of_builders()  # of the code that this process runs


def cache_folder() -> Path:
    """``.cache/corpus/HASH`` of the repository, or of $SBTK_CACHE_DIR; HASH is of the scripts."""
    return Path(os.environ.get("SBTK_CACHE_DIR", REPOSITORY / ".cache")) / "corpus" / _DIGEST


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``path`` against every other process; released by the kernel if this one dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def volume(name: str) -> CorpusVolume:
    """The volume ``name``, built now if the cache does not hold it.

    Raises:
        KeyError: no volume of the corpus has this name.
        BuildError: a tool is missing or refused.
    """
    if name not in RECIPES:
        raise KeyError(f"{name} is none of {', '.join(NAMES)}")
    cached = cache_folder()
    folder = cached / name
    if not folder.is_dir():
        cached.mkdir(parents=True, exist_ok=True)
        with locked(cached / f"{name}.lock"):
            if not folder.is_dir():
                _build_into(name, folder)
    return CorpusVolume(name, folder)


def _build_into(name: str, folder: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.unfinished.", dir=folder.parent))
    try:
        build(name, unfinished)
        if _digest_of_builders() != _DIGEST:
            raise BuildError(f"the scripts that make {name} changed meanwhile: run again")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
