"""Snapshots that a mover makes for initiators: who gets them, what they hold, when they end."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from sbtk.device.location import open_device, open_transport, parse
from sbtk.errors import (
    CheckConditionError,
    DeviceReadError,
    LocationError,
    NoStaticViewError,
    SnapshotError,
    SnapshotFullError,
)
from sbtk.mover import snapshot_luns
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.target import Target
from sbtk.scsi import cdb
from sbtk.scsi.cdb_snapshot import CreateSnapshot, DeleteSnapshot, ReportSnapshot, SnapshotState
from sbtk.scsi.iscsi_login import Access
from sbtk.snapshot import records
from sbtk.snapshot.base import SnapshotRequest
from sbtk.snapshot.registry import choose, clean, left_overs
from sbtk.transport.iscsi import DEFAULT_INITIATOR, Endpoint, IscsiSession
from sbtk.transport.loopback import Loopback
from sbtk.transport.send import send
from tests.state import state_dir  # noqa: F401 - a fixture

IQN = "iqn.2026-11.test.sbtk:san"
DISK_BYTES = 1 << 20
OLD, NEW = b"o" * DISK_BYTES, b"n" * DISK_BYTES


class Rig:
    """A mover whose LUN 0 is granted to us and LUN 1 to another."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.target = Target(snapshots=folder / "snapshots")
        self.disks = []
        for lun, initiator in enumerate((DEFAULT_INITIATOR, "iqn.2026-11.test:other")):
            path = folder / f"d{lun}"
            path.write_bytes(OLD)
            self.disks.append(BlockLun(path))
            self.target.add(lun, self.disks[-1])
            self.target.grant(initiator, lun)
        self.portal = Portal({IQN: PortalTarget(self.target, lambda _: Access())}, port=0)

    def location(self, lun: int = 0) -> str:
        return f"iscsi://{self.portal.address}/{IQN}/{lun}"

    def provider(self, name: str = "auto", lun: int = 0, **fields):
        return choose(SnapshotRequest(self.location(lun), **fields), name)

    def overwrite(self) -> None:
        self.disks[0].write_blocks(0, memoryview(NEW))

    def path(self, initiator: str = DEFAULT_INITIATOR, lun: int = 0) -> Loopback:
        return Loopback(self.target, lun, f"{initiator},i,0x1", name="x")

    def close(self) -> None:
        self.portal.close()
        self.target.close()


@pytest.fixture
def rig(tmp_path, state_dir):  # noqa: F811 - the fixture
    made = Rig(tmp_path)
    yield made
    made.close()
    assert list((tmp_path / "snapshots").iterdir()) == []


def ask(path, number: int) -> SnapshotState:
    data = send(path, ReportSnapshot(number, 32), data_in_bytes=32)
    return SnapshotState.decode(data)


def test_a_snapshot_of_a_lun_is_a_lun(rig):
    with rig.provider().create() as snapshot:
        rig.overwrite()
        assert (snapshot.provider, snapshot.device) == ("san", None)
        with open_device(snapshot.location) as view, open_device(rig.location()) as live:
            assert view.read(0, DISK_BYTES) == OLD
            assert live.read(0, DISK_BYTES) == NEW
        snapshot.check()
        assert len(records.records()) == 1
    assert records.records() == []
    with pytest.raises((LocationError, DeviceReadError)):
        open_device(snapshot.location)


def test_a_partition_is_a_snapshot_of_its_disk(rig):
    provider = choose(SnapshotRequest(rig.location() + "#2"))
    with provider.create() as snapshot:
        assert parse(snapshot.location).partition is None


def test_nobody_else_sees_it(rig):
    with rig.provider().create() as snapshot:
        lun = parse(snapshot.location).lun
        assert rig.target.luns(DEFAULT_INITIATOR) == (0, lun)
        assert rig.target.luns("iqn.2026-11.test:other") == (1,)
        endpoint = Endpoint("127.0.0.1", rig.portal.port, IQN, "iqn.2026-11.test:other")
        with IscsiSession(endpoint) as session:
            with pytest.raises(CheckConditionError):
                send(session.lun(lun), cdb.TestUnitReady())
            number = next(iter(rig.target._snapshots._snapshots))[1]
            send(session.lun(1), DeleteSnapshot(number))  # of its own, of which there is none
            with pytest.raises(CheckConditionError):
                send(session.lun(1), ReportSnapshot(number), data_in_bytes=32)
            with pytest.raises(CheckConditionError):  # a LUN that it has not been granted
                send(session.lun(0), CreateSnapshot(5))
        snapshot.check()


def test_it_is_asked_for_only_where_it_is_announced(rig, tmp_path):
    send(rig.path(), CreateSnapshot(1))
    with pytest.raises(CheckConditionError):  # of a snapshot
        send(rig.path(lun=snapshot_luns.FIRST_LUN), CreateSnapshot(2))
    send(rig.path(), DeleteSnapshot(1))
    plain = Target(open_access=True)
    path = tmp_path / "plain"
    path.write_bytes(OLD)
    plain.add(0, BlockLun(path))
    with Portal({IQN: PortalTarget(plain, lambda _: Access())}, port=0) as portal:
        with pytest.raises(NoStaticViewError):
            choose(SnapshotRequest(f"iscsi://{portal.address}/{IQN}/0"))
        with pytest.raises(CheckConditionError) as caught:
            send(Loopback(plain, 0, "iqn.2026-11.test:x,i,0x1", name="x"), CreateSnapshot(1))
        assert caught.value.sense[12] == 0x20  # no such command
    plain.close()


