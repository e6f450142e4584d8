"""Reports of commands and reservations, against bytes written down from the tables of SPC-4."""

import pytest

from sbtk.scsi import cdb, reports, sbc
from sbtk.scsi.cdb_base import COMMANDS

EVERY_COMMAND = sorted(COMMANDS.values(), key=lambda item: (item.OPCODE, item.NAME))


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (cdb.TestUnitReady, "00 00 00 00 00 00"),
        (cdb.Inquiry, "12 01 ff ff ff 00"),
        (cdb.Space6, "11 0f ff ff ff 00"),
        (cdb.Read10, "28 f8 ff ff ff ff 00 ff ff 00"),
        (cdb.ReadCapacity16, "9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
        (cdb.Locate16, "92 1b 00 ff ff ff ff ff ff ff ff ff 00 00 00 00"),
    ],
)
def test_usage_data_shows_the_bits_that_are_used(command, usage):
    assert reports.usage_data(command) == bytes.fromhex(usage)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda item: item.NAME)
def test_usage_data_of_every_command_is_as_long_as_its_cdb(command):
    usage = reports.usage_data(command)
    assert (len(usage), usage[0]) == (command.SIZE_BYTES, command.OPCODE)
    assert (
        bytes(a & b for a, b in zip(command().encode(), usage, strict=True)) == command().encode()
    )


def test_all_commands_are_listed_in_order():
    known = [cdb.ReadCapacity16, cdb.TestUnitReady, cdb.Read10]
    assert reports.all_commands(known, timeouts=False) == bytes.fromhex(
        "0000001800 00 0000 00 00 000628 00 0000 00 00 000a9e 00 0010 00 01 0010"
    )
    with_timeouts = reports.all_commands([cdb.Read10], timeouts=True)
    assert with_timeouts == bytes.fromhex(
        "00000014 28 00 0000 00 02 000a 000a 00 00 00000000 00000000"
    )


def test_one_command_or_none():
    assert reports.one_command(None, timeouts=True) == bytes.fromhex("00 01 0000")
    assert reports.one_command(cdb.Rewind, timeouts=False) == bytes.fromhex(
        "00 03 0006 01 01 00 00 00 00"
    )
    with_timeouts = reports.one_command(cdb.Rewind, timeouts=True)
    assert with_timeouts[:4] == bytes.fromhex("00 83 0006")
    assert with_timeouts[10:] == bytes.fromhex("000a 00 00 00000000 00000000")


def test_unmap_lists_come_back_as_they_were():
    ranges = (sbc.UnmapRange(5, 6), sbc.UnmapRange((1 << 64) - 1, (1 << 32) - 1))
    raw = sbc.encode_unmap(ranges)
    assert raw[:8] == bytes.fromhex("0026 0020 00000000")
    assert sbc.decode_unmap(raw) == ranges
    assert sbc.decode_unmap(bytes(8)) == ()
