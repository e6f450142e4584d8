"""Partition tables: sfdisk and sgdisk write them, sfdisk reads them beside us; then they break."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.device.file import FileDevice
from sbtk.device.partition import PartitionView, find_volumes, read_table
from sbtk.errors import DeviceReadError
from tests.device.disks import (
    MIB,
    NTFS_BOOT,
    gpt_disk,
    loop_device,
    mbr_disk,
    put,
    run,
    sfdisk_partitions,
)

EXTENDED = "start=2048, size=8192, type=7\nstart=12288, size=100000, type=f\n" + "".join(
    f"start={14336 + 10240 * i}, size=8192, type={kind}\n"
    for i, kind in enumerate(("7", "83", "7"))
)


def table_of(image):
    with FileDevice(image) as device:
        return read_table(device)


def codes(table):
    return [finding.code for finding in table.findings]


def test_gpt_equals_sfdisk(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3, 4, 5, ntfs=(1, 3))
    table = table_of(image)
    assert (table.scheme, codes(table)) == ("gpt", [])
    assert [
        (item.number, item.first_lba, item.blocks, item.type, item.name)
        for item in table.partitions
    ] == [
        (item["number"], item["start"], item["size"], item["type"], item["name"])
        for item in sfdisk_partitions(image)
    ]
    assert [item.number for item in table.partitions if item.is_ntfs] == [1, 3]


def test_mbr_with_logical_partitions_equals_sfdisk(tmp_path):
    image = mbr_disk(tmp_path / "m.img", EXTENDED)
    listed = [item for item in sfdisk_partitions(image) if item["type"] != "f"]
    assert [item["number"] for item in listed] == [1, 5, 6, 7]
    for item in listed:
        put(image, item["start"] * 512, NTFS_BOOT)
    table = table_of(image)
    assert (table.scheme, codes(table)) == ("mbr", [])
    assert [(item.number, item.first_lba, item.blocks, item.type) for item in table.partitions] == [
        (item["number"], item["start"], item["size"], f"{int(item['type'], 16):02X}h")
        for item in listed
    ]
    with FileDevice(image) as device:
        assert [item.number for item in find_volumes(device)] == [1, 5, 6, 7]


@pytest.mark.root
def test_gpt_of_4096_byte_sectors_on_the_device_and_as_an_image(tmp_path):
    image = tmp_path / "big.img"
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    with loop_device(image, sector_bytes=4096) as node:
        run("sgdisk", "--new=1:256:1500", "--typecode=1:0700", node)
        put(node, 256 * 4096, NTFS_BOOT + bytes(4096 - 512))
        with FileDevice(node) as device:
            seen = read_table(device)
    assert (seen.scheme, seen.block_bytes) == ("gpt", 4096)
    assert [(p.first_lba, p.blocks, p.is_ntfs) for p in seen.partitions] == [(256, 1245, True)]
    assert table_of(image) == seen  # the image file says 512; the content says 4096


@pytest.mark.parametrize("where", [512 + 16, 1024 + 20], ids=["header", "entries"])
def test_damaged_primary_gpt_is_read_from_its_backup(tmp_path, where):
    image = gpt_disk(tmp_path / "g.img", 3, 4, ntfs=(2,))
    before = table_of(image)
    put(image, where, b"\xff")
    after = table_of(image)
    assert after.partitions == before.partitions
    assert codes(after) == ["gpt-primary-damaged"]


def test_wiped_start_of_a_gpt_disk_is_read_from_its_backup(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3, ntfs=(1,))
    before = table_of(image)
    put(image, 0, bytes(34 * 512))
    after = table_of(image)
    assert after.partitions == before.partitions
    assert codes(after) == ["gpt-primary-damaged", "gpt-no-protective-mbr"]


def test_both_copies_damaged_is_no_table(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3)
    put(image, 512, b"X")
    put(image, image.stat().st_size - 512, b"X")
    assert table_of(image).scheme == ""


def reseal(header: bytearray) -> bytes:
    header[16:20] = bytes(4)
    header[16:20] = struct.pack("<I", zlib.crc32(header[:92]))
    return bytes(header)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (12, struct.pack("<I", 5000)),  # header bytes
        (24, struct.pack("<Q", 7)),  # own LBA
        (72, struct.pack("<Q", 1 << 60)),  # entries beyond the disk
        (80, struct.pack("<I", 1 << 31)),  # number of entries
        (84, struct.pack("<I", 0)),  # bytes an entry
    ],
)
def test_a_gpt_header_that_lies_is_not_believed(tmp_path, offset, value):
    image = gpt_disk(tmp_path / "g.img", 3, ntfs=(1,))
    before = table_of(image)
    header = bytearray(image.read_bytes()[512:1024])
    header[offset : offset + len(value)] = value
    put(image, 512, reseal(header))
    assert table_of(image).partitions == before.partitions
    assert codes(table_of(image)) == ["gpt-primary-damaged"]


def test_a_loop_of_extended_records_ends(tmp_path):
    image = mbr_disk(tmp_path / "m.img", EXTENDED)
    second_ebr = next(p for p in sfdisk_partitions(image) if p["number"] == 6)["start"] - 2048
    # the link of the second EBR leads back to the first one
    put(image, second_ebr * 512 + 446 + 16, struct.pack("<B3sB3sII", 0, b"", 5, b"", 0, 10_240))
    table = table_of(image)
    assert codes(table) == ["partition-chain-broken"]
    assert [item.number for item in table.partitions] == [1, 5, 6]


def test_a_missing_extended_record_keeps_what_was_found(tmp_path):
    image = mbr_disk(tmp_path / "m.img", EXTENDED)
    third_ebr = next(p for p in sfdisk_partitions(image) if p["number"] == 7)["start"] - 2048
    put(image, third_ebr * 512, bytes(512))
    table = table_of(image)
    assert codes(table) == ["partition-chain-broken"]
    assert [item.number for item in table.partitions] == [1, 5, 6]


def test_damaged_boot_sector_with_its_backup_is_still_a_volume(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3, 4, ntfs=())
    second = table_of(image).partitions[1]
    put(image, second.start_bytes + second.size_bytes - 512, NTFS_BOOT)
    with FileDevice(image) as device:
        assert [(p.number, p.boot_damaged) for p in find_volumes(device)] == [(2, True)]


def test_a_file_systems_boot_code_is_no_partition_table(tmp_path):
    image = tmp_path / "fs.img"
    image.write_bytes(bytes(446) + b"\x90" * 64 + b"\x55\xaa" + bytes(MIB))
    assert table_of(image).scheme == ""


def test_an_mbr_wins_over_a_stale_gpt(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3)
    entry = struct.pack("<B3sB3sII", 0, b"", 7, b"", 2048, 4096)
    put(image, 446, entry + bytes(48))
    assert [(table_of(image).scheme, p.number, p.blocks) for p in table_of(image).partitions] == [
        ("mbr", 1, 4096)
    ]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_damage_never_raises(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    kind = data.draw(st.sampled_from(["gpt", "mbr"]))
    image = folder / f"{kind}.img"
    if not image.exists():
        gpt_disk(image, 3, 4, ntfs=(1,)) if kind == "gpt" else mbr_disk(image, EXTENDED)
    where = [0, 512, 1024, image.stat().st_size - 512, 12288 * 512, 22528 * 512]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(where)) + data.draw(st.integers(0, 511))
        with image.open("r+b") as file:
            file.seek(at)
            kept = file.read(4)
        put(image, at, data.draw(st.binary(min_size=1, max_size=4)))
        assert len(table_of(image).partitions) <= 4 + 128
        put(image, at, kept)


def restored_blank(image, tmp_path):
    """A blank disk that was given the table's own blocks and nothing else."""
    blank = tmp_path / "blank.img"
    data = image.read_bytes()
    with blank.open("wb") as file:
        file.truncate(len(data))
    for start_bytes, length_bytes in table_of(image).own_ranges:
        put(blank, start_bytes, data[start_bytes : start_bytes + length_bytes])
    return blank


