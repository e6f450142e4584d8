"""``sbtk quiet`` and ``sbtk snapshot``: exit codes, one-line errors, JSON, cleaning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sbtk.snapshot import records
from tests.cli.running import run
from tests.loopfs import loop_fs
from tests.state import state_dir  # noqa: F401 - a fixture

QUICK = ("--quiet-s", "0.2", "--timeout-s", "3")


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return path


def test_quiet_tells_what_it_saw_and_what_it_cannot_see(image, capsys):
    ended = run(capsys, "quiet", image, "--snapshot", "none", *QUICK)
    assert ended.code == 0
    assert f"{image} was quiet for 2" in ended.lines[0]
    assert "blind to" in ended.out
    assert "memory map" in ended.out


def test_quiet_as_json_is_events_and_the_report(image, capsys):
    ended = run(capsys, "quiet", image, "--snapshot", "none", "--json", *QUICK)
    events = [json.loads(line) for line in ended.lines]
    kinds = [event["event"] for event in events]
    assert ended.code == 0
    assert {"quiet", "quiet_state", "flush", "snapshot"} <= set(kinds)
    assert kinds[-1] == "quiet_report"
    assert events[-1]["samples"] == kinds.count("quiet")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("{image}",), 45, "--snapshot none"),
        (("{image}", "--snapshot", "zfs"), 2, "There are overlay"),
        (("{image}", "--snapshot", "none", "--quiet-s", "0"), 2, "cannot come to pass"),
        (("{image}", "--snapshot", "command"), 2, "SBTK_SNAPSHOT_CREATE"),
        (("{image}", "--snapshot", "none", "--hook", "'open"), 2, "--hook"),
        (("{image}", "--snapshot", "none", "--hook", "false"), 43, "status 1"),
        (("{image}", "--cap", "much"), 2, "is no size"),
        (("{image}.not",), 12, "does not exist"),
        (("{folder}", "--snapshot", "none"), 41, "no write counter"),
    ],
)
def test_errors_are_one_line_with_the_next_step(image, tmp_path, capsys, words, code, text):
    with loop_fs("ext4", tmp_path) as fs:
        plain = fs.path / "disk.img"
        plain.write_bytes(image.read_bytes())
        filled = [word.format(image=plain, folder=fs.path) for word in words]
        ended = run(capsys, "quiet", *filled)
    assert (ended.code, ended.out) == (code, "")
    assert text in ended.err
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("sbtk: ")


def test_a_writer_that_does_not_stop_is_exit_code_40(image, capsys):
    script = "import os, sys\nfd = os.open(sys.argv[1], 2)\nwhile True: os.pwrite(fd, b'x', 0)"
    busy = subprocess.Popen([sys.executable, "-c", script, image])
    try:
        ended = run(capsys, "quiet", image, "--snapshot", "none", "--quiet-s", "1",
                    "--timeout-s", "1.2", "--progress", "lines")  # fmt: skip
    finally:
        busy.kill()
        busy.wait()
    assert ended.code == 40
    assert "waiting for quiet" in ended.err
    assert "Stop what writes to it" in ended.err.splitlines()[-1]


@pytest.mark.root
def test_snapshots_of_killed_runs_are_listed_and_cleaned(tmp_path, capsys):
    assert run(capsys, "snapshot", "list").lines == ["0 snapshots, 0 left over"]
    with loop_fs("xfs", tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(bytes(1 << 20))
        script = (
            "import sys, time\nfrom sbtk.quiesce.static_view import static_view\n"
            "with static_view(sys.argv[1], quiet_s=0.1):\n    print('up', flush=True)\n"
            "    time.sleep(60)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, image], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "up\n"
        ended = run(capsys, "snapshot", "list")
        assert "in use" in ended.lines[0]
        name = ended.lines[0].split()[0]
        ended = run(capsys, "snapshot", "clean", name)
        assert (ended.code, len(os.listdir(fs.path))) == (43, 2)
        assert "in use" in ended.err

        process.send_signal(signal.SIGKILL)
        process.communicate()
        (row,) = map(json.loads, run(capsys, "snapshot", "list", "--json").lines)
        assert (row["id"], row["state"], row["provider"]) == (name, "left over", "reflink")
        ended = run(capsys, "snapshot", "clean", "--all")
        assert (ended.code, ended.lines) == (0, [f"{name}  removed"])
        assert os.listdir(fs.path) == ["disk.img"]
    assert records.records() == []


def test_clean_wants_names_and_forgets_what_was_removed_by_hand(capsys):
    assert run(capsys, "snapshot", "clean").code == 2
    assert run(capsys, "snapshot", "clean", "x").code == 2
    records.write(records.Record("b1", "command", "x", {"delete": ["false"]}, boot="earlier"))
    ended = run(capsys, "snapshot", "clean", "--all")
    assert ended.code == 43
    assert "--forget" in ended.err
    assert len(records.records()) == 1
    ended = run(capsys, "snapshot", "clean", "b1", "--forget", "--json")
    assert json.loads(ended.out)["state"] == "forgotten"
    assert records.records() == []
