from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sbtk.errors import NotNtfsError
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.signature import identify
from tests.corpus import NAMES, volume
from tests.ntfs import builder as b


@pytest.mark.parametrize("name", NAMES)
def test_geometry_equals_ntfsinfo(name: str) -> None:
    image = volume(name).image
    with image.open("rb") as file:
        boot = BootSector.parse(file.read(512))
    told = subprocess.run(
        ["ntfsinfo", "-f", "-m", image], capture_output=True, text=True, check=True
    ).stdout

    def figure(label: str) -> int:
        match = re.search(rf"{label}: (\d+)", told)
        assert match, f"ntfsinfo says nothing of {label}"
        return int(match.group(1))

    assert boot.sector_bytes == figure("Sector Size")
    assert boot.cluster_bytes == figure("Cluster Size")
    assert boot.record_bytes == figure("MFT Record Size")
    assert boot.index_record_bytes == figure("Index Block Size")
    assert boot.total_clusters == figure("Volume Size in Clusters")
    assert boot.mft_lcn == figure("LCN of Data Attribute for FILE_MFT")
    assert boot.mft_mirror_lcn == figure("LCN of Data Attribute for File_MFTMirr")


HEADS = {
    b"\xeb\x58\x90-FVE-FS-": "a BitLocker-encrypted volume",
    b"\0\0\0ReFS\0\0\0\0": "a ReFS volume",
    b"\xeb\x76\x90EXFAT   ": "an exFAT volume",
    b"\xeb\x58\x90MSWIN4.1": "a FAT volume",
    b"LUKS\xba\xbe": "a LUKS-encrypted volume",
    b"QFI\xfb": "a qcow2 disk image (convert it to raw first)",
    b"FILE0\0": "a bare $MFT",
    b"plain words\n" * 50: "a text file",
    "grüße\n".encode() * 900: "a text file",
    bytes(4096): "blank (all zero bytes)",
    b"": "empty (0 bytes)",
    b"\x01\x02" * 300: "nothing that sbtk knows",
    bytes(510) + b"\x55\xaa": "a disk or boot sector without NTFS",
}


@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
def test_what_it_is_instead(head: bytes) -> None:
    assert identify(head) == HEADS[head]
    with pytest.raises(NotNtfsError, match=re.escape(HEADS[head])):
        BootSector.parse(head)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["mke2fs", "-q", "-t", "ext4"], "an ext4 volume"),
        (["mke2fs", "-q", "-t", "ext3"], "an ext3 volume"),
        (["mke2fs", "-q", "-t", "ext2"], "an ext2 volume"),
        (["mkfs.btrfs", "-q", "-f"], "a btrfs volume"),
        (["mkfs.xfs", "-q"], "an XFS volume"),
        (["mkswap", "-q"], "swap space"),
    ],
)
def test_file_systems_made_by_their_own_tools(
    tmp_path: Path, command: list[str], name: str
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run([*command, image], check=True, capture_output=True)
    with image.open("rb") as file:
        assert identify(file.read(70_000)) == name


def test_an_error_is_one_line_with_a_hint() -> None:
    with pytest.raises(NotNtfsError) as caught:
        BootSector.parse(b"hello world\n" * 100)
    assert "\n" not in caught.value.line
    assert caught.value.hint
    assert caught.value.exit_code == 20


def test_builder_and_parser_agree() -> None:
    boot = BootSector.parse(b.TinyVolume().image())
    assert (boot.volume_bytes, boot.serial_hex) == (256 * 4096, "1122334455667788")
