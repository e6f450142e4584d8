"""Persistent reservations and RESERVE(6): ordinary commands, copies, unit attentions.

iscsi-test-cu's own tests of them are in test_portal_conformance, sg_persist's answers in the guest.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.mover.attentions import UnitAttentions
from sbtk.mover.base import CheckCondition
from sbtk.mover.reservations import ALWAYS_ALLOWED, Reservations
from sbtk.scsi import cdb, cdb_reserve, sense
from sbtk.scsi import cdb_copy as c
from sbtk.scsi.cdb_reserve import PersistentReserveIn as In
from sbtk.scsi.cdb_reserve import PersistentReserveOut as Out
from sbtk.scsi.cdb_reserve import ReserveParameters as Keys
from sbtk.scsi.segments import BlockToBlock, BlockToStream
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import BUSY, CHECK_CONDITION, GOOD, RESERVATION_CONFLICT
from tests.mover.rig import Rig, file_disk, file_tape, named, tape_objects

A, B, C = (f"iqn.2026-11.test:{name},i,0x800000000000" for name in "abc")
BLOCK = 512


def out(path, action: int, key: int = 0, action_key: int = 0, kind: int = 0, **fields):
    command = Out(action=action, type=kind)
    return path.execute(command.encode(), data_out=Keys(key, action_key, **fields).encode())


def register(path, key: int):
    assert out(path, cdb_reserve.REGISTER_AND_IGNORE, 0, key).status == GOOD


def said(response) -> tuple[int, int]:
    assert response.status == CHECK_CONDITION
    found = sense.decode(response.sense)
    return found.asc << 8 | found.ascq, found.key


@pytest.fixture
def rig(tmp_path):
    disks = [file_disk(tmp_path / name, bytes(64 * BLOCK)) for name in "de"]
    with Rig(*disks, file_tape(tmp_path / "t")) as made:
        yield made


def write(path):
    return path.execute(cdb.Write16(lba=0, blocks=1).encode(), data_out=bytes(BLOCK)).status


def read(path):
    return path.execute(cdb.Read16(lba=0, blocks=1).encode(), data_in_bytes=BLOCK).status


@pytest.mark.parametrize("kind", sorted(cdb_reserve.TYPES))
def test_who_may_read_and_write(rig, kind):
    """A holds, B is registered, C is not (SPC-4 table 65)."""
    a, b, stranger = (rig.to(0, name) for name in (A, B, C))
    register(a, 1)
    register(b, 2)
    assert out(a, cdb_reserve.RESERVE, 1, kind=kind).status == GOOD
    registrants, readable = kind in cdb_reserve.FOR_REGISTRANTS, kind in cdb_reserve.READABLE
    for path, may_write, may_read in (
        (a, True, True), (b, registrants, registrants or readable), (stranger, False, readable),
    ):  # fmt: skip
        assert (write(path) == GOOD) == may_write
        assert (read(path) == GOOD) == may_read
        for always in (cdb.TestUnitReady(), cdb.Inquiry(), cdb.LogSense(page_code=0x19), In()):
            assert path.execute(always.encode(), data_in_bytes=256).status == GOOD
    assert write(rig.to(1, C)) == GOOD  # another unit
    assert out(b, cdb_reserve.RELEASE, 2, kind=kind).status == GOOD  # may end one of its own only
    assert (write(stranger) == GOOD) == (kind in cdb_reserve.FOR_ALL_REGISTRANTS)


@pytest.mark.parametrize("by_designator", [True, False])
def test_a_copy_of_somebody_else_does_not_pass(rig, by_designator):
    a = rig.to(0, A)
    register(a, 1)
    assert out(a, cdb_reserve.RESERVE, 1, kind=cdb_reserve.WRITE_EXCLUSIVE).status == GOOD
    slots = (named(rig.units[0]), named(rig.units[1]))
    onto = ParameterList(slots, (BlockToBlock(source=1, destination=0, blocks=4),))
    off = ParameterList(slots, (BlockToBlock(source=0, destination=1, blocks=4),))
    if not by_designator:
        assert rig.send(onto, rig.to(0, B)).status == RESERVATION_CONFLICT
        return
    to_another_unit = rig.to(1, B)
    stopped = sense.decode(rig.send(onto, to_another_unit).sense)
    assert (stopped.key, stopped.asc, stopped.ascq) == (0x0A, 0x0D, 0x01)
    assert stopped.forwarded[0].status == RESERVATION_CONFLICT
    assert rig.send(off, to_another_unit).status == GOOD  # reserved for writing only
    assert rig.send(onto, rig.to(1, A)).status == GOOD
    assert out(a, cdb_reserve.RELEASE, 1, kind=cdb_reserve.WRITE_EXCLUSIVE).status == GOOD
    assert out(a, cdb_reserve.RESERVE, 1, kind=cdb_reserve.EXCLUSIVE_ACCESS).status == GOOD
    assert rig.send(off, to_another_unit).status == CHECK_CONDITION


def test_those_who_lose_something_are_told(rig):
    a, b = rig.to(0, A), rig.to(0, B)
    register(a, 1)
    register(b, 2)
    kind = cdb_reserve.WRITE_EXCLUSIVE_REGISTRANTS
    assert out(a, cdb_reserve.RESERVE, 1, kind=kind).status == GOOD
    assert out(a, cdb_reserve.RELEASE, 1, kind=kind).status == GOOD
    assert said(b.execute(cdb.TestUnitReady().encode())) == (0x2A04, 6)
    assert b.execute(cdb.TestUnitReady().encode()).status == GOOD
    assert out(a, cdb_reserve.PREEMPT, 1, 2, kind=kind).status == GOOD
    assert said(b.execute(cdb.TestUnitReady().encode())) == (0x2A05, 6)
    register(b, 2)
    assert out(a, cdb_reserve.CLEAR, 1).status == GOOD
    assert said(b.execute(cdb.TestUnitReady().encode())) == (0x2A03, 6)
    assert a.execute(cdb.TestUnitReady().encode()).status == GOOD


def test_what_is_wrong_is_refused(rig):
    a, b = rig.to(0, A), rig.to(0, B)
    assert out(a, cdb_reserve.RESERVE, 1, kind=1).status == RESERVATION_CONFLICT  # unregistered
    assert out(a, cdb_reserve.REGISTER, 5, 1).status == RESERVATION_CONFLICT  # no key 5
    register(a, 1)
    register(b, 2)
    assert said(out(a, 9, 1)) == (0x2400, 5)
    assert said(out(a, cdb_reserve.RESERVE, 1, kind=2)) == (0x2400, 5)
    assert said(out(a, cdb_reserve.RESERVE, 1, kind=1, through_power_loss=True)) == (0x2600, 5)
    assert said(a.execute(Out(parameter_list_bytes=10).encode(), data_out=bytes(10))) == (0x1A00, 5)
    assert out(a, cdb_reserve.RESERVE, 1, kind=1).status == GOOD
    assert out(b, cdb_reserve.RESERVE, 2, kind=1).status == RESERVATION_CONFLICT
    assert said(out(a, cdb_reserve.RELEASE, 1, kind=3)) == (0x2604, 5)
    assert out(b, cdb_reserve.PREEMPT, 2, 77, kind=1).status == RESERVATION_CONFLICT
    assert said(out(b, cdb_reserve.PREEMPT, 2, 0, kind=1)) == (0x2600, 5)


class SlowDisk:
    """Makes a disk's reads wait until they may go on."""

    def __init__(self, unit) -> None:
        self.reached, self.go_on, self._read = (
            threading.Event(),
            threading.Event(),
            unit.read_blocks,
        )
        unit.read_blocks = self.read

    def read(self, lba, buffer) -> None:
        self.reached.set()
        assert self.go_on.wait(30)
        self._read(lba, buffer)


