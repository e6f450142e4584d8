"""Tape drives: where every command ends, and the sense data of what it met (xcopy.md 10)."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.mover.base import CheckCondition
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.cartridge_index import ObjectIndex
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.tape_space import space_target
from sbtk.scsi import cdb, inquiry, log, mode, reports, sense, ssc
from sbtk.transport.base import CHECK_CONDITION, GOOD

MARK = b""
LONG = b"l" * 70_000
TAPE = [b"a" * 100, b"b" * 512, MARK, b"c" * 512, b"d" * 512, b"e" * 512, MARK, MARK, LONG]


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "tape"
    create_cartridge(place, capacity_bytes=4 << 20)
    return place


@pytest.fixture
def drive(path):
    unit = TapeLun(path, early_warning_bytes=1 << 20)
    for data in TAPE:
        unit.write_record(data) if data else unit.write_filemarks(1)
    unit.rewind()
    yield unit
    unit.close()


def met(raw: bytes) -> tuple:
    """(key, ASC/ASCQ, flags, INFORMATION) of fixed-format sense data."""
    assert raw[0] & 0x7F == 0x70
    found = sense.decode(raw)
    flags = "".join(
        letter for letter, on in (("F", found.filemark), ("E", found.eom), ("I", found.ili)) if on
    )
    information = None if found.information is None else found.residual
    return found.key, found.asc << 8 | found.ascq, flags, information


def run(drive, command, data_out=b"", data_in_bytes=1 << 20):
    """(what was met or None, data) of one command."""
    response = drive.execute(command.encode(), data_out, data_in_bytes)
    assert response.status in (GOOD, CHECK_CONDITION)
    assert bool(response.sense) == (response.status == CHECK_CONDITION)
    return met(response.sense) if response.sense else None, bytes(response.data_in)


def set_block_length(drive, block_bytes: int) -> None:
    """MODE SELECT(6) as the Linux st driver sends it."""
    parameters = bytes([0, 0, 0x10, 8, 0, 0, 0, 0, 0, *block_bytes.to_bytes(3, "big")])
    select = cdb.ModeSelect6(parameter_list_bytes=len(parameters))
    assert run(drive, select, parameters) == (None, b"")


# -- READ(6) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "wanted", "seen", "data", "then"),
    [
        (0, 100, None, TAPE[0], 1),
        (0, 300, (0, 0x0000, "I", 200), TAPE[0], 1),  # shorter than asked for
        (1, 100, (0, 0x0000, "I", -412), TAPE[1][:100], 2),  # longer
        (2, 512, (0, 0x0001, "F", 512), b"", 3),
        (9, 64, (8, 0x0005, "", 64), b"", 9),
        (0, 0, None, b"", 0),
    ],
)
def test_variable_read(drive, at, wanted, seen, data, then):
    drive.locate(at)
    assert run(drive, cdb.TapeRead6(transfer=wanted)) == (seen, data)
    assert drive.position() == then


@pytest.mark.parametrize(
    ("block_length", "at", "wanted", "seen"),
    [
        (0, 0, 300, None),  # SILI hides a short block
        (0, 1, 100, None),  # and a long one in variable mode
        (512, 0, 300, None),
        (512, 1, 100, (0, 0x0000, "I", -412)),  # but not where a block length is set
    ],
)
def test_suppressed_incorrect_length(drive, block_length, at, wanted, seen):
    set_block_length(drive, block_length)
    drive.locate(at)
    command = cdb.TapeRead6(transfer=wanted, suppress_incorrect_length=True)
    assert run(drive, command) == (seen, TAPE[at][:wanted])
    assert drive.position() == at + 1


@pytest.mark.parametrize(
    ("at", "blocks", "seen", "data", "then"),
    [
        (3, 3, None, b"".join(TAPE[3:6]), 6),
        (3, 5, (0, 0x0001, "F", 2), b"".join(TAPE[3:6]), 7),
        (1, 2, (0, 0x0001, "F", 1), TAPE[1], 3),
        (0, 2, (0, 0x0000, "I", 2), b"", 1),  # a block of another length
        (8, 1, (0, 0x0000, "I", 1), b"", 9),
        (9, 4, (8, 0x0005, "", 4), b"", 9),
    ],
)
def test_fixed_read(drive, at, blocks, seen, data, then):
    set_block_length(drive, 512)
    drive.locate(at)
    assert run(drive, cdb.TapeRead6(fixed=True, transfer=blocks)) == (seen, data)
    assert drive.position() == then


def test_fixed_read_of_the_last_blocks_gives_them_and_then_says_blank(drive):
    set_block_length(drive, 512)
    drive.locate(9)
    drive.write_record(b"z" * 512)
    drive.locate(9)
    seen, data = run(drive, cdb.TapeRead6(fixed=True, transfer=3))
    assert (seen, data) == ((8, 0x0005, "", 2), b"z" * 512)


@pytest.mark.parametrize(
    "command",
    [
        cdb.TapeRead6(fixed=True, suppress_incorrect_length=True, transfer=1),
        cdb.TapeRead6(fixed=True, transfer=1),  # variable mode
        cdb.TapeWrite6(fixed=True, transfer=1),
        cdb.TapeWrite6(transfer=1),  # and no data came
        cdb.Space6(code=4, count=1),
        cdb.Space6(code=15, count=1),
        cdb.Locate10(logical_object=1, block_type=True),
        cdb.Locate10(logical_object=1, change_partition=True, partition=1),
        cdb.Locate16(destination_type=2),
        cdb.Locate16(change_partition=True, partition=1),
        cdb.ReadPosition(form=0x08),
        cdb.ModeSelect6(save_pages=True, parameter_list_bytes=12),
    ],
)
def test_fields_that_cannot_be(drive, command):
    drive.locate(1)
    assert run(drive, command)[0] == (5, 0x2400, "", None)
    assert drive.position() == 1


def test_data_in_is_never_more_than_was_asked_for(drive):
    assert run(drive, cdb.TapeRead6(transfer=300), data_in_bytes=10) == (
        (0, 0, "I", 200),
        TAPE[0][:10],
    )


def test_a_damaged_record_is_a_medium_error_and_the_next_is_read(drive, path):
    drive.write_filemarks(0)
    offsets = drive.loaded().index.offsets
    with path.open("r+b") as file:
        for number in (3, 4):
            file.seek(offsets[number])
            file.write(b"?")
    drive.locate(3)
    assert run(drive, cdb.TapeRead6(transfer=512))[0] == (3, 0x1100, "", 512)
    assert drive.position() == 4
    # The header of the next one is damaged too, and the one behind it vouches for it.
    assert run(drive, cdb.TapeRead6(transfer=512)) == (None, TAPE[4])
    assert run(drive, cdb.TapeRead6(transfer=512)) == (None, TAPE[5])


# -- WRITE(6) and WRITE FILEMARKS(6) -----------------------------------------------------------


def test_a_write_ends_the_tape_behind_it(drive):
    drive.locate(1)
    assert run(drive, cdb.TapeWrite6(transfer=3), b"new") == (None, b"")
    assert drive.position() == 2
    assert run(drive, cdb.TapeRead6(transfer=3))[0] == (8, 0x0005, "", 3)
    drive.locate(1)
    assert run(drive, cdb.TapeRead6(transfer=3)) == (None, b"new")


def test_fixed_write_makes_one_record_a_block(drive):
    set_block_length(drive, 512)
    data = os.urandom(512 * 5)
    assert run(drive, cdb.TapeWrite6(fixed=True, transfer=5), data) == (None, b"")
    drive.rewind()
    assert run(drive, cdb.TapeRead6(fixed=True, transfer=5)) == (None, data)
    assert drive.position() == 5


def test_early_warning_then_physical_end(drive):
    """4 MiB with 1 MiB of early warning, in records of 512 KiB."""
    record, seen = b"r" * (512 << 10), []
    for _ in range(9):
        seen.append(run(drive, cdb.TapeWrite6(transfer=len(record)), record)[0])
    warning, full = (0, 0x0002, "E", None), (13, 0x0002, "E", len(record))
    assert seen == [None] * 5 + [warning] * 2 + [full] * 2
    assert drive.position() == 7
    assert run(drive, cdb.WriteFilemarks6(count=1))[0] == warning
    drive.rewind()
    for _ in range(7):
        assert run(drive, cdb.TapeRead6(transfer=len(record))) == (None, record)
    assert run(drive, cdb.TapeRead6(transfer=1))[0] == (0, 0x0001, "F", 1)


def test_physical_end_in_fixed_mode_counts_blocks_not_written(drive):
    set_block_length(drive, 1 << 20)
    data = bytes(5 << 20)
    assert run(drive, cdb.TapeWrite6(fixed=True, transfer=5), data)[0] == (13, 0x0002, "E", 2)
    assert drive.position() == 3


def test_filemarks_at_the_physical_end(path):
    drive = TapeLun(path)
    drive.write_record(bytes((4 << 20) - 48 - 2 * 48))
    assert run(drive, cdb.WriteFilemarks6(count=5))[0] == (13, 0x0002, "E", 3)
    assert drive.position() == 3
    drive.close()


def test_a_filemark_makes_what_is_before_it_last(drive, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    drive.locate_end()
    run(drive, cdb.TapeWrite6(transfer=1), b"x")
    assert not synced
    run(drive, cdb.WriteFilemarks6(count=1, immediate=True))
    assert not synced
    run(drive, cdb.WriteFilemarks6(count=0))
    assert len(synced) == 1
    run(drive, cdb.WriteFilemarks6(count=2))
    assert len(synced) == 2


def test_a_write_error_is_told_and_the_record_is_not_there(drive, monkeypatch):
    drive.locate_end()

    def fail(fd, buffers, offset):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        assert run(drive, cdb.TapeWrite6(transfer=4), b"lost")[0] == (3, 0x0C00, "", 4)
    assert drive.position() == len(TAPE)
    assert run(drive, cdb.TapeWrite6(transfer=4), b"kept") == (None, b"")


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (cdb.TapeWrite6(transfer=1), b"x"),
        (cdb.WriteFilemarks6(count=1), b""),
        (cdb.Erase6(), b""),
    ],
)
def test_write_protection(drive, path, command, data):
    drive.close()
    before = path.read_bytes()
    protected = TapeLun(path, writable=False)
    assert run(protected, command, data)[0] == (7, 0x2700, "", None)
    assert run(protected, cdb.WriteFilemarks6(count=0)) == (None, b"")
    assert run(protected, cdb.ModeSense6())[1][2] & 0x80
    assert run(protected, cdb.TapeRead6(transfer=100)) == (None, TAPE[0])
    protected.close()
    assert path.read_bytes() == before


def test_erase_from_the_position_on(drive):
    drive.locate(2)
    assert run(drive, cdb.Erase6(long=True)) == (None, b"")
    assert run(drive, cdb.TapeRead6(transfer=1))[0] == (8, 0x0005, "", 1)
    run(drive, cdb.Rewind())
    assert run(drive, cdb.TapeRead6(transfer=100)) == (None, TAPE[0])


# -- positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "code", "count", "seen", "then"),
    [
        (0, 0, 2, None, 2),
        (0, 0, 3, (0, 0x0001, "F", 1), 3),
        (8, 0, 3, (8, 0x0005, "", 2), 9),
        (6, 0, -3, None, 3),
        (6, 0, -5, (0, 0x0001, "F", 2), 2),
        (2, 0, -3, (0, 0x0004, "E", 1), 0),
        (0, 1, 1, None, 3),
        (0, 1, 3, None, 8),
        (0, 1, 5, (8, 0x0005, "", 2), 9),
        (9, 1, -1, None, 7),
        (9, 1, -3, None, 2),
        (9, 1, -5, (0, 0x0004, "E", 2), 0),
        (0, 2, 2, None, 8),
        (9, 2, -2, None, 6),
        (0, 2, 3, (8, 0x0005, "", 3), 9),
        (9, 2, -3, (0, 0x0004, "E", 3), 0),
        (4, 3, 0, None, 9),
        (4, 0, 0, None, 4),
        (4, 1, 0, None, 4),
    ],
)
def test_space(drive, at, code, count, seen, then):
    drive.locate(at)
    assert run(drive, cdb.Space6(code=code, count=count)) == (seen, b"")
    assert drive.position() == then


def walk(marks: list[bool], position: int, code: int, count: int) -> tuple[int, tuple | None]:
    """SPACE by the words of the standard, one object at a time."""
    step = 1 if count > 0 else -1
    left, in_a_row = abs(count), 0
    while left:
        nearby = position if step > 0 else position - 1
        if not 0 <= nearby < len(marks):
            if code == 2:
                left = abs(count)
            return position, ((8, 0x0005, "", left) if step > 0 else (0, 0x0004, "E", left))
        position += step
        if code == 0 and marks[nearby]:
            return position, (0, 0x0001, "F", left)
        in_a_row = in_a_row + 1 if marks[nearby] else 0
        if code == 0 or (code == 1 and marks[nearby]):
            left -= 1
        if code == 2:
            left = abs(count) - in_a_row
    return position, None


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_space_ends_where_walking_ends(data):
    marks = data.draw(st.lists(st.booleans(), max_size=25))
    position = data.draw(st.integers(0, len(marks)))
    code, count = data.draw(st.integers(0, 2)), data.draw(st.integers(-30, 30))
    index = ObjectIndex()
    for mark in marks:
        index.append(0 if mark else 10, filemark=mark)
    ended, told = space_target(index, position, code, count)
    assert (ended, met(told) if told else None) == walk(marks, position, code, count)


@pytest.mark.parametrize(
    ("command", "seen", "then"),
    [
        (cdb.Locate10(logical_object=4), None, 4),
        (cdb.Locate10(logical_object=9), None, 9),
        (cdb.Locate10(logical_object=10), (8, 0x0005, "", None), 9),
        (cdb.Locate16(logical_identifier=4), None, 4),
        (cdb.Locate16(logical_identifier=1 << 60), (8, 0x0005, "", None), 9),
        (cdb.Locate16(destination_type=1, logical_identifier=0), None, 0),
        (cdb.Locate16(destination_type=1, logical_identifier=2), None, 7),
        (cdb.Locate16(destination_type=1, logical_identifier=3), None, 8),
        (cdb.Locate16(destination_type=1, logical_identifier=4), (8, 0x0005, "", None), 9),
        (cdb.Locate16(destination_type=3), None, 9),
        (cdb.Rewind(), None, 0),
    ],
)
def test_locate(drive, command, seen, then):
    drive.locate(1)
    assert run(drive, command) == (seen, b"")
    assert drive.position() == then


def test_read_position_both_forms(drive):
    for at, file_number in ((0, 0), (2, 0), (3, 1), (8, 3), (9, 3)):
        drive.locate(at)
        short = ssc.ShortPosition.decode(run(drive, cdb.ReadPosition())[1])
        assert (short.first_object, short.last_object) == (at, at)
        assert short.beginning_of_partition == (at == 0)
        assert not any((short.end_of_partition, short.position_unknown, short.position_error))
        long = ssc.LongPosition.decode(run(drive, cdb.ReadPosition(form=6))[1])
        assert (long.logical_object, long.logical_file) == (at, file_number)
    drive.write_record(bytes(3 << 20))
    assert ssc.ShortPosition.decode(run(drive, cdb.ReadPosition())[1]).end_of_partition


# -- the drive itself --------------------------------------------------------------------------


def test_unload_and_load(drive):
    assert run(drive, cdb.LoadUnload(load=False)) == (None, b"")
    for command in (cdb.TestUnitReady(), cdb.TapeRead6(transfer=1), cdb.Rewind()):
        assert run(drive, command)[0] == (2, 0x3A00, "", None)
    assert run(drive, cdb.Inquiry())[0] is None
    assert met(run(drive, cdb.RequestSense())[1])[:2] == (2, 0x3A00)
    assert run(drive, cdb.LoadUnload(load=True)) == (None, b"")
    one = drive.execute(cdb.TestUnitReady().encode(), b"", 0, initiator="one")
    assert met(one.sense) == (6, 0x2800, "", None)
    # Each initiator is told once; REQUEST SENSE tells it too.
    assert drive.execute(cdb.TestUnitReady().encode(), b"", 0, initiator="one").status == GOOD
    two = drive.execute(cdb.RequestSense().encode(), b"", 252, initiator="two")
    assert met(bytes(two.data_in))[:2] == (6, 0x2800)
    again = drive.execute(cdb.RequestSense().encode(), b"", 252, initiator="two")
    assert met(bytes(again.data_in))[:2] == (0, 0x0000)
    run(drive, cdb.TestUnitReady())
    assert run(drive, cdb.TapeRead6(transfer=100)) == (None, TAPE[0])


def test_a_cartridge_that_broke_while_it_was_out_is_not_loaded(drive, path):
    run(drive, cdb.LoadUnload(load=False))
    path.write_bytes(b"broken")
    assert run(drive, cdb.LoadUnload(load=True))[0] == (3, 0x3000, "", None)
    assert run(drive, cdb.TestUnitReady())[0] == (2, 0x3A00, "", None)


def test_block_limits_and_mode(drive):
    limits = ssc.BlockLimitsData.decode(run(drive, cdb.ReadBlockLimits())[1])
    assert (limits.minimum_bytes, limits.maximum_bytes) == (1, 0xFFFFFF)
    set_block_length(drive, 4096)
    for command, ten in ((cdb.ModeSense6(), False), (cdb.ModeSense10(), True)):
        found = mode.decode_parameters(run(drive, command)[1], ten=ten)
        assert found.descriptor.block_bytes == 4096
        assert not found.header.write_protected
        assert found.header.buffered_mode == 1
    set_block_length(drive, 0)
    assert run(drive, cdb.ModeSense6(page_control=3))[0] == (5, 0x3900, "", None)
    assert run(drive, cdb.ModeSense6(page_code=0x22))[0] == (5, 0x2400, "", None)


def test_mode_select_takes_back_what_mode_sense_gave_and_nothing_else(drive):
    for select, sensed in (
        (cdb.ModeSelect6, cdb.ModeSense6()),
        (cdb.ModeSelect10, cdb.ModeSense10()),
    ):
        given_back = run(drive, sensed)[1]
        assert run(drive, select(parameter_list_bytes=len(given_back)), given_back)[0] is None
        changed = given_back[:-1] + b"\x7f"
        seen = run(drive, select(parameter_list_bytes=len(changed)), changed)[0]
        assert seen == (5, 0x2600, "", None)
        seen = run(drive, select(parameter_list_bytes=len(changed)), changed[:2])[0]
        assert seen == (5, 0x1A00, "", None)
    assert run(drive, cdb.ModeSelect6(parameter_list_bytes=3), b"\0\0\0")[0] == (
        5,
        0x1A00,
        "",
        None,
    )
    assert run(drive, cdb.ModeSelect6(parameter_list_bytes=0)) == (None, b"")


def test_inquiry_and_its_pages(drive):
    found = inquiry.StandardInquiry.decode(run(drive, cdb.Inquiry())[1])
    assert (found.device_type, found.removable, found.third_party_copy) == (1, True, False)
    pages = inquiry.decode_page(run(drive, cdb.Inquiry(evpd=True))[1], 0)
    assert list(pages) == [0x00, 0x80, 0x83, 0xB0]
    for page in pages:
        body = run(drive, cdb.Inquiry(evpd=True, page_code=page))[1]
        assert body[:2] == bytes([0x01, page])
    identification = run(drive, cdb.Inquiry(evpd=True, page_code=0x83))[1]
    names = inquiry.decode_device_identification(identification)
    assert [name.identifier for name in names] == [drive.designator]


def test_log_sense_counts_records_and_bytes(drive):
    drive.rewind()
    run(drive, cdb.TapeRead6(transfer=100))
    page = log.GeneralStatistics.find(run(drive, cdb.LogSense(page_code=0x19))[1])
    assert page.write_commands == len([data for data in TAPE if data])
    assert page.blocks_received == sum(map(len, TAPE))
    assert (page.read_commands, page.blocks_transmitted) == (1, 100)


def test_every_command_that_is_announced_is_there(drive):
    raw = run(drive, cdb.ReportSupportedOperationCodes())[1]
    entries = [raw[at : at + 8] for at in range(4, len(raw), 8)]
    opcodes = [entry[0] for entry in entries]
    assert opcodes == sorted(opcodes)
    assert {0x01, 0x05, 0x08, 0x0A, 0x10, 0x11, 0x19, 0x1B, 0x2B, 0x34, 0x92} <= set(opcodes)
    for opcode in set(range(256)) - set(opcodes):
        response = drive.execute(bytes([opcode]) + bytes(15), b"", 0)
        assert met(response.sense)[:2] == (5, 0x2000), hex(opcode)
    one = cdb.ReportSupportedOperationCodes(reporting_options=1, requested_opcode=0x11)
    answer = run(drive, one)[1]
    assert answer[4:] == reports.usage_data(cdb.Space6) == bytes.fromhex("110fffffff00")


def test_the_typed_face_is_the_same_drive(drive):
    buffer = memoryview(bytearray(300))
    count, seen = drive.read_record(buffer)
    assert (bytes(buffer[:count]), met(seen.sense)) == (TAPE[0], (0, 0, "I", 200))
    drive.space(ssc.SPACE_FILEMARKS, 1)
    drive.space(ssc.SPACE_BLOCKS, -1 + 1)
    count, seen = drive.read_record(memoryview(bytearray(512)))
    assert (count, seen.sense) == (512, b"")
    drive.locate(2)
    count, seen = drive.read_record(buffer)
    assert (count, met(seen.sense)) == (0, (0, 0x0001, "F", 300))
    with pytest.raises(CheckCondition) as stopped:
        drive.space(ssc.SPACE_FILEMARKS, 99)
    assert met(stopped.value.sense) == (8, 0x0005, "", 97)
    with pytest.raises(CheckCondition):
        drive.space(7, 1)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=16), data=st.binary(max_size=64))
def test_no_cdb_ends_in_anything_but_a_response(tmp_path_factory, raw, data):
    place = tmp_path_factory.mktemp("any") / "tape"
    create_cartridge(place, capacity_bytes=1 << 20)
    drive = TapeLun(place)
    response = drive.execute(raw, data, 512)
    assert response.status in (GOOD, CHECK_CONDITION)
    assert len(response.data_in) <= 512
    drive.close()
