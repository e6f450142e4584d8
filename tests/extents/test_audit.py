"""Each kind of contradiction, on a volume that has this one and no other."""

import pytest

from sbtk.extents import audit as audit_module
from sbtk.extents.audit import audit, has_findings
from sbtk.extents.map import ExtentMap
from tests.extents.synthetic import CLUSTER_BYTES, Volume


def healthy():
    volume = Volume(total_clusters=100).add(0, "$MFT", [(0, 4, 8)]).add(7, "$Boot", [(0, 0, 2)])
    volume.add(8, "$BadClus", [], resident=True)
    volume.streams[-1]["resident"] = True
    bad = {"attribute_name": "$Bad", "flags": 0, "initialized_bytes": 0}
    volume.stream(8, [(0, -1, 100)], **bad)
    volume.add(30, "a", [(0, 20, 4), (4, -1, 12)], flags=1, compression_unit=4)
    volume.add(31, "b", [(0, 30, 4)], size_bytes=3 * CLUSTER_BYTES + 1, initialized_bytes=5)
    return volume


def found(volume):
    frame = audit(volume.tables())
    return [
        (row.code, row.record, row.lcn, row.clusters, list(row.files)) for row in frame.itertuples()
    ]


def test_a_healthy_volume_has_no_findings():
    frame = audit(healthy().mark().tables())
    assert frame.empty
    assert not has_findings(frame)


def test_a_set_bit_that_nobody_owns():
    volume = healthy().mark(also=[50, 51, 60])
    assert found(volume) == [
        ("allocated-unowned", -1, 50, 2, []), ("allocated-unowned", -1, 60, 1, [])
    ]  # fmt: skip
    message = audit(volume.tables()).message[0]
    assert message == (
        "2 clusters 50-51 (8.00 KiB) are in use in $Bitmap, but no file owns them: lost space"
    )


def test_a_cleared_bit_of_an_owned_cluster():
    assert found(healthy().mark(but=[31, 32])) == [("owned-free", 31, 31, 2, ["b"])]


def test_a_bitmap_that_is_too_short_is_clear_behind_its_end():
    volume = healthy().mark()
    volume.bitmap = volume.bitmap[:3]
    assert found(volume) == [("owned-free", 31, 30, 4, ["b"])]


def test_a_cluster_with_two_owners():
    volume = healthy().add(40, "c", [(0, 22, 9)]).mark()
    assert found(volume) == [
        ("cluster-shared", 30, 22, 2, ["a", "c"]), ("cluster-shared", 31, 30, 1, ["b", "c"])
    ]  # fmt: skip


def test_a_file_that_holds_a_cluster_twice():
    volume = healthy().add(40, "c", [(0, 70, 4), (4, 72, 4)]).mark()
    assert found(volume) == [("cluster-shared", 40, 72, 2, ["c"])]


def test_a_run_past_the_end():
    volume = healthy().add(40, "c", [(0, 98, 5)]).mark()
    assert found(volume) == [("run-past-end", 40, 98, 5, ["c"])]
    for lcn in (1 << 40, (1 << 55) - 1):
        volume = healthy().add(40, "c", [(0, lcn, 5)]).mark()
        assert found(volume) == [("run-past-end", 40, lcn, 5, ["c"])]
    volume = healthy().mark(also=[99]).add(40, "c", [(0, 99, 1 << 50)])
    assert [row[:2] for row in found(volume)] == [("run-past-end", 40)]


