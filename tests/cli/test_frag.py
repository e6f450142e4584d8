"""``sbtk frag``: one screen, the same numbers as JSON, groups."""

import json
import re

import pytest

from sbtk import samples
from sbtk.volume import open_volume
from tests.cli.running import run, run_on_terminal
from tests.corpus import volume

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def image():
    return volume("zoo").image


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_a_screen(image, columns):
    code, sent = run_on_terminal("frag", image, "--progress", "none", columns=columns)
    lines = ANSI.sub("", sent).splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 23
    for word in ("Score", "Files", "Fragments", "Seeks", "$MFT", "Free", "worst files"):
        assert any(word in line for line in lines), word
    assert any(line.endswith("fragmented.bin") for line in map(str.rstrip, lines))


def test_json_has_the_numbers_of_the_screen(capsys, image):
    (line,) = run(capsys, "frag", image, "--json", "--worst", 2).lines
    document = json.loads(line)
    text = run(capsys, "frag", image).out
    assert f"{document['score']:.1f} of 100" in text
    assert f"{document['files']:,} with clusters" in text
    assert sum(row["files"] for row in document["histogram"]) == document["files"]
    assert sum(row["runs"] for row in document["free_histogram"]) == document["free_runs"]
    assert document["worst"][0]["path"] == "fragmented.bin"
    assert len(document["worst"]) == 2
    with open_volume(image) as opened:
        assert document["seeks"] == opened.extents.fragmentation().streams["seeks"].sum()


@pytest.mark.parametrize("by", ["folder", "extension", "age", "size"])
def test_groups_hold_every_file(capsys, image, by):
    document = json.loads(run(capsys, "frag", image, "--by", by, "--json").out)
    assert sum(group["files"] for group in document["groups"]) == document["files"]
    assert all(group[by] for group in document["groups"])
    lines = run(capsys, "frag", image, "--by", by).lines
    assert lines[0].split()[-1] == by
    assert len(lines) == len(document["groups"]) + 1


def test_a_faster_disk_has_a_lower_score(capsys, image):
    disk, ssd = (
        json.loads(run(capsys, "frag", image, "--json", "--seek-ms", cost).out)["score"]
        for cost in ("8", "0.1")
    )
    assert ssd < disk
    for words in (("--rate", "fast"), ("--seek-ms", "inf"), ("--seek-ms", "nan")):
        assert run(capsys, "frag", image, *words).code == 2


def test_a_volume_without_fragments_has_no_worst_files(capsys):
    ended = run(capsys, "frag", samples.unpack("camera.mbr"), "--worst", 0)
    assert ended.code == 0
    assert "worst files" not in ended.out
