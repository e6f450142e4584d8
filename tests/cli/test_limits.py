"""``sbtk limits``: the embedded mover's, a profile's, and those of a device that is asked."""

import json

import pytest

from sbtk.scsi.limits import PROFILES
from tests.cli.running import run


def test_the_embedded_mover(capsys, tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(4096))
    for place in (tmp_path / "disk.img", f"tape:{tmp_path / 'disk.img'}"):
        ended = run(capsys, "limits", place)
        assert ended.code == 0
        assert ended.lines[0].split(maxsplit=2) == ["copy", "manager", "embedded mover"]
        assert any(line.startswith("segments a list") and "4,096" in line for line in ended.lines)
        assert all("  " in line for line in ended.lines)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_profiles_as_json(capsys, profile):
    ended = run(capsys, "limits", "--profile", profile, "--json")
    document = json.loads(ended.out)
    assert document["manager"] == profile
    assert document["max_segments"] == PROFILES[profile].max_segments
    assert document["types"][-1] == "E4h"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Name a location or a profile"),
        (("disk.img", "--profile", "lio"), 2, "Name a location or a profile"),
        (("--profile", "vmax"), 2, "Known ones are ctl, lio"),
        (("/nowhere/disk.img",), 12, "does not exist"),
    ],
)
def test_what_cannot_be_asked(capsys, words, code, said):
    ended = run(capsys, "limits", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
