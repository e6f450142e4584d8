"""Several lists under way at once: how many, how they end, what fails, what is aborted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

import sbtk
from sbtk.errors import CancelledError, CopyFailedError, DeviceReadError
from sbtk.events import Finding, ListDone
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyList, Running
from sbtk.jobs.in_flight import InFlight
from sbtk.scsi import sense
from sbtk.scsi.sense_codes import ILLEGAL_REQUEST, INSUFFICIENT_RESOURCES
from tests.corpus import volume
from tests.jobs.jobs import assert_clusters_equal, back_up, disk
from tests.jobs.test_safety import bad_block, catalog_sets, one_line

__all__ = ["bad_block"]

LIST = CopyList(b"", b"")


@dataclass
class Manager:
    """A copy manager by the book of a test: ``order`` says which list ends next.

    A list ends when it is the first of ``order`` that is under way and all have been asked after.
    """

    order: list[int]
    failing: frozenset[int] = frozenset()
    room: int = 99
    under_way: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    aborted: list[int] = field(default_factory=list)
    refused: int = 0

    def start(self, copy: CopyList) -> Running:
        if len(self.under_way) >= self.room:
            self.refused += 1
            full = sense.fixed(ILLEGAL_REQUEST, *INSUFFICIENT_RESOURCES)
            raise CopyFailedError("full", sense=full)
        number = len(self.sent)
        self.sent.append(number)
        self.under_way.append(number)
        return Running(number, copy)

    def has_ended(self, running: Running) -> bool:
        first = next((item for item in self.order if item in self.under_way), -1)
        return running.list_id == first or running.list_id in self.aborted

    def result(self, running: Running) -> bytes:
        self.under_way.remove(running.list_id)
        if running.list_id in self.failing or running.list_id in self.aborted:
            raise CopyFailedError(f"list {running.list_id} failed")
        return bytes([running.list_id])

    def abort(self, running: Running) -> None:
        self.aborted.append(running.list_id)


def run(
    manager: Manager,
    lists: int,
    most: int,
    *,
    ended: list[int] | None = None,
    control: Control | None = None,
    then: Callable[[], object] = lambda: None,
) -> list[int]:
    """Send lists and do something; the numbers of those that ended well, in their order."""
    found = [] if ended is None else ended

    def told(command: int, held: bytes) -> None:
        assert held == bytes([command])
        found.append(command)

    with InFlight(manager, control or Control(), told) as flight:  # type: ignore[arg-type]
        for number in range(lists):
            flight.start(number, LIST, most)
            assert len(manager.under_way) <= most
        then()
        flight.drain()
    return found


def test_no_more_than_allowed_and_in_any_order():
    manager = Manager(order=[2, 0, 1, 5, 4, 3])
    assert run(manager, 6, 3) == [2, 0, 1, 5, 4, 3]
    assert run(Manager(order=[3, 2, 1, 0]), 4, 1) == [0, 1, 2, 3]


def test_the_first_of_the_failed_is_told_when_all_have_ended():
    manager = Manager(order=[3, 2, 1, 0, 4, 5], failing=frozenset({3, 1}))
    ended: list[int] = []
    with pytest.raises(CopyFailedError, match="list 1 failed"):
        run(manager, 6, 4, ended=ended)
    assert manager.sent == [0, 1, 2, 3]  # none after the failure
    assert sorted(ended) == [0, 2]
    assert manager.under_way == manager.aborted == []


def test_a_cancelled_job_aborts_all_that_is_under_way():
    manager, control = Manager(order=[]), Control()
    ended: list[int] = []
    with pytest.raises(CancelledError):
        run(manager, 3, 4, ended=ended, control=control, then=control.cancel)
    assert ended == []
    assert sorted(manager.aborted) == [0, 1, 2]
    assert manager.under_way == []


def test_an_error_elsewhere_aborts_what_is_under_way():
    manager = Manager(order=[])
    with pytest.raises(ZeroDivisionError):
        run(manager, 2, 4, then=lambda: 1 // 0)
    assert sorted(manager.aborted) == [0, 1]


def test_a_manager_that_others_use_too_is_waited_for():
    manager = Manager(order=[0, 1, 2, 3, 4], room=2)
    assert run(manager, 5, 4) == [0, 1, 2, 3, 4]
    assert manager.refused
    with pytest.raises(CopyFailedError, match="full"):
        run(Manager(order=[], room=0), 1, 4)


@pytest.mark.parametrize("layout", ["image", "files"])
def test_a_disk_set_made_of_many_lists_at_once_is_whole(layout, tmp_path):
    """Every list is told once, the set is sound, and what comes back is the volume."""
    told: list[ListDone] = []
    made = back_up(
        volume("zoo_s4096").image, disk(tmp_path), layout=layout,
        limits=sbtk.limits("spc", max_segments=9),
        emit=lambda event: told.append(event) if isinstance(event, ListDone) else None,
    )  # fmt: skip
    numbers = [event.command for event in told]
    assert sorted(numbers) == list(range(told[0].commands))
    out = tmp_path / "out.img"
    assert sbtk.restore(made.set_id, to=out, check_digests=True).sound
    assert_clusters_equal("zoo_s4096", out)
    assert sbtk.verify(made.set_id).sound


def test_a_bad_block_in_one_of_many_lists_names_its_file(bad_block, tmp_path, monkeypatch):
    name, at = bad_block
    few = sbtk.limits("spc", max_segments=3)
    with pytest.raises(DeviceReadError) as caught:
        back_up(volume("zoo_s4096").image, disk(tmp_path, "a.img"), limits=few)
    assert name in one_line(caught.value)
    assert catalog_sets() == []
    told: list[Finding] = []
    made = back_up(
        volume("zoo_s4096").image, disk(tmp_path, "b.img"), limits=few, on_error="skip",
        emit=lambda event: told.append(event) if isinstance(event, Finding) else None,
    )  # fmt: skip
    assert made.stop.status == "flawed"
    assert all(name in item.message for item in told if item.code == "unreadable-block")
    monkeypatch.undo()
    (check,) = sbtk.verify(made.set_id).checks
    assert check.mismatches == 0
    out = tmp_path / "out.img"
    sbtk.restore(made.set_id, to=out)
    source, restored = volume("zoo_s4096").image.read_bytes(), out.read_bytes()
    assert restored[at - 4096 : at] == source[at - 4096 : at]
    assert not any(restored[at : at + 512])
