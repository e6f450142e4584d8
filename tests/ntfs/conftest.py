"""Fixtures of the NTFS tests: each scan runs under both implementations of the kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import sbtk.ntfs.scan as scan_module
from sbtk.ntfs import kernels
from sbtk.ntfs.scan import scan, scan_mft
from sbtk.ntfs.tables import Tables
from tests.ntfs.builder import MemoryDevice, TinyVolume

Scanner = Callable[[TinyVolume | MemoryDevice], Tables]


@pytest.fixture(params=["numba", "numpy"])
def kernel_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both implementations, one after the other."""
    monkeypatch.setattr(scan_module, "load", lambda: kernels.load(request.param))
    name: str = request.param
    return name


@pytest.fixture
def scan_volume(kernel_name: str) -> Scanner:
    """Scans a tiny volume, or a device that holds a volume."""

    def run(volume: TinyVolume | MemoryDevice) -> Tables:
        device = volume.device() if isinstance(volume, TinyVolume) else volume
        return scan(device, source="tiny", threads=1)

    return run


@pytest.fixture
def scan_records(kernel_name: str) -> Callable[[bytes], Tables]:
    """Scans a bare $MFT."""
    return lambda data: scan_mft(MemoryDevice(data), source="tiny.mft", threads=1)
