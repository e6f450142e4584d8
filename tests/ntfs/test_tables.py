from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sbtk import open_volume
from sbtk.errors import TableError
from sbtk.ntfs.figures import FIGURE_COLUMNS
from sbtk.ntfs.layout import AttributeType, Namespace
from sbtk.ntfs.tables import SCHEMAS, Tables
from tests.corpus import volume
from tests.ntfs import builder as b
from tests.ntfs.conftest import Scanner


@pytest.fixture
def tables(scan_volume: Scanner) -> Tables:
    data = b.nonresident(b.DATA, [(100, 3), (None, 4)], name="ströme")
    return scan_volume(b.TinyVolume(volume_flags=1).put(24, b.plain_file(24, "日本", data)))


def test_saved_tables_come_back(tables: Tables, tmp_path: Path) -> None:
    tables.save(tmp_path / "deep" / "er")
    loaded = Tables.load(tmp_path / "deep" / "er")
    assert asdict(loaded.volume) == asdict(tables.volume)
    for name, schema in SCHEMAS.items():
        assert getattr(loaded, name).schema == schema == getattr(tables, name).schema
        assert getattr(loaded, name).equals(getattr(tables, name)), name
    assert tables.bitmap is not None
    assert loaded.bitmap is not None
    assert np.array_equal(loaded.bitmap, tables.bitmap)


@pytest.mark.parametrize("damage", ["missing", "cut", "version", "no folder"])
def test_damaged_tables_are_one_error(tables: Tables, tmp_path: Path, damage: str) -> None:
    tables.save(tmp_path)
    victim = tmp_path / "extents.parquet"
    if damage == "missing":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(victim.read_bytes()[:50])
    elif damage == "version":
        text = (tmp_path / "volume.json").read_text()
        (tmp_path / "volume.json").write_text(text.replace('"format": 1', '"format": 9'))
    folder = tmp_path / "nowhere" if damage == "no folder" else tmp_path
    with pytest.raises(TableError) as caught:
        Tables.load(folder)
    assert caught.value.hint.startswith("Run sbtk scan")


@pytest.mark.parametrize("name", ["zoo", "zoo_c512"])
def test_figures_that_a_scan_keeps_are_those_of_its_saved_tables(name: str, tmp_path: Path) -> None:
    with open_volume(volume(name).image) as opened:
        kept = opened.scan_into(tmp_path)
    saved = Tables.load(tmp_path)
    for table in FIGURE_COLUMNS:
        assert np.array_equal(kept.figure(table), saved.figure(table)), table
    names = saved.names.to_pandas()
    counted = names[names.namespace != Namespace.DOS].groupby("record").size()
    assert saved.figure("names").tolist() == counted[counted > 1].index.tolist()
    streams = saved.streams.to_pandas()
    named = streams[(streams.attribute_type == AttributeType.DATA) & (streams.attribute_name != "")]
    assert saved.figure("streams").tolist() == named.record.tolist()
    assert len(named)
    assert saved.figure("extents") == (saved.extents.to_pandas().lcn >= 0).sum()
