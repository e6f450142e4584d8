"""Log states and hibernation on built volumes; dirty flag and mirror are in test_traps."""

from __future__ import annotations

import struct

import pytest

from sbtk.ntfs.health import log_state
from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner
from tests.ntfs.views import findings


def restart_page(lsn: int, *, client: int = 0xFFFF, flags: int = 0) -> bytes:
    head = struct.pack("<4sHHQIIHHH", b"RSTR", 30, 9, 0, 4096, 4096, 48, 1, 1)
    area = struct.pack("<QHHHH", lsn, 1, 0xFFFF, client, flags)
    return (head.ljust(48, b"\0") + area).ljust(4096, b"\0")


@pytest.mark.parametrize(
    ("head", "state"),
    [
        (b"\xff" * 8192, "empty"),
        (restart_page(5) * 2, "clean"),
        (restart_page(5, client=0, flags=2) * 2, "clean"),
        (restart_page(5, client=0) * 2, "open"),
        (restart_page(5) + restart_page(6, client=0), "open"),
        (restart_page(7) + restart_page(6, client=0), "clean"),
        (bytes(4096) + restart_page(6, client=0), "open"),
        (bytes(8192), "damaged"),
        (b"RSTR" + bytes(8188), "damaged"),
        (b"RSTR", "damaged"),
        (b"", "damaged"),
    ],
)
def test_log_states(head: bytes, state: str) -> None:
    assert log_state(head) == state


def test_open_log_is_a_finding(scan_volume: Scanner) -> None:
    volume = b.TinyVolume()
    volume.put_clusters(volume.log_lcn, restart_page(5, client=0) * 2)
    tables = scan_volume(volume)
    assert tables.volume.log == "open"
    assert findings(tables) == [("log-open", 2)]


@pytest.mark.parametrize(
    ("head", "hibernated"),
    [(b"hibr", True), (b"HIBR", True), (b"wake", False), (b"RSTR", False), (b"", False)],
)
def test_hibernation(scan_volume: Scanner, head: bytes, hibernated: bool) -> None:
    raw = b.plain_file(30, "HiberFil.sys", b.nonresident(b.DATA, [(100, 4)]))
    tables = scan_volume(b.TinyVolume().put(30, raw).put_clusters(100, head))
    assert tables.volume.hibernated is hibernated
    assert findings(tables) == ([("hibernated", 30)] if hibernated else [])


def test_hibernation_file_elsewhere_means_nothing(scan_volume: Scanner) -> None:
    volume = b.TinyVolume().put(29, b.folder(29, "old")).put_clusters(100, b"hibr")
    data = b.nonresident(b.DATA, [(100, 4)])
    volume.put(30, b.plain_file(30, "hiberfil.sys", data, parent=29))
    assert not scan_volume(volume).volume.hibernated
