"""No sbtk needed: GNU tar and bsdtar read a set from a cartridge and straight from a disk."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus import volume
from tests.jobs.jobs import assert_clusters_equal, assert_mounts_equal, back_up, disk, tape

TARS = ["tar", "bsdtar"]


def unpack(program: str, location: str, out: Path) -> None:
    """``sbtk tape cat | tar -x``, or ``tar -x`` from the disk."""
    out.mkdir()
    command = [program, "-x", "-f", "-", "-C", str(out)]
    if location.startswith("tape:"):
        path = location.removeprefix("tape:")
        words = [sys.executable, "-m", "sbtk", "tape", "cat", path, "--file", "1"]
        cat = subprocess.Popen(words, stdout=subprocess.PIPE)
        tar = subprocess.run(command, stdin=cat.stdout, capture_output=True, check=False)
        assert cat.stdout is not None
        cat.stdout.close()
        cat.wait()
    else:
        command[3] = location
        tar = subprocess.run(command, capture_output=True, check=False)
    assert tar.returncode == 0, tar.stderr.decode(errors="replace")[:2000]


@pytest.mark.parametrize("program", TARS)
@pytest.mark.parametrize("medium", ["tape", "disk"])
@pytest.mark.parametrize("name", ["zoo", "zoo_s4096"])
def test_an_image_unpacks_and_mounts(name, medium, program, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    back_up(volume(name).image, to)
    unpack(program, to, tmp_path / "out")
    image = tmp_path / "out" / "volume.ntfs"
    assert image.stat().st_size == volume(name).image.stat().st_size
    assert_clusters_equal(name, image)
    assert_mounts_equal(name, image)


@pytest.mark.parametrize("program", TARS)
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_files_unpack_with_their_content(medium, program, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    back_up(volume("zoo").image, to, layout="files")
    out = tmp_path / "out"
    unpack(program, to, out)
    manifest = json.loads((out / "manifest.json").read_text())
    not_plain = {item["path"] for item in manifest["not_plain"] if not item["stream"]}
    compared = 0
    for row in volume("zoo").manifest:
        path = row["path"]
        if "sha256" not in row or path in not_plain or path.startswith("$"):
            continue
        with open(os.path.join(os.fsencode(out), os.fsencode(path)), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == row["sha256"], path
        compared += 1
    assert compared > 1000
    listed = {path for path in not_plain if not path.startswith("$")}
    assert compared + len(listed) >= sum(
        "sha256" in row and not row["path"].startswith("$") for row in volume("zoo").manifest
    )


def test_tar_lists_all_sets_of_a_disk(tmp_path):
    to = disk(tmp_path)
    for name in ("tiny", "zoo_s4096"):
        back_up(volume(name).image, to)
    listed = subprocess.run(["tar", "-tif", to], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["manifest.json", "volume.ntfs", "digests.parquet"] * 2
