"""Walk a cartridge from its beginning, and find where a broken one still makes sense.

Each header says where the next one lies and each says where the one before it lies, so a header
that is damaged is framed by its neighbours. What no neighbour vouches for at the very end of the
file, and is no longer than one write, is a write that was never finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sbtk.errors import CartridgeError
from sbtk.events import Finding, Listener, Progress
from sbtk.mover.cartridge_index import ObjectIndex
from sbtk.mover.medium import (
    BEGINNING_OF_TAPE,
    END_OF_DATA,
    FILEMARK,
    FIRST_OBJECT_OFFSET_BYTES,
    HEADER_BYTES,
    MAX_RECORD_BYTES,
    RECORD,
    ObjectHeader,
    decode_header,
)

_ONE_WRITE_BYTES = MAX_RECORD_BYTES + 2 * HEADER_BYTES
_OBJECTS_A_REPORT = 1 << 18
_PLACES_A_STEP = 1 << 20
_OWN_OFFSET_END = 39  # last byte of a header's own offset
_MOST_DAMAGED = 256  # each costs a search; a cartridge with more is no accident


@dataclass(frozen=True)
class Scan:
    """What a walk found.

    Attributes:
        index: all objects up to the end of data.
        damaged: numbers of the objects whose headers are damaged and framed by good ones.
        torn: the end of data is missing; it belongs to ``index.end_offset_bytes``.
    """

    index: ObjectIndex
    damaged: list[int]
    torn: bool


def scan(fd: int, size_bytes: int, name: str, listener: Listener) -> Scan:
    """Walk all headers of a cartridge of ``size_bytes`` bytes.

    Raises:
        CartridgeError: it does not begin like a cartridge, or headers one behind another are
            damaged so that what follows cannot be told.
    """
    first = decode_header(os.pread(fd, HEADER_BYTES, 0))
    if first is None or first.kind != BEGINNING_OF_TAPE:
        raise CartridgeError(
            f"{name} is no cartridge: it does not begin with a beginning-of-tape header",
            hint="`sbtk tape create` makes one",
        )
    if size_bytes < FIRST_OBJECT_OFFSET_BYTES:
        raise CartridgeError(
            f"{name} is damaged: it ends inside its medium memory",
            hint="Copy the cartridge file again from where it came from",
        )
    index, damaged, previous = ObjectIndex(), list[int](), 0
    while True:
        number, here = len(index) + 1, index.end_offset_bytes
        header = decode_header(os.pread(fd, HEADER_BYTES, here))
        if header is None or not _follows(header, number, previous, here):
            header = _framed(fd, size_bytes, number, previous, here)
            if header is None or len(damaged) == _MOST_DAMAGED:
                _refuse_damage(fd, size_bytes, here, number, name)
                return Scan(index, damaged, torn=True)
            damaged.append(number - 1)
            listener(_damage_found(name, number, here))
        if header.kind == END_OF_DATA:
            return Scan(index, damaged, torn=False)
        if header.next_offset_bytes > size_bytes:
            return Scan(index, damaged, torn=True)
        index.append(header.data_bytes, filemark=header.kind == FILEMARK)
        previous = here
        if not number % _OBJECTS_A_REPORT:
            listener(Progress(stage="index the cartridge", done=here, total=size_bytes))


def find_headers(window: bytes, offset_bytes: int) -> Iterator[ObjectHeader]:
    """The good headers in a piece of a cartridge that begins at ``offset_bytes``, in order.

    A header holds its own offset, so only places where that is so are looked at.
    """
    data = np.frombuffer(window, np.uint8)
    last_place = len(data) - HEADER_BYTES
    for start in range(0, last_place + 1, _PLACES_A_STEP):
        places = np.arange(start, min(start + _PLACES_A_STEP, last_place + 1))
        for byte in range(8):
            want = (places + offset_bytes) >> (8 * byte) & 0xFF
            places = places[data[places + _OWN_OFFSET_END - byte] == want]
        for place in places.tolist():
            header = decode_header(window[place : place + HEADER_BYTES])
            if header is not None:
                yield header


def _follows(header: ObjectHeader, number: int, previous: int, here: int) -> bool:
    return (header.number, header.previous_offset_bytes, header.offset_bytes) == (
        number,
        previous,
        here,
    )


def framed_by_successor(successor: ObjectHeader | None, number: int, here: int) -> bool:
    """Whether this is the header behind object ``number`` (from 1) that lies at ``here``."""
    return (
        successor is not None
        and successor.number == number + 1
        and successor.previous_offset_bytes == here
    )


def _framed(fd: int, size_bytes: int, number: int, previous: int, here: int) -> ObjectHeader | None:
    """The header that must have been at ``here``, told by the one behind it."""
    window = os.pread(fd, min(_ONE_WRITE_BYTES, size_bytes - here), here)
    for successor in find_headers(window, here):
        if framed_by_successor(successor, number, here):
            return header_between(number, previous, here, successor.offset_bytes)
    return None


def header_between(number: int, previous: int, here: int, following: int) -> ObjectHeader:
    """The header of object ``number`` (from 1) that fills the file up to ``following``.

    A record is never empty, so an object without data is a filemark.
    """
    data_bytes = following - here - HEADER_BYTES
    kind = RECORD if data_bytes else FILEMARK
    return ObjectHeader(kind, number, data_bytes, previous, here, following)


def _refuse_damage(fd: int, size_bytes: int, here: int, number: int, name: str) -> None:
    """Raise unless what lies behind ``here`` can be one write that was never finished."""
    window = os.pread(fd, min(_ONE_WRITE_BYTES, max(0, size_bytes - here)), here)
    if size_bytes - here > _ONE_WRITE_BYTES or any(find_headers(window, here)):
        raise CartridgeError(
            f"{name} is damaged: several headers in a row are unreadable from object "
            f"{number - 1} on, at byte {here} of {size_bytes}",
            hint="Nothing was changed; copy the cartridge file again from where it came from",
        )


def _damage_found(name: str, number: int, here: int) -> Finding:
    return Finding(
        severity="warning",
        code="cartridge-header-damaged",
        message=f"{name}: the header of object {number - 1} at byte {here} is damaged; "
        "its neighbours tell what it was, and its data is read",
    )
