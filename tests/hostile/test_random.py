"""Bytes that were never a volume: refused in the project's own words, whatever they are."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk.errors import SbtkError
from sbtk.ntfs.scan import scan, scan_mft
from tests.hostile.surgery import MemoryDevice

U64 = st.integers(0, 2**64 - 1)
SIZES = (0, 1, 3, 11, 510, 511, 512, 513, 1023, 1024, 4096, 65_537)


def assert_refused_or_read(act, content):
    try:
        tables = act(MemoryDevice(content), source="random", threads=1)
    except SbtkError as error:
        line = error.line
    else:
        line = f"{tables.findings.num_rows} findings"
        assert tables.findings.num_rows <= len(content)
    assert line
    assert "\n" not in line


@pytest.mark.parametrize("act", [scan, scan_mft])
@pytest.mark.parametrize("size", SIZES)
def test_random_bytes(act, size):
    for seed in range(20):
        content = random.Random(seed).randbytes(size)
        with pytest.raises(SbtkError):
            act(MemoryDevice(content), source="random", threads=1)
        with pytest.raises(SbtkError):
            act(MemoryDevice(bytes(size)), source="zeros", threads=1)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sector=st.sampled_from([0, 1, 256, 512, 1024, 4096, 8192, 65535]), clusters=st.integers(0, 255),
    total=U64, mft=U64, mirror=U64,
    record=st.integers(0, 255), index=st.integers(0, 255), rest=st.binary(max_size=8192),
)  # fmt: skip
def test_any_boot_sector(sector, clusters, total, mft, mirror, record, index, rest):
    boot = bytearray(512)
    boot[:11] = b"\xeb\x52\x90NTFS    "
    struct.pack_into("<HB", boot, 0x0B, sector, clusters)
    struct.pack_into("<QQQ", boot, 0x28, total, mft, mirror)
    boot[0x40], boot[0x44] = record, index
    boot[510:] = b"\x55\xaa"
    assert_refused_or_read(scan, bytes(boot) + rest)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(header=st.binary(min_size=48, max_size=48), body=st.binary(max_size=4096))
def test_any_record(header, body):
    """A FILE signature, and then anything."""
    record = b"FILE" + b"\x30\0\x03\0" + header[8:28] + struct.pack("<I", 1024) + header[32:] + body
    assert_refused_or_read(scan_mft, record + bytes(-len(record) % 1024))
