"""The traps of the format, one section each, in the order of the project's NTFS notes.

Every test fails if the handling of its trap is taken out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from sbtk.ntfs.bitmap import bitmap_runs
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.tables import Tables
from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner
from tests.ntfs.views import file, findings, paths, runs, streams

ScanRecords = Callable[[bytes], Tables]
BASE = 24


# 1: fixups


def bare(first: bytes) -> bytes:
    """A bare $MFT: this record, and the root."""
    size = len(first)
    free = b"".join(b.free_record(number, record_bytes=size) for number in range(1, 5))
    return first + free + b.folder(5, ".", record_bytes=size)


def test_fixup_stride_is_512_on_large_sectors_and_large_records(scan_records: ScanRecords) -> None:
    # The names cross seven sector tails of a 4096-byte record; a stride of 4096 would leave six of
    # them holding the update sequence number.
    names = [f"{number:02}" + "n" * 120 for number in range(11)]
    raw = b.record(0, [b.file_name(5, name) for name in names], record_bytes=4096)
    assert raw.count(struct.pack("<H", 0x0BAD)) == 9
    tables = scan_records(bare(raw))
    assert tables.names["name"].to_pylist() == [*names, "."]
    assert findings(tables) == []


@pytest.mark.parametrize("update_at", [0x2A, 0x30])
def test_update_sequence_array_of_old_and_new_volumes(
    scan_records: ScanRecords, update_at: int
) -> None:
    # The name lies over the first sector's tail, so that wrong fixups change it.
    padding = b.resident(0x50, bytes(300))
    names = b.file_name(5, "n" * 120)
    raw = b.record(0, [padding, names], update_at=update_at)
    tables = scan_records(bare(raw))
    assert tables.names["name"].to_pylist() == ["n" * 120, "."]
    assert findings(tables) == []


def test_dump_that_was_fixed_up_already_is_read_and_said(scan_records: ScanRecords) -> None:
    raw = b.unprotect(b.record(0, [b.resident(0x50, bytes(300)), b.file_name(5, "n" * 120)]))
    tables = scan_records(bare(raw))
    assert tables.names["name"].to_pylist() == ["n" * 120, "."]
    assert findings(tables) == [("already-fixed-up", -1)]


# 2: encodings of sizes


@pytest.mark.parametrize(
    ("sector_bytes", "code", "cluster_bytes"),
    [(512, 1, 512), (512, 8, 4096), (512, 0x80, 65536), (512, 0xF4, 2 << 20), (4096, 1, 4096),
     (4096, 0xF7, 2 << 20)],
)  # fmt: skip
def test_cluster_sizes(sector_bytes: int, code: int, cluster_bytes: int) -> None:
    raw = b.boot_sector(
        sector_bytes=sector_bytes, cluster_code=code, total_sectors=1 << 24, mft_lcn=4, mirror_lcn=2
    )
    assert BootSector.parse(raw).cluster_bytes == cluster_bytes


@pytest.mark.parametrize(
    ("code", "cluster_code", "record_bytes"),
    [(-10, 8, 1024), (-12, 8, 4096), (1, 2, 1024), (2, 1, 1024)],
)
def test_record_sizes(code: int, cluster_code: int, record_bytes: int) -> None:
    raw = b.boot_sector(
        cluster_code=cluster_code, total_sectors=1 << 20, mft_lcn=4, mirror_lcn=2,
        record_code=code, index_code=code,
    )  # fmt: skip
    boot = BootSector.parse(raw)
    assert (boot.record_bytes, boot.index_record_bytes) == (record_bytes, record_bytes)


# 3: run lists


def test_hole_is_an_absent_offset_and_offset_zero_is_cluster_zero(scan_volume: Scanner) -> None:
    pairs = bytes([0x11, 2, 0]) + bytes([0x01, 3]) + bytes([0x11, 1, 30]) + b"\0"
    raw = b.plain_file(BASE, "f", b.nonresident(b.DATA, pairs, highest_vcn=5, data_bytes=24576))
    tables = scan_volume(b.TinyVolume().put(BASE, raw))
    assert runs(tables, BASE) == [(0, 0, 2), (2, -1, 3), (5, 30, 1)]
    assert file(tables, BASE)["extents"] == 2


def test_lcn_deltas_run_on_across_holes(scan_volume: Scanner) -> None:
    spec: list[b.RunSpec] = [(100, 4), (None, 12), (90, 4), (None, 1), (101, 2)]
    raw = b.plain_file(BASE, "f", b.nonresident(b.DATA, spec))
    tables = scan_volume(b.TinyVolume().put(BASE, raw))
    assert runs(tables, BASE) == [(0, 100, 4), (4, -1, 12), (16, 90, 4), (20, -1, 1), (21, 101, 2)]


def spread_file() -> b.TinyVolume:
    """Record 24: $DATA in three pieces in records 30, 31 and 32; its second name in 31."""
    entries = (
        b.list_entry(b.SI, BASE) + b.list_entry(b.NAME, BASE) + b.list_entry(b.NAME, 31)
        + b.list_entry(b.DATA, 30) + b.list_entry(b.DATA, 31, lowest_vcn=4)
        + b.list_entry(b.DATA, 32, lowest_vcn=10) + b.list_entry(b.INDEX_ROOT, 32, name="$I30")
    )  # fmt: skip
    first = b.nonresident(b.DATA, [(100, 4)], data_bytes=50_000, allocated_bytes=57_344)
    # The sizes of later pieces are lies: they mean nothing there.
    second = b.nonresident(b.DATA, [(120, 6)], lowest_vcn=4, data_bytes=1, allocated_bytes=1)
    third = b.nonresident(
        b.DATA, [(110, 4)], lowest_vcn=10, data_bytes=2, allocated_bytes=2, initialized_bytes=9
    )
    volume = b.TinyVolume()
    volume.put(BASE, b.plain_file(BASE, "first", b.resident(b.LIST, entries)))
    volume.put(30, b.record(30, [first], base=BASE, base_sequence=1))
    volume.put(31, b.record(31, [b.file_name(5, "second"), second], base=BASE, base_sequence=1))
    root = b.resident(b.INDEX_ROOT, bytes(48), name="$I30")
    volume.put(32, b.record(32, [root, third], base=BASE, base_sequence=1))
    return volume


def test_pieces_restart_their_lcn_and_sizes_come_from_the_first(scan_volume: Scanner) -> None:
    tables = scan_volume(spread_file())
    assert runs(tables, BASE) == [(0, 100, 4), (4, 120, 6), (10, 110, 4)]
    row = file(tables, BASE)
    assert (row["size_bytes"], row["allocated_bytes"], row["extents"]) == (50_000, 57_344, 3)
    assert len({r["stream"] for r in tables.extents.to_pylist() if r["record"] == BASE}) == 1
    assert findings(tables) == []


# 4: attributes in extension records only


def test_names_and_index_roots_of_extension_records_belong_to_the_base(
    scan_volume: Scanner,
) -> None:
    tables = scan_volume(spread_file())
    names = [(r["record"], r["path"]) for r in tables.names.to_pylist() if r["record"] >= BASE]
    assert names == [(BASE, "first"), (BASE, "second")]
    assert [s["attribute_type"] for s in streams(tables, BASE)] == [b.LIST, b.DATA, b.INDEX_ROOT]
    assert paths(tables) == {5: ".", BASE: "first"}


def test_folder_whose_only_name_is_in_an_extension(scan_volume: Scanner) -> None:
    entries = b.list_entry(b.SI, BASE) + b.list_entry(b.NAME, 30)
    volume = b.TinyVolume()
    volume.put(
        BASE,
        b.record(BASE, [b.standard_information(), b.resident(b.LIST, entries)], flags=3),
    )
    volume.put(30, b.record(30, [b.file_name(5, "folder")], base=BASE, base_sequence=1))
    volume.put(25, b.plain_file(25, "inside", parent=BASE))
    assert paths(scan_volume(volume)) == {5: ".", BASE: "folder", 25: "folder/inside"}


# 5: $MFT's own attribute list; resident and non-resident lists


def test_mft_that_needs_an_attribute_list(scan_volume: Scanner) -> None:
    volume = b.volume_with_listed_mft().put(63, b.plain_file(63, "last.txt"))
    tables = scan_volume(volume)
    assert runs(tables, 0) == [(0, 4, 4), (4, 20, 4), (8, 60, 4), (12, 40, 4)]
    assert paths(tables) == {5: ".", 63: "last.txt"}
    assert tables.volume.counts["records"] == 64
    assert findings(tables) == []


def test_mft_pieces_are_followed_in_whatever_order_they_become_readable(
    scan_volume: Scanner,
) -> None:
    # Piece 2 (VCN 8-11) is described in record 52, inside piece 3; piece 3 in record 20.
    volume = b.TinyVolume(mft_runs=[(4, 4), (20, 4), (60, 4), (40, 4)])
    total = volume.record_count * b.RECORD_BYTES
    entries = (
        b.list_entry(b.SI, 0) + b.list_entry(b.DATA, 0) + b.list_entry(b.DATA, 52, lowest_vcn=8)
        + b.list_entry(b.DATA, 20, lowest_vcn=12)
    )  # fmt: skip
    data = b.nonresident(b.DATA, volume.mft_runs[:2], data_bytes=total)
    volume.put(
        0, b.plain_file(0, "$MFT", b.resident(b.LIST, entries), data, volume.mft_bitmap_attribute)
    )
    for number, lowest, run in ((52, 8, (60, 4)), (20, 12, (40, 4))):
        piece = b.nonresident(b.DATA, [run], lowest_vcn=lowest)
        volume.put(number, b.record(number, [piece], base_sequence=1))
    volume.put(35, b.plain_file(35, "in the second piece"))
    tables = scan_volume(volume)
    assert paths(tables) == {5: ".", 35: "in the second piece"}
    assert runs(tables, 0) == [(0, 4, 4), (4, 20, 4), (8, 60, 4), (12, 40, 4)]
    assert findings(tables) == []


def test_nonresident_attribute_list_of_mft(scan_volume: Scanner) -> None:
    volume = b.volume_with_listed_mft()
    total = volume.record_count * b.RECORD_BYTES
    entries = (
        b.list_entry(b.SI, 0) + b.list_entry(b.DATA, 0)
        + b.list_entry(b.DATA, 20, lowest_vcn=8) + b.list_entry(b.DATA, 40, lowest_vcn=12)
    )  # fmt: skip
    listed = b.nonresident(b.LIST, [(70, 1)], data_bytes=len(entries))
    data = b.nonresident(b.DATA, volume.mft_runs[:2], data_bytes=total)
    volume.put(0, b.plain_file(0, "$MFT", listed, data, volume.mft_bitmap_attribute)).put_clusters(
        70, entries
    )
    volume.put(63, b.plain_file(63, "last.txt"))
    tables = scan_volume(volume)
    assert paths(tables) == {5: ".", 63: "last.txt"}
    assert findings(tables) == []


def test_nonresident_attribute_list_of_a_file(scan_volume: Scanner) -> None:
    volume = spread_file()
    entries = b.list_entry(b.SI, BASE) + b"".join(b.list_entry(b.DATA, n) for n in (30, 31, 32))
    listed = b.nonresident(b.LIST, [(80, 1)], data_bytes=len(entries))
    volume.put(BASE, b.plain_file(BASE, "first", listed)).put_clusters(80, entries)
    tables = scan_volume(volume)
    assert runs(tables, BASE) == [(0, 100, 4), (4, 120, 6), (10, 110, 4)]
    assert findings(tables) == []
    # Without record 32 in the list, that record may be stale.
    volume.put_clusters(80, entries[:-32] + b.list_entry(b.DATA, 31))
    assert findings(scan_volume(volume)) == [("extension-unlisted", 32)]


# 6: freed records


def test_freed_records_own_nothing(scan_volume: Scanner) -> None:
    attributes = [b.file_name(5, "deleted"), b.nonresident(b.DATA, [(100, 50)])]
    volume = b.TinyVolume().put(BASE, b.free_record(BASE, attributes))
    volume.put(25, b.free_record(25, attributes, base=24, base_sequence=1))
    tables = scan_volume(volume)
    assert runs(tables, BASE) == []
    assert paths(tables) == {5: "."}
    assert findings(tables) == []


# 7: $BadClus


def test_bad_cluster_list_is_one_hole(scan_volume: Scanner) -> None:
    bad = b.nonresident(
        b.DATA, [(None, 256)], name="$Bad", initialized_bytes=0, allocated_bytes=256 * 4096
    )
    raw = b.plain_file(8, "$BadClus", b.resident(b.DATA, b""), bad)
    tables = scan_volume(b.TinyVolume().put(8, raw))
    assert runs(tables, 8, name="$Bad") == [(0, -1, 256)]
    assert tables.extents["lcn"].to_pylist()[-1] == -1, "holes are last"
    row = file(tables, 8)
    assert (row["size_bytes"], row["allocated_bytes"], row["extents"]) == (0, 0, 0)


# 8: files without $DATA, records that were never used


def test_files_without_data_and_unused_records(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    volume.put(9, b.plain_file(9, "$Secure", b.nonresident(b.DATA, [(60, 1)], name="$SDS")))
    volume.put(12, b.record(12, [b.standard_information(), b.resident(b.DATA, b"")]))
    volume.put(16, b.record(16, []))
    volume.put(17, bytes(1024))
    tables = scan_volume(volume)
    assert (file(tables, 9)["size_bytes"], file(tables, 9)["resident"]) == (0, False)
    assert file(tables, 12)["path"] == "$Orphans/12"
    assert tables.volume.counts["records_blank"] == 1
    assert findings(tables) == []


# 9: names


def test_dos_name_is_a_second_name_of_the_same_link(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    names = [
        b.file_name(5, "LONGNA~1.TXT", namespace=2),
        b.file_name(5, "long name.txt", namespace=1),
    ]
    volume.put(BASE, b.record(BASE, names, links=2))
    volume.put(25, b.plain_file(25, "Case.txt")).put(26, b.plain_file(26, "case.TXT"))
    tables = scan_volume(volume)
    assert paths(tables) == {5: ".", BASE: "long name.txt", 25: "Case.txt", 26: "case.TXT"}
    rows = [r for r in tables.names.to_pylist() if r["record"] == BASE]
    assert [(r["namespace"], r["path"]) for r in rows] == [
        (2, "LONGNA~1.TXT"),
        (1, "long name.txt"),
    ]


def test_folder_with_dos_name_lends_its_long_name(scan_volume: Scanner) -> None:
    names = [b.file_name(5, "PROGRA~1", namespace=2), b.file_name(5, "Program Files", namespace=1)]
    volume = b.TinyVolume().put(BASE, b.record(BASE, names, flags=3))
    volume.put(25, b.plain_file(25, "a", parent=BASE))
    assert paths(scan_volume(volume))[25] == "Program Files/a"


# 10: lengths


def test_valid_data_length_and_compression_are_told(scan_volume: Scanner) -> None:
    short = b.nonresident(b.DATA, [(100, 2)], data_bytes=8000, initialized_bytes=100)
    packed = b.nonresident(
        b.DATA, [(110, 3), (None, 13)], flags=1, unit=4, data_bytes=60_000,
        initialized_bytes=60_000, name="s",
    )  # fmt: skip
    tables = scan_volume(b.TinyVolume().put(BASE, b.plain_file(BASE, "f", short, packed)))
    plain, compressed = streams(tables, BASE)
    assert (plain["data_bytes"], plain["initialized_bytes"]) == (8000, 100)
    assert (compressed["flags"], compressed["compression_unit"]) == (1, 4)
    assert runs(tables, BASE, name="s") == [(0, 110, 3), (3, -1, 13)]


# 11: the backup boot sector


def test_backup_boot_sector_is_behind_the_last_one(scan_volume: Scanner) -> None:
    image = bytearray(b.TinyVolume().put(BASE, b.plain_file(BASE, "f")).image())
    image[:512] = bytes(512)
    tables = scan_volume(b.MemoryDevice(bytes(image)))
    assert paths(tables) == {5: ".", BASE: "f"}
    assert findings(tables) == [("boot-damaged", -1)]
    assert tables.volume.total_sectors == len(image) // 512 - 1


# 12: health


def test_mirror_that_differs(scan_volume: Scanner) -> None:
    image = bytearray(b.TinyVolume().image())
    image[2 * 4096 + 3 * 1024 + 100] ^= 0xFF
    tables = scan_volume(b.MemoryDevice(bytes(image)))
    assert tables.volume.mirror == "differs"
    assert findings(tables) == [("mirror-differs", 3)]


def test_mirror_is_as_long_as_a_cluster(scan_volume: Scanner) -> None:
    volume = b.TinyVolume(mft_runs=[(4, 2), (8, 2)], cluster_bytes=16384, mirror_lcn=2)
    data = b.nonresident(b.DATA, [(2, 1)], cluster_bytes=16384)
    image = bytearray(volume.put(1, b.plain_file(1, "$MFTMirr", data)).image())
    mirror = 2 * 16384
    image[mirror : mirror + 16384] = image[4 * 16384 : 4 * 16384 + 16384]
    assert findings(scan_volume(b.MemoryDevice(bytes(image)))) == []
    image[mirror + 15 * 1024 : mirror + 16 * 1024] = b.plain_file(15, "stale")
    assert findings(scan_volume(b.MemoryDevice(bytes(image)))) == [("mirror-differs", 15)]


def test_mirror_is_the_way_in_when_record_0_is_damaged(scan_volume: Scanner) -> None:
    image = bytearray(b.TinyVolume().put(BASE, b.plain_file(BASE, "f")).image())
    image[4 * 4096 : 4 * 4096 + 4] = b"BAAD"
    tables = scan_volume(b.MemoryDevice(bytes(image)))
    assert tables.volume.mirror == "used"
    assert paths(tables) == {5: ".", BASE: "f"}
    assert findings(tables) == [("mft-record-0-damaged", 0)]


def test_dirty_flag(scan_volume: Scanner) -> None:
    tables = scan_volume(b.TinyVolume(volume_flags=1))
    assert tables.volume.dirty
    assert findings(tables) == [("volume-dirty", 3)]
    assert (tables.volume.label, tables.volume.version) == ("tiny", "3.1")


def test_bitmap_comes_back(scan_volume: Scanner) -> None:
    tables = scan_volume(b.TinyVolume(marked=[(100, 7)]))
    assert tables.bitmap is not None
    found = bitmap_runs(tables.bitmap, tables.volume.total_clusters)
    assert list(zip(*map(np.ndarray.tolist, found), strict=True)) == [
        (0, 20), (100, 7), (253, 3),
    ]  # fmt: skip
