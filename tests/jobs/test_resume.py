"""A killed job goes on at its first unfinished list, or fails with the reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sbtk
from sbtk.catalog.store import Catalog
from sbtk.errors import JobError
from sbtk.events import ListDone
from sbtk.settings import settings
from tests.corpus import volume
from tests.jobs.jobs import assert_clusters_equal, assert_mounts_equal, back_up, disk, tape
from tests.jobs.test_safety import catalog_sets, sets_on

KILLED = """
import os, sys
import sbtk
verb, name, to, at, limits = sys.argv[1:]
limits = sbtk.limits("spc", max_segments=int(limits)) if limits.isdigit() else limits
def emit(event):
    if event.kind == "list_done" and event.command == int(at):
        os.kill(os.getpid(), 9)
if verb == "backup":
    sbtk.backup(name, to=to, snapshot="none", quiet_s=0.01, timeout_s=60, paging_files=True,
                limits=limits, emit=emit)
else:
    sbtk.restore(name, to=to, limits=limits, emit=emit)
"""


def killed(verb: str, name: str, to: str, at: int, segments: int | str = 300) -> None:
    """Run a job in a process that is killed behind list ``at``."""
    words = [sys.executable, "-c", KILLED, verb, name, to, str(at), str(segments)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def ended_lists() -> set[int]:
    """What the journal of the only run says has ended."""
    (lists,) = settings().state_dir.glob("runs/*/lists.jsonl")
    return {json.loads(line).get("ended", -1) for line in lists.read_text().splitlines()}


@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_a_killed_backup_goes_on(medium, at, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    killed("backup", str(volume("zoo").image), to, at)
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []
    ended = ended_lists()
    done: list[ListDone] = []
    result = sbtk.resume(
        "last", emit=lambda event: done.append(event) if isinstance(event, ListDone) else 0
    )
    assert result.stop.status == "done"
    # Every list that had not ended, and none that had; on disk they end in any order.
    numbers = sorted(event.command for event in done)
    assert numbers == [item for item in range(done[0].commands) if item not in ended]
    if medium == "tape":
        assert at <= numbers[0] <= at + 1  # the line of the list that ended last may be missing
    assert sbtk.verify(result.set_id).sound
    out = tmp_path / "out.img"
    assert sbtk.restore(result.set_id, to=out, check_digests=True).sound
    assert_clusters_equal("zoo", out)
    assert_mounts_equal("zoo", out)


@pytest.mark.parametrize("at", [2, 40])
def test_a_killed_backup_of_one_segment_a_list_goes_on(at, tmp_path):
    """With the limits of lio not even the set's first member is whole when it is killed early."""
    killed("backup", str(volume("tiny").image), tape(tmp_path), at, "lio")
    result = sbtk.resume("last")
    assert result.stop.status == "done"
    assert sbtk.verify(result.set_id).sound
    out = tmp_path / "out.img"
    assert sbtk.restore(result.set_id, to=out).sound
    assert_clusters_equal("tiny", out)


def test_a_set_written_meanwhile_is_not_overwritten_by_going_on(tmp_path):
    to = tape(tmp_path)
    killed("backup", str(volume("zoo").image), to, 4)
    first = run_ids()[0]
    other = back_up(volume("tiny").image, to)
    with pytest.raises(JobError, match="another set written behind"):
        sbtk.resume(first)
    assert sbtk.verify(other.set_id).sound
    on_disk = disk(tmp_path)
    killed("backup", str(volume("zoo").image), on_disk, 0)
    second = run_ids()[-1]
    other = back_up(volume("tiny").image, on_disk)
    journal = settings().state_dir / "runs" / second / "lists.jsonl"
    for lines in (journal.read_text(), ""):  # some lists ended, or none that is known of
        journal.write_text(lines)
        with pytest.raises(JobError, match="does not hold"):
            sbtk.resume(second)
        assert sbtk.verify(other.set_id).sound


def run_ids() -> list[str]:
    """Names of the backups that were killed, the first one first."""
    with Catalog.open() as catalog:
        runs = [item for item in catalog.runs() if item.status == "running"]
    return [item.run_id for item in sorted(runs, key=lambda item: item.started_s)]


@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_a_killed_restore_goes_on(medium, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    made = back_up(volume("zoo").image, to)
    out = tmp_path / "out.img"
    killed("restore", made.set_id, str(out), 3)
    result = sbtk.resume("last")
    assert result.stop.status == "done"
    assert_clusters_equal("zoo", out)
    assert_mounts_equal("zoo", out)


def test_a_source_that_was_written_to_is_not_resumed(tmp_path):
    image = tmp_path / "live.img"
    shutil.copyfile(volume("zoo").image, image)
    image.chmod(0o644)
    killed("backup", str(image), tape(tmp_path), 2)
    with image.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"changed")
    with pytest.raises(JobError, match="written to since"):
        sbtk.resume("last")
    assert catalog_sets() == []


def test_a_tape_with_something_else_on_it_is_not_resumed(tmp_path):
    to = tape(tmp_path)
    killed("backup", str(volume("zoo").image), to, 4)
    path = Path(to.removeprefix("tape:"))
    for item in tmp_path.glob("a.tape*"):
        item.unlink()
    tape(tmp_path)
    with pytest.raises(JobError, match="does not hold"):
        sbtk.resume("last")
    assert path.exists()


def test_what_has_ended_is_not_resumed(tmp_path):
    back_up(volume("tiny").image, tape(tmp_path))
    with pytest.raises(JobError, match="has ended"):
        sbtk.resume("last")


@pytest.mark.parametrize(
    ("number", "trigger", "says"),
    [
        (signal.SIGINT, '"run_start"', "cancelled"),
        (signal.SIGINT, '"event":"quiet"', "cancelled"),
        (signal.SIGTERM, '"event":"quiet"', "stopped by SIGTERM"),
    ],
)
def test_a_signal_before_the_copy_ends_it_in_one_line(number, trigger, says, tmp_path):
    to = disk(tmp_path)
    words = [sys.executable, "-m", "sbtk", "backup", volume("tiny").image, "--to", to,
             "--snapshot", "none", "--quiet-s", "70", "--json"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if trigger in line:
            break
    process.send_signal(number)
    rest, said = process.communicate(timeout=120)
    assert process.returncode == 3
    assert said == f"sbtk: {says}\n"
    assert '"status":"cancelled"' in rest
    with Catalog.open() as catalog:
        assert [item.status for item in catalog.runs()] == ["cancelled"]
    assert not any(Path(to).read_bytes())


def test_ctrl_c_aborts_the_copy(tmp_path):
    """SIGINT at the command line: code 3, the copy aborted, no set."""
    to = tape(tmp_path)
    words = [sys.executable, "-m", "sbtk", "backup", volume("zoo").image, "--to", to,
             "--snapshot", "none", "--quiet-s", "0.01", "--profile", "spc,max_segments=1",
             "--json"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=dict(os.environ))  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if '"list_done"' in line:
            break
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert said == "sbtk: cancelled\n"
    assert time.monotonic() - began < 30
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []
