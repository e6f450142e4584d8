"""``sbtk catalog rebuild``: what it finds, keeps and leaves out."""

from __future__ import annotations

import json
import shutil

from tests.catalog.made import back_up, disk
from tests.cli.running import run
from tests.state import state_dir

__all__ = ["state_dir"]


def test_new_then_kept(capsys, tmp_path, state_dir):
    place = str(disk(tmp_path / "a.disk"))
    name = back_up(place).set_id
    before = run(capsys, "sets", "--json").out
    shutil.rmtree(state_dir / "catalog")
    for state, count in (("new", 1), ("kept", 0)):
        ended = run(capsys, "catalog", "rebuild", place)
        assert ended.code == 0
        assert ended.lines[1].split()[:2] == [name, state]
        assert ended.lines[-1] == f"In the catalog: 1 set of {place}, {count} of them new"
        assert run(capsys, "sets", "--json").out == before
    (line,) = run(capsys, "catalog", "rebuild", place, "--json").lines
    assert json.loads(line)["state"] == "kept"


def test_an_unfinished_set_is_left_out_and_named(capsys, tmp_path, state_dir):
    place = disk(tmp_path / "a.disk")
    name = back_up(str(place)).set_id
    content = bytearray(place.read_bytes())
    content[content.rindex(b"PAR1") - 40] ^= 1
    place.write_bytes(content)
    shutil.rmtree(state_dir / "catalog")
    ended = run(capsys, "catalog", "rebuild", place)
    assert ended.code == 0
    assert f"{name} is left out: the set's digests are damaged" in ended.out
    assert ended.lines[-1] == f"In the catalog: 0 sets of {place}, 0 of them new"
    assert "No sets yet" in run(capsys, "sets").out
    assert "unfinished" in run(capsys, "sets", place).out


def test_it_needs_a_location(capsys):
    assert run(capsys, "catalog").code == 2
    assert run(capsys, "catalog", "rebuild").code == 2
    ended = run(capsys, "catalog", "rebuild", "/nowhere/at/all")
    assert (ended.code, len(ended.err.splitlines())) == (12, 1)