def test_bad_clusters_are_named_and_a_file_on_them_too():
    volume = healthy()
    volume.streams[3]["initialized_bytes"] = 0
    hole = next(row for row in volume.extents if row["stream"] == 3)
    rows = [(0, -1, 32), (32, 32, 2), (34, -1, 66)]
    volume.extents.remove(hole)
    volume.extents += [hole | {"vcn": vcn, "lcn": lcn, "clusters": n} for vcn, lcn, n in rows]
    assert found(volume.mark()) == [
        ("cluster-shared", 8, 32, 2, ["$BadClus:$Bad", "b"]),
        ("bad-clusters", 8, 32, 2, ["$BadClus:$Bad"]),
    ]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"allocated_bytes": 5 * CLUSTER_BYTES}, "allocated-differs", "20,480 B, its runs cover"),
        ({"allocated_bytes": 4 * CLUSTER_BYTES + 1}, "allocated-differs", "16,385 B"),
        ({"data_bytes": 4 * CLUSTER_BYTES + 1}, "data-exceeds", "16,385 B, more than the 16,384 B"),
        ({"initialized_bytes": 4 * CLUSTER_BYTES}, "initialized-exceeds", "16,384 B are init"),
    ],
)
def test_sizes_that_contradict_runs(change, code, message):
    volume = healthy()
    volume.streams[-1].update(change)
    assert found(volume.mark()) == [(code, 31, 30, 0, ["b"])]
    assert message in audit(volume.tables()).message[0]


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        ([(0, 70, 2), (3, 75, 1)], "vcn-gap"),
        ([(1, 70, 2)], "vcn-gap"),
        ([(0, 70, 2), (1, 75, 2)], "vcn-twice"),
        ([(0, 70, 2), (2, -1, 1)], "hole-unflagged"),
    ],
)
def test_runs_that_contradict_themselves(runs, code):
    volume = healthy().add(40, "c", runs, flags=0)
    assert [row[:2] for row in found(volume.mark())] == [(code, 40)]


def test_a_sparse_file_larger_than_any_volume_is_legal():
    huge = (1 << 62) // CLUSTER_BYTES
    volume = healthy().add(40, "c", [(0, -1, huge)], size_bytes=1 << 62)
    assert found(volume.mark()) == []


def test_what_the_scan_found_is_shown_and_not_judged_again():
    volume = healthy()
    volume.streams[-1]["allocated_bytes"] = 0
    finding = {"severity": "error", "code": "run-list", "record": 31, "lcn": -1, "message": "no"}
    volume.findings = [finding]
    assert found(volume.mark()) == [("run-list", 31, -1, 0, ["b"])]


def test_a_bare_mft_is_not_compared_with_a_bitmap_it_does_not_have():
    volume = healthy()
    frame = audit(volume.tables())
    assert frame.code.tolist() == ["no-bitmap"]
    assert not has_findings(frame)
    volume.info.bare_mft, volume.info.cluster_bytes, volume.info.total_clusters = True, 0, 0
    assert audit(volume.tables()).code.tolist() == ["no-bitmap"]


def test_many_findings_and_many_files_are_bounded(monkeypatch):
    monkeypatch.setattr(audit_module, "MAX_FINDINGS", 3)
    monkeypatch.setattr(audit_module, "MAX_FILES", 2)
    volume = healthy().mark(also=range(41, 60, 2))
    rows = found(volume)
    assert len(rows) == 4
    assert rows[-1] == ("allocated-unowned", -1, 47, 7, [])
    volume = healthy()
    for number in range(5):
        volume.add(50 + number, f"f{number}", [(0, 60 + number, 1)])
        volume.streams[-1]["initialized_bytes"] = CLUSTER_BYTES + 1
    frame = audit(volume.mark(but=range(60, 65)).tables())
    assert frame.code.tolist() == ["owned-free"] + ["initialized-exceeds"] * 4
    assert frame.message[0].endswith(
        "in use by f0, f1 and 3 more, but free in $Bitmap: the next write may overwrite them"
    )
    assert frame.file_count[0] == 5
    assert frame.message.iloc[-1] == "2 more streams of this kind"


def test_a_map_made_before_serves_as_well():
    tables = healthy().mark(but=[30]).tables()
    assert audit(tables, ExtentMap.from_tables(tables)).equals(audit(tables))
