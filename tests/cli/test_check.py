"""``sbtk check``: exit codes, both outputs, a bare $MFT."""

import json
import subprocess

import pytest

from sbtk import samples
from tests.cli.running import run, run_on_terminal
from tests.corpus import NAMES, volume
from tests.extents.plant import Plant


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_volume_returns_0(capsys, name):
    ended = run(capsys, "check", volume(name).image)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines[-1].startswith("no contradiction found")


def test_findings_are_named_and_return_1(capsys, tmp_path):
    plant = Plant(samples.unpack("office.ntfs"), tmp_path / "planted.img")
    plant.flip(0)
    ended = run(capsys, "check", plant.path)
    assert ended.code == 1
    assert ended.lines[-1] == "1 error, 0 warnings"
    assert any(line.startswith("error    owned-free, record 7") for line in ended.lines)
    assert any("in use by $Boot, but free in $Bitmap" in line for line in ended.lines)
    finding, verdict = (
        json.loads(line) for line in run(capsys, "check", plant.path, "--json").lines
    )
    assert (finding["code"], finding["files"], finding["record"]) == ("owned-free", ["$Boot"], 7)
    assert verdict["compared_with_bitmap"]
    code, sent = run_on_terminal("check", plant.path, columns=80)
    assert code == 1
    assert "owned-free" in sent


def test_errors_stand_before_warnings(capsys, tmp_path):
    plant = Plant(samples.unpack("office.ntfs"), tmp_path / "planted.img")
    plant.flip(plant.total_clusters - 2)
    plant.flip(0)
    lines = run(capsys, "check", plant.path).lines
    severities = [line.split()[0] for line in lines if line.startswith(("error ", "warning "))]
    assert severities == ["error", "warning"]


def test_a_bare_mft_is_checked_for_what_it_can_tell(capsys, tmp_path):
    bare = tmp_path / "mft"
    dump = ["ntfscat", "-f", "-i", "0", str(samples.unpack("office.ntfs"))]
    bare.write_bytes(subprocess.run(dump, check=True, capture_output=True).stdout)
    ended = run(capsys, "check", bare)
    assert ended.code == 0
    assert "not compared with $Bitmap" in ended.out


def test_nothing_there_is_one_line(capsys, tmp_path):
    ended = run(capsys, "check", tmp_path / "none.img")
    assert ended.code == 12
    assert ended.err.count("\n") == 1
