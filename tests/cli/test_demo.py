"""``sbtk demo``: the whole story, told once as text and once as JSON; its proofs can fail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sbtk import samples
from sbtk.demo import story
from sbtk.demo.proofs import compare_with_tar, compare_with_truth, flip_one_byte
from sbtk.errors import JobError
from sbtk.jobs.restore import restore
from sbtk.settings import settings
from tests.catalog.made import back_up, tape
from tests.cli.running import SBTK, run
from tests.report.test_page import Page
from tests.state import state_dir

__all__ = ["state_dir"]

STEPS = [
    "sample", "quiet", "plan", "backup", "restore", "tar", "verify", "damage", "extract", "report",
]  # fmt: skip


def test_the_whole_story(tmp_path, state_dir):
    folder = tmp_path / "demo"
    told = subprocess.run(
        [*SBTK, "demo", "--dir", folder, "--progress", "none"],
        capture_output=True, text=True, check=True, timeout=170,
    )  # fmt: skip
    lines = told.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(STEPS)]] == STEPS
    for words in (
        "3 s without one", "the write counter had not moved",
        "0 B of file data through this server",
        "87 files and 3 named streams have the SHA-256", "24.0 MiB byte for byte", "no difference",
        "1 damaged piece found", "29.3 KiB",
    ):  # fmt: skip
        assert words in told.stdout, words
    page = Page((folder / "report-backup.html").read_text())
    assert "Nothing was written for 3 s" in page.text
    assert "made by the data mover" in page.text
    for verb in ("restore", "verify", "extract"):
        assert (folder / f"report-{verb}.html").exists()
    contract = "Documents/contract.pdf"
    truth = json.loads((samples.FOLDER / "office.ntfs.truth.json").read_text())
    (expected,) = (item["sha256"] for item in truth["paths"] if item["path"] == contract)
    done = subprocess.run(
        ["sha256sum", folder / "extracted" / contract], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == expected
    assert list(state_dir.iterdir()) == []  # nothing of it in the user's catalog


def test_json_and_a_temporary_folder(capsys, monkeypatch, tmp_path, state_dir):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(story, "BURST_S", 0.3)
    short = story.tell
    monkeypatch.setattr(story, "tell", lambda *a, **k: short(*a, quiet_s=0.3, **k))
    ended = run(capsys, "demo", "--json")
    assert ended.code == 0
    events = [json.loads(line) for line in ended.lines]
    steps = [event for event in events if event["event"] == "demo_step"]
    assert [step["name"] for step in steps] == STEPS
    assert all(step["did"] and step["took_s"] >= 0 for step in steps)
    kinds = {event["event"] for event in events}
    assert {"run_start", "quiet", "snapshot", "plan", "list_done", "checked", "run_stop"} <= kinds
    stops = [event for event in events if event["event"] == "run_stop"]
    assert [stop["verb"] for stop in stops] == ["backup", "restore", "verify", "verify", "extract"]
    report = Path(events[-1]["report"])
    assert report.is_relative_to(tmp_path)
    kept = sorted(path.name for path in report.parent.iterdir())
    assert kept == ["extracted", *(f"report-{v}.html" for v in sorted({s["verb"] for s in stops}))]
    assert settings().state_dir == state_dir


def test_a_folder_that_holds_something_is_left_alone(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("the only copy")
    ended = run(capsys, "demo", "--dir", tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "is not empty" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    ended = run(capsys, "demo", "--dir", tmp_path / "thesis.txt")
    assert ended.code == 11


def test_a_demo_that_fails_leaves_no_temporary_folder(capsys, monkeypatch, tmp_path, state_dir):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(story, "BURST_S", 5.0)
    whole = story.tell
    in_haste = {"quiet_s": 0.5, "timeout_s": 1.0}
    monkeypatch.setattr(story, "tell", lambda *a, **k: whole(*a, **in_haste, **k))
    ended = run(capsys, "demo")
    assert ended.code == 40  # the workstation did not pause
    assert ended.lines[0].startswith("sample")
    assert len(ended.lines) == 1
    assert list(tmp_path.iterdir()) == []
    assert settings().state_dir == state_dir


# -- proofs that can fail ----------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path) -> Path:
    path = tmp_path / "copy.img"
    path.write_bytes(samples.unpack("office.ntfs").read_bytes())
    return path


def test_a_changed_file_is_noticed(copy):
    assert compare_with_truth(copy, "office.ntfs", changed={}, holes=[]) == (87, 3)
    other = {"Documents/contract.pdf": b"other"}
    with pytest.raises(JobError, match=r"Documents/contract\.pdf is not what it was"):
        compare_with_truth(copy, "office.ntfs", changed=other, holes=[])
    with pytest.raises(JobError, match=r"pagefile\.sys is not what it was"):
        compare_with_truth(copy, "office.ntfs", changed={}, holes=["pagefile.sys"])


def test_a_restored_volume_that_differs_from_the_tape_is_noticed(tmp_path):
    path, restored = tape(tmp_path / "a.tape"), tmp_path / "restored.img"
    restore(back_up(f"tape:{path}").set_id, to=restored)
    assert compare_with_tar(path, restored, tmp_path) == 24 << 20
    content = bytearray(restored.read_bytes())
    content[12 << 20] ^= 1
    restored.write_bytes(content)
    with pytest.raises(JobError, match="differs"):
        compare_with_tar(path, restored, tmp_path)


def test_what_is_not_on_the_tape_cannot_be_damaged(tmp_path):
    path = tape(tmp_path / "a.tape")
    with pytest.raises(JobError, match="does not hold"):
        flip_one_byte(path, tmp_path / "b.tape", b"something that is on no tape")
