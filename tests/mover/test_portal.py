"""The portal under other people's initiators and under ours: logins, data, aborts, load, leaks."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from sbtk.errors import TransportError
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList
from sbtk.jobs.units import Disk, Tape, open_unit
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.tape_lun import TapeLun
from sbtk.scsi import cdb, iscsi
from sbtk.scsi.iscsi_login import Access, Chap
from sbtk.scsi.iscsi_text import Parameters
from sbtk.scsi.segments import BlockToBlock
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.send import send
from tests.mover.portals import IQN, Wire, served
from tests.oracles.libiscsi import Initiator
from tests.snapshot.stamps import IMAGE_BYTES, SLOT_BYTES, SLOTS, stamp, torn_slots

MIB = 1 << 20
CHAP = Chap("me", "a secret of twelve")


def disk(folder, name: str, size_bytes: int = 8 * MIB) -> BlockLun:
    path = folder / name
    with path.open("wb") as stream:
        stream.truncate(size_bytes)
    return BlockLun(path)


def threads_named(word: str) -> int:
    return sum(word in item.name for item in threading.enumerate())


# -- logins ------------------------------------------------------------------------------------


def test_libiscsi_reads_what_we_write_and_the_other_way_round(tmp_path):
    with served(disk(tmp_path, "d")) as san, san.session() as session:
        data = os.urandom(3 * MIB)
        send(session.lun(0), cdb.Write16(lba=5, blocks=len(data) // 512), data_out=data)
        with Initiator(san.address, san.iqn, 0) as other:
            read = cdb.Read16(lba=5, blocks=len(data) // 512).encode()
            assert other.execute(read, data_in_bytes=len(data)).data == data
            assert (
                other.execute(cdb.Write10(lba=0, blocks=2).encode(), data_out=b"x" * 1024).status
                == 0
            )
        assert (
            bytes(send(session.lun(0), cdb.Read10(lba=0, blocks=2), data_in_bytes=1024))
            == b"x" * 1024
        )


def test_discovery_lists_the_targets_that_let_one_in(tmp_path):
    def access(initiator: str) -> Access | None:
        return Access() if initiator.endswith(":a") else None

    with served(disk(tmp_path, "d"), access=access) as san:
        words = ["iscsi-ls", "-s", f"iscsi://{san.address}"]
        for name, there in (("a", True), ("b", False)):
            listed = subprocess.run(
                [*words, "-i", f"iqn.2026-11.test:{name}"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (IQN in listed.stdout) == there, listed
        with pytest.raises(TransportError, match="refused"):
            san.session("b")


@pytest.mark.parametrize("mutual", [False, True])
def test_chap(tmp_path, mutual):
    target_secret = Chap("portal", "another of twelve")
    with served(disk(tmp_path, "d"), access=lambda _: Access(CHAP, target_secret)) as san:
        with san.session(chap=CHAP, mutual=target_secret if mutual else None) as session:
            send(session.lun(0), cdb.TestUnitReady())
        wrong = [{}, {"chap": Chap("me", "not the secret!")}, {"chap": Chap("you", CHAP.secret)}]
        if mutual:
            wrong.append({"chap": CHAP, "mutual": Chap("portal", "not the secret!")})
        for fields in wrong:
            with pytest.raises(TransportError) as caught:
                san.session(**fields)
            assert "secret" not in str(caught.value).replace("user and a secret", "")


def test_libiscsi_proves_itself_and_asks_for_proof(tmp_path):
    portal = Chap("portal", "another of twelve")
    right = {
        "LIBISCSI_CHAP_USERNAME": CHAP.user, "LIBISCSI_CHAP_PASSWORD": CHAP.secret,
        "LIBISCSI_CHAP_TARGET_USERNAME": portal.user,
        "LIBISCSI_CHAP_TARGET_PASSWORD": portal.secret,
    }  # fmt: skip
    one_way = {key: value for key, value in right.items() if "TARGET" not in key}
    with served(disk(tmp_path, "d"), access=lambda _: Access(CHAP, portal)) as san:
        location = san.location(0)

        def logs_in(given: dict[str, str]) -> bool:
            done = subprocess.run(
                ["iscsi-inq", location], capture_output=True, text=True, check=False,
                env=os.environ | given,
            )  # fmt: skip
            return done.returncode == 0 and "SBTK" in done.stdout

        assert logs_in(one_way)
        assert logs_in(right)
        assert not logs_in({})
        for key in right:
            assert not logs_in(right | {key: "not the right one"}), key


@pytest.mark.parametrize("word", ["crc32c", "none"])
def test_libiscsi_with_header_digests(tmp_path, word):
    with served(disk(tmp_path, "d")) as san:
        done = subprocess.run(
            ["iscsi-readcapacity16", f"{san.location(0)}?header_digest={word}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done
        assert str(8 * MIB) in done.stdout


def test_a_ping_comes_back_with_its_data(tmp_path):
    with served(disk(tmp_path, "d")) as san, san.session() as session:
        for immediate in (False, True):
            ping = iscsi.NopOut(immediate=immediate)
            answer, data = session._exchange(ping, b"anybody there?", timeout_s=20)
            assert isinstance(answer, iscsi.NopIn)
            assert data == b"anybody there?"


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("initial_r2t", [False, True])
def test_every_way_to_carry_data(tmp_path, digest, immediate, initial_r2t):
    """Small bursts and segments, so that every path has several PDUs; bytes arrive unchanged."""
    mine = Parameters(
        max_receive_bytes=4096, max_burst_bytes=16384, first_burst_bytes=8192,
        initial_r2t=initial_r2t, immediate_data=immediate,
        header_digest=digest, data_digest=digest,
    )  # fmt: skip
    with served(disk(tmp_path, "d")) as san, san.session(preferred=mine) as session:
        for blocks in (1, 8, 15, 33, 500):
            data = os.urandom(blocks * 512)
            send(session.lun(0), cdb.Write16(lba=7, blocks=blocks), data_out=data)
            read = cdb.Read16(lba=7, blocks=blocks)
            assert bytes(send(session.lun(0), read, data_in_bytes=len(data))) == data


def test_commands_of_one_session_overtake_each_other(tmp_path):
    """Forty threads on one session, each with blocks of its own."""
    with served(disk(tmp_path, "d")) as san, san.session() as session:
        wrong: list[int] = []

        def work(number: int) -> None:
            for turn in range(20):
                data = bytes([number, turn]) * 2048
                send(session.lun(0), cdb.Write16(lba=8 * number, blocks=8), data_out=data)
                got = send(session.lun(0), cdb.Read16(lba=8 * number, blocks=8), data_in_bytes=4096)
                if bytes(got) != data:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_tape_over_the_portal(tmp_path):
    create_cartridge(tmp_path / "t", capacity_bytes=64 * MIB)
    with served(TapeLun(tmp_path / "t")) as san, san.session() as session:
        tape = open_unit(session.lun(0))
        assert isinstance(tape, Tape)
        records = [os.urandom(size) for size in (1, 512, 262144, 1000)]
        for record in records:
            tape.write_record(record)
        tape.rewind()
        assert [tape.read_record(1 << 20) for _ in records] == records
        assert tape.position().logical_object == 4


# -- ends --------------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_sessions_that_vanish_leave_nothing_behind(tmp_path):
    """Neither threads nor file descriptors: logged out, cut off, or reset in mid-write."""
    before = open_files()
    with served(disk(tmp_path, "d")) as san, Wire(san.portal.port) as wire:
        for number in range(30):
            session = san.session(f"s{number}", port=wire.port)
            send(session.lun(0), cdb.TestUnitReady())
            if number % 3 == 0:
                session.close()
            elif number % 3 == 1:
                wire.cut()
                wire.mend()
            else:
                reset_in_mid_write(san, f"r{number}")
        wire.cut()
        deadline = time.monotonic() + 10
        while (
            threads_named("iscsi-session") + threads_named("iscsi-disk")
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        assert threads_named("iscsi-session") == threads_named("iscsi-disk") == 0
        with san.session() as session:
            send(session.lun(0), cdb.TestUnitReady())
    assert threads_named("iscsi-portal") == threads_named("iscsi-session") == 0
    wait_until(lambda: not threads_named("iscsi-receive") and open_files() <= before)


def reset_in_mid_write(san, name: str) -> None:
    """Announce a write, send half of its data, and reset the connection."""
    session = san.session(name)
    connection = session._ready()
    command = iscsi.ScsiCommand(
        final=True, write=True, expected_transfer_bytes=4 * MIB, initiator_task_tag=77,
        cdb=cdb.Write16(lba=0, blocks=4 * MIB // 512).encode(), command_sn=session._command_sn,
    )  # fmt: skip
    connection.send(command, bytes(4096))
    linger = struct.pack("ii", 1, 0)  # close sends RST
    connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close = connection._socket.close  # no FIN before it
    # Our thread that receives is in the kernel: until it returns, close would do nothing.
    connection._socket.shutdown(socket.SHUT_RD)
    connection._socket.close()
    session._closed = True


def wait_until(holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_port_that_is_taken_is_one_line(tmp_path):
    from sbtk.mover.portal import Portal

    with served(disk(tmp_path, "d")) as san:
        with pytest.raises(TransportError, match="cannot listen") as caught:
            Portal({}, port=san.portal.port)
        assert caught.value.hint


# -- load --------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_ten_sessions_write_five_luns_while_a_snapshot_is_copied(tmp_path):
    """Every LUN has two writers, each of its half; LUN 0 is copied from an overlay meanwhile.

    Each writer stamps slot after slot and never has two writes under way, so that a snapshot of
    its half is consistent if its stamps are a run of numbers without a gap.
    """
    half_blocks = IMAGE_BYTES // 512
    luns = [disk(tmp_path, f"d{number}", 2 * IMAGE_BYTES) for number in range(5)]
    copy_to = disk(tmp_path, "copy", 2 * IMAGE_BYTES)
    stop, failures = threading.Event(), []
    counts = dict.fromkeys([(lun, half) for lun in range(5) for half in range(2)], 0)
    warm = threading.Semaphore(0)

    def write(lun: int, half: int) -> None:
        try:
            with san.session(f"w{lun}{half}") as session:
                path, number = session.lun(lun), 0
                while not stop.is_set() or number < SLOTS:
                    place = half * half_blocks + number % SLOTS * (SLOT_BYTES // 512)
                    command = cdb.Write16(lba=place, blocks=SLOT_BYTES // 512)
                    send(path, command, data_out=stamp(number))
                    number += 1
                    counts[lun, half] = number
                    if number == SLOTS:
                        warm.release()
        except Exception as error:
            failures.append(error)
            warm.release()

    with served(*luns, copy_to) as san:
        threads = [threading.Thread(target=write, args=key) for key in counts]
        for thread in threads:
            thread.start()
        for _ in threads:
            warm.acquire()
        overlay = luns[0].create_overlay(tmp_path)
        san.target.add(9, ReadOnlyLun(overlay, designator=bytes([0x60]) + bytes(15)))
        with san.session("backup") as session:
            source, target = open_unit(session.lun(9)), open_unit(session.lun(5))
            assert isinstance(source, Disk)
            blocks = source.block_count
            segments = [
                BlockToBlock(source=0, destination=1, blocks=min(1000, blocks - lba),
                             source_lba=lba, destination_lba=lba)
                for lba in range(0, blocks, 1000)
            ]  # fmt: skip
            client = CopyClient(session.lun(5), ask_limits(session.lun(5)))
            encoded = b"".join(item.encode() for item in segments)
            cscds = source.cscd() + target.cscd()
            before = dict(counts)
            client.run(CopyList(cscds, encoded, segment_count=len(segments)), Control())
            after = dict(counts)
            overlay.check()
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert all(after[key] > before[key] for key in counts), "nobody wrote during the copy"
    copied = (tmp_path / "copy").read_bytes()
    for half in range(2):
        assert torn_slots(copied[half * IMAGE_BYTES : (half + 1) * IMAGE_BYTES]) == 0
    for (lun, half), count in counts.items():
        last = b"".join(
            stamp(number) for number in sorted(range(count - SLOTS, count), key=lambda n: n % SLOTS)
        )
        written = (tmp_path / f"d{lun}").read_bytes()[half * IMAGE_BYTES : (half + 1) * IMAGE_BYTES]
        assert written == last