def test_the_tables_own_blocks_make_a_blank_disk_whole(tmp_path):
    gpt = gpt_disk(tmp_path / "g.img", 3, 4, 5)
    mbr = mbr_disk(tmp_path / "m.img", EXTENDED)
    for image in (gpt, mbr):
        blank = restored_blank(image, tmp_path)
        assert [{**item, "node": ""} for item in sfdisk_partitions(blank)] == [
            {**item, "node": ""} for item in sfdisk_partitions(image)
        ]
    blank = restored_blank(gpt, tmp_path)
    assert "No problems found" in run("sgdisk", "--verify", blank)
    assert sum(length for _, length in table_of(gpt).own_ranges) == (1 + 2 * 33) * 512


def test_a_gpt_without_its_backup_is_read_and_said(tmp_path):
    image = gpt_disk(tmp_path / "g.img", 3)
    put(image, image.stat().st_size - 512, bytes(512))
    table = table_of(image)
    assert (len(table.partitions), codes(table)) == (1, ["gpt-backup-damaged"])
    assert table.own_ranges == ((0, 512), (512, 512), (1024, 128 * 128))


def test_view_reads_its_slice_and_no_more(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(range(256)) * 16)
    with PartitionView(FileDevice(image), 512, 1024, suffix="#1") as view:
        assert (view.size_bytes, view.block_bytes) == (1024, 512)
        assert view.name == f"{image}#1"
        assert view.read(10, 5) == bytes(range(10, 15))
        buffer = bytearray(4)
        view.read_into(1020, memoryview(buffer))
        assert buffer == bytes(range(252, 256))
        for outside in ((1020, 5), (-1, 2), (1025, 0)):
            with pytest.raises(DeviceReadError, match="#1"):
                view.read(*outside)
    with FileDevice(image) as device, pytest.raises(DeviceReadError):
        PartitionView(device, 4000, 200)
