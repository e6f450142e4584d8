"""``sbtk plan``: what is shown, saved, shown again, and refused."""

import json

import pytest

from sbtk.errors import VolumeDamagedError
from sbtk.plan.check import find_faults
from sbtk.plan.store import from_bytes, to_bytes
from tests.cli.running import run
from tests.corpus import volume


@pytest.fixture(scope="module")
def image():
    return volume("zoo").image


def test_shows_commands_bytes_seconds_and_what_limits_cost(capsys, image, tmp_path):
    ended = run(capsys, "plan", image, "--to", f"tape:{tmp_path / 'a.tape'}", "--profile", "lio")
    assert ended.code == 0
    for word in ("Commands", "Segments", "By the mover", "By the host", "Predicted", "Records"):
        assert word in ended.out
    assert "with 64 segments a list: " in ended.out
    assert not (tmp_path / "a.tape").exists()


def test_a_saved_plan_is_the_same_plan(capsys, image, tmp_path):
    saved = tmp_path / "a.sbtkplan"
    words = ("plan", image, "--to", tmp_path / "x.img", "--layout", "files", "--json")
    first = run(capsys, *words, "--out", saved)
    shown = json.loads(first.lines[-1])
    assert shown.pop("out") == str(saved)
    again = json.loads(run(capsys, "plan", saved, "--json").lines[-1])
    assert again == shown
    assert shown["layout"] == "files"
    assert shown["moved_bytes"] == shown["selected_bytes"]
    plan = from_bytes(saved.read_bytes())
    assert find_faults(plan) == []
    assert to_bytes(plan) == saved.read_bytes()


def test_globs_leave_data_out(capsys, image, tmp_path):
    def planned(*words):
        ended = run(capsys, "plan", image, "--to", tmp_path / "x", "--json", *words)
        assert ended.code == 0, ended.err
        return json.loads(ended.lines[-1])

    whole = planned()
    less = planned("--exclude", "fragmented.bin")
    few = planned("--include", "plain/*")
    assert few == planned("--include", "pl*in/**") == planned("--include", "p*a*n/*")
    assert few["moved_bytes"] < less["moved_bytes"] < whole["moved_bytes"]
    assert less["notes"]["left_out_files"] == 1


def test_profiles_take_single_numbers(capsys, image, tmp_path):
    words = ("plan", image, "--to", tmp_path / "x", "--json", "--profile")
    ended = json.loads(run(capsys, *words, "spc,max_segments=10").lines[-1])
    whole = json.loads(run(capsys, *words, "spc").lines[-1])
    assert ended["commands"] > 100 * whole["commands"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--to", "x", "--profile", "nope"), 2, "no profile"),
        (("--to", "x", "--profile", "spc,max_segments=many"), 2, "is no limit"),
        ((), 2, "needs a target"),
        (("--to", "/"), 11, "is no disk"),
        (("--to", "/dev/null"), 11, "is no disk"),
        (("--to", "tape:x", "--layout", "mirror"), 50, "no mirror"),
        (("--to", "x", "--include", "nothing-like-this"), 50, "no file matches"),
        (("--to", "tape:x", "--record-bytes", "256"), 50, "cannot hold"),
        (("--to", "x", "--profile", "spc,max_list_bytes=80"), 50, "leave no room"),
        (("--to", "x", "--out", "/nowhere/plan"), 15, "cannot be written"),
        (("--to", "x", "--out", "/dev/null"), 15, "no file"),
        (("--to", "x", "--calibration", "/dev/stdin"), 50, "no file"),
    ],
)
def test_what_cannot_be_is_one_line(capsys, image, words, code, text):
    ended = run(capsys, "plan", image, *words)
    assert ended.code == code
    assert text in ended.err
    assert ended.err.count("\n") == 1


def test_a_damaged_plan_is_refused(capsys, image, tmp_path):
    saved = tmp_path / "a.sbtkplan"
    run(capsys, "plan", image, "--to", tmp_path / "x.img", "--out", saved)
    content = saved.read_bytes()
    for cut in (600, len(content) // 2, len(content) - 3000):
        saved.write_bytes(content[:cut])
        ended = run(capsys, "plan", saved)
        assert (ended.code, ended.err.count("\n")) == (50, 1)


def test_a_volume_that_is_cut_off_is_named_for_what_it_is(capsys, image, tmp_path):
    cut = tmp_path / "cut.img"
    with cut.open("wb") as file:
        file.write(image.read_bytes()[: image.stat().st_size // 2])
    ended = run(capsys, "plan", cut, "--to", tmp_path / "x")
    assert ended.code == VolumeDamagedError.exit_code
    assert "cut off: the LUN ends after" in ended.err
