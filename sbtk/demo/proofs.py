"""What the demo's claims are held against: another driver's hashes, plain tar, a flipped byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from sbtk import samples
from sbtk.errors import JobError
from sbtk.mover.cartridge import Cartridge
from sbtk.mover.tape_file import read_tape_file
from sbtk.volume import open_volume

_CHUNK_BYTES = 1 << 20


def compare_with_truth(
    image: Path, sample: str, *, changed: Mapping[str, bytes], holes: Collection[str]
) -> tuple[int, int]:
    """Hold every file and stream against the hashes that an ntfs-3g mount of the sample gave.

    Args:
        image: the volume to look at.
        sample: name of the sample that it should equal.
        changed: path -> content, where it should differ from the sample.
        holes: paths of files that should read as zeros.

    Returns:
        Files and named streams that are equal.

    Raises:
        JobError: one is not; it is named.
    """
    truth = json.loads((samples.FOLDER / f"{sample}.truth.json").read_text())
    files = streams = 0
    with open_volume(str(image)) as volume:
        for item in truth["paths"]:
            path = item["path"]
            if path.startswith("$"):
                continue  # the file system's own: the mount shows them changed by itself
            expected = dict(item.get("streams", {}))
            if not item["is_directory"]:
                zeros = bytes(item["size_bytes"]) if path in holes else None
                content = changed.get(path, zeros)
                expected[""] = item["sha256"] if content is None else sha256(content)
            for stream, digest in expected.items():
                with volume.open(path, stream) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != digest:
                    raise JobError(f"{path}{':' if stream else ''}{stream} is not what it was")
                files += not stream
                streams += bool(stream)
    return files, streams


def sha256(content: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def compare_with_tar(tape: Path, restored: Path, folder: Path) -> int:
    """Take the volume off a tape with nothing but Python's tarfile, and compare it.

    Returns:
        Bytes that are equal.

    Raises:
        JobError: it differs.
    """
    archive, member = folder / "tape-file-1.tar", "volume.ntfs"
    with Cartridge(tape, writable=False) as cartridge, archive.open("wb") as out:
        for record in read_tape_file(cartridge, 1):
            out.write(record)
    equal = 0
    with tarfile.open(archive) as tar, restored.open("rb") as other:
        content = tar.extractfile(member)
        if content is None:
            raise JobError(f"the tape has no {member}")
        while piece := content.read(_CHUNK_BYTES):
            if other.read(len(piece)) != piece:
                raise JobError(f"{member} on the tape differs from the restored volume")
            equal += len(piece)
    return equal


def flip_one_byte(tape: Path, copy: Path, near: bytes) -> None:
    """Copy a cartridge and damage one byte of some known data in it.

    Args:
        tape: the cartridge.
        copy: the copy.
        near: data that lie on it; the byte in their middle is the one.

    Raises:
        JobError: they do not lie on it.
    """
    shutil.copyfile(tape, copy)
    with copy.open("r+b") as file:
        at = _find(file, near)
        if at < 0:
            raise JobError("the tape does not hold the file that the demo looks for")
        file.seek(at + len(near) // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x01]))


def _find(file: BinaryIO, data: bytes) -> int:
    held, start = b"", 0
    while piece := file.read(_CHUNK_BYTES):
        held += piece
        if (at := held.find(data)) >= 0:
            return start + at
        drop = max(len(held) - len(data), 0)
        held, start = held[drop:], start + drop
    return -1
