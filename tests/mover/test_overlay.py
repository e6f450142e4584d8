"""Overlays: the snapshot's bytes never change, the disk's are the latest, a crash costs nothing."""

import os
import random
import signal
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import DeviceReadError, SnapshotError, SnapshotFullError, UsageError
from sbtk.mover.base import CheckCondition
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.mover.overlay_store import HEADER_BYTES, SUFFIX
from sbtk.mover.snapshot import OverlaySnapshot, default_chunk_bytes, find_leftovers
from sbtk.scsi import sense
from tests.loopfs import loop_fs

MIB = 1 << 20
BLOCK = 512


def disk(folder: Path, size_bytes: int, seed: int = 1) -> tuple[Path, bytes]:
    """A file of random bytes, and those bytes."""
    raw = np.random.default_rng(seed).bytes(size_bytes)
    path = folder / "disk.img"
    path.write_bytes(raw)
    return path, raw


def write(lun: BlockLun, model: bytearray, lba: int, data: bytes) -> None:
    lun.write_blocks(lba, memoryview(data))
    model[lba * BLOCK : lba * BLOCK + len(data)] = data


# -- what is read --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_writes_leave_every_snapshot_as_it_was(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("disk")
    blocks = 100
    path, raw = disk(folder, blocks * BLOCK)
    lun, model = BlockLun(path), bytearray(raw)
    taken: list[tuple[OverlaySnapshot, bytes]] = []
    for number in range(data.draw(st.integers(1, 20))):
        if data.draw(st.integers(0, 5)) == 0:
            taken.append((lun.create_overlay(folder), bytes(model)))
        lba = data.draw(st.integers(0, blocks - 1))
        count = data.draw(st.integers(1, blocks - lba))
        if data.draw(st.booleans()):
            write(lun, model, lba, random.Random(number).randbytes(count * BLOCK))
        else:
            lun.zero_blocks(lba, count)
            model[lba * BLOCK : (lba + count) * BLOCK] = bytes(count * BLOCK)
        if taken and data.draw(st.integers(0, 4)) == 0:
            taken.pop(data.draw(st.integers(0, len(taken) - 1)))[0].close()
    for snapshot, before in taken:
        first = data.draw(st.integers(0, len(raw)))
        last = data.draw(st.integers(first, len(raw)))
        assert snapshot.read(first, last - first) == before[first:last]
        assert snapshot.read(0, len(raw)) == before
    lun.close()
    assert path.read_bytes() == model
    assert not list(folder.glob(f"*{SUFFIX}"))


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_random_writes_during_a_long_read(tmp_path, kind):
    """Two writers, and a reader that goes over the whole snapshot in pieces of any size."""
    with loop_fs(kind, tmp_path) as fs:
        size_bytes = 12 * MIB
        path, raw = disk(fs.path, size_bytes)
        lun, model = BlockLun(path), bytearray(raw)
        snapshot = lun.create_overlay(fs.path)
        stop, failed = threading.Event(), []

        def keep_writing(half: int) -> None:
            chance = random.Random(half)
            blocks = size_bytes // BLOCK // 2
            try:
                while not stop.is_set():
                    count = chance.choice((1, 8, 8, 8, 64, 300))
                    lba = half * blocks + chance.randrange(blocks - count)
                    write(lun, model, lba, chance.randbytes(count * BLOCK))
            except BaseException as error:
                failed.append(error)

        writers = [threading.Thread(target=keep_writing, args=(half,)) for half in (0, 1)]
        for writer in writers:
            writer.start()
        chance = random.Random(5)
        try:
            for _ in range(20):
                place = 0
                while place < size_bytes:
                    count = min(chance.choice((1000, 4096, 65536, MIB)), size_bytes - place)
                    assert snapshot.read(place, count) == raw[place : place + count], place
                    place += count
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert not failed
        assert snapshot.stored_bytes > size_bytes // 4, "the writers hardly wrote"
        assert snapshot.read(0, size_bytes) == raw
        snapshot.close()
        lun.close()
        assert path.read_bytes() == model
        assert not list(fs.path.glob(f"*{SUFFIX}"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_write_that_comes_while_the_snapshot_is_read(tmp_path, monkeypatch, when):
    """The write lands just before, or just after, the reader has read the disk itself."""
    path, raw = disk(tmp_path, 64 * BLOCK)
    with_write = BlockLun(path)
    snapshot = with_write.create_overlay(tmp_path)
    plain_read = OverlaySnapshot._read
    written = []

    def read(self, fd, offset_bytes, buffer):
        if when == "after":
            plain_read(self, fd, offset_bytes, buffer)
        if not written:
            written.append(True)
            with_write.write_blocks(9, memoryview(b"n" * BLOCK * 3))
        if when == "before":
            plain_read(self, fd, offset_bytes, buffer)

    monkeypatch.setattr(OverlaySnapshot, "_read", read)
    assert snapshot.read(0, len(raw)) == raw
    assert written
    snapshot.close()
    with_write.close()


def test_a_snapshot_holds_all_of_a_write_or_nothing(tmp_path, monkeypatch):
    """It begins only when the writes that are under way have ended."""
    path, raw = disk(tmp_path, 64 * BLOCK)
    lun = BlockLun(path)
    inside, go_on = threading.Event(), threading.Event()
    plain_write = os.pwrite

    def slow_write(fd, data, offset):
        if fd == lun._fd:
            half = len(data) // 2
            plain_write(fd, data[:half], offset)
            inside.set()
            assert go_on.wait(30)
            data, offset = data[half:], offset + half
            return half + plain_write(fd, data, offset)
        return plain_write(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", slow_write)
    new = b"w" * (8 * BLOCK)
    writer = threading.Thread(target=lun.write_blocks, args=(4, memoryview(new)))
    writer.start()
    assert inside.wait(30)
    taken = []
    taker = threading.Thread(target=lambda: taken.append(lun.create_overlay(tmp_path)))
    taker.start()
    taker.join(0.2)
    assert not taken, "the snapshot began in the middle of a write"
    go_on.set()
    writer.join()
    taker.join()
    want = bytearray(raw)
    want[4 * BLOCK : 12 * BLOCK] = new
    assert taken[0].read(0, len(raw)) == want
    lun.close()


def test_two_writers_of_one_chunk(tmp_path, monkeypatch):
    """The second waits until the old bytes are saved; else it would change them under the first."""
    path, raw = disk(tmp_path, 64 * BLOCK)
    lun = BlockLun(path)
    snapshot = lun.create_overlay(tmp_path)
    saving, go_on = threading.Event(), threading.Event()
    plain_reserve = OverlaySnapshot._reserve

    def slow_reserve(self, length_bytes):
        if threading.current_thread().name == "first":
            saving.set()
            assert go_on.wait(30)
        return plain_reserve(self, length_bytes)

    monkeypatch.setattr(OverlaySnapshot, "_reserve", slow_reserve)
    writers = [
        threading.Thread(target=lun.write_blocks, args=(lba, memoryview(b"n" * BLOCK)), name=name)
        for lba, name in ((1, "first"), (2, "second"))
    ]
    writers[0].start()
    assert saving.wait(30)
    writers[1].start()
    writers[1].join(0.2)
    assert writers[1].is_alive()
    go_on.set()
    for writer in writers:
        writer.join()
    assert snapshot.read(0, len(raw)) == raw
    lun.close()


def test_what_is_stored_is_what_was_changed(tmp_path):
    path, _ = disk(tmp_path, 8 * MIB)
    lun = BlockLun(path)
    small, large = (lun.create_overlay(tmp_path, chunk_bytes=size) for size in (4096, 65536))
    chance = random.Random(82)
    places = {chance.randrange(8 * MIB // 4096) for _ in range(100)}
    for _ in range(2):
        for place in places:
            lun.write_blocks(place * 8, memoryview(os.urandom(4096)))
    assert small.stored_bytes == len(places) * 4096
    assert large.stored_bytes == len({place // 16 for place in places}) * 65536
    assert small.path.stat().st_blocks * 512 <= small.stored_bytes + 2 * HEADER_BYTES
    lun.close()


def test_chunk_sizes(tmp_path):
    assert default_chunk_bytes(4 << 30) == 4096
    assert default_chunk_bytes(1 << 40) == 4096
    assert default_chunk_bytes((1 << 40) + 1) == 8192
    path, _ = disk(tmp_path, MIB)
    with pytest.raises(UsageError, match="chunks of"):
        BlockLun(path).create_overlay(tmp_path, chunk_bytes=5000)
    with pytest.raises(UsageError, match="chunks of"):
        BlockLun(path).create_overlay(tmp_path, chunk_bytes=512)
    assert not find_leftovers(tmp_path)


# -- when it cannot go on ------------------------------------------------------------------------


def test_a_full_overlay_fails_the_snapshot_and_not_the_writer(tmp_path):
    path, raw = disk(tmp_path, MIB)
    lun, model = BlockLun(path), bytearray(raw)
    snapshot = lun.create_overlay(tmp_path, cap_bytes=10 * 4096)
    for chunk in range(10):
        write(lun, model, chunk * 8, b"n" * 4096)
    assert snapshot.read(0, MIB) == raw
    write(lun, model, 0, b"m" * 4096)  # saved already: costs nothing
    assert snapshot.read(0, MIB) == raw
    write(lun, model, 80, b"n" * 4096)
    for place, count in ((0, MIB), (MIB - 4096, 4096)):
        with pytest.raises(SnapshotFullError, match=r"is full: 40\.0 KiB"):
            snapshot.read(place, count)
    assert snapshot.path.stat().st_blocks * 512 <= 2 * HEADER_BYTES
    served = ReadOnlyLun(snapshot, designator=snapshot.designator)
    with pytest.raises(CheckCondition) as stopped:
        served.read_blocks(0, memoryview(bytearray(BLOCK)))
    found = sense.decode(stopped.value.sense)
    assert (found.key, found.code) == (4, (0x44, 0x00))
    for chunk in range(256):
        write(lun, model, chunk * 8, bytes([chunk]) * 4096)
    snapshot.close()
    lun.close()
    assert path.read_bytes() == model


@pytest.mark.root
def test_a_full_file_system_fails_the_snapshot_and_not_the_writer(tmp_path):
    path, raw = disk(tmp_path, 40 * MIB)
    with loop_fs("ext4", tmp_path, size_bytes=24 * MIB) as small:
        lun, model = BlockLun(path), bytearray(raw)
        snapshot = lun.create_overlay(small.path, cap_bytes=1 << 40)
        for megabyte in range(40):
            write(lun, model, megabyte * 2048, bytes([megabyte]) * MIB)
        with pytest.raises(SnapshotFullError, match="No space left"):
            snapshot.read(0, 4096)
        by_default = lun.create_overlay(small.path)
        assert by_default.cap_bytes < 12 * MIB
        lun.close()
    assert path.read_bytes() == model


def test_a_folder_that_takes_no_overlay(tmp_path):
    path, _ = disk(tmp_path, MIB)
    with pytest.raises(SnapshotError, match="no overlay can be made in"):
        BlockLun(path).create_overlay(tmp_path / "missing")


def test_reading_behind_the_end(tmp_path):
    path, raw = disk(tmp_path, MIB + 100)  # the part of a block at the end is no part of the disk
    with BlockLun(path).create_overlay(tmp_path) as snapshot:
        assert snapshot.size_bytes == MIB
        assert snapshot.read(MIB - 5, 5) == raw[MIB - 5 : MIB]
        for place, count in ((MIB - 5, 6), (-1, 1), (MIB + 1, 1)):
            with pytest.raises(DeviceReadError):
                snapshot.read(place, count)


# -- crashes -------------------------------------------------------------------------------------


def pattern(seed: int, number: int) -> tuple[int, bytes]:
    """(lba, data) of one write of a stream that both sides know."""
    chance = random.Random(f"{seed} {number}")
    count = chance.choice((1, 3, 8, 16))
    return chance.randrange(2048 - count), chance.randbytes(count * BLOCK)


def write_until_killed(path: Path, store: Path, seed: int, done: int) -> None:
    lun = BlockLun(path)
    snapshot = lun.create_overlay(store)
    number = 0
    while True:
        lba, data = pattern(seed, number)
        lun.write_blocks(lba, memoryview(data))
        os.write(done, struct.pack("<I", number))
        if not number % 7:
            snapshot.read(0, 65536)
        number += 1


def test_killed_a_hundred_times_the_disk_is_whole_and_the_left_over_is_found(tmp_path):
    chance = random.Random(100)
    path, raw = disk(tmp_path, MIB)
    store = tmp_path / "store"
    store.mkdir()
    model = bytearray(raw)
    for seed in range(100):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reader)
                write_until_killed(path, store, seed, writer)
            finally:
                os._exit(1)
        os.close(writer)
        acknowledged = chance.randrange(1, 40)
        for _ in range(acknowledged):
            assert len(os.read(reader, 4)) == 4
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while chunk := os.read(reader, 4096):
            acknowledged = struct.unpack("<I", chunk[-4:])[0] + 1
        os.close(reader)
        found = path.read_bytes()
        for number in range(acknowledged):
            lba, data = pattern(seed, number)
            model[lba * BLOCK : lba * BLOCK + len(data)] = data
        if found != model:  # the write in flight may be there, whole or in part
            lba, data = pattern(seed, acknowledged)
            for place in range(lba * BLOCK, lba * BLOCK + len(data), BLOCK):
                at = place - lba * BLOCK
                assert found[place : place + BLOCK] in (
                    model[place : place + BLOCK],
                    data[at : at + BLOCK],
                )
                model[place : place + BLOCK] = found[place : place + BLOCK]
        assert found == model, f"kill {seed}"
        (left,) = find_leftovers(store)
        assert (left.owner.unit, left.owner.pid) == (str(path), child)
        assert left.owner.size_bytes == MIB
        left.remove()
        assert not os.listdir(store)


def test_left_overs_are_those_that_nobody_uses(tmp_path):
    path, _ = disk(tmp_path, MIB)
    store = tmp_path / "store"
    store.mkdir()
    lun = BlockLun(path)
    snapshot = lun.create_overlay(store)
    assert find_leftovers(store) == []
    (store / f"torn{SUFFIX}").write_bytes(b"SBTK")
    (store / "other.file").write_bytes(b"")
    (left,) = find_leftovers(store)
    assert (left.path.name, left.owner) == (f"torn{SUFFIX}", None)
    left.remove()
    left.remove()
    copy = store / f"copy{SUFFIX}"
    copy.write_bytes(snapshot.path.read_bytes())
    (left,) = find_leftovers(store)
    assert left.owner.designator == lun.designator
    in_use = type(left)(snapshot.path, left.owner, 0)
    with pytest.raises(SnapshotError, match="in use"):
        in_use.remove()
    lun.close()
    assert sorted(os.listdir(store)) == [copy.name, "other.file"]
    assert find_leftovers(tmp_path / "no such folder") == []
