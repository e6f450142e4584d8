"""Hostile volumes: boot sectors, $MFT and folders that lie, devices that fail or end early."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from sbtk.errors import NotNtfsError, VolumeDamagedError
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.mft import MftReader
from sbtk.ntfs.tables import Tables
from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner
from tests.ntfs.views import findings, paths, runs

ScanRecords = Callable[[bytes], Tables]
A, B, C = 24, 25, 26


def with_boot(position: int, data: bytes, *, backup: bool = True) -> b.MemoryDevice:
    image = bytearray(b.TinyVolume().put(A, b.plain_file(A, "f")).image())
    image[position : position + len(data)] = data
    if not backup:
        image[-512:] = image[:512]
    return b.MemoryDevice(bytes(image))


LIES = {
    "sector of 0 bytes": (0x0B, b"\0\0"),
    "sector of 65535 bytes": (0x0B, b"\xff\xff"),
    "cluster of 0 sectors": (0x0D, b"\0"),
    "cluster of 3 sectors": (0x0D, b"\x03"),
    "cluster of 2^127 sectors": (0x0D, b"\x81"),
    "no sectors": (0x28, bytes(8)),
    "2^64 sectors": (0x28, b"\xff" * 8),
    "$MFT behind the end": (0x30, struct.pack("<Q", 1 << 40)),
    "$MFT at the boot sector": (0x30, bytes(8)),
    "records of 2^127 bytes": (0x40, b"\x81"),
    "records of 0 bytes": (0x40, b"\0"),
    "records of 3 clusters": (0x40, b"\x03"),
    "index records of 2^128 bytes": (0x44, b"\x80"),
}


@pytest.mark.parametrize("kind", LIES)
def test_boot_sector_that_lies_is_replaced_by_its_backup(scan_volume: Scanner, kind: str) -> None:
    tables = scan_volume(with_boot(*LIES[kind]))
    assert findings(tables) == [("boot-damaged", -1)]
    assert paths(tables) == {5: ".", A: "f"}


@pytest.mark.parametrize("kind", LIES)
def test_both_boot_sectors_lie(scan_volume: Scanner, kind: str) -> None:
    with pytest.raises(VolumeDamagedError, match="boot sector is damaged: it says"):
        scan_volume(with_boot(*LIES[kind], backup=False))


def test_mft_location_that_lies_is_found_by_the_mirror(scan_volume: Scanner) -> None:
    tables = scan_volume(with_boot(0x30, struct.pack("<Q", 30)))
    assert tables.volume.mirror == "used"
    assert tables.volume.mft_lcn == 4
    assert findings(tables) == [("mft-record-0-damaged", 0)]
    assert paths(tables) == {5: ".", A: "f"}


def test_neither_mft_nor_mirror(scan_volume: Scanner) -> None:
    image = bytearray(b.TinyVolume().image())
    image[4 * 4096 : 4 * 4096 + 8] = image[2 * 4096 : 2 * 4096 + 8] = bytes(8)
    with pytest.raises(VolumeDamagedError, match=r"\$MFT cannot be found"):
        scan_volume(b.MemoryDevice(bytes(image)))


@pytest.mark.parametrize("kept_bytes", [512, 4096, 5 * 4096, 8 * 4096, 20 * 4096])
def test_truncated_volume(scan_volume: Scanner, kept_bytes: int) -> None:
    image = b.TinyVolume().put(A, b.plain_file(A, "f")).image()
    device = b.MemoryDevice(image[:kept_bytes])
    if kept_bytes <= 4096:
        with pytest.raises(VolumeDamagedError):
            scan_volume(device)
        return
    tables = scan_volume(device)
    found = findings(tables)
    assert ("volume-truncated", -1) in found
    # The records behind the cut are one finding, whatever their number.
    assert found.count(("record-unread", kept_bytes // 1024 - 16)) == (kept_bytes < 20 * 4096)
    assert (A in paths(tables)) == (kept_bytes == 20 * 4096)


def test_mft_that_claims_more_than_the_device_holds(scan_volume: Scanner) -> None:
    """2^50 bytes of records: what can be read is what bounds memory and time."""
    volume = b.TinyVolume()
    data = b.nonresident(b.DATA, [(4, 1 << 38)], data_bytes=1 << 50)
    volume.put(0, b.plain_file(0, "$MFT", data, volume.mft_bitmap_attribute)).put(
        A, b.plain_file(A, "f")
    )
    tables = scan_volume(volume)
    assert paths(tables)[A] == "f"
    assert ("mft-size", 0) in findings(tables)
    assert tables.volume.counts["records"] <= len(volume.image()) // 1024


def test_mft_piece_that_cannot_be_reached(scan_volume: Scanner) -> None:
    volume = b.volume_with_listed_mft().put(40, b.free_record(40)).put(35, b.plain_file(35, "f"))
    tables = scan_volume(volume)
    assert ("mft-part-missing", 40) in findings(tables)
    assert paths(tables)[35] == "f"
    assert tables.volume.counts["records"] == 48


class CountingDevice(b.MemoryDevice):
    reads = 0

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self.reads += 1
        super().read_into(offset_bytes, buffer)


def test_a_list_of_mft_that_names_a_record_over_and_over_costs_one_look() -> None:
    """Each look at it once cost runs times runs, and a list has 8,192 entries."""
    volume = b.volume_with_listed_mft()
    runs_of_piece = 430
    piece = b.nonresident(b.DATA, b"\x11\x01\x01" * (2 * runs_of_piece // 3), lowest_vcn=8)
    volume.put(20, b.record(20, [piece], base=0, base_sequence=1))
    entries = b.list_entry(b.DATA, 0)
    for i in range(8_000):
        sequence, record = (1, 20) if i % 2 else (i % 50_000, 20)
        entries += b.list_entry(b.DATA, record, lowest_vcn=8 + i // 2 % 100, sequence=sequence)
    data = b.nonresident(b.DATA, volume.mft_runs[:2], data_bytes=1 << 16, allocated_bytes=1 << 16)
    listed = b.nonresident(b.LIST, [(100, 64)], data_bytes=len(entries))
    volume.put(0, b.plain_file(0, "$MFT", listed, data, volume.mft_bitmap_attribute))
    volume.put_clusters(100, entries)
    device = CountingDevice(volume.image())
    reader = MftReader(device, BootSector.parse(device.read(0, 512)))
    assert reader.parts_missing
    assert reader.stream.covered_bytes == (8 + 2 * runs_of_piece // 3) * 4096
    assert device.reads < 20


def test_unreadable_sectors_cost_their_records_only(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    for number in (A, B, C):
        volume.put(number, b.plain_file(number, f"f{number}"))
    at = 4 * 4096 + B * 1024
    tables = scan_volume(volume.device(bad=[(at + 512, 512)]))
    assert findings(tables) == [("record-unread", B)]
    assert paths(tables) == {5: ".", A: "f24", C: "f26"}


# -- folders -----------------------------------------------------------------------------------


def test_folders_that_are_each_others_parent(scan_volume: Scanner) -> None:
    volume = b.TinyVolume().put(A, b.folder(A, "a", parent=B)).put(B, b.folder(B, "b", parent=A))
    volume.put(C, b.plain_file(C, "c", parent=A)).put(27, b.folder(27, "self", parent=27))
    tables = scan_volume(volume)
    assert paths(tables) == {
        5: ".", A: "$Orphans/25/a", B: "$Orphans/24/b", C: "$Orphans/25/a/c",
        27: "$Orphans/27/self",
    }  # fmt: skip
    assert findings(tables) == [("path-loop", A), ("path-loop", 27)]


@pytest.mark.parametrize(("parent", "sequence"), [(40, 1), (1 << 47, 1), (B, 9)])
def test_parent_that_is_free_beyond_the_end_or_another_file(
    scan_volume: Scanner, parent: int, sequence: int
) -> None:
    name = b.file_name(parent, "lost", parent_sequence=sequence)
    volume = b.TinyVolume().put(A, b.record(A, [name])).put(B, b.folder(B, "folder"))
    tables = scan_volume(volume)
    assert paths(tables)[A] == f"$Orphans/{parent}/lost"
    assert findings(tables) == [("path-orphan", A)]


def test_paths_are_bounded_where_folders_nest_without_end(scan_records: ScanRecords) -> None:
    """2,000 folders of 255 characters in each other would take 1.5 GB of paths."""
    count = 2000
    raw = [b.free_record(number) for number in range(5)] + [b.folder(5, ".")]
    for number in range(6, count):
        raw.append(b.folder(number, "長" * 255, parent=number - 1))
    tables = scan_records(b"".join(raw))
    assert tables.files.nbytes < 100 << 20
    assert tables.files.num_rows == count - 5
    assert {code for code, _ in findings(tables)} == {"path-too-long"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a/b", "a\ufffd002Fb"), ("..", "\ufffd002E."), (".", "\ufffd002E"),
        ("nul\0", "nul\ufffd0000"), ("x\ud800y", "x\ufffdD800y"), ("\udc00", "\ufffdDC00"),
        ("\udc00\ud800", "\ufffdDC00\ufffdD800"),
    ],
)  # fmt: skip
def test_names_that_no_path_can_hold(scan_volume: Scanner, name: str, shown: str) -> None:
    tables = scan_volume(b.TinyVolume().put(A, b.plain_file(A, name)))
    assert paths(tables)[A] == shown
    assert findings(tables) == [("name-text", A)]


@pytest.mark.parametrize(
    "name", ["😀", "é", "日本", "\uffff", "\ue000", "...", "a:b", "back\\slash"]
)
def test_odd_names_that_are_fine(scan_volume: Scanner, name: str) -> None:
    tables = scan_volume(b.TinyVolume().put(A, b.plain_file(A, name)))
    assert paths(tables)[A] == name
    assert findings(tables) == []


# -- bare $MFT ---------------------------------------------------------------------------------


def test_bare_mft_cannot_follow_outside_lists(scan_records: ScanRecords) -> None:
    raw = [b.free_record(number) for number in range(5)] + [b.folder(5, ".")]
    raw.append(b.plain_file(6, "f", b.nonresident(b.LIST, [(80, 1)], data_bytes=64)))
    raw.append(b.record(7, [b.nonresident(b.DATA, [(9, 1)])], base=6, base_sequence=1))
    tables = scan_records(b"".join(raw))
    assert findings(tables) == [("attribute-list-unread", 6)]
    assert runs(tables, 6) == [(0, 9, 1)]
    assert tables.bitmap is None
    assert tables.volume.bare_mft


def test_bare_mft_that_starts_damaged_and_ends_early(scan_records: ScanRecords) -> None:
    raw = b"BAAD" + bytes(1020) + b"".join(b.free_record(number) for number in range(1, 5))
    tables = scan_records(raw + b.folder(5, ".") + b.plain_file(6, "f") + bytes(500))
    assert paths(tables) == {5: "."}
    assert tables.files["path"].to_pylist() == [".", "f"]
    assert findings(tables) == [("mft-cut-off", -1), ("record-torn-mark", 0)]


@pytest.mark.parametrize("data", [b"", b"FILE", b"hello\n" * 100, bytes(4096), b"FILE" * 1024])
def test_no_mft(scan_records: ScanRecords, data: bytes) -> None:
    with pytest.raises(NotNtfsError, match=r"no \$MFT: it is"):
        scan_records(data)
