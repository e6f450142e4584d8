"""What changed between two scans: each kind of change alone, and none where there is none."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import UsageError
from sbtk.extents.difference import CHANGES, difference
from tests.extents.synthetic import CLUSTER_BYTES, Volume
from tests.extents.test_map import volumes


def base():
    volume = Volume().add(5, ".", [], is_directory=True).add(28, "d", [], is_directory=True)
    volume.add(30, "d/a", [(0, 10, 4), (4, -1, 2), (6, 20, 2)], parent=28)
    volume.add(31, "b", [(0, 40, 5)])
    return volume.stream(31, [(0, 60, 1)], attribute_name="s")


def changed(before, after):
    found = difference(before.tables(), after.tables())
    kinds = {
        row.path: [name for name in CHANGES if getattr(row, name)]
        for row in found.files.itertuples()
    }
    extents = found.extents.astype(object).where(found.extents.notna(), None)
    return kinds, extents[["vcn", "clusters", "lcn_before", "lcn_after"]].to_numpy().tolist()


def edit(volume, record, **values):
    for rows in (volume.files, volume.streams, volume.names):
        for row in rows:
            if row["record"] == record:
                row.update({name: value for name, value in values.items() if name in row})
    return volume


def move(volume, lcn, to_lcn, **values):
    for row in volume.extents:
        if row["lcn"] == lcn:
            row.update(lcn=to_lcn, **values)
    return volume


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_volume_does_not_differ_from_itself(data):
    tables = data.draw(volumes(overlaps=data.draw(st.booleans()))).tables()
    found = difference(tables, tables)
    assert found.files.empty
    assert found.extents.empty
    assert set(found.summary().values()) == {0}


def test_nothing():
    assert changed(base(), base()) == ({}, [])
    assert changed(Volume(), Volume()) == ({}, [])


def test_added_and_removed():
    more = base().add(40, "d/new", [(0, 70, 3)], parent=28)
    assert changed(base(), more) == ({"d/new": ["added"]}, [[0, 3, None, 70]])
    assert changed(more, base()) == ({"d/new": ["removed"]}, [[0, 3, 70, None]])


def test_a_record_used_again_is_another_file():
    again = edit(base(), 31, sequence=2)
    found = difference(base().tables(), again.tables())
    assert found.summary()["added"] == found.summary()["removed"] == 1
    assert found.summary()["new_clusters"] == 6


def test_renamed_and_moved_with_a_folder():
    renamed = edit(base(), 31, path="c", name="c")
    assert changed(base(), renamed) == ({"c": ["renamed"]}, [])
    moved = edit(base(), 31, path="d/b", parent=28)
    assert changed(base(), moved) == ({"d/b": ["renamed"]}, [])
    folder = edit(edit(base(), 28, path="e", name="e"), 30, path="e/a")
    assert changed(base(), folder) == ({"e": ["renamed"], "e/a": ["moved_with_folder"]}, [])


def test_moved_on_disk_to_the_cluster():
    moved = move(base(), 40, 80)
    assert changed(base(), moved) == ({"b": ["moved_on_disk"]}, [[0, 5, 40, 80]])
    found = difference(base().tables(), moved.tables())
    assert found.files.new_clusters.tolist() == [5]
    named = move(base(), 60, 61)
    assert changed(base(), named) == ({"b": ["moved_on_disk"]}, [[0, 1, 60, 61]])


def test_a_run_cut_in_two_has_not_moved():
    cut = move(base(), 40, 40, clusters=2)
    cut.extents.append({**cut.extents[3], "vcn": 2, "lcn": 42, "clusters": 3})
    assert changed(base(), cut) == ({}, [])
    cut.extents[-1]["lcn"] = 90
    assert changed(base(), cut) == ({"b": ["moved_on_disk"]}, [[2, 3, 42, 90]])


def test_grown_and_shrunk():
    grown = edit(base(), 31, size_bytes=7 * CLUSTER_BYTES, modified=9)
    grown.extents.append({**grown.extents[3], "vcn": 5, "lcn": 100, "clusters": 2})
    assert changed(base(), grown) == ({"b": ["grown"]}, [[5, 2, None, 100]])
    assert changed(grown, base()) == ({"b": ["shrunk"]}, [[5, 2, 100, None]])
    found = difference(base().tables(), grown.tables()).files
    assert found[["size_before_bytes", "size_bytes"]].to_numpy().tolist() == [
        [5 * CLUSTER_BYTES, 7 * CLUSTER_BYTES]
    ]


def test_a_hole_that_was_filled():
    filled = base()
    filled.extents[1]["lcn"] = 200
    assert changed(base(), edit(filled, 30, modified=9)) == (
        {"d/a": ["rewritten_in_place"]}, [[4, 2, -1, 200]]
    )  # fmt: skip


def test_rewritten_in_place_and_metadata_only():
    assert changed(base(), edit(base(), 31, modified=9, lsn=7))[0] == {"b": ["rewritten_in_place"]}
    for name in ("lsn", "changed", "attributes", "hard_links"):
        assert changed(base(), edit(base(), 31, **{name: 9}))[0] == {"b": ["metadata_only"]}
    assert changed(base(), edit(base(), 31, accessed=9)) == ({}, [])


def test_several_changes_of_one_file_are_all_told():
    other = edit(move(base(), 40, 80), 31, path="c", name="c", size_bytes=1, modified=9)
    assert changed(base(), other)[0] == {"c": ["renamed", "shrunk", "moved_on_disk"]}


def test_scans_of_different_clusters_are_refused():
    other = base()
    other.info.cluster_bytes = 512
    with pytest.raises(UsageError, match="clusters of 4096 B and of 512 B"):
        difference(base().tables(), other.tables())


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_stretches_agree_with_a_dictionary_of_clusters(data):
    sides = [data.draw(volumes(overlaps=False)).tables() for _ in range(2)]
    models = []
    for tables in sides:
        model = {}
        for row in tables.extents.to_pylist():
            for index in range(row["clusters"]):
                lcn = row["lcn"] + index if row["lcn"] >= 0 else -1
                model[row["record"], row["vcn"] + index] = lcn
        models.append(model)
    expected = {
        key: (models[0].get(key), models[1].get(key))
        for key in models[0].keys() | models[1].keys()
        if models[0].get(key) != models[1].get(key)
    }
    found = {}
    for row in difference(*sides).extents.itertuples():
        for index in range(row.clusters):
            places = [
                None if pd.isna(lcn) else int(lcn) + index * (lcn >= 0)
                for lcn in (row.lcn_before, row.lcn_after)
            ]
            found[row.record, row.vcn + index] = tuple(places)
    assert found == expected
