"""Ways to damage a volume, each aimed at something that parsers trust; all from one generator."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.hostile.surgery import (
    Attribute,
    Patient,
    attributes,
    pairs_place,
    value_place,
)

ATTRIBUTE_LIST, FILE_NAME, BITMAP = 0x20, 0x30, 0xB0
EXTREMES = {
    1: (0, 1, 2, 0x10, 0x41, 0x7F, 0x80, 0xF4, 0xFE, 0xFF),
    2: (0, 1, 7, 8, 0x10, 0x18, 0x1FE, 0x200, 0x3FF, 0x400, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF),
    4: (0, 1, 8, 0x18, 0x400, 0x401, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF),
    8: (0, 1, 0x400, 1 << 31, 1 << 32, 1 << 47, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
}
# Fields by offset and width: of a FILE record, of an attribute, of both kinds of its second half.
HEADER_FIELDS = (
    (0x00, 4), (0x04, 2), (0x06, 2), (0x08, 8), (0x10, 2), (0x12, 2), (0x14, 2), (0x16, 2),
    (0x18, 4), (0x1C, 4), (0x20, 8), (0x28, 2), (0x2C, 4),
)  # fmt: skip
ATTRIBUTE_FIELDS = ((0x00, 4), (0x04, 4), (0x08, 1), (0x09, 1), (0x0A, 2), (0x0C, 2), (0x0E, 2))
RESIDENT_FIELDS = ((0x10, 4), (0x14, 2), (0x16, 1))
NON_RESIDENT_FIELDS = (
    (0x10, 8), (0x18, 8), (0x20, 2), (0x22, 2), (0x28, 8), (0x30, 8), (0x38, 8), (0x40, 8),
)  # fmt: skip
LIST_ENTRY_FIELDS = ((0x00, 4), (0x04, 2), (0x06, 1), (0x07, 1), (0x08, 8), (0x10, 8), (0x18, 2))
FILE_NAME_FIELDS = ((0x00, 8), (0x28, 8), (0x30, 8), (0x38, 4), (0x40, 1), (0x41, 1))
BOOT_FIELDS = (
    (0x00, 1), (0x03, 8), (0x0B, 2), (0x0D, 1), (0x0E, 2), (0x15, 1), (0x28, 8), (0x30, 8),
    (0x38, 8), (0x40, 1), (0x44, 1), (0x48, 8), (0x1FE, 2),
)  # fmt: skip
RUN_HEADERS = (0xFF, 0x00, 0x01, 0x10, 0x11, 0x18, 0x81, 0x88, 0x80, 0x08, 0x1F, 0xF1, 0x99)

Mutation = Callable[[Patient, random.Random], None]


def put_extreme(data: bytearray, at: int, width: int, rnd: random.Random) -> None:
    """A value at a border, or one next to what was there, or any."""
    if at + width > len(data):
        return
    old = int.from_bytes(data[at : at + width], "little")
    near = (old + rnd.choice((-8, -1, 1, 8))) % (1 << (8 * width))
    value = rnd.choice((rnd.choice(EXTREMES[width]), near, rnd.getrandbits(8 * width)))
    data[at : at + width] = value.to_bytes(width, "little")


def pick_record(patient: Patient, rnd: random.Random) -> int:
    """Any record; those of the system and of the first files more often."""
    return rnd.choice((rnd.randrange(12), rnd.randrange(len(patient.places)),
                       rnd.randrange(64, min(110, len(patient.places)))))  # fmt: skip


def pick_attribute(record: bytearray, rnd: random.Random) -> Attribute | None:
    found = attributes(record) if record[:4] == b"FILE" else []
    return rnd.choice(found) if found else None


def on_record(change: Callable[[bytearray, random.Random], None]) -> Mutation:
    """Apply ``change`` to a record with its fixups undone; they are made again, as a rule."""

    def mutate(patient: Patient, rnd: random.Random) -> None:
        number = pick_record(patient, rnd)
        record = patient.record(number)
        change(record, rnd)
        if rnd.random() < 0.95:
            patient.put(number, record)
        else:
            patient.put_raw(number, record)

    mutate.__name__ = change.__name__
    return mutate


@on_record
def header_field(record: bytearray, rnd: random.Random) -> None:
    put_extreme(record, *rnd.choice(HEADER_FIELDS), rnd)


@on_record
def attribute_field(record: bytearray, rnd: random.Random) -> None:
    if found := pick_attribute(record, rnd):
        more = RESIDENT_FIELDS if found.resident else NON_RESIDENT_FIELDS
        at, width = rnd.choice(ATTRIBUTE_FIELDS + more)
        put_extreme(record, found.at + at, width, rnd)


@on_record
def run_list(record: bytearray, rnd: random.Random) -> None:
    """Other headers, other bytes, or the end mark taken away."""
    spread = [a for a in attributes(record) if not a.resident] if record[:4] == b"FILE" else []
    if not spread:
        return
    at, room = pairs_place(record, rnd.choice(spread))
    if not 0 < room <= len(record) - at:
        return
    for _ in range(rnd.randrange(1, 4)):
        place = at + rnd.randrange(room)
        record[place] = rnd.choice((rnd.choice(RUN_HEADERS), rnd.randrange(256)))
    if rnd.random() < 0.3:
        endless = (b"\x11\x01\x01" * room)[:room]
        record[at : at + room] = rnd.choice((endless, rnd.randbytes(room)))


@on_record
def file_name(record: bytearray, rnd: random.Random) -> None:
    names = [a for a in attributes(record) if a.attribute_type == FILE_NAME and a.resident]
    if names:
        at, _ = value_place(record, rnd.choice(names))
        put_extreme(record, at + (field := rnd.choice(FILE_NAME_FIELDS))[0], field[1], rnd)


@on_record
def bit_flips(record: bytearray, rnd: random.Random) -> None:
    for _ in range(rnd.randrange(1, 9)):
        record[rnd.randrange(len(record))] ^= 1 << rnd.randrange(8)


@on_record
def zeroed_record(record: bytearray, rnd: random.Random) -> None:
    """All of it, or all but its start: it looks like one that was never used."""
    start = rnd.choice((0, 0, 0, 0x2A))
    record[start:] = bytes(len(record) - start)


def parents_in_a_circle(patient: Patient, rnd: random.Random) -> None:
    """Folders that are each other's parent, or their own."""
    ring = [rnd.choice((5, 64, 85, pick_record(patient, rnd))) for _ in range(rnd.randrange(1, 4))]
    for number, parent in zip(ring, ring[1:] + ring[:1], strict=True):
        record = patient.record(number)
        for found in attributes(record):
            if found.attribute_type == FILE_NAME and found.resident:
                at, _ = value_place(record, found)
                sequence = patient.record(parent)[0x10:0x12]
                record[at : at + 8] = parent.to_bytes(6, "little") + sequence
        patient.put(number, record)


