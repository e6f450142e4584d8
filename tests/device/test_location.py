"""Locations: what each string means, which volume it opens, and what each refusal says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.device.location import Location, open_device, open_ntfs, parse
from sbtk.errors import (
    LocationError,
    LocationNotFoundError,
    NotNtfsError,
    PartitionError,
    VolumeDamagedError,
)
from tests.device.disks import MIB, NTFS_BOOT, gpt_disk, put, sfdisk_partitions

IQN = "iqn.2003-01.org.linux-iscsi.host:disk1"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("a.img", Location("path", path="a.img")),
        ("/srv/a b.img#2", Location("path", path="/srv/a b.img", partition=2)),
        ("/dev/sdb", Location("path", path="/dev/sdb")),
        ("/dev/sg3", Location("sg", path="/dev/sg3")),
        ("/dev/sg3#1", Location("sg", path="/dev/sg3", partition=1)),
        ("tape:/srv/a.tape", Location("tape", path="/srv/a.tape")),
        ("tape:odd#1", Location("tape", path="odd#1")),
        (f"iscsi://san/{IQN}/0", Location("iscsi", host="san", target=IQN)),
        (
            f"iscsi://10.0.0.1:3261/{IQN}/4#2",
            Location("iscsi", host="10.0.0.1", port=3261, target=IQN, lun=4, partition=2),
        ),
        (
            "iscsi://[fe80::1]:3261/eui.02004567A425678D/1",
            Location("iscsi", host="fe80::1", port=3261, target="eui.02004567A425678D", lun=1),
        ),
        ("a.img#", Location("path", path="a.img#")),
        ("a.img#x", Location("path", path="a.img#x")),
    ],
)
def test_each_form_parses_and_prints_back(text, location):
    assert parse(text) == location
    assert str(location) == text
    assert parse(str(location)) == location


@pytest.mark.parametrize(
    "text",
    ["", "tape:", "iscsi://", "iscsi:san", f"iscsi://san/{IQN}", f"iscsi://san:99999/{IQN}/0",
     f"iscsi://san:0/{IQN}/0", "iscsi://san/not-a-name/0", f"iscsi://san/{IQN}/x"],
)  # fmt: skip
def test_what_does_not_parse_says_how_to_write_it(text):
    with pytest.raises(LocationError) as caught:
        parse(text)
    assert "iscsi://host[:port]/iqn/lun" in caught.value.hint


def test_a_password_in_the_string_is_refused_and_not_shown():
    with pytest.raises(LocationError) as caught:
        parse(f"iscsi://user:secret@san/{IQN}/0")
    assert "secret" not in caught.value.line


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text):
    try:
        location = parse(text)
    except LocationError:
        return
    assert parse(str(location)) == location


def test_a_file_name_with_a_number_sign_is_a_file_name(tmp_path):
    name = tmp_path / "disk#1"
    name.write_bytes(NTFS_BOOT)
    assert parse(str(name)) == Location("path", path=str(name))
    with open_ntfs(str(name)) as opened:
        assert opened.partition is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("tape:/srv/a.tape", "cartridge"), ("/dev/sg99999", "there is no")],
)
def test_what_this_build_cannot_read_is_said(text, said):
    with pytest.raises(LocationError, match=said) as caught:
        open_device(text)
    assert caught.value.hint


def test_the_one_ntfs_partition_is_taken(tmp_path):
    image = gpt_disk(tmp_path / "one.img", 3, 4, ntfs=(2,))
    second = sfdisk_partitions(image)[1]
    with open_ntfs(str(image)) as opened:
        assert opened.source == f"{image}#2"
        assert opened.partition_start_lba == second["start"]
        assert opened.partition_start_bytes == second["start"] * 512
        assert opened.device.size_bytes == second["size"] * 512
        assert opened.device.read(0, 512) == NTFS_BOOT
        assert opened.disk.size_bytes == image.stat().st_size


def test_several_ntfs_partitions_need_a_number(tmp_path):
    image = gpt_disk(tmp_path / "two.img", 3, 4, ntfs=(1, 2))
    with pytest.raises(PartitionError) as caught:
        open_ntfs(str(image))
    assert caught.value.line == (
        f"{image} has 2 NTFS partitions: #1 'part 1' 3.00 MiB, #2 'part 2' 4.00 MiB. "
        f"Choose one: {image}#1"
    )
    with open_ntfs(f"{image}#2") as opened:
        assert opened.partition is not None
        assert opened.partition.number == 2


def test_a_number_that_is_not_there_lists_those_that_are(tmp_path):
    image = gpt_disk(tmp_path / "one.img", 3, ntfs=(1,))
    assert "has no partition 7. It has #1" in _line(lambda: open_ntfs(f"{image}#7"))
    plain = tmp_path / "plain.img"
    plain.write_bytes(NTFS_BOOT + bytes(MIB))
    assert "leave #N out" in _line(lambda: open_ntfs(f"{plain}#1"))


def _line(call) -> str:
    with pytest.raises(PartitionError) as caught:
        call()
    return caught.value.line


def test_a_partition_that_is_no_ntfs_is_named_for_what_it_is(tmp_path):
    image = gpt_disk(tmp_path / "none.img", 3, 4)
    start = sfdisk_partitions(image)[1]["start"] * 512
    put(image, start, NTFS_BOOT.replace(b"NTFS    ", b"-FVE-FS-"))
    with pytest.raises(NotNtfsError, match=r"#1 is blank .*, #2 is a BitLocker-encrypted volume"):
        open_ntfs(str(image))
    with pytest.raises(NotNtfsError, match="BitLocker") as caught:
        open_ntfs(f"{image}#2")
    assert "Unlock it" in caught.value.hint


def test_a_volume_whose_first_sector_is_gone_is_found_by_its_backup(tmp_path):
    image = tmp_path / "wiped.img"
    image.write_bytes(bytes(MIB) + NTFS_BOOT)
    with open_ntfs(str(image)) as opened:
        assert opened.device.size_bytes == MIB + 512


def test_a_disk_image_that_is_cut_off_says_where(tmp_path):
    image = gpt_disk(tmp_path / "cut.img", 3, 4, ntfs=(2,))
    with image.open("r+b") as file:
        file.truncate(6 * MIB)
    with pytest.raises(VolumeDamagedError, match=r"partition 2 ends at 8.00 MiB and the device at"):
        open_ntfs(str(image))


def test_a_bare_mft_is_opened_as_it_is(tmp_path):
    dump = tmp_path / "records.mft"
    dump.write_bytes(b"FILE" + bytes(1020))
    with open_ntfs(str(dump)) as opened:
        assert opened.device.size_bytes == 1024


def test_a_refused_location_leaves_no_open_file(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr("sbtk.device.file.FileDevice.close", lambda self: closed.append(self.name))
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(NotNtfsError, match="a text file"):
        open_ntfs(str(text))
    assert closed == [str(text)]
    with pytest.raises(LocationNotFoundError):
        open_ntfs(str(tmp_path / "missing.img"))
