"""Other people's programs on our cartridges, and ours on theirs: tgtimg, tgtd, libiscsi, tar."""

import itertools
import os
import random
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sbtk.mover.cartridge import Cartridge, create_cartridge
from sbtk.mover.tape_lun import TapeLun
from sbtk.scsi import cdb
from sbtk.scsi.segments import BlockToStream, EmbeddedToStream, WriteFilemarks
from tests.mover.rig import Rig, file_disk, file_tape, named
from tests.oracles.commands import output_of
from tests.oracles.libiscsi import Initiator
from tests.oracles.tgtd import serve

SIZES = (1, 511, 512, 513, 4096, 65_536, 262_144, 262_144, 1_000_003)
MARK = b""
OBJECTS = [
    *(random.Random(size).randbytes(size) for size in SIZES[:4]),
    MARK,
    MARK,
    *(random.Random(size).randbytes(size) for size in SIZES[4:]),
    MARK,
    b"the last record has no filemark behind it",
]


def shown(path: Path) -> list[tuple[str, int, int, int, int]]:
    """(kind, number, previous, offset, size) of every object that tgtimg lists."""
    text = output_of("tgtimg", "--op", "show", "--device-type", "tape", "--file", path)
    assert "rror" not in text
    row = re.compile(
        r"^ *(.+?)\(\d+\): (?:Capacity \d+ MB, )?Blk No\.:? *(\d+), prev (\d+), curr (\d+), "
        r" ?next \d+(?:, sz (\d+))?$",
        re.M,
    )
    return [
        (kind, int(number), int(previous), int(here), int(size or 0))
        for kind, number, previous, here, size in row.findall(text)
    ]


@pytest.fixture
def cartridge(tmp_path):
    path = tmp_path / "ours.tape"
    create_cartridge(path, capacity_bytes=64 << 20)
    drive = TapeLun(path)
    for data in OBJECTS:
        drive.write_record(data) if data else drive.write_filemarks(1)
    drive.close()
    return path


def test_tgtimg_lists_our_cartridge(cartridge):
    rows = shown(cartridge)
    kinds = ["Uncompressed data" if data else "Filemark" for data in OBJECTS]
    assert [row[0] for row in rows] == ["Beginning of Tape", *kinds, "End of Data"]
    assert [row[1] for row in rows] == list(range(len(OBJECTS) + 2))
    assert [row[4] for row in rows[1:-1]] == [len(data) for data in OBJECTS]
    for before, row in itertools.pairwise(rows):
        assert row[2] == before[3]


def test_tgtd_serves_our_cartridge_record_by_record(cartridge):
    before = cartridge.read_bytes()
    with (
        serve(cartridge, device_type="tape", store="ssc") as target,
        Initiator(target.portal, target.target, 1) as initiator,
    ):
        inquiry = initiator.execute(cdb.Inquiry(allocation_bytes=96).encode(), data_in_bytes=96)
        assert (inquiry.status, inquiry.data[0]) == (0, 0x01)
        for number, data in enumerate(OBJECTS):
            if data:
                read = cdb.TapeRead6(transfer=len(data)).encode()
                answer = initiator.execute(read, data_in_bytes=len(data))
                assert (answer.status, answer.data) == (0, data), f"object {number}"
            else:
                read = cdb.TapeRead6(transfer=512).encode()
                answer = initiator.execute(read, data_in_bytes=512)
                assert (answer.status, answer.key, answer.code) == (2, 0, 0x0001), number
        answer = initiator.execute(cdb.TapeRead6(transfer=1).encode(), data_in_bytes=1)
        assert (answer.status, answer.key) == (2, 8)  # BLANK CHECK
    assert cartridge.read_bytes() == before


