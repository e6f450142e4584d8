"""Content of damaged volumes: every stream reads or is refused, and nothing else happens."""

from __future__ import annotations

import contextlib
import io
import random

import pytest

import sbtk
from sbtk import samples
from sbtk.device.location import OpenedVolume
from sbtk.errors import DeviceReadError, SbtkError
from tests import memory

RECORD_BYTES = 1024
MFT_BYTE = 4 * 4096
RECORDS = 174
COMPRESSED_BYTES = (3727 * 4096, 3782 * 4096)  # of the mail box, as the truth file tells
ROUNDS = 150
READ_BYTES = 70_000
MEMORY_BYTES = 64 << 20


class MemoryDevice:
    """Bytes in memory as a device."""

    name = "memory"
    block_bytes = 512

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size_bytes = len(data)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        view = buffer.cast("B")
        if offset_bytes < 0 or offset_bytes + len(view) > self.size_bytes:
            raise DeviceReadError(f"{offset_bytes}+{len(view)} of {self.size_bytes}")
        view[:] = self._data[offset_bytes : offset_bytes + len(view)]

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        if offset_bytes < 0 or not 0 <= length_bytes <= self.size_bytes - offset_bytes:
            raise DeviceReadError(f"{offset_bytes}+{length_bytes} of {self.size_bytes}")
        return bytes(self._data[offset_bytes : offset_bytes + length_bytes])

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def original():
    return samples.unpack("office.ntfs").read_bytes()


def mutate(data: bytearray, rng: random.Random) -> None:
    """Change a few fields of a few records, and bytes of a compressed file's chunks."""
    for _ in range(rng.randint(1, 12)):
        record = MFT_BYTE + rng.randrange(64, RECORDS) * RECORD_BYTES
        at = rng.choice([record + rng.randrange(20, 500), rng.randrange(*COMPRESSED_BYTES)])
        width = rng.choice([1, 1, 2, 4, 8])
        value = rng.choice([0, 1, 0x7F, 0x80, 0xFF, (1 << 8 * width) - 1, rng.getrandbits(64)])
        data[at : at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")


def read_some(volume: sbtk.Volume, row: int, stream: dict) -> None:
    """The beginning and the end of a stream."""
    if stream["attribute_type"] != 0x80:
        volume.read_value(row, READ_BYTES)
        return
    with volume.open(stream["record"], stream["attribute_name"]) as content:
        assert len(content.read(READ_BYTES)) <= READ_BYTES
        content.seek(max(0, content.seek(0, io.SEEK_END) - 2))
        content.read(2)


@pytest.mark.parametrize("seed", range(ROUNDS // 10))
def test_mutated_volumes_read_or_refuse(original, seed):
    rng = random.Random(seed)
    refused = opened = 0
    for _ in range(10):
        data = bytearray(original)
        mutate(data, rng)
        device = MemoryDevice(bytes(data))
        volume = sbtk.Volume(OpenedVolume("memory", device, device, None))
        streams = volume.streams.select(["record", "attribute_type", "attribute_name"]).to_pylist()
        for row, stream in enumerate(streams):
            try:
                read_some(volume, row, stream)
                opened += 1
            except SbtkError:
                refused += 1
    assert 0 < 10 * refused < opened


def test_sizes_that_lie_allocate_nothing(original):
    """A resident-looking reader would ask for 2^62 bytes; ours reads what is asked for."""
    rng = random.Random(7)
    data = bytearray(original)
    for record in range(64, RECORDS):
        at = data.find(
            b"\x80\0\0\0", MFT_BYTE + record * RECORD_BYTES, MFT_BYTE + (record + 1) * 1024
        )
        if at > 0 and data[at + 8] == 1:
            huge = rng.choice([1 << 62, (1 << 63) - 1, 1 << 50]).to_bytes(8, "little")
            data[at + 0x30 : at + 0x40] = huge * 2
    device = MemoryDevice(bytes(data))
    volume = sbtk.Volume(OpenedVolume("memory", device, device, None))
    records = volume.files["record"].to_pylist()
    with memory.measured() as grown:
        for record in records:
            with contextlib.suppress(SbtkError), volume.open(record) as content:
                content.read(1000)
                content.seek(1 << 49)
                content.read(1000)
    assert grown.peak_bytes < MEMORY_BYTES
