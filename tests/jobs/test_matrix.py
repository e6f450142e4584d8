"""Every volume, layout, medium and copy manager: backed up, verified, restored, mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

import sbtk
from tests.corpus import NAMES
from tests.corpus import volume as corpus
from tests.jobs.jobs import assert_clusters_equal, assert_mounts_equal, back_up, disk, tape

WAYS = [("image", "tape"), ("image", "disk"), ("files", "tape"), ("mirror", "disk")]
MANAGERS = ["spc", "ctl", "scst", "lio"]


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize(("layout", "medium"), WAYS, ids=["-".join(way) for way in WAYS])
@pytest.mark.parametrize("name", NAMES)
def test_backup_and_restore(name, layout, medium, manager, tmp_path):
    image = corpus(name).image
    if layout == "mirror":
        to = str(tmp_path / "mirror.img")
    else:
        to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    result = back_up(image, to, layout=layout, limits=manager)
    assert result.stop.status == "done"
    verified = sbtk.verify(result.set_id)
    assert verified.sound
    restored = Path(to)
    if layout != "mirror":
        # From tape the mover must be one that reads tape: the others have no such manager.
        restored = tmp_path / "restored.img"
        limits = manager if medium == "disk" else "spc"
        assert sbtk.restore(result.set_id, to=restored, limits=limits).sound
    assert_clusters_equal(name, restored)
    assert_mounts_equal(name, restored)
    if manager == "spc":
        assert result.stop.host_data_bytes == 0
        (check,) = verified.checks
        assert check.method == "mover"
        assert check.not_checked == ()
