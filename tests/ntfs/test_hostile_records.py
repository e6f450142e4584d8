"""Hostile records: each costs one finding, and the file beside it is read as if nothing were."""

from __future__ import annotations

import struct

import pytest

from sbtk.ntfs.summary import summarise
from tests import memory
from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner
from tests.ntfs.views import file, findings, paths, runs, streams

BAD, GOOD = 24, 25
# In `plain_file` the attributes start at 38h: 48h bytes of $STANDARD_INFORMATION, then the name.
FIRST = 0x38
SECOND = FIRST + 0x48

HONEST = b.plain_file(BAD, "bad", b.nonresident(b.DATA, [(100, 4)]))
DATA_AT = len(b.unprotect(HONEST).split(b"\x80\0\0\0\x48", 1)[0])


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value & (1 << 64) - 1)


def raw_patched(raw: bytes, position: int, data: bytes) -> bytes:
    """Changed on the disk, after the fixups."""
    return raw[:position] + data + raw[position + len(data) :]


RECORDS = {
    "signature": (raw_patched(HONEST, 0, b"EVIL"), "record-signature"),
    "torn mark": (raw_patched(HONEST, 0, b"BAAD"), "record-torn-mark"),
    "update sequence offset 0": (raw_patched(HONEST, 4, u16(0)), "record-update-sequence"),
    "update sequence offset odd": (raw_patched(HONEST, 4, u16(0x31)), "record-update-sequence"),
    "update sequence offset FFFFh": (raw_patched(HONEST, 4, u16(0xFFFF)), "record-update-sequence"),
    "update sequence over a tail": (raw_patched(HONEST, 4, u16(0x1FA)), "record-update-sequence"),
    "update sequence count 0": (raw_patched(HONEST, 6, u16(0)), "record-update-sequence"),
    "update sequence count FFFFh": (raw_patched(HONEST, 6, u16(0xFFFF)), "record-update-sequence"),
    "torn write": (raw_patched(HONEST, 1022, b"\x77\x77"), "record-torn-write"),
    "first attribute behind the record": (b.patched(HONEST, 0x14, u16(0xFFF8)), "record-header"),
    "first attribute in the header": (b.patched(HONEST, 0x14, u16(8)), "record-header"),
    "first attribute unaligned": (b.patched(HONEST, 0x14, u16(0x39)), "record-header"),
    "bytes used behind the record": (b.patched(HONEST, 0x18, u32(0xFFFFFFF0)), "record-header"),
    "bytes used end in an attribute": (b.patched(HONEST, 0x18, u32(SECOND)), "attribute-end"),
    "attribute length 0": (b.patched(HONEST, SECOND + 4, u32(0)), "attribute-length"),
    "attribute length 8": (b.patched(HONEST, SECOND + 4, u32(8)), "attribute-length"),
    "attribute length unaligned": (b.patched(HONEST, SECOND + 4, u32(0x69)), "attribute-length"),
    "attribute length huge": (b.patched(HONEST, SECOND + 4, u32(0xFFFFFFF8)), "attribute-length"),
    "attribute past the record": (b.patched(HONEST, SECOND + 4, u32(0x400)), "attribute-length"),
    "no end mark": (b.record(BAD, [b.file_name(5, "bad")], end=b""), "attribute-end"),
    "form 7": (b.patched(HONEST, DATA_AT + 8, b"\x07"), "attribute-name"),
    "attribute name leaves it": (b.patched(HONEST, DATA_AT + 9, b"\xff"), "attribute-name"),
    "attribute name offset": (b.patched(HONEST, DATA_AT + 9, b"\1\0\xf0\xff"), "attribute-name"),
    "value past the attribute": (b.patched(HONEST, SECOND + 16, u32(0x51)), "attribute-value"),
    "value length FFFFFFFFh": (b.patched(HONEST, SECOND + 16, u32(0xFFFFFFFF)), "attribute-value"),
    "value offset FFFFh": (b.patched(HONEST, SECOND + 20, u16(0xFFFF)), "attribute-value"),
    "value in its own header": (b.patched(HONEST, SECOND + 20, u16(16)), "attribute-value"),
    "name longer than its value": (b.patched(HONEST, SECOND + 24 + 64, b"\xff"), "file-name"),
    "name of no characters": (b.patched(HONEST, SECOND + 24 + 64, b"\0"), "file-name"),
    "name value of 10 bytes": (b.patched(HONEST, SECOND + 16, u32(10)), "file-name"),
    "non-resident name": (
        b.record(BAD, [b.nonresident(b.NAME, [(100, 1)])]), "file-name",
    ),
    "standard information cut": (b.patched(HONEST, FIRST + 16, u32(8)), "standard-information"),
    "lowest VCN negative": (b.patched(HONEST, DATA_AT + 16, u64(-1)), "attribute-sizes"),
    "highest VCN below lowest": (b.patched(HONEST, DATA_AT + 24, u64(-2)), "attribute-sizes"),
    "data size negative": (b.patched(HONEST, DATA_AT + 48, u64(-4096)), "attribute-sizes"),
    "initialised behind data": (b.patched(HONEST, DATA_AT + 56, u64(1 << 62)), "attribute-sizes"),
    "compression unit FFh": (b.patched(HONEST, DATA_AT + 34, b"\xff"), "attribute-sizes"),
    "run header FFh": (b.patched(HONEST, DATA_AT + 64, b"\xff"), "run-list"),
    "run of 9 length bytes": (
        b.plain_file(
            BAD, "bad", b.nonresident(b.DATA, b"\x19\x01" + bytes(8) + b"\x05", highest_vcn=0)
        ), "run-list",
    ),
    "run of 9 offset bytes": (
        b.plain_file(
            BAD, "bad", b.nonresident(b.DATA, b"\x91\x01\x05" + bytes(8), highest_vcn=0)
        ), "run-list",
    ),
    "run of 0 length bytes": (b.patched(HONEST, DATA_AT + 64, b"\x10"), "run-list"),
    "run of 0 clusters": (b.patched(HONEST, DATA_AT + 65, b"\0"), "run-list"),
    "run of negative length": (b.patched(HONEST, DATA_AT + 65, b"\xff"), "run-list"),
    "run at a negative cluster": (b.patched(HONEST, DATA_AT + 66, b"\xff"), "run-list"),
    "mapping pairs in the header": (b.patched(HONEST, DATA_AT + 32, u16(8)), "run-list"),
    "mapping pairs past the attribute": (b.patched(HONEST, DATA_AT + 32, u16(0x48)), "run-list"),
    "mapping pairs at FFFFh": (b.patched(HONEST, DATA_AT + 32, u16(0xFFFF)), "run-list"),
    "length that wraps 64 bits": (
        b.plain_file(BAD, "bad", b.nonresident(b.DATA, b"\x08" + u64((1 << 63) - 1) + b"\0")),
        "run-list",
    ),
    "lengths whose sum wraps": (
        b.plain_file(
            BAD, "bad", b.nonresident(b.DATA, (b"\x07" + b"\xff" * 6 + b"\x7f") * 8 + b"\0")
        ),
        "run-list",
    ),
    "clusters that wrap 64 bits": (
        b.plain_file(
            BAD, "bad", b.nonresident(b.DATA, (b"\x81\1" + b"\xff" * 7 + b"\x7f") * 3 + b"\0")
        ),
        "run-list",
    ),
    "coverage": (b.patched(HONEST, DATA_AT + 24, u64(7)), "run-list-coverage"),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
def test_one_damaged_record_is_one_finding(scan_volume: Scanner, kind: str) -> None:
    raw, code = RECORDS[kind]
    volume = b.TinyVolume().put(BAD, raw)
    volume.put(GOOD, b.plain_file(GOOD, "good", b.nonresident(b.DATA, [(120, 3)])))
    tables = scan_volume(volume)
    assert findings(tables) == [(code, BAD)]
    assert paths(tables)[GOOD] == "good"
    assert runs(tables, GOOD) == [(0, 120, 3)]


def test_the_honest_record_has_no_finding(scan_volume: Scanner) -> None:
    tables = scan_volume(b.TinyVolume().put(BAD, HONEST))
    assert findings(tables) == []
    assert runs(tables, BAD) == [(0, 100, 4)]


def test_damaged_run_list_keeps_the_stream_and_its_size(scan_volume: Scanner) -> None:
    tables = scan_volume(b.TinyVolume().put(BAD, RECORDS["run header FFh"][0]))
    (row,) = streams(tables, BAD)
    assert (row["data_bytes"], row["resident"]) == (16384, False)
    assert runs(tables, BAD) == []
    assert file(tables, BAD)["path"] == "bad"


def test_record_full_of_runs_gives_no_more_than_its_bytes_hold(scan_volume: Scanner) -> None:
    pairs = b"\x01\x01" * 400
    raw = b.record(BAD, [b.nonresident(b.DATA, pairs, highest_vcn=399)])
    tables = scan_volume(b.TinyVolume().put(BAD, raw))
    assert runs(tables, BAD) == [(vcn, -1, 1) for vcn in range(400)]


# -- who owns what -----------------------------------------------------------------------------


def test_records_that_are_each_others_base(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    for number, base in ((24, 26), (26, 24), (27, 27)):
        volume.put(number, b.plain_file(number, "x", base=base, base_sequence=1))
    volume.put(GOOD, b.plain_file(GOOD, "good"))
    tables = scan_volume(volume)
    assert findings(tables) == [("extension-orphan", number) for number in (24, 26, 27)]
    assert paths(tables) == {5: ".", GOOD: "good"}


@pytest.mark.parametrize("base", [40, 1 << 47, GOOD])
def test_extension_of_nobody(scan_volume: Scanner, base: int) -> None:
    """Its base is free, does not exist, or is another file by now (sequence 9)."""
    raw = b.record(BAD, [b.nonresident(b.DATA, [(100, 4)])], base=base, base_sequence=9)
    volume = b.TinyVolume().put(BAD, raw).put(GOOD, b.plain_file(GOOD, "good"))
    tables = scan_volume(volume)
    assert findings(tables) == [("extension-orphan", BAD)]
    assert runs(tables, BAD) == runs(tables, GOOD) == []


LISTS = {
    "naming itself": (b.list_entry(b.LIST, BAD) + b.list_entry(b.NAME, BAD), []),
    "entry of length 0": (b.list_entry(b.NAME, BAD, entry_bytes=32)[:4] + bytes(28), None),
    "entry of length 8": (b.list_entry(b.NAME, BAD)[:4] + u16(8) + bytes(26), None),
    "entry past the list": (b.list_entry(b.NAME, BAD)[:4] + u16(0xFFFF) + bytes(26), None),
    "naming a free record": (b.list_entry(b.DATA, 40), "extension-missing"),
    "naming a record that is not there": (b.list_entry(b.DATA, 1 << 47), "extension-missing"),
    "naming another file": (b.list_entry(b.DATA, GOOD), "extension-missing"),
    "empty": (b"", []),
}


@pytest.mark.parametrize("kind", LISTS)
def test_hostile_attribute_list(scan_volume: Scanner, kind: str) -> None:
    data, code = LISTS[kind]
    volume = b.TinyVolume().put(BAD, b.plain_file(BAD, "bad", b.resident(b.LIST, data)))
    volume.put(GOOD, b.plain_file(GOOD, "good"))
    tables = scan_volume(volume)
    expected = [] if code == [] else [(code or "attribute-list-damaged", BAD)]
    assert findings(tables) == expected
    assert paths(tables) == {5: ".", BAD: "bad", GOOD: "good"}


def test_attribute_list_of_gigabytes_is_not_allocated(scan_volume: Scanner) -> None:
    huge = b.nonresident(
        b.LIST, b"\x04\xff\xff\xff\x0f\0", highest_vcn=0x0FFFFFFE, data_bytes=1 << 40
    )
    volume = b.TinyVolume().put(BAD, b.plain_file(BAD, "bad", huge))
    scan_volume(volume)  # the kernels are compiled and loaded
    with memory.measured() as grown:
        tables = scan_volume(volume)
    assert grown.peak_bytes < 64 << 20
    assert paths(tables)[BAD] == "bad"


def test_missing_piece_is_a_gap(scan_volume: Scanner) -> None:
    entries = b.list_entry(b.DATA, BAD) + b.list_entry(b.DATA, 30, lowest_vcn=4)
    data = b.nonresident(b.DATA, [(100, 4)], data_bytes=40_000)
    later = b.nonresident(b.DATA, [(120, 2)], lowest_vcn=8)
    volume = b.TinyVolume().put(BAD, b.plain_file(BAD, "bad", b.resident(b.LIST, entries), data))
    volume.put(30, b.record(30, [later], base=BAD, base_sequence=1))
    tables = scan_volume(volume)
    assert findings(tables) == [("stream-gap", BAD)]
    assert runs(tables, BAD) == [(0, 100, 4), (8, 120, 2)]


def test_stream_without_its_first_piece_has_no_size(scan_volume: Scanner) -> None:
    entries = b.list_entry(b.DATA, 30, lowest_vcn=4)
    later = b.nonresident(b.DATA, [(120, 2)], lowest_vcn=4, data_bytes=1 << 60)
    volume = b.TinyVolume().put(BAD, b.plain_file(BAD, "bad", b.resident(b.LIST, entries)))
    volume.put(30, b.record(30, [later], base=BAD, base_sequence=1))
    tables = scan_volume(volume)
    assert findings(tables) == [("stream-gap", BAD)]
    assert file(tables, BAD)["size_bytes"] == 0
    assert runs(tables, BAD) == [(4, 120, 2)]


# -- run lists that are legal or the audit's business --------------------------------------------


def test_sparse_file_larger_than_the_volume_is_legal(scan_volume: Scanner) -> None:
    data = b.nonresident(b.DATA, [(None, 1 << 40), (100, 1)], flags=0x8000)
    tables = scan_volume(b.TinyVolume().put(BAD, b.plain_file(BAD, "bad", data)))
    assert findings(tables) == []
    assert file(tables, BAD)["size_bytes"] == ((1 << 40) + 1) * 4096


def test_sizes_that_64_bits_cannot_add_up_are_added_up(scan_volume: Scanner) -> None:
    volume, hole = b.TinyVolume(), (1 << 51) - 1
    for number in (BAD, GOOD):
        data = b.nonresident(b.DATA, [(None, hole)], flags=0x8000)
        volume.put(number, b.plain_file(number, f"sparse {number}", data))
    assert summarise(scan_volume(volume)).data_bytes == 2 * 4096 * hole


def test_double_owners_and_runs_past_the_end_stay_in_the_table(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    volume.put(BAD, b.plain_file(BAD, "a", b.nonresident(b.DATA, [(100, 4), (1 << 50, 9)])))
    volume.put(GOOD, b.plain_file(GOOD, "b", b.nonresident(b.DATA, [(102, 4)])))
    tables = scan_volume(volume)
    assert runs(tables, BAD) == [(0, 100, 4), (4, 1 << 50, 9)]
    assert runs(tables, GOOD) == [(0, 102, 4)]
    lcn = tables.extents["lcn"].to_pylist()
    assert lcn == sorted(lcn)
