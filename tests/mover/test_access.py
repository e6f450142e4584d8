"""An XCOPY reaches no LUN that its sender cannot (CVE-2020-28374); hostile lists reach none."""

import random

import pytest

from sbtk.errors import UsageError
from sbtk.mover.target import Target
from sbtk.scsi import cdb, inquiry, luns, sense
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.segments import SEGMENTS
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import CHECK_CONDITION, GOOD
from sbtk.transport.loopback import Loopback
from tests.mover.rig import disk_bytes, file_disk, file_tape, named, tape_objects
from tests.scsi.examples import DISK_TO_TAPE, LID4_IMMEDIATE, SG_XCOPY, TEST_CU_LARGE

ALICE, BOB = "iqn.2026-11.test:alice", "iqn.2026-11.test:bob"
DATA = random.Random(7).randbytes(16 << 10)


@pytest.fixture
def san(tmp_path):
    """Alice may use disk 0 and tape 2, Bob disk 1 and tape 3; nobody has disk 4."""
    target = Target()
    units = [
        file_disk(tmp_path / "d0", DATA),
        file_disk(tmp_path / "d1", DATA[::-1]),
        file_tape(tmp_path / "t2", [b"a" * 512] * 4),
        file_tape(tmp_path / "t3", [b"b" * 512] * 4),
        file_disk(tmp_path / "d4", bytes(16 << 10)),
    ]
    for lun, unit in enumerate(units):
        target.add(lun, unit)
    for who, mine in ((ALICE, (0, 2)), (BOB, (1, 3))):
        for lun in mine:
            target.grant(who, lun)
    yield target, units
    target.close()


def copy(target, who, lun, items: ParameterList | bytes, *, lid4=False):
    wire = items if isinstance(items, bytes) else items.encode()
    command = (c.ExtendedCopyLid4 if lid4 else c.ExtendedCopyLid1)(len(wire))
    return target.execute(f"{who},i,0x01", lun, command.encode(), wire, 0)


def state(units):
    return [disk_bytes(units[n]) for n in (0, 1, 4)] + [tape_objects(units[n]) for n in (2, 3)]


# Every segment type that names a device, with the forbidden one (slot 1 a disk, slot 3 a tape) in
# each position; slots 0 and 2 are the sender's own.
POSITIONS = [
    seg.BlockToStream(0x00, True, 1, 2, 512, 1, 0),
    seg.BlockToStream(0x0B, True, 0, 3, 512, 1, 0),
    seg.StreamToBlock(0x01, True, 3, 0, 512, 1, 0),
    seg.StreamToBlock(0x0C, True, 2, 1, 512, 1, 0),
    seg.BlockToBlock(0x02, source=1, destination=0, blocks=1),
    seg.BlockToBlock(0x0D, source=0, destination=1, blocks=1),
    seg.InlineToStream(0x04, True, 3, 4, 0, 4),
    seg.EmbeddedToStream.of(b"evil", 3, 4),
    seg.StreamToNothing(0x06, True, 3, 512, 512),
    seg.StreamToNothing(0x0F, True, 3, 512, 512),
    seg.VerifyDevice(0x07, 1),
    seg.VerifyDevice(0x07, 3, True),
    seg.BlockBytesToStream(0x08, True, 1, 2, 512, 512, 0, 0),
    seg.BlockBytesToStream(0xC8, True, 1, 0xC001, 512, 512, 0, 0),
    seg.BlockBytesToStream(0x08, True, 0, 3, 512, 512, 0, 0),
    seg.StreamToBlockBytes(0x09, True, 3, 0, 512, 512, 0, 0),
    seg.StreamToBlockBytes(0x09, True, 2, 1, 512, 512, 0, 0),
    seg.BlockBytesToBlockBytes(0x0A, False, 1, 0, 512, 0, 0),
    seg.BlockBytesToBlockBytes(0xCA, False, 0, 1, 512, 0, 0),
    seg.WriteFilemarks(0x10, 3, False, 1),
    seg.Space(0x11, 3, 0, 1),
    seg.Locate(0x12, 3, 1),
    seg.TapeImageCopy(0x13, 3, 2, 0),
    seg.TapeImageCopy(0x13, 2, 3, 0),
]


@pytest.mark.parametrize("step", POSITIONS, ids=lambda step: f"{step.type_code:02X}h")
@pytest.mark.parametrize("lid4", [False, True])
def test_refused_in_every_descriptor_position(san, step, lid4):
    target, units = san
    before = state(units)
    read = [unit.counters.read_commands for unit in units]
    items = ParameterList(tuple(map(named, units)), (step,), b"evil", list_id=1, lid4=lid4)
    refused = copy(target, ALICE, 0, items, lid4=lid4)
    assert refused.status == CHECK_CONDITION
    told = sense.decode(refused.sense)
    forbidden = (
        1 if getattr(step, "source", -1) == 1 or getattr(step, "destination", -1) == 1 else 3
    )
    assert (told.key, told.code) == (0x0A, codes.UNREACHABLE_COPY_TARGET)
    assert told.field_pointer == (48 if lid4 else 16) + 32 * forbidden
    assert [units[n].counters.read_commands for n in (1, 3)] == [read[1], read[3]]
    assert state(units) == before


