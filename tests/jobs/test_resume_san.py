"""A backup over the network that is killed goes on with the snapshot that its mover still keeps."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

import sbtk
from sbtk.errors import SbtkError
from sbtk.events import ListDone
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.scsi.iscsi_login import Access
from sbtk.scsi.limits import limits
from sbtk.snapshot.records import records
from tests.corpus import volume
from tests.jobs.jobs import assert_clusters_equal, assert_mounts_equal

IQN = "iqn.2026-11.test.sbtk:resume"
KILLED = """
import os, sys
import sbtk
def emit(event):
    if event.kind == "list_done" and event.command == 2:
        os.kill(os.getpid(), 9)
sbtk.backup(sys.argv[1], to=sys.argv[2], quiet_s=0.05, timeout_s=60, paging_files=True, emit=emit)
"""


@pytest.fixture
def san(tmp_path):
    """A mover with few segments a list: the volume is LUN 0, a tape LUN 1."""
    shutil.copyfile(volume("zoo").image, tmp_path / "live")
    create_cartridge(tmp_path / "t", capacity_bytes=512 << 20)
    target = Target(
        limits("spc", max_segments=300), open_access=True, snapshots=tmp_path / "snapshots"
    )
    target.add(0, BlockLun(tmp_path / "live"))
    target.add(1, TapeLun(tmp_path / "t"))
    with Portal({IQN: PortalTarget(target, lambda _: Access())}, port=0) as portal:
        yield target, f"iscsi://{portal.address}/{IQN}"
    target.close()


def kill_in_the_middle(place: str) -> None:
    words = [sys.executable, "-c", KILLED, f"{place}/0", f"{place}/1"]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_it_goes_on_though_the_source_was_written_to_meanwhile(san, tmp_path):
    target, place = san
    kill_in_the_middle(place)
    unit = target.unit(0)
    zeros = memoryview(bytes(1 << 20))
    for lba in range(0, unit.block_count, len(zeros) // 512):
        count = min(len(zeros), (unit.block_count - lba) * 512)
        unit.write_blocks(lba, zeros[:count])
    lists: list[int] = []
    result = sbtk.resume(
        "last", emit=lambda event: lists.append(event.command) if isinstance(event, ListDone) else 0
    )
    assert result.stop.status == "done"
    assert result.stop.host_data_bytes == 0
    assert lists[0] in (2, 3)
    assert records() == []
    assert target.luns("anybody") == (0, 1)
    sbtk.restore(result.set_id, to=tmp_path / "out")
    assert_clusters_equal("zoo", tmp_path / "out")
    assert_mounts_equal("zoo", tmp_path / "out")


def test_a_snapshot_that_the_mover_has_ended_meanwhile(san):
    target, place = san
    kill_in_the_middle(place)
    assert target._snapshots is not None
    target._snapshots.close()
    with pytest.raises(SbtkError) as caught:
        sbtk.resume("last")
    assert "gone" in caught.value.line
    assert "start" in caught.value.line.lower()
