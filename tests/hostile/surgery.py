"""Take records out of a volume, change them, and put them back with their fixups in order.

Knows the format by itself: what it does must not depend on the code that it is to break.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from sbtk.errors import DeviceReadError
from tests.corpus import volume
from tests.oracles.views import inodes

STRIDE = 512
END = 0xFFFFFFFF
DATA = 0x80


class MemoryDevice:
    """A volume in memory as a ``BlockDevice``; a buffer that is changed changes the device."""

    block_bytes = 512

    def __init__(self, content: bytearray | bytes, name: str = "memory") -> None:
        self.content = content
        self.name = name

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        view = buffer.cast("B")
        end_bytes = offset_bytes + len(view)
        if offset_bytes < 0 or end_bytes > len(self.content):
            raise DeviceReadError(f"{self.name} ends at byte {len(self.content)}")
        view[:] = self.content[offset_bytes:end_bytes]

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        if offset_bytes < 0 or length_bytes < 0 or offset_bytes + length_bytes > self.size_bytes:
            raise DeviceReadError(f"{self.name} ends at byte {self.size_bytes}")
        return bytes(self.content[offset_bytes : offset_bytes + length_bytes])

    def close(self) -> None:
        pass

    def __enter__(self) -> MemoryDevice:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class Attribute:
    """Where an attribute lies in a record."""

    at: int
    attribute_type: int
    length_bytes: int
    resident: bool


class Patient:
    """A volume of the corpus in memory, and where its records are.

    Attributes:
        content: the volume's bytes; changes are kept for ``heal``.
        places: byte ranges (offset, length) of each record, in order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pristine = volume(name).image.read_bytes()
        self.content = bytearray(self.pristine)
        self.places = list(record_places(name))
        self._touched: list[tuple[int, int]] = []

    @property
    def device(self) -> MemoryDevice:
        return MemoryDevice(self.content, self.name)

    def write(self, at: int, data: bytes) -> None:
        """Overwrite bytes of the volume; what would lie behind its end is dropped."""
        data = data[: max(0, len(self.content) - at)]
        self._touched.append((at, len(data)))
        self.content[at : at + len(data)] = data

    def raw(self, record: int) -> bytearray:
        """The bytes of a record as they lie on the disk."""
        return bytearray().join(self.content[at : at + n] for at, n in self.places[record])

    def put_raw(self, record: int, raw: bytes) -> None:
        done = 0
        for at, count in self.places[record]:
            self.write(at, bytes(raw[done : done + count]))
            done += count

    def record(self, record: int) -> bytearray:
        """A record with its fixups undone."""
        return unfix(self.raw(record))

    def put(self, record: int, content: bytes) -> None:
        """Write a record, fixups made."""
        self.put_raw(record, fix(content))

    def heal(self) -> None:
        """Undo every change."""
        for at, count in self._touched:
            self.content[at : at + count] = self.pristine[at : at + count]
        self._touched.clear()


@cache
def record_places(name: str) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Byte ranges of every record of a volume, through $MFT's runs as ntfsinfo tells them."""
    image = volume(name).image
    with image.open("rb") as file:
        boot = file.read(512)
    (sector_bytes,) = struct.unpack_from("<H", boot, 0x0B)
    cluster_bytes = sector_bytes * boot[0x0D] if boot[0x0D] < 0x80 else 1 << (256 - boot[0x0D])
    cluster_bytes = cluster_bytes if boot[0x0D] < 0x80 else sector_bytes * cluster_bytes
    per_record = struct.unpack_from("<b", boot, 0x40)[0]
    record_bytes = 1 << -per_record if per_record < 0 else per_record * cluster_bytes
    pieces = [p for p in inodes(name)[0].pieces if p.attribute_type == DATA and not p.name]
    pieces.sort(key=lambda piece: piece.lowest_vcn)
    runs = [run for piece in pieces for run in piece.runs]
    ranges = [(lcn * cluster_bytes, clusters * cluster_bytes) for _, lcn, clusters in runs]
    return tuple(_cut(ranges, record_bytes, pieces[0].initialized_bytes // record_bytes))


def _cut(
    ranges: list[tuple[int, int]], record_bytes: int, count: int
) -> Iterator[tuple[tuple[int, int], ...]]:
    waiting = iter(ranges)
    at, left = next(waiting)
    for _ in range(count):
        parts, wanted = [], record_bytes
        while wanted:
            if not left:
                at, left = next(waiting)
            step = min(wanted, left)
            parts.append((at, step))
            at, left, wanted = at + step, left - step, wanted - step
        yield tuple(parts)


def unfix(raw: bytes) -> bytearray:
    """Put the sector tails back from the update sequence array; silent on what does not fit."""
    record = bytearray(raw)
    array, entries = struct.unpack_from("<HH", record, 4)
    for i in range(1, entries):
        tail, source = i * STRIDE - 2, array + 2 * i
        if tail + 2 <= len(record) and source + 2 <= len(record):
            record[tail : tail + 2] = record[source : source + 2]
    return record


def fix(record: bytes) -> bytearray:
    """The opposite: tails into the array, the number into the tails."""
    raw = bytearray(record)
    array, entries = struct.unpack_from("<HH", raw, 4)
    for i in range(1, entries):
        tail, source = i * STRIDE - 2, array + 2 * i
        if tail + 2 <= len(raw) and source + 2 <= len(raw):
            raw[source : source + 2] = raw[tail : tail + 2]
            raw[tail : tail + 2] = raw[array : array + 2]
    return raw


def attributes(record: bytes) -> list[Attribute]:
    """The attributes of a record, as far as they follow each other."""
    found = []
    (at,) = struct.unpack_from("<H", record, 0x14)
    while at + 16 <= len(record):
        attribute_type, length_bytes = struct.unpack_from("<II", record, at)
        if attribute_type == END or length_bytes < 16 or at + length_bytes > len(record):
            break
        found.append(Attribute(at, attribute_type, length_bytes, record[at + 8] == 0))
        at += length_bytes
    return found


def attribute(record: bytes, attribute_type: int, *, resident: bool | None = None) -> Attribute:
    """The first attribute of a type."""
    for found in attributes(record):
        if found.attribute_type == attribute_type and resident in (None, found.resident):
            return found
    raise LookupError(f"no attribute {attribute_type:#x}")


def value_place(record: bytes, found: Attribute) -> tuple[int, int]:
    """Where the value of a resident attribute lies: offset in the record, and its length."""
    length_bytes, offset_bytes = struct.unpack_from("<IH", record, found.at + 0x10)
    return found.at + offset_bytes, length_bytes


def pairs_place(record: bytes, found: Attribute) -> tuple[int, int]:
    """Where the mapping pairs of a non-resident attribute lie, to the end of the attribute."""
    (offset_bytes,) = struct.unpack_from("<H", record, found.at + 0x20)
    return found.at + offset_bytes, found.length_bytes - offset_bytes
