"""``sbtk sets``: the catalog's sets, and those on a medium."""

from __future__ import annotations

import json

import pytest

from sbtk.cli.app import VERBS
from tests.catalog.made import back_up, disk, tape
from tests.cli.running import run
from tests.state import state_dir

__all__ = ["state_dir"]


@pytest.fixture
def cartridge(tmp_path) -> str:
    return f"tape:{tape(tmp_path / 'a.tape')}"


def test_the_catalog_is_listed_newest_last(capsys, tmp_path, cartridge):
    first = back_up(cartridge).set_id
    second = back_up(str(disk(tmp_path / "a.disk")), layout="files").set_id
    ended = run(capsys, "sets")
    assert ended.code == 0
    assert len(ended.lines) == 3
    rows = [line.split() for line in ended.lines]
    assert rows[0] == ["set", "state", "layout", "archive", "volume", "medium"]
    assert [row[0] for row in rows[1:]] == [first, second]
    assert f"office  {cartridge} file 1" in ended.out
    assert ended.out.rstrip().endswith("a.disk")
    ended = run(capsys, "sets", "--json")
    values = [json.loads(line) for line in ended.lines]
    assert {(item["event"], item["status"], item["layout"]) for item in values} == {
        ("set", "complete", "image"), ("set", "complete", "files"),
    }  # fmt: skip
    assert all(item["archive_bytes"] > 1 << 20 and "manifest" not in item for item in values)


def test_an_empty_catalog_says_what_to_do(capsys):
    ended = run(capsys, "sets")
    assert (ended.code, ended.lines) == (0, ["No sets yet. `sbtk backup SRC --to LOC` makes one"])
    assert run(capsys, "sets", "--json").out == ""


def test_a_medium_is_read_and_held_against_the_catalog(capsys, state_dir, cartridge):
    name = back_up(cartridge).set_id
    ended = run(capsys, "sets", cartridge)
    assert name in ended.lines[1]
    assert ended.lines[2] == f"1 set on {cartridge}"
    (state_dir / "catalog").rename(state_dir / "gone")
    ended = run(capsys, "sets", cartridge)
    assert ended.lines[2] == (
        f"1 set on {cartridge}, 1 not in the catalog: `sbtk catalog rebuild {cartridge}`"
    )
    (line,) = run(capsys, "sets", cartridge, "--json").lines
    assert (json.loads(line)["known"], json.loads(line)["damage"]) == (False, "")


def test_a_location_that_is_not_there_is_one_line(capsys, tmp_path):
    ended = run(capsys, "sets", f"tape:{tmp_path}/none.tape")
    assert ended.code == 12
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1


def test_the_verbs_are_listed():
    assert {"sets", "catalog", "report", "demo"} <= set(VERBS)