def test_preempt_and_abort_ends_the_copies_of_those_it_shuts_out(rig):
    a, b = rig.to(0, A), rig.to(0, B)
    register(a, 1)
    register(b, 2)
    kind = cdb_reserve.WRITE_EXCLUSIVE_REGISTRANTS
    assert out(b, cdb_reserve.RESERVE, 2, kind=kind).status == GOOD
    slow = SlowDisk(rig.units[1])
    slots = (named(rig.units[1]), named(rig.units[0]))
    segments = tuple(BlockToBlock(blocks=1, source_lba=n, destination_lba=n, destination=1)
                     for n in range(50))  # fmt: skip
    items = ParameterList(slots, segments, list_id=5, lid4=True, immediate=True)
    assert rig.send(items, b).status == GOOD
    assert slow.reached.wait(30)
    fencing = threading.Thread(target=out, args=(a, cdb_reserve.PREEMPT_AND_ABORT, 1, 2, kind))
    fencing.start()
    slow.go_on.set()
    fencing.join(30)
    assert not fencing.is_alive()
    assert write(b) == RESERVATION_CONFLICT
    assert write(a) == GOOD
    # RECEIVE COPY STATUS conflicts as well: B is out, and its copy has ended.
    status = c.ReceiveCopyStatusLid4(5, 200).encode()
    assert b.execute(status, data_in_bytes=200).status == RESERVATION_CONFLICT
    assert not [item for item in rig.target._manager._all() if item.running]