def test_the_same_list_works_for_who_may(san):
    target, units = san
    items = ParameterList(
        tuple(map(named, units)), (seg.BlockToStream(0x00, True, 1, 3, 512, 1, 0),), list_id=1
    )
    assert copy(target, BOB, 1, items).status == GOOD
    assert tape_objects(units[3])[0] == DATA[::-1][:512]
    # Both commands: the answer to a forbidden unit is that to a unit that does not exist.
    unknown = named(units[1]).__class__(designator_padded=b"\x60" * 20)
    lists = [
        ParameterList((named(units[0]), slot), (seg.VerifyDevice(0x07, 1),), list_id=1)
        for slot in (named(units[1]), unknown)
    ]
    answers = [copy(target, ALICE, 0, one) for one in lists]
    assert answers[0] == answers[1]


def test_a_grant_can_be_taken_back(san):
    target, units = san
    step = seg.BlockToStream(0x00, True, 0, 1, 512, 1, 0)
    items = ParameterList((named(units[0]), named(units[2])), (step,), list_id=1)
    assert copy(target, ALICE, 0, items).status == GOOD
    target.revoke(ALICE, 2)
    assert sense.decode(copy(target, ALICE, 0, items).sense).code == codes.UNREACHABLE_COPY_TARGET
    target.grant(ALICE, 2)
    assert copy(target, ALICE, 0, items).status == GOOD


def test_what_an_initiator_sees(san):
    target, _ = san

    def ask(who, lun, command):
        return target.execute(f"{who},i,0x01", lun, command.encode(), b"", 4096)

    def seen(who, **fields):
        return luns.decode_report(ask(who, 0, cdb.ReportLuns(**fields)).data_in)

    assert (seen(ALICE), seen(BOB), seen("iqn.2026-11.test:eve")) == ((0, 2), (1, 3), ())
    assert seen(ALICE, select_report=1) == ()
    assert ask(ALICE, 0, cdb.ReportLuns(select_report=9)).status == CHECK_CONDITION
    for lun in (1, 4, 77):
        none = inquiry.StandardInquiry.decode(ask(ALICE, lun, cdb.Inquiry()).data_in)
        assert (none.qualifier, none.device_type) == (0b011, 0x1F)
        for command in (cdb.Inquiry(True, 0x83), cdb.TestUnitReady(), cdb.Read10(blocks=1)):
            refused = ask(ALICE, lun, command)
            assert sense.decode(refused.sense).code == codes.LOGICAL_UNIT_NOT_SUPPORTED
        told = ask(ALICE, lun, cdb.RequestSense())
        assert sense.decode(told.data_in).code == codes.LOGICAL_UNIT_NOT_SUPPORTED
        copying = ask(ALICE, lun, c.ReceiveCopyOperatingParameters(4096))
        assert sense.decode(copying.sense).code == codes.LOGICAL_UNIT_NOT_SUPPORTED
    mine = inquiry.StandardInquiry.decode(ask(ALICE, 0, cdb.Inquiry()).data_in)
    assert (mine.qualifier, mine.device_type, mine.third_party_copy) == (0, 0, True)
    assert target.execute(ALICE, 0, b"").status == CHECK_CONDITION
    assert target.execute(ALICE, 0, b"\xa0").status == CHECK_CONDITION


def test_lists_belong_to_a_nexus(san):
    target, units = san
    items = ParameterList((named(units[0]),), (seg.VerifyDevice(0x07, 0),), list_id=9)
    assert copy(target, ALICE, 0, items).status == GOOD
    other = Loopback(target, 0, f"{ALICE},i,0x02", name="second session")
    same = Loopback(target, 0, f"{ALICE},i,0x01", name="first session")
    ask = c.ReceiveCopyStatusLid1(9, 12).encode()
    refused = other.execute(ask, data_in_bytes=12)
    assert sense.decode(refused.sense).code == codes.INVALID_FIELD_IN_CDB
    assert same.execute(ask, data_in_bytes=12).status == GOOD
    assert copy(target, ALICE, 0, items).status == GOOD
    target.nexus_lost(f"{ALICE},i,0x01")
    assert same.execute(ask, data_in_bytes=12).status == CHECK_CONDITION


