"""Counters of logical units: our own in this process, and log page 19h over a transport."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from sbtk.device.location import open_transport, parse
from sbtk.errors import (
    ActivitySourceError,
    NoStaticViewError,
    QuietTimeoutError,
    TransportError,
)
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.target import Target
from sbtk.quiesce.static_view import static_view
from sbtk.quiesce.unit_counters import LogSenseSource, UnitSource
from sbtk.scsi.cdb import Write10
from sbtk.scsi.iscsi_login import Access
from sbtk.transport.base import CHECK_CONDITION, Response

SUPPORTED = bytes.fromhex("00 00 0002 00 19")


class Exchange:
    """A transport that expects exactly these commands: (cdb, response or exception)."""

    name = "unit"

    def __init__(self, *expected) -> None:
        self.expected = list(expected)

    def execute(self, cdb, *, data_out=b"", data_in_bytes=0, timeout_s=60.0):
        wanted, response = self.expected.pop(0)
        assert cdb.hex() == wanted
        if isinstance(response, Exception):
            raise response
        return response

    def close(self):
        pass


def log_sense(page: int) -> str:
    return f"4d00{0x40 | page:02x}0000000010{0:02x}00"


def statistics(writes: int, blocks: int) -> bytes:
    """Log page 19h as the standard lays it out, another parameter before ours."""
    ours = b"".join(value.to_bytes(8, "big") for value in (5, writes, blocks, 9, 0, 0, 0, 0))
    body = bytes.fromhex("0002 03 04 00000000") + bytes.fromhex("0001 03 40") + ours
    return bytes([0x19, 0]) + len(body).to_bytes(2, "big") + body


def refusal(code: str) -> Response:
    """CHECK CONDITION with key and ASC/ASCQ, fixed format."""
    key, rest = code.split("/")
    sense = f"70 00 0{key} 00000000 0a 00000000 {rest} 00 000000"
    return Response(CHECK_CONDITION, b"", bytes.fromhex(sense))


ATTENTION, REFUSED = refusal("6/2900"), refusal("5/2400")


def test_log_page_19h_is_looked_for_first_and_then_read():
    exchange = Exchange(
        (log_sense(0), Response(data_in=SUPPORTED)),
        (log_sense(0x19), Response(data_in=statistics(7, 70))),
        (log_sense(0x19), ATTENTION),
        (log_sense(0x19), Response(data_in=statistics(8, 71))),
    )
    source = LogSenseSource(exchange)
    assert source.read().counter == (7, 70)
    assert source.read().counter == (8, 71)
    assert exchange.expected == []


def test_a_device_without_the_page_is_refused_before_the_wait():
    with pytest.raises(ActivitySourceError, match="no log page 19h"):
        LogSenseSource(Exchange((log_sense(0), Response(data_in=bytes.fromhex("00000001 00")))))
    with pytest.raises(ActivitySourceError, match="page 00h on unit failed"):
        LogSenseSource(Exchange((log_sense(0), REFUSED)))


@pytest.mark.parametrize(
    "answer",
    [
        Response(),
        Response(data_in=b"\x19"),
        Response(data_in=statistics(1, 1)[:40]),
        Response(data_in=bytes.fromhex("2f000000")),
        REFUSED,
        Response(CHECK_CONDITION, b"", b""),
        TransportError("gone"),
    ],
)
def test_bad_answers_are_one_error(answer):
    exchange = Exchange((log_sense(0), Response(data_in=SUPPORTED)), (log_sense(0x19), answer))
    source = LogSenseSource(exchange)
    with pytest.raises(ActivitySourceError):
        source.read()


@pytest.fixture
def lun(tmp_path) -> BlockLun:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4 << 20))
    with contextlib.closing(BlockLun(image, block_bytes=512)) as made:
        yield made


class Direct:
    """A nexus straight to a unit of this process."""

    def __init__(self, unit) -> None:
        self.unit = unit
        self.name = unit.name

    def execute(self, cdb, *, data_out=b"", data_in_bytes=0, timeout_s=60.0):
        return self.unit.execute(cdb, data_out, data_in_bytes, initiator="test")

    def close(self):
        pass


def test_our_own_units_tell_the_same_inside_and_over_log_sense(lun):
    inside, outside = UnitSource(lun), LogSenseSource(Direct(lun))
    before = inside.read(), outside.read()
    assert (inside.read(), outside.read()) == before
    assert lun.execute(Write10(lba=8, blocks=2).encode(), bytes(1024), 0, initiator="w").status == 0
    assert inside.read().counter == (before[0].counter[0] + 1, before[0].counter[1] + 1024)
    assert outside.read().counter == (before[1].counter[0] + 1, before[1].counter[1] + 2)


def test_a_lun_that_is_written_to_through_the_mover_gets_an_overlay(lun, tmp_path):
    with static_view(lun.name, unit=lun, store=tmp_path, quiet_s=0.2, timeout_s=5) as view:
        assert view.report.provider == "overlay"
        lun.write_blocks(0, memoryview(b"n" * 512))
        assert view.device.read(0, 512) == bytes(512)
        view.check()
    assert Path(lun.name).read_bytes()[:512] == b"n" * 512


@pytest.fixture
def served(lun) -> str:
    """The location of the LUN behind our own portal."""
    target = Target(open_access=True)
    target.add(0, lun)
    name = "iqn.2026-11.test:t"
    with Portal({name: PortalTarget(target, lambda initiator: Access())}, port=0) as portal:
        yield f"iscsi://{portal.address}/{name}/0"


def test_over_iscsi_the_counters_of_the_device_are_watched(served, lun):
    with static_view(served, provider="none", quiet_s=0.3, timeout_s=5) as view:
        assert "19h" in view.report.activity
        assert view.report.flush_count > 2
    stop = threading.Event()

    def write():
        with contextlib.closing(open_transport(parse(served))) as other:
            while not stop.wait(0.02):
                response = other.execute(Write10(lba=8, blocks=2).encode(), data_out=bytes(1024))
                assert response.status == 0

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with (
            pytest.raises(QuietTimeoutError),
            static_view(served, provider="none", quiet_s=0.5, timeout_s=1.5),
        ):
            pytest.fail("there is no view")
    finally:
        stop.set()
        thread.join()


def test_over_a_transport_the_window_needs_no_path(lun):
    location = "iscsi://127.0.0.1/iqn.2026-11.test:t/1"
    with static_view(
        location, transport=Direct(lun), provider="none", quiet_s=0.2, timeout_s=5
    ) as view:
        assert view.report.flushes == (f"write cache of {lun.name}",)
        assert "19h" in view.report.activity
    with pytest.raises(NoStaticViewError), static_view(location, transport=Direct(lun)):
        pytest.fail("there is no view")
    with pytest.raises(ActivitySourceError), static_view("tape:/x", provider="none"):
        pytest.fail("nothing counts its writes")
