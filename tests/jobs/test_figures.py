"""What a backup tells: which way every byte took, and that it is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import sbtk
from sbtk.events import ListDone, PlanMade, RunStart, RunStop, StageDone
from sbtk.ntfs.layout import AttributeType
from tests.corpus import volume
from tests.jobs.jobs import back_up, disk, tape

MB = 1_000_000


def metadata_bytes(name: str) -> int:
    """Bytes of $MFT and $Bitmap."""
    with sbtk.open_volume(volume(name).image) as opened:
        streams = opened.streams
    found = 0
    for row in streams.to_pylist():
        if row["record"] in (0, 6) and row["attribute_type"] == AttributeType.DATA:
            found += row["data_bytes"]
    return found


@pytest.mark.parametrize("medium", ["tape", "disk"])
@pytest.mark.parametrize("name", ["zoo", "zoo_c512", "zoo_c65536", "zoo_s4096"])
def test_no_data_pass_the_host(name, medium, tmp_path):
    """Image layout: metadata read <= $MFT + $Bitmap + 1 MB; commands and headers <= 1 MB."""
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    stop = back_up(volume(name).image, to).stop
    assert stop.host_data_bytes == 0
    assert stop.metadata_bytes <= metadata_bytes(name) + MB
    assert 0 < stop.command_bytes + stop.inline_bytes <= MB
    # The mover's own counters: it read what it moved, and wrote that and the headers.
    assert stop.mover_read_bytes == stop.moved_bytes
    assert stop.moved_bytes <= stop.mover_write_bytes <= stop.moved_bytes + stop.inline_bytes


NO_PANDAS = """
import sys, sbtk
sbtk.backup(sys.argv[1], to=sys.argv[2], snapshot="none", quiet_s=0.01, timeout_s=60)
print("pandas" in sys.modules)
"""


def test_a_backup_does_not_import_pandas(tmp_path):
    """It takes as long as the scan and the plan of a small volume."""
    words = [sys.executable, "-c", NO_PANDAS, str(volume("zoo").image), tape(tmp_path)]
    state = os.environ | {"SBTK_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(words, capture_output=True, text=True, env=state, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_events_are_kept_and_account_for_the_time(tmp_path):
    events = []
    result = back_up(volume("zoo").image, tape(tmp_path), emit=events.append)
    kinds = [type(event) for event in events]
    assert kinds[0] is RunStart
    assert kinds[-1] is RunStop
    (plan,) = [event for event in events if isinstance(event, PlanMade)]
    lists = [event for event in events if isinstance(event, ListDone)]
    assert [item.command for item in lists] == list(range(len(lists)))
    assert sum(item.moved_bytes for item in lists) == plan.moved_bytes == result.stop.moved_bytes
    stages = [event for event in events if isinstance(event, StageDone)]
    assert [item.stage for item in stages] == ["view", "scan", "plan", "copy", "closing", "catalog"]
    assert 0 < sum(item.took_s for item in stages) <= result.stop.took_s
    kept = [json.loads(line) for line in (result.folder / "events.jsonl").read_text().splitlines()]
    assert [item["event"] for item in kept] == [
        event.kind for event in events if event.kind != "progress"
    ]
    assert kept[-1]["moved_bytes"] == result.stop.moved_bytes
