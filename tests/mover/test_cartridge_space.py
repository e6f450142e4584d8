"""Blocks set aside for a cartridge: used while it grows, gone when it is closed, never needed."""

import os
import signal

import pytest

from sbtk.errors import CartridgeError, MediumFullError
from sbtk.mover import cartridge, cartridge_space
from sbtk.mover.cartridge import Cartridge, create_cartridge
from sbtk.mover.system_calls import reserve
from tests.loopfs import loop_fs

MIB = 1 << 20
RECORD = os.urandom(256 << 10)


def allocated_bytes(path) -> int:
    return path.stat().st_blocks * 512


def grown(path, records: int, capacity_bytes: int = 1 << 30) -> Cartridge:
    create_cartridge(path, capacity_bytes=capacity_bytes)
    cartridge = Cartridge(path)
    for _ in range(records):
        cartridge.append_record(RECORD)
    return cartridge


def test_what_was_set_aside_is_free_again_on_close(tmp_path):
    cartridge = grown(tmp_path / "tape", 30)
    cartridge.flush()  # until then a file system may count blocks that it has only promised
    size_bytes = (tmp_path / "tape").stat().st_size
    assert allocated_bytes(tmp_path / "tape") > size_bytes + 4 * MIB
    cartridge.close()
    assert (tmp_path / "tape").stat().st_size == size_bytes
    assert allocated_bytes(tmp_path / "tape") < size_bytes + MIB


def test_never_more_is_set_aside_than_the_cartridge_can_hold(tmp_path):
    with grown(tmp_path / "tape", 3, capacity_bytes=MIB) as cartridge:
        cartridge.flush()
        assert allocated_bytes(tmp_path / "tape") < MIB + (64 << 10)
        with pytest.raises(MediumFullError):
            cartridge.append_record(RECORD)


def test_what_a_killed_writer_had_set_aside_is_given_back_by_the_next(tmp_path):
    path = tmp_path / "tape"
    child = os.fork()
    if not child:
        grown(path, 30).flush()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    size_bytes = path.stat().st_size
    assert allocated_bytes(path) > size_bytes + 4 * MIB
    with Cartridge(path, writable=False) as cartridge:
        assert len(cartridge) == 30
    assert allocated_bytes(path) > size_bytes + 4 * MIB  # a reader writes nothing
    with Cartridge(path) as cartridge:
        assert allocated_bytes(path) < size_bytes + MIB
        buffer = memoryview(bytearray(len(RECORD)))
        for number in range(30):
            assert cartridge.read_record(number, buffer) == len(RECORD)
            assert buffer == RECORD


def test_nothing_is_taken_back_from_a_file_that_is_no_cartridge(tmp_path):
    path = tmp_path / "database"
    path.write_bytes(b"not a cartridge" * 1000)
    with path.open("r+b") as file:
        assert reserve(file.fileno(), 0, 8 * MIB)
    before = path.stat()
    with pytest.raises(CartridgeError):
        Cartridge(path)
    after = path.stat()
    assert (after.st_blocks, after.st_mtime_ns) == (before.st_blocks, before.st_mtime_ns)


def test_taking_back_keeps_the_index_true(tmp_path, monkeypatch):
    path = tmp_path / "tape"
    grown(path, 3).close()
    with path.open("r+b") as file:
        assert reserve(file.fileno(), 0, 8 * MIB)
    Cartridge(path).close()
    assert allocated_bytes(path) < 2 * MIB
    monkeypatch.setattr(cartridge, "scan", None)  # it would walk the file
    with Cartridge(path) as opened:
        assert len(opened) == 3


def test_a_file_system_that_cannot_do_it_is_asked_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cartridge_space, "reserve", lambda *place: asked.append(place))
    with grown(tmp_path / "tape", 20) as cartridge:
        assert len(cartridge) == 20
    assert len(asked) == 1


def filled(path) -> int:
    """How many records a cartridge takes before its file system is full; it is closed then."""
    cartridge = grown(path, 0)
    try:
        while True:
            cartridge.append_record(RECORD)
            cartridge.flush()
    except MediumFullError:
        cartridge.close()
    with Cartridge(path, writable=False) as cartridge:
        return len(cartridge)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_small_file_system_is_filled_as_far_as_without(kind, tmp_path, monkeypatch):
    """Setting aside fails long before the last record does; no record is lost or refused for it."""
    counts = []
    for way in ("set aside", "not"):
        (tmp_path / way).mkdir()
        with loop_fs(kind, tmp_path / way) as fs:
            counts.append(filled(fs.path / "tape"))
        monkeypatch.setattr(cartridge_space, "reserve", lambda *_place: False)
    assert abs(counts[0] - counts[1]) <= counts[1] // 20
    assert counts[1] > 100
