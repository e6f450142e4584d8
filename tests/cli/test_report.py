"""``sbtk report``: the list of runs, and a page of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sbtk.jobs.verify import verify
from tests.catalog.made import back_up, tape
from tests.cli.running import run
from tests.report import runs
from tests.report.test_page import Page
from tests.state import state_dir

__all__ = ["state_dir"]


@pytest.fixture
def backed_up(tmp_path):
    return back_up(f"tape:{tape(tmp_path / 'a.tape')}")


def test_runs_are_listed_and_one_becomes_a_page(capsys, backed_up):
    verified = verify(backed_up.set_id)
    ended = run(capsys, "report")
    rows = [line.split() for line in ended.lines[1:]]
    assert [row[:3] for row in rows] == [
        [backed_up.run_id, "backup", "done"], [verified.run_id, "verify", "done"],
    ]  # fmt: skip
    ended = run(capsys, "report", backed_up.run_id)
    assert ended.code == 0
    path = Path(ended.lines[0])
    assert path == backed_up.folder / "report.html"
    page = Page(path.read_text())
    stop = backed_up.stop
    assert backed_up.set_id in page.text
    assert f"{stop.moved_bytes:,}" in page.text
    assert f"{stop.metadata_bytes:,}" in page.text
    assert "“office”" in page.text  # from the set's manifest, which the catalog keeps
    assert "0 B of file data through this server" in ended.lines[1]
    assert Path(run(capsys, "report", "last").lines[0]) == verified.folder / "report.html"


def test_a_folder_is_enough(capsys, tmp_path):
    folder = runs.write(tmp_path / "run", runs.backup())
    out = tmp_path / "page.html"
    ended = run(capsys, "report", folder, "--out", out, "--json")
    values = json.loads(ended.out)
    assert (values["event"], values["path"]) == ("report", str(out))
    assert values["run_stop"]["moved_bytes"] == 2_206_000_000
    assert "2.05 GiB" in Page(out.read_text()).text
    assert not (folder / "report.html").exists()


def test_what_cannot_be_done_is_one_line(capsys, tmp_path):
    folder = runs.write(tmp_path / "run", runs.backup())
    (tmp_path / "empty").mkdir()
    for words, code, text in (
        (["nonsense"], 52, "the catalog knows no run 'nonsense'"),
        (["last"], 52, "the catalog has no run yet"),
        ([tmp_path / "empty"], 55, "is no folder of a run"),
        ([folder, "--out", tmp_path / "no" / "folder.html"], 15, "cannot be written"),
    ):
        ended = run(capsys, "report", *words)
        assert (ended.code, ended.out) == (code, "")
        assert text in ended.err
        assert len(ended.err.splitlines()) == 1
    assert list(folder.iterdir()) == [folder / "events.jsonl"]
    assert run(capsys, "report").lines == ["No runs yet"]