def test_reserve_6_ends_with_its_session(rig):
    a, b = rig.to(2, A), rig.to(2, B)
    assert a.execute(cdb.Reserve6().encode()).status == GOOD
    assert b.execute(cdb.Rewind().encode()).status == RESERVATION_CONFLICT
    assert b.execute(cdb.Release6().encode()).status == GOOD
    assert b.execute(cdb.Reserve6().encode()).status == RESERVATION_CONFLICT
    assert a.execute(cdb.Rewind().encode()).status == GOOD
    rig.target.nexus_lost(B)
    assert b.execute(cdb.Rewind().encode()).status == RESERVATION_CONFLICT
    rig.target.nexus_lost(A)
    assert b.execute(cdb.Rewind().encode()).status == GOOD
    register(b, 1)
    assert a.execute(cdb.Reserve6().encode()).status == RESERVATION_CONFLICT


_COMMANDS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([A, B, C]), st.integers(0, 3), st.integers(0, 3),
              st.integers(0, 9)),
    max_size=60,
)  # fmt: skip


@given(_COMMANDS)
def test_any_sequence_leaves_a_state_that_makes_sense(commands):
    """The holder is a registrant; nobody is shut out without a reservation; data parse."""
    unit = Reservations(UnitAttentions())
    for action, nexus, key, action_key, kind in commands:
        try:
            unit.execute(Out(action=action, type=kind), Keys(key, action_key).encode(), nexus)
        except CheckCondition:
            continue
        rows = unit.execute(In(action=cdb_reserve.READ_FULL_STATUS), b"", A)
        keys = unit.execute(In(action=cdb_reserve.READ_KEYS), b"", A)
        held = unit.execute(In(action=cdb_reserve.READ_RESERVATION), b"", A)
        registrants = (len(keys) - 8) // 8
        assert len(rows) - 8 == registrants * (24 + len(cdb_reserve.transport_id(A)))
        assert unit.active == (len(held) > 8)
        may = [name for name in (A, B, C) if not unit.excludes(name, writes=True)]
        assert may == [A, B, C] if not unit.active else 1 <= len(may) <= max(registrants, 1)


def test_memory_is_bounded():
    unit = Reservations(UnitAttentions())
    register_one = Out(action=cdb_reserve.REGISTER_AND_IGNORE)
    refused = None
    for number in range(1000):
        try:
            unit.execute(register_one, Keys(0, 1).encode(), f"iqn.2026-11.test:{number},i,0x1")
        except CheckCondition as stopped:
            refused = sense.decode(stopped.sense)
            break
    assert refused is not None
    assert (refused.key, refused.asc, refused.ascq) == (5, 0x55, 0x04)
    assert number == 128


def test_a_tape_that_a_copy_of_another_is_at_work_on_is_busy(rig):
    """A job whose link was cut ends, its copy goes on: the next job must not move the tape."""
    a, b = rig.to(2, A), rig.to(2, B)
    slow = SlowDisk(rig.units[0])
    slots = (named(rig.units[0]), named(rig.units[2]))
    segments = (BlockToStream(destination=1, blocks=4, stream_transfer=4 * BLOCK),)
    items = ParameterList(slots, segments, list_id=5, lid4=True, immediate=True)
    assert rig.send(items, a).status == GOOD
    assert slow.reached.wait(30)
    rig.target.nexus_lost(A)
    for command in (cdb.Rewind(), cdb.TapeRead6(transfer=10), cdb.ReadBlockLimits()):
        busy = command.OPCODE not in ALWAYS_ALLOWED
        assert b.execute(command.encode(), data_in_bytes=10).status == (BUSY if busy else GOOD)
    assert rig.send(items, b).status == BUSY
    assert rig.send(items, rig.to(0, B)).status == BUSY  # named, not sent to it
    slow.go_on.set()
    for item in rig.target._manager._all():
        assert item.finished.wait(30)
    assert rig.send(items, b).status == GOOD
    for item in rig.target._manager._all():
        assert item.finished.wait(30)
    assert b.execute(cdb.Rewind().encode()).status == GOOD
    assert tape_objects(rig.units[2]) == [bytes(4 * BLOCK)] * 2
