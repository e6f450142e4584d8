"""Files and block devices: every byte range, and nothing behind the end."""

import fcntl
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.device.file import FileDevice
from sbtk.errors import (
    DeviceReadError,
    LocationError,
    LocationNotFoundError,
    LocationPermissionError,
)
from tests.device.disks import loop_device

CONTENT = os.urandom(70_000)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "disk.img"
    path.write_bytes(CONTENT)
    return path


@settings(max_examples=200, deadline=None)
@given(st.integers(-10, 80_000), st.integers(-10, 80_000))
def test_reads_exactly_what_exists(image, offset_bytes, length_bytes):
    with FileDevice(image) as device:
        inside = min(offset_bytes, length_bytes) >= 0 and offset_bytes + length_bytes <= 70_000
        if inside:
            expected = CONTENT[offset_bytes : offset_bytes + length_bytes]
            assert device.read(offset_bytes, length_bytes) == expected
        else:
            with pytest.raises(DeviceReadError, match="ends at byte 70000"):
                device.read(offset_bytes, length_bytes)


def test_a_huge_length_allocates_nothing(image):
    with FileDevice(image) as device, pytest.raises(DeviceReadError):
        device.read(0, 1 << 60)


def test_reads_into_a_slice_of_any_item_type(image):
    with FileDevice(image) as device:
        buffer = memoryview(bytearray(64)).cast("I")
        device.read_into(5, buffer[4:8])
        assert buffer.tobytes() == bytes(16) + CONTENT[5:21] + bytes(32)


def test_opened_read_only_and_closed_twice(image):
    device = FileDevice(image)
    assert fcntl.fcntl(device._fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    device.close()
    device.close()


def test_a_device_that_shrinks_names_the_place(tmp_path):
    path = tmp_path / "shrinks.img"
    path.write_bytes(bytes(10_000))
    with FileDevice(path) as device:
        os.truncate(path, 6000)
        with pytest.raises(DeviceReadError, match=r"8000 bytes from byte 1000 .* byte 6000"):
            device.read(1000, 8000)


def test_threads_share_one_device(image):
    def piece(offset_bytes: int) -> bool:
        return device.read(offset_bytes, 1000) == CONTENT[offset_bytes : offset_bytes + 1000]

    with FileDevice(image) as device, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(piece, range(0, 69_000, 137)))


@pytest.mark.root
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_block_device_tells_size_and_sector(tmp_path, sector_bytes):
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENT[:65536])
    with loop_device(path, sector_bytes=sector_bytes) as node, FileDevice(node) as device:
        assert (device.size_bytes, device.block_bytes) == (65536, sector_bytes)
        assert device.read(1, 60_000) == CONTENT[1:60_001]


def make_fifo(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [(os.mkdir, "a folder"), (make_fifo, "a pipe"), (make_socket, "a socket")],
    ids=["folder", "fifo", "socket"],
)
def test_what_is_no_disk_is_named(tmp_path, monkeypatch, make, said):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make("thing")
    with pytest.raises(LocationError, match=f"thing is {said}") as caught:
        FileDevice("thing")
    assert caught.value.exit_code == 11


def test_character_device_missing_file_and_odd_names():
    with pytest.raises(LocationError, match="character device"):
        FileDevice("/dev/null")
    for path in ("/nowhere/disk.img", "/etc/passwd/disk.img"):
        with pytest.raises(LocationNotFoundError, match="does not exist"):
            FileDevice(path)
    for path in ("nul\0byte", "x" * 5000):
        with pytest.raises(LocationError):
            FileDevice(path)


def test_permission_is_an_error_of_its_own(monkeypatch, image):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LocationPermissionError, match="may not be read by this user"):
        FileDevice(image)


def test_io_error_names_range_and_place(monkeypatch, image):
    def fail(fd, buffers, offset):
        raise OSError(5, "Input/output error")

    with FileDevice(image) as device:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(DeviceReadError, match=r"100 bytes from byte 4096 .*Input/output error"):
            device.read(4096, 100)
