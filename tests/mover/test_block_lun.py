"""Disks of the mover: commands beside the bytes of the file, answers as sg3-utils reads them."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.device.file import FileDevice
from sbtk.errors import (
    LocationError,
    LocationNotFoundError,
    TargetError,
    UsageError,
)
from sbtk.mover.base import CheckCondition
from sbtk.mover.block_commands import MAX_TRANSFER_BYTES
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.scsi import cdb, inquiry, log, mode, sbc, sense
from sbtk.scsi.cdb_copy import ReceiveCopyOperatingParameters
from sbtk.transport.base import CHECK_CONDITION, GOOD
from tests.loopfs import loop_device, loop_fs
from tests.oracles.commands import output_of

BLOCKS = 1000
READS = (cdb.Read6, cdb.Read10, cdb.Read12, cdb.Read16)
WRITES = (cdb.Write6, cdb.Write10, cdb.Write12, cdb.Write16)


@pytest.fixture(params=[512, 4096])
def block_bytes(request):
    return request.param


@pytest.fixture
def path(tmp_path, block_bytes):
    place = tmp_path / "disk.img"
    place.write_bytes(os.urandom(BLOCKS * block_bytes))
    return place


@pytest.fixture
def lun(path, block_bytes):
    unit = BlockLun(path, block_bytes=block_bytes)
    yield unit
    unit.close()


def run(lun, command, data_out=b"", data_in_bytes=MAX_TRANSFER_BYTES):
    """((key, ASC/ASCQ, field pointer) or None, data) of one command."""
    response = lun.execute(command.encode(), data_out, data_in_bytes)
    if not response.sense:
        assert response.status == GOOD
        return None, bytes(response.data_in)
    assert response.status == CHECK_CONDITION
    found = sense.decode(response.sense)
    return (found.key, found.asc << 8 | found.ascq, found.field_pointer), bytes(response.data_in)


def at(kind, lba, blocks):
    """READ or WRITE of a range."""
    if issubclass(kind, cdb.Read6):
        return kind(lba_high=lba >> 16, lba_low=lba & 0xFFFF, transfer=blocks & 0xFF)
    return kind(lba=lba, blocks=blocks)


# -- reading and writing -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", READS)
def test_reads_give_the_bytes_of_the_file(lun, path, block_bytes, kind):
    raw = path.read_bytes()
    for lba, blocks in ((0, 1), (7, 100), (BLOCKS - 256, 256), (BLOCKS - 1, 1)):
        want = raw[lba * block_bytes : (lba + blocks) * block_bytes]
        assert run(lun, at(kind, lba, blocks)) == (None, want)
    assert run(lun, at(kind, BLOCKS - 1, 2))[0] == (5, 0x2100, None)
    assert run(lun, at(kind, BLOCKS, 1))[0] == (5, 0x2100, None)


@pytest.mark.parametrize("kind", WRITES)
def test_writes_change_these_bytes_and_no_others(lun, path, block_bytes, kind):
    want = bytearray(path.read_bytes())
    for lba, blocks in ((0, 1), (33, 255), (BLOCKS - 1, 1)):
        data = os.urandom(blocks * block_bytes)
        assert run(lun, at(kind, lba, blocks), data) == (None, b"")
        want[lba * block_bytes : (lba + blocks) * block_bytes] = data
    assert path.read_bytes() == want
    assert run(lun, at(kind, BLOCKS - 1, 2), bytes(2 * block_bytes))[0][0] == 5
    answer = lun.execute(at(kind, 0, 1).encode(), b"", 0)
    assert (answer.status, answer.wanted_out_bytes) == (0, block_bytes)
    assert path.read_bytes() == want
    for blocks, sent_bytes in ((2, block_bytes), (1, 2 * block_bytes), (2, 2 * block_bytes - 1)):
        answer = lun.execute(at(kind, 0, blocks).encode(), b"s" * sent_bytes, 0)
        assert (answer.status, answer.wanted_out_bytes) == (0, blocks * block_bytes)
        want[:block_bytes] = b"s" * block_bytes
        assert path.read_bytes() == want


def test_compare_and_write_and_its_kin(lun, path, block_bytes):
    raw = bytearray(path.read_bytes())
    old, new = bytes(raw[: 2 * block_bytes]), os.urandom(2 * block_bytes)
    assert run(lun, cdb.CompareAndWrite(lba=0, blocks=2), old + new) == (None, b"")
    raw[: 2 * block_bytes] = new
    wrong = bytearray(new)
    wrong[700] ^= 1
    for data in (bytes(wrong) + old, old[:-1] + b"?" + old):
        key, code, _ = run(lun, cdb.CompareAndWrite(lba=0, blocks=2), data)[0]
        assert (key, code) == (0xE, 0x1D00)
    assert run(lun, cdb.CompareAndWrite(lba=0, blocks=2), new)[0][:2] == (5, 0x2400)
    mask = os.urandom(block_bytes)
    assert run(lun, cdb.OrWrite16(lba=1, blocks=1), mask) == (None, b"")
    for at_byte in range(block_bytes):
        raw[block_bytes + at_byte] |= mask[at_byte]
    for number, kind in enumerate(
        (cdb.WriteAndVerify10, cdb.WriteAndVerify12, cdb.WriteAndVerify16)
    ):
        data = os.urandom(block_bytes)
        assert run(lun, kind(lba=5 + number, blocks=1, byte_check=number & 1), data) == (None, b"")
        raw[(5 + number) * block_bytes : (6 + number) * block_bytes] = data
    assert path.read_bytes() == raw
    assert lun.execute(cdb.Prefetch10(lba=3, blocks=4).encode(), b"", 0).status == 4
    assert run(lun, cdb.Prefetch16(lba=BLOCKS, blocks=1))[0][:2] == (5, 0x2100)


def test_two_initiators_compare_and_write_one_block(lun, path, block_bytes):
    """A counter on the disk that both raise: not one increment is lost."""
    lun.write_blocks(0, memoryview(bytes(block_bytes)))

    def count() -> None:
        done = 0
        while done < 200:
            seen = run(lun, cdb.Read16(lba=0, blocks=1))[1]
            more = (int.from_bytes(seen, "big") + 1).to_bytes(block_bytes, "big")
            command = cdb.CompareAndWrite(lba=0, blocks=1)
            done += run(lun, command, bytes(seen) + more)[0] is None

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int.from_bytes(path.read_bytes()[:block_bytes], "big") == 600


@pytest.mark.parametrize("kind", [cdb.Read10, cdb.Read12, cdb.Read16])
def test_no_blocks_is_nothing_and_too_many_are_refused(lun, block_bytes, kind):
    assert run(lun, kind(lba=5, blocks=0)) == (None, b"")
    assert run(lun, kind(lba=BLOCKS, blocks=0)) == (None, b"")
    assert run(lun, kind(lba=BLOCKS + 1, blocks=0))[0] == (5, 0x2100, None)
    too_many = MAX_TRANSFER_BYTES // block_bytes + 1
    if kind is not cdb.Read10 or too_many <= 0xFFFF:
        pointer = kind.byte_of("blocks")
        assert run(lun, kind(lba=0, blocks=too_many))[0] == (5, 0x2400, pointer)
    assert run(lun, kind(lba=0, blocks=1, protect=1))[0] == (5, 0x2400, 1)


def test_force_unit_access_and_synchronize_reach_the_medium(lun, block_bytes, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    run(lun, cdb.Write10(lba=0, blocks=1), bytes(block_bytes))
    assert len(synced) == 0
    run(lun, cdb.Write10(lba=0, blocks=1, fua=True), bytes(block_bytes))
    assert len(synced) == 1
    run(lun, cdb.SynchronizeCache10())
    run(lun, cdb.SynchronizeCache16(lba=5, blocks=5))
    assert len(synced) == 3
    assert run(lun, cdb.SynchronizeCache10(lba=BLOCKS + 1))[0] == (5, 0x2100, None)


@pytest.mark.parametrize("kind", [cdb.WriteSame10, cdb.WriteSame16])
def test_write_same(lun, path, block_bytes, kind):
    want = bytearray(path.read_bytes())
    for lba, blocks, block in (
        (3, 500, os.urandom(block_bytes)),
        (90, 300, bytes(block_bytes)),
    ):
        assert run(lun, kind(lba=lba, blocks=blocks), block) == (None, b"")
        want[lba * block_bytes : (lba + blocks) * block_bytes] = block * blocks
    assert path.read_bytes() == want
    for command, data in (
        (kind(lba=0, blocks=0), bytes(block_bytes)),
        (kind(lba=0, blocks=1, anchor=True), bytes(block_bytes)),
        (kind(lba=0, blocks=1), bytes(block_bytes - 1)),
        (kind(lba=BLOCKS, blocks=1), bytes(block_bytes)),
    ):
        assert run(lun, command, data)[0][0] == 5
    assert path.read_bytes() == want


def unmap(lun, *ranges):
    parameters = sbc.encode_unmap([sbc.UnmapRange(*item) for item in ranges])
    return run(lun, cdb.Unmap(parameter_list_bytes=len(parameters)), parameters)[0]


def test_unmap_reads_as_zeros_and_gives_the_space_back(lun, path, block_bytes):
    os.sync()
    want, before = bytearray(path.read_bytes()), path.stat().st_blocks
    assert unmap(lun, (8, 500), (0, 0), (900, 16)) is None
    for lba, blocks in ((8, 500), (900, 16)):
        want[lba * block_bytes : (lba + blocks) * block_bytes] = bytes(blocks * block_bytes)
    assert path.read_bytes() == want
    assert path.stat().st_size == len(want)
    assert path.stat().st_blocks <= before - 480 * block_bytes // 512
    # One range out of bounds: nothing is unmapped.
    assert unmap(lun, (0, 5), (BLOCKS, 1)) == (5, 0x2100, None)
    assert path.read_bytes() == want
    short = sbc.encode_unmap([sbc.UnmapRange(0, 1)])[:-1]
    assert run(lun, cdb.Unmap(parameter_list_bytes=len(short)), short)[0][:2] == (5, 0x1A00)
    assert run(lun, cdb.Unmap(anchor=True))[0] == (5, 0x2400, 1)
    assert run(lun, cdb.Unmap()) == (None, b"")


def test_zeros_are_written_where_the_file_system_makes_no_holes(
    lun, path, monkeypatch, block_bytes
):
    monkeypatch.setattr("sbtk.mover.block_lun.punch_hole", lambda *arguments: False)
    want = bytearray(path.read_bytes())
    lun.zero_blocks(5, 700)
    want[5 * block_bytes : 705 * block_bytes] = bytes(700 * block_bytes)
    assert path.read_bytes() == want


def test_verify(lun, path, block_bytes):
    raw = path.read_bytes()
    for kind in (cdb.Verify10, cdb.Verify12, cdb.Verify16):
        assert run(lun, kind(lba=0, blocks=BLOCKS)) == (None, b"")
        assert run(lun, kind(lba=0, blocks=BLOCKS + 1))[0] == (5, 0x2100, None)
        data = raw[10 * block_bytes : 13 * block_bytes]
        assert run(lun, kind(lba=10, blocks=3, byte_check=1), data) == (None, b"")
        assert run(lun, kind(lba=11, blocks=3, byte_check=1), data)[0] == (14, 0x1D00, None)
        assert run(lun, kind(lba=11, blocks=3, byte_check=2), data)[0] == (5, 0x2400, 1)


def test_errors_of_the_medium(lun, block_bytes, monkeypatch):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    assert run(lun, cdb.Write10(lba=7, blocks=1), bytes(block_bytes))[0] == (3, 0x0C02, None)
    monkeypatch.setattr(os, "fdatasync", fail)
    assert run(lun, cdb.SynchronizeCache10())[0] == (3, 0x0C02, None)
    monkeypatch.setattr(os, "preadv", fail)
    assert run(lun, cdb.Read10(lba=7, blocks=1))[0] == (3, 0x1100, None)
    monkeypatch.undo()


@pytest.mark.root
def test_a_sparse_disk_whose_file_system_is_full(tmp_path):
    with loop_fs("ext4", tmp_path, size_bytes=16 << 20) as small:
        place = small.path / "disk"
        with place.open("wb") as file:
            file.truncate(64 << 20)
        lun = BlockLun(place)
        seen = [
            run(lun, cdb.Write16(lba=lba, blocks=2048), os.urandom(1 << 20))[0]
            for lba in range(0, 40_960, 2048)
        ]
        assert seen[0] is None
        assert seen[-1] == (7, 0x2707, None)
        lun.close()


def test_a_file_that_became_shorter_is_a_read_error(lun, path, block_bytes):
    os.truncate(path, 500 * block_bytes)
    assert run(lun, cdb.Read10(lba=499, blocks=1))[0] is None
    assert run(lun, cdb.Read10(lba=499, blocks=2))[0] == (3, 0x1100, None)


# -- counters ----------------------------------------------------------------------------------


def test_log_sense_counts_every_write_exactly(lun, block_bytes):
    def writer(first):
        for number in range(200):
            lun.write_blocks(first + number, memoryview(bytes(block_bytes)))

    threads = [threading.Thread(target=writer, args=(first,)) for first in (0, 300, 600)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unmap(lun, (0, 16))
    run(lun, cdb.WriteSame10(lba=0, blocks=4), b"\1" * block_bytes)
    run(lun, cdb.Read10(lba=0, blocks=9))
    page = log.GeneralStatistics.find(run(lun, cdb.LogSense(page_code=0x19))[1])
    assert (page.write_commands, page.blocks_received) == (602, 620)
    assert (page.read_commands, page.blocks_transmitted) == (1, 9)
    before = page.write_commands
    run(lun, cdb.Write10(lba=BLOCKS, blocks=1), bytes(block_bytes))  # refused: no write
    page = log.GeneralStatistics.find(run(lun, cdb.LogSense(page_code=0x19))[1])
    assert page.write_commands == before
    assert run(lun, cdb.LogSense(page_code=0x18))[0] == (5, 0x2400, 2)
    assert run(lun, cdb.LogSense(page_code=0x19, parameter_pointer=2))[0] == (5, 0x2400, 5)


# -- what sg3-utils reads ----------------------------------------------------------------------


def read_by(tmp_path, lun, command, *tool) -> str:
    """One answer, decoded by a program of sg3-utils."""
    seen, data = run(lun, command)
    assert seen is None
    place = tmp_path / "answer.hex"
    place.write_text(data.hex(" "))
    return " ".join(output_of(*tool, f"--inhex={place}").split())


def test_answers_as_sg3_utils_reads_them(tmp_path, lun, block_bytes):
    lun.announce(
        {inquiry.THIRD_PARTY_COPY: lambda: inquiry.encode_page(0x8F, bytes(4))},
        [ReceiveCopyOperatingParameters],
    )
    shown = read_by(tmp_path, lun, cdb.Inquiry(), "sg_inq")
    for word in ("PDT=0", "version=0x06", "[SPC-4]", "3PC=1", "Protect=0", "CmdQue=1", "SBTK"):
        assert word in shown, shown
    pages = read_by(tmp_path, lun, cdb.Inquiry(evpd=True), "sg_vpd", "--page=sv")
    for word in ("Device identification", "Block limits", "Logical block provisioning", "Third"):
        assert word in pages, pages
    names = read_by(tmp_path, lun, cdb.Inquiry(evpd=True, page_code=0x83), "sg_vpd", "--page=di")
    assert f"0x{lun.designator.hex()}" in names, names
    limits = read_by(tmp_path, lun, cdb.Inquiry(evpd=True, page_code=0xB0), "sg_vpd", "--page=bl")
    assert f"Maximum transfer length: {MAX_TRANSFER_BYTES // block_bytes} blocks" in limits, limits
    assert "Write same non-zero (WSNZ): 1" in limits, limits
    thin = read_by(tmp_path, lun, cdb.Inquiry(evpd=True, page_code=0xB2), "sg_vpd", "--page=lbpv")
    assert "Unmap command supported (LBPU): 1" in thin, thin
    assert "Provisioning type: 2" in thin, thin
    run(lun, cdb.Write10(lba=0, blocks=7), bytes(7 * block_bytes))
    counts = read_by(tmp_path, lun, cdb.LogSense(page_code=0x19), "sg_logs")
    assert "number of write commands = 1" in counts, counts
    assert "number of logical blocks received = 7" in counts, counts


def test_capacity_and_mode(lun, block_bytes):
    ten = sbc.Capacity10.decode(run(lun, cdb.ReadCapacity10())[1])
    assert (ten.last_lba, ten.block_bytes) == (BLOCKS - 1, block_bytes)
    sixteen = sbc.Capacity16.decode(run(lun, cdb.ReadCapacity16())[1])
    assert (sixteen.last_lba, sixteen.block_bytes) == (BLOCKS - 1, block_bytes)
    assert (sixteen.provisioning_enabled, sixteen.reads_zeros) == (True, True)
    assert block_bytes << sixteen.physical_exponent == 4096
    assert run(lun, cdb.ReadCapacity10(lba=1))[0] == (5, 0x2400, 2)
    for command, long in ((cdb.ModeSense6(), False), (cdb.ModeSense10(), True)):
        found = mode.decode_parameters(run(lun, command)[1], ten=long)
        assert (found.header.write_protected, found.descriptor.block_bytes) == (False, block_bytes)
        assert found.pages[0] == 0x08
        assert found.pages[2] & 0x04  # WCE: flush before you trust
    nothing = mode.decode_parameters(
        run(lun, cdb.ModeSense6(disable_block_descriptors=True, page_code=0x08))[1], ten=False
    )
    assert nothing.descriptor is None
    assert len(nothing.pages) == 20


def test_a_disk_of_more_than_two_tib_says_so(tmp_path):
    place = tmp_path / "large.img"
    with place.open("wb") as file:
        file.truncate((3 << 40) + 512)
    lun = BlockLun(place)
    assert sbc.Capacity10.decode(run(lun, cdb.ReadCapacity10())[1]).last_lba == 0xFFFFFFFF
    assert sbc.Capacity16.decode(run(lun, cdb.ReadCapacity16())[1]).last_lba == 3 << 31
    run(lun, cdb.Write16(lba=3 << 31, blocks=1), b"e" * 512)
    assert run(lun, cdb.Read16(lba=3 << 31, blocks=1)) == (None, b"e" * 512)
    lun.close()


def test_commands_of_others_and_of_nobody(lun):
    assert run(lun, cdb.TestUnitReady()) == (None, b"")
    assert run(lun, cdb.StartStopUnit(start=True)) == (None, b"")
    assert run(lun, cdb.PersistentReserveIn(action=0)) == (None, bytes(8))
    assert run(lun, cdb.PersistentReserveIn(action=9))[0] == (5, 0x2400, 1)
    assert run(lun, cdb.Rewind())[0] == (5, 0x2000, 0)
    assert run(lun, cdb.Inquiry(page_code=0x83))[0] == (5, 0x2400, 2)
    assert run(lun, cdb.Inquiry(evpd=True, page_code=0xC7))[0] == (5, 0x2400, 2)
    report = cdb.ReportSupportedOperationCodes
    for option, opcode, action, support in (
        (1, 0x28, 0, 3), (1, 0x93, 0, 3), (1, 0xEE, 0, 1),
        (2, 0x9E, 0x10, 3), (2, 0x9E, 0x12, 1), (3, 0x28, 0, 3), (3, 0x9E, 0x10, 3),
    ):  # fmt: skip
        command = report(
            reporting_options=option, requested_opcode=opcode, requested_service_action=action
        )
        seen, data = run(lun, command)
        assert (seen, data[1] & 7) == (None, support), command
    for option, opcode in ((1, 0x9E), (2, 0x28), (4, 0x28)):
        command = report(reporting_options=option, requested_opcode=opcode)
        assert run(lun, command)[0] == (5, 0x2400, 2)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=16), data=st.binary(max_size=600))
def test_no_cdb_ends_in_anything_but_a_response(tmp_path_factory, raw, data):
    place = tmp_path_factory.mktemp("any") / "disk"
    place.write_bytes(bytes(64 * 512))
    lun = BlockLun(place)
    response = lun.execute(raw, data, 512)
    assert response.status in (GOOD, CHECK_CONDITION)
    assert len(response.data_in) <= 512
    lun.close()
    assert place.stat().st_size == 64 * 512


# -- opening -----------------------------------------------------------------------------------


def test_a_read_only_disk_takes_no_writes(path, block_bytes):
    before = path.read_bytes()
    lun = ReadOnlyLun(FileDevice(path), block_bytes=block_bytes)
    for command, data in (
        (cdb.Write10(lba=0, blocks=1), bytes(block_bytes)),
        (cdb.WriteSame16(lba=0, blocks=1), bytes(block_bytes)),
        (cdb.Unmap(parameter_list_bytes=8), bytes(8)),
    ):
        assert run(lun, command, data)[0] == (7, 0x2700, None)
    for refused in (lambda: lun.write_blocks(0, memoryview(b"")), lambda: lun.zero_blocks(0, 1)):
        with pytest.raises(CheckCondition):
            refused()
    assert run(lun, cdb.ModeSense6())[1][2] & 0x80
    assert run(lun, cdb.Read10(lba=0, blocks=1)) == (None, before[:block_bytes])
    lun.close()
    assert path.read_bytes() == before


def test_names_stay_and_differ(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for place in (one, two):
        place.write_bytes(bytes(4096))
    link = tmp_path / "link"
    link.symlink_to(one)
    names = [BlockLun(place).designator for place in (one, two, link, one)]
    assert names[0] == names[2] == names[3] != names[1]
    assert all(len(name) == 16 and name[0] >> 4 == 6 for name in names)
    assert BlockLun(one, designator=bytes(16)).designator == bytes(16)


def test_what_is_no_disk(tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"x" * 511)
    with pytest.raises(TargetError, match="is empty"):
        BlockLun(empty)
    with pytest.raises(UsageError, match="blocks of 520"):
        BlockLun(empty, block_bytes=520)
    with pytest.raises(LocationNotFoundError):
        BlockLun(Path(tmp_path / "missing"))
    with pytest.raises(LocationError):
        BlockLun(tmp_path)


@pytest.mark.root
def test_a_block_device(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(os.urandom(1 << 20))
    want = bytearray(image.read_bytes())
    with loop_device(image) as device:
        lun = BlockLun(Path(device))
        assert (lun.block_bytes, lun.block_count) == (512, 2048)
        lun.write_blocks(5, memoryview(b"w" * 1024))
        lun.zero_blocks(1024, 512)
        lun.close()
    want[5 * 512 : 7 * 512] = b"w" * 1024
    want[1024 * 512 : 1536 * 512] = bytes(512 * 512)
    assert image.read_bytes() == want
