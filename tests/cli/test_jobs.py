"""sbtk backup, verify, restore, extract, resume at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.corpus import volume
from tests.jobs.jobs import tape
from tests.state import state_dir

__all__ = ["state_dir"]

QUICK = ("--snapshot", "none", "--quiet-s", "0.01", "--timeout-s", "60")


@pytest.fixture
def backed_up(capsys, tmp_path) -> str:
    ended = run(capsys, "backup", volume("tiny").image, "--to", tape(tmp_path), *QUICK)
    assert ended.code == 0, ended.err
    assert "moved by the mover" in ended.out
    assert "file data through us  0 B" in ended.out
    return ended.lines[0].split()[1]


def test_backup_verify_restore_extract(backed_up, capsys, tmp_path):
    verified = run(capsys, "verify", "last")
    assert verified.code == 0
    assert "set, by the mover: equal" in verified.out
    restored = run(capsys, "restore", backed_up, "--to", tmp_path / "out.img", "--verify")
    assert restored.code == 0
    assert "lun, by the mover: equal" in restored.out
    row = next(item for item in volume("tiny").manifest if "sha256" in item and item["size"] > 5000
               and not item["path"].startswith("$"))  # fmt: skip
    extracted = run(capsys, "extract", "last", row["path"], "--to", tmp_path / "x")
    assert extracted.code == 0
    assert "came through this host" in extracted.out
    assert (tmp_path / "x" / row["path"]).stat().st_size == row["size"]


def test_json_is_events_as_lines(backed_up, capsys):
    ended = run(capsys, "verify", backed_up, "--json")
    events = [json.loads(line) for line in ended.lines]
    assert [events[0]["event"], events[-1]["event"]] == ["run_start", "run_stop"]
    assert "checked" in [event["event"] for event in events]
    assert events[-1]["exit_code"] == ended.code == 0


def test_a_damaged_set_ends_with_findings(backed_up, capsys, tmp_path):
    path = tmp_path / "a.tape"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    ended = run(capsys, "verify", backed_up)
    assert ended.code == 1
    assert "1 DIFFER" in ended.out


def test_a_target_that_holds_a_volume_asks_for_its_name(backed_up, capsys, tmp_path):
    held = tmp_path / "held.img"
    held.write_bytes(volume("tiny").image.read_bytes())
    ended = run(capsys, "restore", backed_up, "--to", held)
    assert ended.code == 58
    assert ended.err.count("\n") == 1
    assert "--yes held.img" in ended.err
    assert run(capsys, "restore", backed_up, "--to", held, "--yes", "held.img").code == 0


def test_what_cannot_be_resumed_says_why(backed_up, capsys):
    ended = run(capsys, "resume", "last")
    assert ended.code == 55
    assert "has ended" in ended.err


def test_an_unknown_set(capsys):
    ended = run(capsys, "restore", "nothing", "--to", "/dev/null")
    assert ended.code == 52
    assert Path("/dev/null").exists()
