"""The catalog is lost: it is made again from the media, and sets are as good as before."""

from __future__ import annotations

import hashlib
import shutil

import pytest

import sbtk
from sbtk.catalog.rebuild import rebuild
from sbtk.catalog.store import Catalog
from sbtk.errors import CatalogError
from tests.corpus import volume
from tests.jobs.jobs import assert_clusters_equal, assert_mounts_equal, back_up, disk, tape


@pytest.mark.parametrize("layout", ["image", "files"])
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_restore_verify_extract_after_a_rebuild(layout, medium, state_dir, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    first = back_up(volume("tiny").image, to)
    made = back_up(volume("zoo").image, to, layout=layout)
    shutil.rmtree(state_dir)
    with pytest.raises(CatalogError):
        sbtk.verify(made.set_id)
    with Catalog.open() as catalog:
        rebuild(to, catalog)
        assert [item.set_id for item in catalog.sets()] == [first.set_id, made.set_id]
    assert sbtk.verify(first.set_id).sound
    assert sbtk.verify(made.set_id).sound
    out = tmp_path / "out.img"
    assert sbtk.restore(made.set_id, to=out, check_digests=True).sound
    assert_clusters_equal("zoo", out)
    assert_mounts_equal("zoo", out)
    row = next(
        item
        for item in volume("zoo").manifest
        if item["path"].startswith("plain/") and item["size"] > 60_000
    )
    sbtk.extract(made.set_id, [row["path"]], to=tmp_path / "x")
    content = (tmp_path / "x" / row["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == row["sha256"]
    scratch = tmp_path / "scratch.img"
    assert sbtk.restore(made.set_id, to=scratch, files=[row["path"]]).sound
