"""Change single attributes in the records of an image, so that everything else stays valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sbtk.ntfs.lookup import Stream

RECORD_BYTES = 1024


def seal(fixed: bytearray) -> bytes:
    """A record as it lies on the disk: tails of its sectors swapped for the sequence number."""
    start = int.from_bytes(fixed[4:6], "little")
    for sector in range(1, len(fixed) // 512 + 1):
        tail = slice(512 * sector - 2, 512 * sector)
        fixed[start + 2 * sector : start + 2 * sector + 2] = fixed[tail]
        fixed[tail] = fixed[start : start + 2]
    return bytes(fixed)


def attribute_at(fixed: bytes, kind: int) -> int:
    """Where the first attribute of a type begins in a fixed-up record."""
    at = int.from_bytes(fixed[20:22], "little")
    while int.from_bytes(fixed[at : at + 4], "little") != kind:
        at += int.from_bytes(fixed[at + 4 : at + 8], "little")
        assert at < len(fixed) - 8, "no such attribute"
    return at


def change(
    image: Path, mft_byte: int, stream: Stream, edit: Callable[[bytearray, int], None]
) -> None:
    """Edit a record in an image: ``edit(record, start of the stream's first attribute)``."""
    with image.open("r+b") as file:
        file.seek(mft_byte + stream.record * RECORD_BYTES)
        fixed = bytearray(file.read(RECORD_BYTES))
        start = int.from_bytes(fixed[4:6], "little")
        for sector in (1, 2):
            tail = slice(512 * sector - 2, 512 * sector)
            fixed[tail] = fixed[start + 2 * sector : start + 2 * sector + 2]
        edit(fixed, attribute_at(fixed, stream.attribute_type))
        file.seek(mft_byte + stream.record * RECORD_BYTES)
        file.write(seal(fixed))
