"""``sbtk diff``: real changes by ntfs-3g's own tools, saved scans, exit codes."""

import json
import shutil
import subprocess

import pytest

from sbtk import samples
from tests.cli.running import run
from tests.extents.plant import Plant


@pytest.fixture
def changed(tmp_path):
    """A copy of a sample into which ntfscp has written two files."""
    copy = tmp_path / "changed.img"
    shutil.copyfile(samples.unpack("office.ntfs"), copy)
    content = tmp_path / "content"
    content.write_bytes(b"new content\n" * 1000)
    for path in ("/report-2027.txt", "/second.txt"):
        command = ["ntfscp", "-f", str(copy), str(content), path]
        subprocess.run(command, check=True, capture_output=True)
    return copy


def events(ended, kind):
    return [row for row in map(json.loads, ended.lines) if row["event"] == kind]


def test_a_volume_does_not_differ_from_itself(capsys):
    office = samples.unpack("office.ntfs")
    ended = run(capsys, "diff", office, office, "--exit-code")
    assert ended.code == 0
    assert ended.lines[-1] == "no file and no extent differs"
    (summary,) = map(json.loads, run(capsys, "diff", office, office, "--json").lines)
    assert summary["files"] == summary["extents"] == 0


def test_a_new_file_is_named_with_its_extents(capsys, changed):
    office = samples.unpack("office.ntfs")
    ended = run(capsys, "diff", office, changed, "--json")
    assert ended.code == 0
    added = [row for row in events(ended, "file_changed") if row["added"]]
    assert [row["path"] for row in added] == ["report-2027.txt", "second.txt"]
    assert added[0]["size_bytes"] == 12_000
    mine = [row for row in events(ended, "extent_changed") if row["path"] == "report-2027.txt"]
    assert {row["lcn_before"] for row in mine} == {None}
    assert added[0]["new_clusters"] == sum(row["clusters"] for row in mine) > 0
    back = run(capsys, "diff", changed, office, "--json")
    removed = [row for row in events(back, "file_changed") if row["removed"]]
    assert [row["path"] for row in removed] == ["report-2027.txt", "second.txt"]


def test_text_and_exit_code(capsys, changed):
    office = samples.unpack("office.ntfs")
    ended = run(capsys, "diff", office, changed, "--exit-code")
    assert ended.code == 1
    assert any(line.split()[-2:] == ["added", "report-2027.txt"] for line in ended.lines)
    assert run(capsys, "diff", office, changed, "--limit", 1).lines[-1].startswith("... and ")
    assert run(capsys, "diff", office, changed).code == 0


def test_a_moved_run_and_saved_scans(capsys, tmp_path):
    office = samples.unpack("office.ntfs")
    plant = Plant(office, tmp_path / "moved.img")
    listed = (json.loads(line) for line in run(capsys, "owner", office, "0-6142", "--json").lines)
    record = next(
        row["record"]
        for row in listed
        if row["record"] >= 64
        and row["stream_name"] == "$DATA"
        and [row["clusters"]] == [clusters for _, _, clusters in plant.runs(row["record"])]
    )
    ((_, lcn, clusters),) = plant.runs(record)
    plant.set_runs(record, [(lcn + 1, clusters)])
    for image, folder in ((office, "one"), (plant.path, "two")):
        assert run(capsys, "scan", image, "--out", tmp_path / folder).code == 0
    ended = run(capsys, "diff", tmp_path / "one", tmp_path / "two", "--json")
    (file,), (extent,) = events(ended, "file_changed"), events(ended, "extent_changed")
    assert file["record"] == record
    assert file["moved_on_disk"]
    assert not file["metadata_only"]
    assert (extent["lcn_before"], extent["lcn_after"]) == (lcn, lcn + 1)


def test_other_clusters_are_refused(capsys):
    ended = run(capsys, "diff", samples.unpack("office.ntfs"), samples.unpack("camera.mbr"))
    assert ended.code == 2
    assert "these are not two scans of one volume" in ended.err
