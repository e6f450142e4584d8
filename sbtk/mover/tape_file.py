"""What lies between the filemarks of a cartridge: tape files, their sizes and their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sbtk.errors import UsageError
from sbtk.mover.cartridge import Cartridge
from sbtk.mover.medium import HEADER_BYTES, MAX_RECORD_BYTES
from sbtk.units import plural

_TAR_MAGIC_AT = 257  # POSIX.1-2017 pax, ustar header block: magic, and the name at 0
_TAR_NAME_BYTES = 100
_HEAD_BYTES = 512
_SHOWN_LETTERS = 60


@dataclass(frozen=True)
class TapeFile:
    """The records between two filemarks.

    Attributes:
        number: counted from 0.
        first_object: logical object number of its first record, for LOCATE.
        records: how many.
        data_bytes: in all of them.
        filemarks: filemarks that end it: 1, or 0 where the end of data does.
        content: what it seems to be.
    """

    number: int
    first_object: int
    records: int
    data_bytes: int
    filemarks: int
    content: str


def tape_file_count(cartridge: Cartridge) -> int:
    """How many tape files there are; what follows the last filemark is one if it has records."""
    marks = cartridge.index.filemarks
    unfinished = (marks[-1] + 1 if marks else 0) < len(cartridge)
    return len(marks) + unfinished


def tape_files(cartridge: Cartridge) -> Iterator[TapeFile]:
    """All tape files in order."""
    first = 0
    for number, mark in enumerate(cartridge.index.filemarks):
        yield _tape_file(cartridge, number, first, mark, filemarks=1)
        first = mark + 1
    if first < len(cartridge):
        number = len(cartridge.index.filemarks)
        yield _tape_file(cartridge, number, first, len(cartridge), filemarks=0)


def _tape_file(
    cartridge: Cartridge, number: int, first: int, end: int, *, filemarks: int
) -> TapeFile:
    offsets = cartridge.index.offsets
    return TapeFile(
        number=number,
        first_object=first,
        records=end - first,
        data_bytes=offsets[end] - offsets[first] - (end - first) * HEADER_BYTES,
        filemarks=filemarks,
        content=_content(cartridge, first) if end > first else "empty",
    )


def _content(cartridge: Cartridge, number: int) -> str:
    """What the first record of a tape file looks like."""
    buffer = bytearray(_HEAD_BYTES)
    length = min(_HEAD_BYTES, cartridge.read_record(number, memoryview(buffer)))
    head = bytes(buffer[:length])
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        name = head[:_TAR_NAME_BYTES].split(b"\0")[0]
        return f"tar, first member {_shown(name)}"
    text = head.rstrip(b"\0").decode("utf-8", "replace")
    if text and all(letter.isprintable() or letter in "\r\n\t" for letter in text):
        return f"text {_shown(head.rstrip(bytes(1)))}"
    return "data"


def _shown(raw: bytes) -> str:
    text = " ".join(raw.decode("utf-8", "replace").split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= _SHOWN_LETTERS else f"{shown[:_SHOWN_LETTERS]}..."


def read_tape_file(cartridge: Cartridge, number: int) -> Iterator[memoryview]:
    """The records of one tape file, each valid until the next one is asked for.

    Raises:
        UsageError: there are not so many tape files.
        CartridgeError: a record's header and its neighbour's are damaged.
        DeviceReadError: the cartridge's file cannot be read.
    """
    marks = cartridge.index.filemarks
    first = 0 if number == 0 else marks[number - 1] + 1 if 0 < number <= len(marks) else None
    if first is None or first >= len(cartridge):
        count = plural(tape_file_count(cartridge), "tape file")
        raise UsageError(
            f"{cartridge.path} has {count}, none of number {number}",
            hint="They are counted from 0; `sbtk tape list` shows them",
        )
    end = marks[number] if number < len(marks) else len(cartridge)
    buffer = memoryview(bytearray(min(MAX_RECORD_BYTES, _longest(cartridge, first, end))))
    for record in range(first, end):
        yield buffer[: cartridge.read_record(record, buffer)]


def _longest(cartridge: Cartridge, first: int, end: int) -> int:
    return max((cartridge.index.data_bytes(number) for number in range(first, end)), default=0)
