"""Saved maps: the same answers, opened without being read."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from sbtk.errors import TableError
from sbtk.extents.map import COLUMNS, ExtentMap
from tests.extents.synthetic import Volume, from_arrays


def volume():
    found = Volume(total_clusters=100, partition_start_lba=8, bitmap=bytes([0, 0x3C]))
    found.add(30, "a/f", [(0, 10, 4), (4, -1, 2), (6, 20, 2)])
    return found.add(31, "g", [(0, 40, 5)])


@pytest.fixture
def folder(tmp_path):
    ExtentMap.from_tables(volume().tables()).save(tmp_path / "map")
    return tmp_path / "map"


def is_mapped(values):
    while getattr(values, "base", None) is not None and not isinstance(values, np.memmap):
        values = values.base
    return isinstance(values, np.memmap)


def test_a_saved_map_answers_as_the_built_one(folder):
    built, opened = ExtentMap.from_tables(volume().tables()), ExtentMap.open(folder)
    places = np.arange(-2, 102)
    assert opened.owner_of(places).equals(built.owner_of(places))
    assert opened.owner_of(places, "lba").equals(built.owner_of(places, "lba"))
    assert opened.extents_of("a/f").equals(built.extents_of("a/f"))
    assert opened.fragmentation().streams.equals(built.fragmentation().streams)
    assert opened.volume == built.volume
    assert opened.allocated.lcn.tolist() == [10]
    assert opened.allocated.clusters.tolist() == [4]


def test_columns_lie_in_the_file_and_are_read_only(folder):
    opened = ExtentMap.open(folder)
    for name in COLUMNS:
        assert is_mapped(getattr(opened, name))
        assert not getattr(opened, name).flags.writeable


def test_other_tools_read_the_same_values(folder):
    table = pq.read_table(folder / "map_extents.parquet")
    opened = ExtentMap.open(folder)
    for name in COLUMNS:
        assert table[name].to_pylist() == getattr(opened, name).tolist()


def test_a_file_laid_out_otherwise_is_read_with_the_same_result(folder):
    table = pq.read_table(folder / "map_extents.parquet")
    expected = ExtentMap.open(folder).owner_rows(np.arange(100))
    layouts = [
        {"compression": "zstd"},
        {"use_dictionary": True},
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "row_group_size": 2},
        {"compression": "none", "use_dictionary": False, "max_rows_per_page": 1},
    ]
    for layout in layouts:
        pq.write_table(table, folder / "map_extents.parquet", **layout)
        opened = ExtentMap.open(folder)
        assert not is_mapped(opened.lcn), layout
        assert (opened.owner_rows(np.arange(100)) == expected).all()


def test_a_map_with_overlaps_and_without_a_bitmap(tmp_path):
    tables = Volume().add(30, "f", [(0, 10, 9)]).add(31, "g", [(0, 12, 3)]).tables()
    built = ExtentMap.from_tables(tables)
    built.save(tmp_path)
    opened = ExtentMap.open(tmp_path)
    assert opened.overlaps
    assert opened.allocated is None
    assert (opened.owner_rows(np.arange(30)) == built.owner_rows(np.arange(30))).all()
    with pytest.raises(TableError, match=r"no \$Bitmap was read"):
        opened.free_runs()


def test_an_empty_map(tmp_path):
    ExtentMap.from_tables(Volume().tables()).save(tmp_path)
    assert ExtentMap.open(tmp_path).owner_rows(np.arange(10)).tolist() == [-1] * 10


def test_many_rows_are_mapped_whole(tmp_path):
    rows = 300_000
    lcn = np.arange(rows) * 3
    ones = np.ones(rows, np.int64)
    built = ExtentMap.from_tables(from_arrays(lcn, ones, lcn, np.arange(rows) % 50, 3 * rows))
    built.save(tmp_path)
    opened = ExtentMap.open(tmp_path)
    assert is_mapped(opened.lcn)
    assert (opened.owner_rows(np.arange(3 * rows)) == built.owner_rows(np.arange(3 * rows))).all()


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("extent_map.json", None, "holds no saved extent map"),
        ("extent_map.json", b"{", "holds no saved extent map"),
        ("extent_map.json", b"[]", "holds no saved extent map"),
        ("extent_map.json", b'{"format": 99}', "in format 99, this version reads 1"),
        ("extent_map.json", b'{"format": 1}', "is damaged"),
        ("map_extents.parquet", None, "is damaged"),
        ("map_extents.parquet", b"PAR1 no more", "is damaged"),
    ],
)
def test_a_damaged_map_is_one_line(folder, name, damage, what):
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage)
    with pytest.raises(TableError, match=what) as caught:
        ExtentMap.open(folder)
    assert "\n" not in caught.value.line


def test_more_real_rows_than_rows_are_refused(folder):
    head = json.loads((folder / "extent_map.json").read_text())
    (folder / "extent_map.json").write_text(json.dumps(head | {"real_rows": 9}))
    with pytest.raises(TableError, match="9 real rows of 4"):
        ExtentMap.open(folder)


def test_damaged_owners_are_found_when_names_are_asked_for(folder):
    (folder / "map_owners.parquet").write_bytes(b"PAR1")
    opened = ExtentMap.open(folder)
    assert opened.owner_rows(np.array([40])).tolist() == [2]
    with pytest.raises(TableError, match=r"map_owners\.parquet cannot be read"):
        opened.owner_of([40])