def test_units_need_numbers_and_names_of_their_own(san, tmp_path):
    target, units = san
    with pytest.raises(UsageError, match="LUN 0"):
        target.add(0, units[4])
    twin = file_disk(tmp_path / "twin", DATA)
    twin.designator = units[0].designator
    with pytest.raises(UsageError, match="same designator"):
        target.add(9, twin)
    twin.close()
    for wrong in (lambda: target.grant(ALICE, 9), lambda: target.remove(9), lambda: target.unit(9)):
        with pytest.raises(UsageError, match="LUN 9"):
            wrong()
    assert target.remove(4) is units[4]
    assert not target.is_sequential(4)
    assert target.is_sequential(2)
    units[4].close()
    target.add(4, file_disk(tmp_path / "new", bytes(4096)))
    units[4] = target.unit(4)


# -- hostile lists ---------------------------------------------------------------------------------


def seeds(units) -> list[tuple[bytes, bool]]:
    """Lists that mean something here, and those of other programs, to be damaged."""
    slots = tuple(named(unit) for unit in (units[0], units[2]))
    steps = (
        seg.BlockToStream(0x00, True, 0, 1, 512, 2, 0),
        seg.StreamToBlock(0xC1, True, 1, 0, 512, 1, 3),
        seg.EmbeddedToStream.of(b"abcdef", 1, 2, cat=True),
        seg.InlineToStream(0x04, True, 1, 4, 0, 4),
        seg.BlockBytesToBlockBytes(0xCA, False, 0, 0, 700, 2, 9, 3, 5),
        seg.StreamToNothing(0x0F, True, 1, 512, 10),
        seg.Space(0x11, 1, 0, -1),
        seg.Locate(0x12, 1, 0),
        seg.WriteFilemarks(0x10, 1, False, 1),
        seg.VerifyDevice(0x07, 0xFFFF, True),
    )
    mine = [
        (ParameterList(slots, steps, b"inline", list_id=3, lid4=lid4).encode(), lid4)
        for lid4 in (False, True)
    ]
    theirs = [
        (SG_XCOPY, False),
        (TEST_CU_LARGE, False),
        (DISK_TO_TAPE, False),
        (LID4_IMMEDIATE, True),
    ]
    return mine + theirs


def damaged(chance: random.Random, wire: bytes) -> bytes:
    data = bytearray(wire)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(data))
        how = chance.randrange(5)
        if how == 0:
            data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.choice([*SEGMENTS])])
        elif how == 1:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif how == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 33))
        else:
            data[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\x80\0\0\0"])
        if not data:
            return b"\0"
    return bytes(data)


def test_fifty_thousand_hostile_lists(san):
    """No exception escapes, and no unit but those named and granted is touched."""
    target, units = san
    chance = random.Random(2026)
    known = seeds(units)
    outside = [units[1], units[3], units[4]]
    contents = [disk_bytes(units[1]), tape_objects(units[3]), disk_bytes(units[4])]
    calm = [(unit.counters.read_commands, unit.counters.write_commands) for unit in outside]
    answers: dict[int, int] = {}
    path = f"{ALICE},i,0x01"
    for number in range(50_000):
        if number % 10 == 0:
            wire, lid4 = chance.randbytes(chance.randrange(200)), chance.random() < 0.5
        else:
            wire, lid4 = chance.choice(known)
            wire = damaged(chance, wire)
        length = len(wire) if chance.random() < 0.95 else chance.randrange(1 << 32)
        command = (c.ExtendedCopyLid4 if lid4 else c.ExtendedCopyLid1)(length).encode()
        answer = target.execute(path, chance.choice((0, 2)), command, wire, 0)
        if answer.status == CHECK_CONDITION:
            key = sense.decode(answer.sense).key
            assert key in (codes.ILLEGAL_REQUEST, codes.COPY_ABORTED), sense.describe(answer.sense)
            answers[key] = answers.get(key, 0) + 1
        else:
            assert answer.status == GOOD
            answers[-1] = answers.get(-1, 0) + 1
    target.reset(path, 0)
    target.reset(path, 2)
    assert [(u.counters.read_commands, u.counters.write_commands) for u in outside] == calm
    assert [disk_bytes(units[1]), tape_objects(units[3]), disk_bytes(units[4])] == contents
    assert min(answers.get(kind, 0) for kind in (-1, 5, 0xA)) > 500, answers


def test_hostile_commands(san):
    target, _ = san
    chance = random.Random(11)
    for _ in range(5000):
        raw = bytes([chance.choice((0x83, 0x84)), chance.randrange(32)]) + chance.randbytes(
            chance.choice((0, 3, 14, 14, 14, 30))
        )
        answer = target.execute(f"{ALICE},i,0x01", 0, raw, chance.randbytes(40), 64)
        assert answer.status in (GOOD, CHECK_CONDITION)
        assert len(answer.data_in) <= 64
        if answer.status == CHECK_CONDITION:
            assert sense.decode(answer.sense).key in (codes.ILLEGAL_REQUEST, codes.COPY_ABORTED)