def test_we_read_and_extend_what_tgtd_wrote(tmp_path):
    path = tmp_path / "theirs.tape"
    output_of(
        *("tgtimg", "--op", "new", "--device-type", "tape", "--barcode", "THEIRS"),
        *("--size", "64", "--type", "data", "--file", path),
    )
    with (
        serve(path, device_type="tape", store="ssc") as target,
        Initiator(target.portal, target.target, 1) as initiator,
    ):
        for data in OBJECTS:
            command = cdb.TapeWrite6(transfer=len(data)) if data else cdb.WriteFilemarks6(count=1)
            assert initiator.execute(command.encode(), data_out=data).status == 0
    drive = TapeLun(path)
    assert drive.loaded().memory.barcode == "THEIRS"
    buffer = memoryview(bytearray(1 << 20))
    for data in OBJECTS:
        count, met = drive.read_record(buffer[: len(data) or 1])
        assert bytes(buffer[:count]) == data
        assert bool(met.sense) == (not data)
    drive.write_record(b"ours, behind theirs")
    drive.close()
    assert shown(path)[-2][4] == len(b"ours, behind theirs")


def test_we_take_what_is_left_where_tgtd_wrote_over_a_tape(cartridge):
    """tgtd leaves old objects behind its end of data; ours go where the tape ends now."""
    with (
        serve(cartridge, device_type="tape", store="ssc") as target,
        Initiator(target.portal, target.target, 1) as initiator,
    ):
        assert initiator.execute(cdb.TapeWrite6(transfer=3).encode(), data_out=b"new").status == 0
    with Cartridge(cartridge) as reopened:
        assert len(reopened) == 1
        reopened.append_record(b"more")
    assert [row[4] for row in shown(cartridge)] == [0, 3, 4, 0]


RECORD_BYTES = 65_536
FILES = {"empty": b"", "folder/small ": b"s" * 10, "folder/" + "long" * 40: os.urandom(300_001)}


def copied_archive(path: Path, disk_path: Path) -> None:
    """A label, a filemark, and a tar: headers from the command, data from a disk, to the tape."""
    sectors = {name: data + bytes(-len(data) % 512) for name, data in FILES.items()}
    disk = file_disk(disk_path, bytes(512) + b"".join(sectors.values()))
    tape = file_tape(path, capacity_bytes=64 << 20)
    segments = [
        EmbeddedToStream.of(b"label".ljust(512), 1, 512),
        WriteFilemarks(destination=1, count=1),
    ]
    lba = 1
    for name, data in sectors.items():
        info = tarfile.TarInfo(name)
        info.size = len(FILES[name])
        segments.append(
            EmbeddedToStream.of(info.tobuf(tarfile.PAX_FORMAT), 1, RECORD_BYTES, cat=True)
        )
        blocks = len(data) // 512
        segments.append(
            BlockToStream(
                cat=True, destination=1, stream_transfer=RECORD_BYTES, blocks=blocks, lba=lba
            )
        )
        lba += blocks
    segments.append(EmbeddedToStream.of(bytes(1024), 1, RECORD_BYTES))
    segments.append(WriteFilemarks(destination=1, count=1))
    with Rig(disk, tape) as rig:
        assert rig.copy(*segments, cscds=[named(disk), named(tape, pad=True)]) is None


@pytest.mark.parametrize("tar", ["tar", "bsdtar"])
def test_a_tar_written_by_extended_copy_is_listed_and_unpacked_by_tar(tmp_path, tar):
    path, out = tmp_path / "tape", tmp_path / "out"
    copied_archive(path, tmp_path / "disk")
    sizes = [row[4] for row in shown(path)]
    assert sizes == [0, 512, 0, *[RECORD_BYTES] * (len(sizes) - 5), 0, 0]
    command = [sys.executable, "-m", "sbtk", "tape", "cat", str(path), "--file", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as cat:
        listed = subprocess.run(
            [tar, "-tf", "-"], stdin=cat.stdout, capture_output=True, check=True
        )
        cat.communicate()
    assert cat.returncode == 0
    assert listed.stdout.decode().splitlines() == list(FILES)
    assert listed.stderr == b""
    out.mkdir()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as cat:
        subprocess.run([tar, "-xf", "-", "-C", out], stdin=cat.stdout, check=True)
        cat.communicate()
    assert {name: (out / name).read_bytes() for name in FILES} == FILES
