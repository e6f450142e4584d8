"""Chosen files: on a scratch LUN that mounts, in place, extracted."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import sbtk
from sbtk.errors import LocationError, NotConfirmedError, StreamNotFoundError, TargetError
from sbtk.jobs.units import Tape
from tests.corpus import volume
from tests.jobs.jobs import MIB, back_up, disk, tape
from tests.oracles.mount import mounted


def rows_of(name: str) -> dict[str, dict]:
    return {row["path"]: row for row in volume(name).manifest}


def big_files(name: str, count: int) -> list[str]:
    """The largest plain files."""
    rows = [
        row
        for row in volume(name).manifest
        if "sha256" in row and not row["path"].startswith("$") and row["blocks"] * 512 > 16384
        and row["nlink"] == 1 and not row.get("attributes", 0) & 0x4A00
    ]  # fmt: skip
    return [row["path"] for row in sorted(rows, key=lambda row: -row["size"])[:count]]


@pytest.mark.parametrize("layout", ["image", "files"])
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_chosen_files_on_a_scratch_lun(layout, medium, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    backed = back_up(volume("zoo_c65536").image, to, layout=layout, record_bytes=65536)
    chosen = big_files("zoo_c65536", 6)[3:]
    scratch = tmp_path / "scratch.img"
    result = sbtk.restore(backed.set_id, to=scratch, files=chosen)
    assert result.sound
    rows = rows_of("zoo_c65536")
    with mounted(scratch) as root:
        for path in chosen:
            content = (root / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == rows[path]["sha256"]
        assert sorted(str(item.relative_to(root)) for item in (root / chosen[0]).parent.iterdir())
    # The mover read what was wanted and, from tape, the rest of its records; not the set.
    wanted = result.stop.moved_bytes
    assert result.stop.mover_read_bytes < backed.stop.moved_bytes
    assert wanted <= result.stop.mover_read_bytes
    if medium == "disk":
        assert result.stop.host_data_bytes == 0
    others = [path for path in big_files("zoo_c65536", 9) if path not in chosen]
    data = scratch.read_bytes()
    with sbtk.open_volume(volume("zoo_c65536").image) as opened:
        for path in others:
            runs = opened.runs_of(opened.find(path).row)
            size = opened.info.cluster_bytes
            for lcn, clusters in zip(runs.lcn.tolist(), runs.clusters.tolist(), strict=True):
                if lcn >= 0:
                    assert not any(data[lcn * size : (lcn + clusters) * size]), path


def test_only_the_wanted_records_are_read_from_the_tape(tmp_path):
    backed = back_up(volume("zoo_c65536").image, tape(tmp_path), record_bytes=65536)
    chosen = big_files("zoo_c65536", 4)[3:]
    result = sbtk.restore(backed.set_id, to=tmp_path / "s.img", files=chosen)
    touched = result.stop.moved_bytes
    runs = 200  # each run may begin and end inside a record
    assert result.stop.mover_read_bytes <= touched + 2 * 65536 * runs


def test_a_glob_without_a_file_is_an_error(tmp_path):
    backed = back_up(volume("tiny").image, tape(tmp_path))
    scratch = tmp_path / "s.img"
    with pytest.raises(StreamNotFoundError, match="no file of the set matches"):
        sbtk.restore(backed.set_id, to=scratch, files=["nowhere/*.txt"])
    assert not scratch.exists()


def test_files_in_place(tmp_path):
    live = tmp_path / "live.img"
    shutil.copyfile(volume("zoo_c65536").image, live)
    backed = back_up(live, disk(tmp_path))
    path = big_files("zoo_c65536", 1)[0]
    with sbtk.open_volume(live) as opened:
        runs = opened.runs_of(opened.find(path).row)
        at = int(runs.lcn[0]) * opened.info.cluster_bytes
    before = live.read_bytes()
    with live.open("r+b") as file:
        file.seek(at)
        file.write(b"damaged" * 100)
    with pytest.raises(NotConfirmedError, match="live volume"):
        sbtk.restore(backed.set_id, to=live, files=[path], in_place=True)
    result = sbtk.restore(backed.set_id, to=live, files=[path], in_place=True, yes="live.img")
    assert result.sound
    assert live.read_bytes() == before


def test_in_place_refuses_a_file_that_moved(tmp_path):
    live = tmp_path / "live.img"
    shutil.copyfile(volume("zoo_c65536").image, live)
    backed = back_up(live, disk(tmp_path))
    path = big_files("zoo_c65536", 1)[0]
    mount = tmp_path / "mnt"
    mount.mkdir()
    from tests.loopfs import ntfs_3g

    with ntfs_3g(live, mount) as root:
        content = (root / path).read_bytes()
        (root / path).unlink()
        (root / path).write_bytes(content)
    before = live.read_bytes()
    with pytest.raises(TargetError, match="moved, changed or gone"):
        sbtk.restore(backed.set_id, to=live, files=[path], in_place=True, yes="live.img")
    assert live.read_bytes() == before


@pytest.mark.parametrize("layout", ["image", "files"])
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_extract(layout, medium, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    backed = back_up(volume("zoo").image, to, layout=layout)
    large = big_files("zoo", 3)
    rows = {
        path: row
        for path, row in rows_of("zoo").items()
        if ("sha256" in row and path.startswith("compressed/")) or path in large
    }
    result = sbtk.extract(backed.set_id, list(rows), to=tmp_path / "out")
    assert result.failed == ()
    for path, row in rows.items():
        if "sha256" in row:
            content = (tmp_path / "out" / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"], path
    size = sum(row["size"] for row in rows.values() if "sha256" in row)
    assert result.stop.host_data_bytes == size
    with pytest.raises(LocationError, match="exists"):
        sbtk.extract(backed.set_id, big_files("zoo", 1), to=tmp_path / "out")


def test_a_fragmented_file_reads_each_record_of_the_tape_once(tmp_path, monkeypatch):
    to = tape(tmp_path)
    backed = back_up(volume("zoo").image, to)
    real, read = Tape.read_record, []

    def counted(self, most_bytes):
        read.append(self.position().logical_object)
        return real(self, most_bytes)

    with sbtk.open_volume(volume("zoo").image) as opened:
        rows = opened.files.to_pylist()
    worst = max((row for row in rows if row["record"] > 30), key=lambda row: row["extents"])
    assert worst["extents"] > 1000
    monkeypatch.setattr(Tape, "read_record", counted)
    sbtk.extract(backed.set_id, [worst["path"]], to=tmp_path / "out")
    data = [number for number in read if number > 2]  # behind the label and the manifest
    assert len(data) > 1
    assert len(set(data)) == len(data)


def test_a_set_on_tape_behind_another(tmp_path):
    """Several sets behind one another: each is found, restored and verified by itself."""
    to = tape(tmp_path)
    names = ["tiny", "zoo_s4096", "tiny"]
    made = [back_up(volume(name).image, to) for name in names]
    assert [sbtk.verify(item.set_id).sound for item in made] == [True] * 3
    out = tmp_path / "second.img"
    assert sbtk.restore(made[1].set_id, to=out, check_digests=True).sound
    Path(out).unlink()
    on_disk = disk(tmp_path, size_bytes=256 * MIB)
    made = [back_up(volume(name).image, on_disk) for name in names]
    assert [sbtk.verify(item.set_id).sound for item in made] == [True] * 3
    assert sbtk.restore(made[2].set_id, to=out, check_digests=True).sound
