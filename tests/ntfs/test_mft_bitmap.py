"""$MFT's own bitmap against the records: zeroed ones, lost in-use flags, sizes that lie."""

from __future__ import annotations

import pytest

from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner
from tests.ntfs.views import findings, paths, runs

A, B = 30, 31
FIRST_RECORD = 4 * 4096
BLANK = bytes(b.RECORD_BYTES)


def volume(*numbers: int) -> b.TinyVolume:
    """A volume with these files."""
    made = b.TinyVolume()
    for number in numbers:
        made.put(number, b.plain_file(number, f"f{number}"))
    return made


def with_bitmap(made: b.TinyVolume, *attributes: bytes) -> b.TinyVolume:
    """The same with another $BITMAP in record 0, or with none."""
    data_bytes = made.record_count * b.RECORD_BYTES
    data = b.nonresident(b.DATA, made.mft_runs, data_bytes=data_bytes)
    return made.put(0, b.plain_file(0, "$MFT", data, *attributes))


def changed(made: b.TinyVolume, number: int, raw: bytes) -> b.MemoryDevice:
    """The volume with one record overwritten behind the bitmap's back."""
    image = bytearray(made.image())
    at = FIRST_RECORD + number * b.RECORD_BYTES
    image[at : at + len(raw)] = raw
    return b.MemoryDevice(bytes(image))