def bases_in_a_circle(patient: Patient, rnd: random.Random) -> None:
    """Records that extend each other, or themselves."""
    ring = [pick_record(patient, rnd) for _ in range(rnd.randrange(1, 4))]
    for number, base in zip(ring, ring[1:] + ring[:1], strict=True):
        record = patient.record(number)
        record[0x20:0x28] = base.to_bytes(6, "little") + patient.record(base)[0x10:0x12]
        patient.put(number, record)


def swapped_records(patient: Patient, rnd: random.Random) -> None:
    one, other = pick_record(patient, rnd), pick_record(patient, rnd)
    first, second = patient.raw(one), patient.raw(other)
    patient.put_raw(one, second)
    patient.put_raw(other, first)


def torn_record(patient: Patient, rnd: random.Random) -> None:
    """One sector of a record is another's: the fixups tell."""
    one, other = pick_record(patient, rnd), pick_record(patient, rnd)
    raw = patient.raw(one)
    raw[512:1024] = patient.raw(other)[512:1024]
    patient.put_raw(one, raw)


def attribute_list(patient: Patient, rnd: random.Random) -> None:
    """A lying list: entries of length 0, wrong records, itself; resident and not."""
    listed = [
        (number, found)
        for number in (67, 82, 329, *range(64, 90))
        for found in attributes(patient.record(number))
        if found.attribute_type == ATTRIBUTE_LIST
    ]
    number, found = rnd.choice(listed)
    record = patient.record(number)
    if found.resident:
        at, room = value_place(record, found)
        entry = at + 32 * rnd.randrange(max(1, room // 32))
        field = rnd.choice(LIST_ENTRY_FIELDS)
        put_extreme(record, entry + field[0], field[1], rnd)
        patient.put(number, record)
        return
    at, _ = pairs_place(record, found)
    count_bytes, lcn_bytes = record[at] & 15, record[at] >> 4
    lcn = int.from_bytes(record[at + 1 + count_bytes : at + 1 + count_bytes + lcn_bytes], "little")
    page = bytearray(patient.content[lcn * 1024 : lcn * 1024 + 1024])
    for _ in range(rnd.randrange(1, 4)):
        field = rnd.choice(LIST_ENTRY_FIELDS)
        put_extreme(page, 32 * rnd.randrange(24) + field[0], field[1], rnd)
    if rnd.random() < 0.2:
        page[16:22] = number.to_bytes(6, "little")
    patient.write(lcn * 1024, bytes(page))


def mft_bitmap(patient: Patient, rnd: random.Random) -> None:
    """Bits of $MFT's own bitmap turned over, or bytes of it set or cleared."""
    record = patient.record(0)
    found = next(a for a in attributes(record) if a.attribute_type == BITMAP)
    at, _ = pairs_place(record, found)
    count_bytes, lcn_bytes = record[at] & 15, record[at] >> 4
    lcn = int.from_bytes(record[at + 1 + count_bytes : at + 1 + count_bytes + lcn_bytes], "little")
    page = bytearray(patient.content[lcn * 1024 : lcn * 1024 + len(patient.places) // 8 + 2])
    for _ in range(rnd.randrange(1, 4)):
        place = rnd.randrange(len(page))
        page[place] = rnd.choice((0, 0xFF, page[place] ^ 1 << rnd.randrange(8)))
    patient.write(lcn * 1024, bytes(page))


def boot_sector(patient: Patient, rnd: random.Random) -> None:
    boot = bytearray(patient.content[:512])
    for _ in range(rnd.randrange(1, 3)):
        put_extreme(boot, *rnd.choice(BOOT_FIELDS), rnd)
    patient.write(0, bytes(boot))
    if rnd.random() < 0.5:  # the backup agrees, so that the damage has to be lived with
        patient.write(len(patient.content) - 512, bytes(boot))


def random_bytes(patient: Patient, rnd: random.Random) -> None:
    at = rnd.choice((rnd.randrange(len(patient.content)), rnd.choice(patient.places)[0][0]))
    patient.write(at, rnd.randbytes(rnd.choice((1, 16, 512, 4096))))


def zeroed_range(patient: Patient, rnd: random.Random) -> None:
    at = rnd.choice((rnd.randrange(len(patient.content)), rnd.choice(patient.places)[0][0]))
    patient.write(at, bytes(rnd.choice((1, 512, 4096, 65536))))


ON_RECORDS: tuple[Mutation, ...] = (
    header_field, attribute_field, run_list, file_name, bit_flips, zeroed_record,
)  # fmt: skip
ON_VOLUMES: tuple[Mutation, ...] = (
    *ON_RECORDS, parents_in_a_circle, bases_in_a_circle, swapped_records, torn_record,
    attribute_list, mft_bitmap, boot_sector, random_bytes, zeroed_range,
)  # fmt: skip
