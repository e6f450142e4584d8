"""``sbtk owner``: places in three units, ranges, standard input, and what is refused."""

import io
import json

import pytest

from sbtk import samples
from sbtk.volume import read_tables
from tests.cli.running import run
from tests.oracles.sleuthkit import records_of_cluster


@pytest.fixture(scope="module")
def office():
    return samples.unpack("office.ntfs")


def rows(ended):
    return [json.loads(line) for line in ended.lines]


def test_owners_are_those_of_ifind(capsys, office):
    tables = read_tables(office)
    lcn = [row["lcn"] for row in tables.extents.to_pylist() if row["lcn"] >= 0][::40]
    found = rows(run(capsys, "owner", office, *lcn, "--json"))
    assert [row["lcn"] for row in found] == lcn
    assert len(lcn) > 3
    for row in found:
        assert row["record"] in records_of_cluster(office, row["lcn"])


def test_text_says_owner_free_and_outside(capsys, office):
    tables = read_tables(office)
    total = tables.volume.total_clusters
    used = {
        cluster
        for row in tables.extents.to_pylist()
        if row["lcn"] >= 0
        for cluster in range(row["lcn"], row["lcn"] + row["clusters"])
    }
    free = min(set(range(total)) - used)
    ended = run(capsys, "owner", office, 0, free, total)
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[-1] for line in ended.lines] == ["owner", "$Boot", "(free)", "volume)"]
    assert ended.lines[-1].endswith("(outside the volume)")


def test_blocks_and_bytes_count_from_the_start_of_the_lun(capsys):
    location = samples.unpack("array.gpt")
    truth = json.loads((samples.FOLDER / "array.gpt.truth.json").read_text())
    assert truth
    tables = read_tables(location)
    start, sector = tables.volume.partition_start_lba, tables.volume.sector_bytes
    assert start > 0
    (by_lba,) = rows(run(capsys, "owner", location, start, "--unit", "lba", "--json"))
    assert (by_lba["lba"], by_lba["lcn"], by_lba["path"]) == (start, 0, "$Boot")
    byte = start * sector + 100
    (by_byte,) = rows(run(capsys, "owner", location, byte, "--unit", "byte", "--json"))
    assert (by_byte["path"], by_byte["file_offset_bytes"]) == ("$Boot", 100)
    (before,) = rows(run(capsys, "owner", location, start - 1, "--unit", "lba", "--json"))
    assert (before["lcn"], before["path"]) == (-1, None)
    assert "(outside the volume)" in run(capsys, "owner", location, 0, "--unit", "lba").out


def test_a_range_lists_every_file_in_it(capsys, office):
    tables = read_tables(office)
    last = tables.volume.total_clusters - 1
    found = rows(run(capsys, "owner", office, f"0-{last}", "--json"))
    real = [row for row in tables.extents.to_pylist() if row["lcn"] >= 0]
    assert [row["lcn"] for row in found] == [row["lcn"] for row in real]
    text = run(capsys, "owner", office, f"0-{last}")
    assert len(text.lines) == len(real) + 1


def test_numbers_from_standard_input(capsys, monkeypatch, office):
    monkeypatch.setattr("sys.stdin", io.StringIO("0 1\n2-3\n"))
    found = rows(run(capsys, "owner", office, "-", "--json"))
    assert [row["path"] for row in found[:2]] == ["$Boot", "$Boot"]


def test_a_saved_scan_answers_the_same(capsys, office, tmp_path):
    assert run(capsys, "scan", office, "--out", tmp_path / "saved").code == 0
    saved = run(capsys, "owner", tmp_path / "saved", 0, 5, 99, "--json")
    assert saved.out == run(capsys, "owner", office, 0, 5, 99, "--json").out


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("x7", "'x7' is neither a number nor a range"),
        ("9-3", "the range 9-3 ends before it begins"),
        ("0-99999999999", "lcn 0-99999999999 is not within the volume"),
        ("9" * 30, "is neither a number nor a range"),
    ],
)
def test_wrong_places_are_one_line(capsys, office, place, what):
    ended = run(capsys, "owner", office, place)
    assert ended.code == 2
    assert what in ended.err
    assert ended.err.count("\n") == 1
