"""Disk images with partition tables, made by sfdisk, with boot sectors put inside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NTFS_BOOT = b"\xeb\x52\x90NTFS    " + bytes(499) + b"\x55\xaa"
MIB = 1 << 20


def run(*words: object, stdin: str | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def put(image: Path, offset_bytes: int, data: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset_bytes)
        file.write(data)


def gpt_disk(image: Path, *parts_mib: int, ntfs: tuple[int, ...] = ()) -> Path:
    """A GPT disk with partitions of these sizes; those in ``ntfs`` (numbers) get a boot sector."""
    with image.open("wb") as file:
        file.truncate((sum(parts_mib) + 4) * MIB)
    kind = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"  # Microsoft basic data
    script = [f'size={mib}MiB, type={kind}, name="part {i}"' for i, mib in enumerate(parts_mib, 1)]
    run("sfdisk", "-q", image, stdin="\n".join(["label: gpt", *script, ""]))
    for item in sfdisk_partitions(image):
        if item["number"] in ntfs:
            put(image, item["start"] * 512, NTFS_BOOT)
    return image


def mbr_disk(image: Path, script: str, mib: int = 64) -> Path:
    """An MBR disk from an sfdisk script."""
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    run("sfdisk", "-q", image, stdin="label: dos\n" + script)
    return image


def sfdisk_partitions(image: Path) -> list[dict]:
    """What sfdisk reads from the image: number, start, size, type (and name) of each partition."""
    table = json.loads(run("sfdisk", "-J", image))["partitiontable"]
    items = table.get("partitions", [])
    for item in items:
        item["number"] = int(item["node"].removeprefix(str(image)).lstrip("p"))
    return items


@contextmanager
def loop_device(image: Path, *, sector_bytes: int = 512) -> Iterator[Path]:
    """The image as a loop device of that sector size."""
    node = run("losetup", "--find", "--show", "--sector-size", sector_bytes, image).strip()
    try:
        yield Path(node)
    finally:
        run("losetup", "--detach", node)
