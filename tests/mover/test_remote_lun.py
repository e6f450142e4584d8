"""Units of other people's targets behind our mover: copied, read and written through it."""

from __future__ import annotations

import os
import subprocess

import pytest

from sbtk.device.location import open_transport, parse
from sbtk.errors import LocationError
from sbtk.mover.base import CheckCondition
from sbtk.mover.remote_lun import RemoteDisk, RemoteTape, open_remote
from sbtk.scsi import cdb, inquiry, sense
from sbtk.scsi import segments as seg
from tests.mover.portals import served
from tests.mover.rig import Rig, file_disk, file_tape, tape_objects
from tests.oracles import tgtd

MIB = 1 << 20


def remote(location: str):
    return open_remote(open_transport(parse(location)))


@pytest.fixture
def array(tmp_path):
    """A disk on tgtd: (its file, its location)."""
    path = tmp_path / "array.img"
    path.write_bytes(os.urandom(16 * MIB))
    with tgtd.serve(path, device_type="disk", store="rdwr") as target:
        yield path, f"iscsi://{target.portal}/{target.target}/1"


def test_a_disk_of_tgtd_is_copied_to_a_tape_and_back(tmp_path, array):
    path, location = array
    original = path.read_bytes()
    disk, tape = remote(location), file_tape(tmp_path / "t", capacity_bytes=64 * MIB)
    assert isinstance(disk, RemoteDisk)
    with Rig(disk, tape) as rig:
        blocks = len(original) // 512
        step = 32768
        out = [
            seg.BlockToStream(source=0, destination=1, stream_transfer=262144, blocks=step, lba=lba)
            for lba in range(0, blocks, step)
        ]
        assert rig.copy(*out) is None
        tape.write_filemarks(1)
        records = tape_objects(tape)
        assert b"".join(item for item in records if item) == original
        path.write_bytes(bytes(len(original)))
        tape.rewind()
        back = [
            seg.StreamToBlock(source=1, destination=0, stream_transfer=262144, blocks=step, lba=lba)
            for lba in range(0, blocks, step)
        ]
        assert rig.copy(*back) is None
        disk.flush()
        assert path.read_bytes() == original
        assert disk.counters.read_bytes == disk.counters.write_bytes == len(original)


def test_ordinary_commands_pass_through(array):
    path, location = array
    disk = remote(location)
    with served(disk) as san, san.session() as session:
        unit = session.lun(0)
        read = unit.execute(cdb.Read16(lba=9, blocks=100).encode(), data_in_bytes=51200)
        assert bytes(read.data_in) == path.read_bytes()[9 * 512 : 109 * 512]
        data = os.urandom(1024)
        unit.execute(cdb.Write10(lba=1, blocks=2).encode(), data_out=data)
        assert path.read_bytes()[512:1536] == data
        bad = unit.execute(cdb.Read16(lba=1 << 40, blocks=1).encode(), data_in_bytes=512)
        assert (sense.decode(bad.sense).key, sense.decode(bad.sense).code) == (5, (0x21, 0))
        told = unit.execute(cdb.Inquiry(allocation_bytes=96).encode(), data_in_bytes=96)
        assert inquiry.StandardInquiry.decode_any(told.data_in).third_party_copy
        question = cdb.Inquiry(True, inquiry.SUPPORTED_PAGES, 255).encode()
        pages = unit.execute(question, data_in_bytes=255).data_in
        assert {0x83, 0x8F} <= set(inquiry.decode_page(pages, 0))


def test_what_the_array_says_reaches_the_sender_of_the_copy(tmp_path, array):
    disk = remote(array[1])
    with pytest.raises(CheckCondition) as stopped:
        disk.read_blocks(1 << 30, memoryview(bytearray(512)))
    assert sense.decode(stopped.value.sense).code == (0x21, 0)
    target = file_disk(tmp_path / "d", bytes(MIB))
    with Rig(disk, target) as rig:
        disk.block_count = 1 << 31  # as if the array had shrunk
        lost = rig.copy(seg.BlockToBlock(source=0, destination=1, blocks=8, source_lba=1 << 30))
        assert (lost.key, lost.code) == (0xA, (0x0D, 0x01))
        assert sense.decode(lost.forwarded[0].sense).code == (0x21, 0)


def test_a_tape_drive_of_tgtd(tmp_path):
    cartridge = tmp_path / "c"
    subprocess.run(
        ["tgtimg", "--op", "new", "--device-type", "tape", "--barcode", "T1", "--size", "64",
         "--type", "data", "--file", cartridge],
        check=True, capture_output=True,
    )  # fmt: skip
    with tgtd.serve(cartridge, device_type="tape", store="ssc") as target:
        drive = remote(f"iscsi://{target.portal}/{target.target}/1")
        assert isinstance(drive, RemoteTape)
        source = file_disk(tmp_path / "d", os.urandom(2 * MIB))
        drive.locate(0)
        with Rig(source, drive) as rig:
            assert (
                rig.copy(
                    seg.BlockToStream(source=0, destination=1, stream_transfer=65536, blocks=4096)
                )
                is None
            )
            drive.write_filemarks(1)
            drive.locate(0)
            buffer = memoryview(bytearray(65536))
            read = b""
            for _ in range(32):
                count, met = drive.read_record(buffer)
                assert (count, met.sense) == (65536, b"")
                read += bytes(buffer[:count])
            assert read == (tmp_path / "d").read_bytes()
            count, met = drive.read_record(buffer)
            assert count == 0
            assert sense.decode(met.sense).filemark


def test_the_array_goes_away_in_the_middle(tmp_path):
    path = tmp_path / "array.img"
    path.write_bytes(os.urandom(4 * MIB))
    with tgtd.serve(path, device_type="disk", store="rdwr") as array:
        disk = remote(f"iscsi://{array.portal}/{array.target}/1")
    target = file_disk(tmp_path / "d", bytes(4 * MIB))
    with Rig(disk, target) as rig:
        lost = rig.copy(seg.BlockToBlock(source=0, destination=1, blocks=8192))
        assert (lost.key, lost.code) == (0xA, (0x0D, 0x02))
    assert (tmp_path / "d").read_bytes() == bytes(4 * MIB)


def test_what_is_neither_disk_nor_tape_is_named(array):
    location = array[1]
    with pytest.raises(LocationError, match="neither disk nor tape"):
        remote(location[:-1] + "0")  # tgtd's controller