def test_one_that_is_full_fails_and_the_writer_does_not(rig):
    with rig.provider(cap_bytes=1 << 20).create() as snapshot:
        rig.overwrite()
        snapshot.check()
    rig.disks[0].write_blocks(0, memoryview(OLD))
    path = rig.path()
    send(path, CreateSnapshot(7, cap_mib=1))
    overlay = rig.disks[0]._overlays[0]
    overlay.cap_bytes = 4096
    rig.overwrite()
    state = ask(path, 7)
    assert state.lost
    with pytest.raises(CheckConditionError):
        send(rig.path(lun=state.lun), cdb.Read16(lba=0, blocks=1), data_in_bytes=512)
    send(path, DeleteSnapshot(7))
    with rig.provider().create() as snapshot:
        rig.disks[0]._overlays[0].cap_bytes = 4096
        rig.disks[0].write_blocks(0, memoryview(OLD))
        with pytest.raises(SnapshotFullError):
            snapshot.check()


def test_the_same_number_twice_and_too_many(rig):
    path = rig.path()
    send(path, CreateSnapshot(1))
    with pytest.raises(CheckConditionError):
        send(path, CreateSnapshot(1))
    for number in range(2, 17):
        send(path, CreateSnapshot(number))
    with pytest.raises(CheckConditionError) as caught:
        send(path, CreateSnapshot(99))
    assert caught.value.sense[12:14] == b"\x55\x03"
    for number in range(1, 17):
        send(path, DeleteSnapshot(number))
    assert rig.target.luns(DEFAULT_INITIATOR) == (0,)


def test_an_initiator_that_is_gone_takes_its_snapshots_with_it(rig, monkeypatch):
    """At once with no grace; one that comes back within the grace keeps them."""
    timers = []

    class Timer(threading.Timer):
        """Started by hand, so that nobody waits."""

        def start(self) -> None:
            timers.append(self)

        def now(self) -> None:
            self.interval = 0
            super().start()
            self.join()

    monkeypatch.setattr(snapshot_luns.threading, "Timer", Timer)
    path = rig.path()
    send(path, CreateSnapshot(1))
    rig.target.nexus_lost(f"{DEFAULT_INITIATOR},i,0x1")
    rig.target.nexus_lost("iqn.2026-11.test:other,i,0x1")
    assert len(timers) == 1
    again = Loopback(rig.target, 0, f"{DEFAULT_INITIATOR},i,0x2", name="x")
    lun = ask(again, 1).lun  # a new session of the same initiator: it lives for that one now
    timers[0].now()
    assert lun in rig.target.luns(DEFAULT_INITIATOR)
    rig.target.nexus_lost(f"{DEFAULT_INITIATOR},i,0x1")
    assert len(timers) == 1
    rig.target.nexus_lost(f"{DEFAULT_INITIATOR},i,0x2")
    with monkeypatch.context() as patched:
        patched.setattr(rig.target, "is_copied", lambda number: number == lun)
        timers[1].now()
    assert lun in rig.target.luns(DEFAULT_INITIATOR)  # a copy is still at it
    timers[2].now()
    assert rig.target.luns(DEFAULT_INITIATOR) == (0,)


def test_a_mover_that_was_started_anew(rig, tmp_path):
    snapshot = rig.provider().create()
    rig.target._snapshots.close()
    with pytest.raises(SnapshotError, match="gone"):
        snapshot.check()
    snapshot.drop()  # what is gone needs no removing
    left = rig.provider().create()
    rig.portal.close()
    with pytest.raises(SnapshotError, match="could not be told"):
        left.drop()
    record = records.records()[0]
    records.write(replace(record, pid=2**22 + 1))  # as if that process had been killed
    assert len(left_overs()) == 1
    with pytest.raises(SnapshotError):
        clean(left_overs())
    port = rig.portal.port
    rig.portal = Portal({IQN: PortalTarget(rig.target, lambda _: Access())}, port=port)
    clean(left_overs())
    assert records.records() == []


def test_what_a_killed_mover_left_is_deleted(tmp_path):
    from sbtk.mover.overlay_store import SUFFIX

    store = tmp_path / "snapshots"
    store.mkdir()
    (store / f"d.0123{SUFFIX}").write_bytes(bytes(8192))
    Target(snapshots=store).close()
    assert list(store.iterdir()) == []
    assert (tmp_path / "snapshots").stat().st_mode & 0o077 == 0o055  # the owner's choice stays


def test_reads_under_way_end_before_it_does(rig):
    """Its files are closed when nobody reads from them: their descriptors go to others at once."""
    path = rig.path()
    send(path, CreateSnapshot(1))
    lun = ask(path, 1).lun
    unit = rig.target.unit(lun)
    inside, go_on = threading.Event(), threading.Event()
    inner = unit._device

    class Slow:
        def __getattr__(self, name):
            return getattr(inner, name)

        def read_into(self, offset_bytes, buffer):
            inside.set()
            assert go_on.wait(30)
            inner.read_into(offset_bytes, buffer)

    unit._device = Slow()
    buffer = bytearray(512)
    reader = threading.Thread(target=unit.read_blocks, args=(0, memoryview(buffer)))
    reader.start()
    assert inside.wait(30)
    ending = threading.Thread(target=send, args=(path, DeleteSnapshot(1)))
    ending.start()
    go_on.set()
    reader.join(30)
    ending.join(30)
    assert bytes(buffer) == OLD[:512]
    assert lun not in rig.target.luns(DEFAULT_INITIATOR)


def test_a_transport_to_a_snapshot_that_is_gone(rig):
    with rig.provider().create() as snapshot:
        transport = open_transport(parse(snapshot.location))
    with pytest.raises(CheckConditionError):
        send(transport, cdb.Read16(lba=0, blocks=1), data_in_bytes=512)
    transport.close()
