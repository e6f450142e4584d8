"""Our initiator when the network does not do what it should."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from sbtk.errors import CheckConditionError, TransportError
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList
from sbtk.jobs.units import Disk, open_unit
from sbtk.mover.block_lun import BlockLun
from sbtk.scsi import cdb
from sbtk.scsi.segments import BlockToBlock
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.send import send
from tests.mover.portals import Wire, served

MIB = 1 << 20


class SlowDisk(BlockLun):
    """A disk whose reads wait until they are let go on."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.reading = threading.Event()
        self.go_on = threading.Event()

    def read_now(self, lba, blocks) -> None:
        """No read goes without waiting."""

    def read_blocks(self, lba, buffer) -> None:
        self.reading.set()
        assert self.go_on.wait(20)
        super().read_blocks(lba, buffer)


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "disk"
    place.write_bytes(os.urandom(8 * MIB))
    return place


def in_thread(call) -> tuple[threading.Thread, list]:
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_read_that_was_cut_off_is_sent_again(path):
    disk = SlowDisk(path)
    with served(disk) as san, Wire(san.portal.port) as wire, san.session(port=wire.port) as session:
        unit = session.lun(0)
        read = cdb.Read16(lba=0, blocks=8)
        thread, outcome = in_thread(lambda: bytes(send(unit, read, data_in_bytes=4096)))
        assert disk.reading.wait(10)
        wire.cut()
        wire.mend()
        disk.go_on.set()
        thread.join(20)
        assert outcome == [path.read_bytes()[:4096]]


def test_a_write_that_was_cut_off_is_an_error_and_the_next_one_works(path):
    with (
        served(BlockLun(path)) as san,
        Wire(san.portal.port) as wire,
        san.session(port=wire.port) as session,
    ):
        unit = session.lun(0)
        send(unit, cdb.TestUnitReady())
        wire.cut()
        with pytest.raises(TransportError):
            send(unit, cdb.Write16(lba=0, blocks=1), data_out=bytes(512))
        with pytest.raises(TransportError, match=r"does not answer|closed|refused|broke"):
            send(unit, cdb.TestUnitReady())
        wire.mend()
        send(unit, cdb.Write16(lba=0, blocks=1), data_out=b"n" * 512)
    assert path.read_bytes()[:512] == b"n" * 512


def test_no_answer_in_time_aborts_the_command(path):
    disk = SlowDisk(path)
    with served(disk) as san, san.session() as session:
        unit = session.lun(0)
        read = cdb.Read16(lba=0, blocks=1).encode()
        with pytest.raises(TransportError, match=r"no answer within 0\.3 s"):
            unit.execute(read, data_in_bytes=512, timeout_s=0.3)
        disk.go_on.set()
        send(unit, cdb.TestUnitReady())


def copy_of(source: Disk, target: Disk) -> CopyList:
    segments = [
        BlockToBlock(source=0, destination=1, blocks=64, source_lba=lba, destination_lba=lba)
        for lba in range(0, source.block_count, 64)
    ]
    encoded = b"".join(item.encode() for item in segments)
    return CopyList(source.cscd() + target.cscd(), encoded, segment_count=len(segments))


@pytest.mark.parametrize("what", ["link", "portal"])
def test_a_copy_in_the_background_whose_link_or_portal_dies(path, tmp_path, what):
    """The client gets an error, and nobody is told that the copy is done."""
    other = tmp_path / "other"
    other.write_bytes(bytes(8 * MIB))
    disk = SlowDisk(path)
    with (
        served(disk, BlockLun(other)) as san,
        Wire(san.portal.port) as wire,
        san.session(port=wire.port) as session,
    ):
        first, second = open_unit(session.lun(0)), open_unit(session.lun(1))
        assert isinstance(first, Disk)
        assert isinstance(second, Disk)
        client = CopyClient(session.lun(0), ask_limits(session.lun(0)))
        items = copy_of(first, second)
        thread, outcome = in_thread(lambda: client.run(items, Control()))
        assert disk.reading.wait(10)
        wire.cut()
        if what == "portal":
            stopper = threading.Thread(target=san.portal.close)
            stopper.start()
        else:
            wire.mend()
        disk.go_on.set()
        thread.join(20)
        if what == "portal":
            stopper.join(20)
        # The nexus is gone and with it what the manager knew of the list (SPC-4 5.17.4.6).
        assert isinstance(outcome[0], TransportError | CheckConditionError), outcome


def test_many_cuts_while_data_flow(path):
    """Cut after cut: whatever a read returns is right, whatever was acknowledged is on the disk."""
    stop = threading.Event()
    kept: dict[int, bytes] = {}
    begun: dict[int, bytes] = {}
    errors = 0

    def cutter() -> None:
        while not stop.wait(0.05):
            wire.cut()
            wire.mend()

    with (
        served(BlockLun(path)) as san,
        Wire(san.portal.port) as wire,
        san.session(port=wire.port) as session,
    ):
        unit = session.lun(0)
        thread = threading.Thread(target=cutter)
        thread.start()
        deadline = time.monotonic() + 3
        number = 0
        while time.monotonic() < deadline:
            number += 1
            lba, data = number % 100 * 128, os.urandom(65536)
            try:
                begun[lba] = data
                send(unit, cdb.Write16(lba=lba, blocks=128), data_out=data)
                kept[lba] = data
                got = send(unit, cdb.Read16(lba=lba, blocks=128), data_in_bytes=65536)
                assert bytes(got) == data
            except TransportError:
                errors += 1
                kept.pop(lba, None)  # half of it may be there
        stop.set()
        thread.join()
    assert errors > 3
    assert len(kept) > 20
    raw = path.read_bytes()
    assert all(raw[lba * 512 : lba * 512 + 65536] == data for lba, data in kept.items())


@pytest.mark.timeout(120)
def test_long_reads_and_writes_at_once_through_narrow_sockets(path, monkeypatch):
    """Neither side waits for the other to receive while the other waits for it to."""
    connect = socket.create_connection

    def narrow(*arguments, **keywords) -> socket.socket:
        sock = connect(*arguments, **keywords)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 128 << 10)
        return sock

    monkeypatch.setattr(socket, "create_connection", narrow)
    data = path.read_bytes()
    with served(BlockLun(path)) as san, san.session() as session:
        unit = session.lun(0)

        def read() -> bool:
            command = cdb.Read16(lba=0, blocks=2 * MIB // 512)
            return all(
                bytes(send(unit, command, data_in_bytes=2 * MIB)) == data[: 2 * MIB]
                for _ in range(4)
            )

        def write(number: int) -> bool:
            command = cdb.Write16(lba=number * 2 * MIB // 512, blocks=2 * MIB // 512)
            for turn in range(4):
                send(unit, command, data_out=bytes([number, turn]) * MIB)
            return True

        calls = [in_thread(read) for _ in range(3)]
        calls += [in_thread(lambda n=number: write(n)) for number in (1, 2, 3)]
        for thread, _ in calls:
            thread.join(100)
        assert [outcome for _, outcome in calls] == [[True]] * 6
    written = path.read_bytes()
    for number in (1, 2, 3):
        assert written[number * 2 * MIB : (number + 1) * 2 * MIB] == bytes([number, 3]) * MIB