def flipped(made: b.TinyVolume, *numbers: int) -> b.TinyVolume:
    """The volume with these bits of the bitmap turned over."""
    bits = bytearray(made.mft_bitmap())
    for number in numbers:
        bits[number // 8] ^= 1 << number % 8
    return made.put_clusters(made.mft_bitmap_lcn, bytes(bits))


def test_a_record_in_use_that_was_zeroed(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(volume(A, B), A, BLANK))
    assert findings(tables) == [("record-blank", A)]
    assert tables.findings["severity"].to_pylist() == ["error"]
    assert paths(tables) == {5: ".", B: "f31"}


def test_each_zeroed_record_has_its_row(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(volume(A, B), A, BLANK * 2))
    assert findings(tables) == [("record-blank", A), ("record-blank", B)]


def test_a_root_that_was_zeroed_is_one_row(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(volume(A, B), 5, BLANK))
    ((code, record),) = findings(tables)
    assert (code, record) == ("record-blank", 5)
    assert tables.findings["message"][0].as_py().endswith("shown below $Orphans/5: 8")


def test_an_in_use_flag_that_was_lost(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(volume(A, B), A, b.free_record(A)))
    assert findings(tables) == [("record-freed", A)]
    assert tables.findings["severity"].to_pylist() == ["warning"]


def test_a_stretch_of_lost_flags_is_one_row(scan_volume: Scanner) -> None:
    """A byte of the bitmap that was FFh for nothing."""
    tables = scan_volume(flipped(volume(A), *range(40, 48), 50))
    assert findings(tables) == [("record-freed", 40), ("record-freed", 50)]
    assert "records 40 to 47 are" in tables.findings["message"][0].as_py()


def test_records_in_use_that_the_bitmap_calls_free(scan_volume: Scanner) -> None:
    tables = scan_volume(flipped(volume(A, B), A, B))
    assert findings(tables) == [("record-unmarked", A)]
    assert "records 30 to 31 are" in tables.findings["message"][0].as_py()
    assert paths(tables) == {5: ".", A: "f30", B: "f31"}


@pytest.mark.parametrize("raw", [b.free_record(0), BLANK], ids=["formatted", "blank"])
def test_reserved_records_may_be_marked_or_not(scan_volume: Scanner, raw: bytes) -> None:
    """Windows marks records 16 to 23 and never uses them; ntfs-3g does not mark them."""
    made = flipped(volume(A), *range(12, 24))
    for number in range(12, 24):
        made.put(number, raw)
    assert findings(scan_volume(made)) == []


def test_records_never_used_are_blank_and_no_finding(scan_volume: Scanner) -> None:
    made = volume(A)
    image = bytearray(made.image())
    image[FIRST_RECORD + 40 * 1024 : FIRST_RECORD + 64 * 1024] = bytes(24 * 1024)
    tables = scan_volume(b.MemoryDevice(bytes(image)))
    assert findings(tables) == []
    assert tables.volume.counts["records_blank"] == 24


def test_unreadable_records_are_not_told_twice(scan_volume: Scanner) -> None:
    at = FIRST_RECORD + A * 1024
    tables = scan_volume(volume(A, B).device(bad=[(at, 2048)]))
    assert findings(tables) == [("record-unread", A)]


def test_a_resident_bitmap(scan_volume: Scanner) -> None:
    made = volume(A, B)
    with_bitmap(made, b.resident(b.BITMAP, made.mft_bitmap()))
    assert findings(scan_volume(made)) == []
    assert findings(scan_volume(changed(made, A, BLANK))) == [("record-blank", A)]


def test_a_bitmap_in_two_pieces_one_of_them_in_an_extension(scan_volume: Scanner) -> None:
    """The second cluster's piece lies in record 20; records 32,768 and on do not exist here."""
    made = volume(A, B)
    entries = (
        b.list_entry(b.SI, 0) + b.list_entry(b.NAME, 0) + b.list_entry(b.DATA, 0)
        + b.list_entry(b.BITMAP, 20)
    )  # fmt: skip
    with_bitmap(made, b.resident(b.LIST, entries))
    made.put(20, b.record(20, [made.mft_bitmap_attribute], base=0, base_sequence=1))
    assert findings(scan_volume(made)) == []
    assert findings(scan_volume(changed(made, A, BLANK))) == [("record-blank", A)]


def test_no_bitmap(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(with_bitmap(volume(A, B)), A, BLANK))
    assert findings(tables) == [("mft-bitmap-unread", 0)]


def test_a_bitmap_where_the_device_fails(scan_volume: Scanner) -> None:
    made = volume(A)
    tables = scan_volume(made.device(bad=[(made.mft_bitmap_lcn * 4096, 512)]))
    assert findings(tables) == [("mft-bitmap-unread", 0)]
    assert paths(tables)[A] == "f30"


def test_a_bitmap_that_is_too_short(scan_volume: Scanner) -> None:
    made = volume(A, 50)
    short = b.nonresident(b.BITMAP, [(made.mft_bitmap_lcn, 1)], data_bytes=5)
    with_bitmap(made, short)
    assert findings(scan_volume(made)) == [("mft-bitmap-short", 0)]
    tables = scan_volume(changed(made, A, BLANK))
    assert findings(tables) == [("mft-bitmap-short", 0), ("record-blank", A)]


@pytest.mark.parametrize("claimed_bytes", [1 << 20, 1 << 60])
def test_a_bitmap_that_claims_more_than_it_has(scan_volume: Scanner, claimed_bytes: int) -> None:
    made = volume(A)
    long = b.nonresident(b.BITMAP, [(made.mft_bitmap_lcn, 1)], data_bytes=claimed_bytes)
    assert findings(scan_volume(with_bitmap(made, long))) == []


def test_an_mft_that_is_longer_than_its_size_says(scan_volume: Scanner) -> None:
    """Half of the records are behind the end: the bitmap knows them, and there they are."""
    made = volume(A, 50)
    data = b.nonresident(b.DATA, made.mft_runs, data_bytes=40 * 1024, initialized_bytes=40 * 1024)
    made.put(0, b.plain_file(0, "$MFT", data, made.mft_bitmap_attribute))
    tables = scan_volume(made)
    assert findings(tables) == [("mft-size", 0)]
    assert "record 50" in tables.findings["message"][0].as_py()
    assert paths(tables) == {5: ".", A: "f30"}


# -- what follows from a lost record is in its row -----------------------------------------------


def test_a_zeroed_folder_tells_of_what_was_in_it(scan_volume: Scanner) -> None:
    made = volume().put(A, b.folder(A, "a"))
    for number in (40, 41, 42):
        made.put(number, b.plain_file(number, f"f{number}", parent=A))
    tables = scan_volume(changed(made, A, BLANK))
    assert findings(tables) == [("record-blank", A)]
    assert tables.findings["message"][0].as_py().endswith("$Orphans/30: 3")
    assert paths(tables)[41] == "$Orphans/30/f41"


def test_a_folder_whose_sequence_number_changed_is_one_row(scan_volume: Scanner) -> None:
    made = volume().put(A, b.folder(A, "a", sequence=7))
    for number in (40, 41, 42):
        name = b.file_name(A, "x", parent_sequence=1)
        made.put(number, b.record(number, [b.standard_information(), name]))
    tables = scan_volume(made)
    assert findings(tables) == [("path-orphan", A)]
    assert tables.findings["message"][0].as_py().endswith("$Orphans/30: 3")


def spread(extensions: int, *, damaged_list: bool = False) -> b.TinyVolume:
    """A file in record 30 with pieces in records 40 and on, 4 clusters each."""
    first = b.nonresident(b.DATA, [(100, 4)], data_bytes=16384 * (extensions + 1))
    entries = b.list_entry(b.SI, A) + b.list_entry(b.NAME, A) + b.list_entry(b.DATA, A)
    made = volume()
    for i in range(extensions):
        entries += b.list_entry(b.DATA, 40 + i, lowest_vcn=4 * (i + 1))
        piece = b.nonresident(b.DATA, [(104 + 4 * i, 4)], lowest_vcn=4 * (i + 1))
        made.put(40 + i, b.record(40 + i, [piece], base=A, base_sequence=1))
    if damaged_list:
        entries = entries[:4] + bytes(2) + entries[6:]
    return made.put(A, b.plain_file(A, "big", b.resident(b.LIST, entries), first))


def test_a_zeroed_extension_names_its_file(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(spread(3), 41, BLANK))
    assert findings(tables) == [("record-blank", 41)]
    assert (
        tables.findings["message"][0].as_py().endswith('part of record 30 ("big"), which is lost')
    )
    assert runs(tables, A) == [(0, 100, 4), (4, 104, 4), (12, 112, 4)]


def test_a_zeroed_base_record_tells_of_its_extensions(scan_volume: Scanner) -> None:
    tables = scan_volume(changed(spread(3), A, BLANK))
    assert findings(tables) == [("record-blank", A)]
    assert "3 records, the first is 40, extend record 30" in tables.findings["message"][0].as_py()


@pytest.mark.parametrize("extensions", [1, 3])
def test_a_damaged_list_is_one_row(scan_volume: Scanner, extensions: int) -> None:
    tables = scan_volume(spread(extensions, damaged_list=True))
    assert findings(tables) == [("attribute-list-damaged", A)]
    assert len(runs(tables, A)) == extensions + 1


def test_a_base_record_whose_sequence_number_changed_is_one_row(scan_volume: Scanner) -> None:
    made = spread(3)
    raw = bytearray(made.records[A])
    raw[0x10] = 9
    tables = scan_volume(made.put(A, bytes(raw)))
    assert findings(tables) == [("extension-missing", A)]
    assert "3 records, the first is 40, extend record 30" in tables.findings["message"][0].as_py()


def test_an_extension_whose_base_reference_was_lost_is_one_row(scan_volume: Scanner) -> None:
    """It looks like a file without a name; the list of the file it belongs to names it."""
    made = spread(3)
    raw = bytearray(made.records[41])
    raw[0x20:0x28] = bytes(8)
    tables = scan_volume(made.put(41, bytes(raw)))
    assert [record for _, record in findings(tables)] == [41]
    assert "part of record 30" in tables.findings["message"][0].as_py()


def test_extensions_that_no_list_names_are_one_row(scan_volume: Scanner) -> None:
    made = spread(3)
    made.put(A, b.plain_file(A, "big", b.nonresident(b.DATA, [(100, 4)])))
    assert findings(scan_volume(made)) == [("extension-unlisted", A)]


def test_a_base_record_that_turned_into_an_extension_is_one_row(scan_volume: Scanner) -> None:
    """Its own extensions do follow it; what is wrong is its reference."""
    made = spread(1)
    raw = bytearray(made.records[A])
    raw[0x20:0x28] = b"\xff" * 8
    tables = scan_volume(made.put(A, bytes(raw)))
    assert findings(tables) == [("extension-orphan", A)]


def test_an_extension_that_went_to_another_file_is_one_row(scan_volume: Scanner) -> None:
    made = spread(3).put(B, b.plain_file(B, "other", b.nonresident(b.DATA, [(200, 1)])))
    raw = bytearray(made.records[41])
    raw[0x20] = B
    tables = scan_volume(made.put(41, bytes(raw)))
    assert findings(tables) == [("extension-missing", 41)]
    message = tables.findings["message"][0].as_py()
    assert 'part of record 30 ("big")' in message
    assert "extends record 31" in message


def test_a_list_that_names_the_wrong_record_is_one_row(scan_volume: Scanner) -> None:
    """The record that it named before is found all the same, and is not called stale."""
    made = spread(1)
    raw = made.records[A].replace(b.list_entry(b.DATA, 40, lowest_vcn=4),
                                  b.list_entry(b.DATA, B, lowest_vcn=4))  # fmt: skip
    assert raw != made.records[A]
    made.put(B, b.plain_file(B, "other"))
    tables = scan_volume(made.put(A, raw))
    assert findings(tables) == [("extension-missing", A)]
    assert len(runs(tables, A)) == 2


def test_a_folder_without_a_name_tells_of_what_is_in_it(scan_volume: Scanner) -> None:
    made = volume().put(A, b.record(A, [b.standard_information()], flags=3))
    tables = scan_volume(made.put(40, b.plain_file(40, "f", parent=A)))
    assert findings(tables) == [("name-missing", A)]
    assert paths(tables)[40] == "$Orphans/30/f"
