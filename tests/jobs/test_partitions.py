"""A partitioned LUN: the table travels along, and a blank LUN gets it back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import sbtk
from sbtk import samples
from sbtk.device.location import open_ntfs
from sbtk.errors import NotConfirmedError
from tests.jobs.jobs import back_up, disk, tape

SAMPLES = ["array.gpt", "camera.mbr"]


def volume_of(image: Path) -> tuple[int, int, str]:
    """Start, size and location of the sample's first NTFS partition."""
    from sbtk.device.file import FileDevice
    from sbtk.device.partition import find_volumes

    with FileDevice(image) as device:
        found = find_volumes(device)[0]
    return found.start_bytes, found.size_bytes, f"{image}#{found.number}"


def content_of(location: str) -> dict[str, bytes]:
    """Every readable file of a volume."""
    found = {}
    with sbtk.open_volume(location) as opened:
        for row in opened.files.to_pylist():
            plain = not (row["is_directory"] or row["encrypted"])
            if plain and row["record"] >= 24 and not row["path"].startswith("$"):
                with opened.open(row["record"]) as file:
                    found[row["path"]] = file.read()
    return found


@pytest.mark.parametrize("medium", ["tape", "disk"])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_blank_lun_gets_the_table_and_the_volume(name, medium, tmp_path):
    image = Path(samples.unpack(name))
    _, _, location = volume_of(image)
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    made = back_up(location, to)
    out = tmp_path / "out.img"
    assert sbtk.restore(made.set_id, to=out, check_digests=True).sound
    assert out.stat().st_size == image.stat().st_size
    number = location.rpartition("#")[2]
    assert content_of(f"{out}#{number}") == content_of(location)
    listed = [
        subprocess.run(["sfdisk", "--dump", path], capture_output=True, text=True, check=True)
        .stdout.replace(str(path), "DISK")
        for path in (image, out)
    ]  # fmt: skip
    assert listed[0] == listed[1]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_volume_goes_into_a_partition_and_touches_nothing_else(name, tmp_path):
    image = Path(samples.unpack(name))
    start, size, location = volume_of(image)
    made = back_up(location, tape(tmp_path))
    out = tmp_path / "other.img"
    shutil.copyfile(image, out)
    out.chmod(0o644)
    wiped = np.memmap(out, np.uint8, "r+")
    wiped[start : start + (1 << 20)] = 0
    wiped.flush()
    before = np.array(wiped)
    number = location.rpartition("#")[2]
    with pytest.raises(NotConfirmedError):
        sbtk.restore(made.set_id, to=f"{out}#{number}")
    assert np.array_equal(before, np.fromfile(out, np.uint8))
    result = sbtk.restore(made.set_id, to=f"{out}#{number}", yes="other.img", check_digests=True)
    assert result.sound
    after = np.fromfile(out, np.uint8)
    assert np.array_equal(before[:start], after[:start])
    assert np.array_equal(before[start + size :], after[start + size :])
    assert content_of(f"{out}#{number}") == content_of(location)
    with open_ntfs(f"{out}#{number}") as opened:
        assert opened.partition_start_bytes == start
