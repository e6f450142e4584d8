"""The extent map: look-ups in both directions against plain models."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import StreamNotFoundError, TableError, UsageError
from sbtk.extents import kernels, runs
from sbtk.extents.map import ExtentMap
from sbtk.extents.runs import Runs
from tests.extents.synthetic import CLUSTER_BYTES, Volume

TOTAL = 120


@st.composite
def volumes(draw, *, overlaps):
    """Runs of several streams on a small volume; disjoint, or anyhow."""
    cuts = draw(st.lists(st.integers(0, TOTAL - 1), min_size=1, max_size=30, unique=True))
    volume, next_vcn = Volume(total_clusters=TOTAL), {}
    rows = {}
    starts = sorted(cuts)
    for start, behind in zip(starts, [*starts[1:], TOTAL], strict=True):
        most = TOTAL - start if overlaps else behind - start
        length = draw(st.integers(1, most))
        stream = draw(st.integers(0, 4))
        hole = draw(st.integers(0, 3))
        vcn = next_vcn.get(stream, 0)
        if hole:
            rows.setdefault(stream, []).append((vcn, -1, hole))
        rows.setdefault(stream, []).append((vcn + hole, start, length))
        next_vcn[stream] = vcn + hole + length
    if overlaps:  # runs that start at the same cluster too
        for stream in (5, 6):
            start = draw(st.sampled_from(starts))
            rows[stream] = [(0, start, draw(st.integers(1, TOTAL - start)))]
    for stream, run_list in rows.items():
        volume.add(30 + stream, f"d/f{stream}", run_list)
    return volume


def owner_model(tables):
    """Cluster -> row, by the rule in the docstring of ``flatten_runs``, one cluster at a time."""
    model = {}
    rows = tables.extents.to_pylist()
    for cluster in range(TOTAL):
        claims = [
            (row["lcn"], -row["clusters"], -number)
            for number, row in enumerate(rows)
            if row["lcn"] >= 0 and row["lcn"] <= cluster < row["lcn"] + row["clusters"]
        ]
        if claims:
            model[cluster] = -max(claims)[2]
    return model


@pytest.mark.parametrize("overlaps", [False, True])
@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_owner_rows_agree_with_a_dictionary(overlaps, data):
    tables = data.draw(volumes(overlaps=overlaps)).tables()
    extent_map = ExtentMap.from_tables(tables)
    clusters = np.arange(-3, TOTAL + 3)
    model = owner_model(tables)
    assert extent_map.owner_rows(clusters).tolist() == [model.get(int(c), -1) for c in clusters]
    if not overlaps:
        assert extent_map.pieces is None


@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_rows_in_a_range_are_all_that_touch_it(data):
    tables = data.draw(volumes(overlaps=True)).tables()
    extent_map = ExtentMap.from_tables(tables)
    first = data.draw(st.integers(0, TOTAL - 1))
    last = data.draw(st.integers(first, TOTAL - 1))
    expected = [
        number
        for number, row in enumerate(tables.extents.to_pylist())
        if row["lcn"] >= 0 and row["lcn"] <= last and row["lcn"] + row["clusters"] > first
    ]
    assert extent_map.rows_in(first, last).tolist() == expected


@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_the_inverse_of_the_map_is_the_map(data):
    extent_map = ExtentMap.from_tables(data.draw(volumes(overlaps=False)).tables())
    clusters = np.arange(TOTAL)
    row = extent_map.owner_rows(clusters)
    clusters, row = clusters[row >= 0], row[row >= 0]
    vcn = clusters - extent_map.lcn[row] + extent_map.vcn[row]
    assert (extent_map.lcn_of(extent_map.stream[row], vcn) == clusters).all()


def test_lcn_of_a_hole_and_of_what_lies_behind_the_stream_is_none():
    volume = Volume().add(30, "f", [(0, 50, 2), (2, -1, 3), (5, 10, 1)])
    extent_map = ExtentMap.from_tables(volume.tables())
    vcn = np.array([-1, 0, 1, 2, 4, 5, 6, 1 << 60])
    found = extent_map.lcn_of(np.zeros(8, np.int64), vcn)
    assert found.tolist() == [-1, 50, 51, -1, -1, 10, -1, -1]


@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_occupancy_sums_to_the_owned_clusters(data):
    tables = data.draw(volumes(overlaps=data.draw(st.booleans()))).tables()
    extent_map = ExtentMap.from_tables(tables)
    owned = owner_model(tables)
    first = data.draw(st.integers(0, TOTAL - 1))
    last = data.draw(st.integers(first, TOTAL - 1))
    cells = data.draw(st.integers(1, 2 * TOTAL))
    found = extent_map.occupancy(first, last, cells)
    assert found.size == cells
    assert found.sum() == sum(first <= cluster <= last for cluster in owned)
    assert extent_map.occupancy(0, TOTAL - 1, TOTAL).tolist() == [c in owned for c in range(TOTAL)]


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_free_is_what_nobody_owns(data):
    tables = data.draw(volumes(overlaps=True)).tables()
    free = ExtentMap.from_tables(tables).free_runs("owners")
    listed = [
        c for lcn, n in zip(free.lcn, free.clusters, strict=True) for c in range(lcn, lcn + n)
    ]
    assert listed == sorted(set(range(TOTAL)) - set(owner_model(tables)))


def test_queries_in_any_order_by_both_kernels(monkeypatch):
    rng = np.random.default_rng(3)
    edges = np.cumsum(rng.integers(1, 9, 40_000))
    lcn, clusters = edges[0::2], np.diff(edges)[0::2]
    lcn = lcn[: clusters.size]
    skewed = lcn + np.where(np.arange(lcn.size) > lcn.size // 2, 1 << 40, 0)
    for start in (lcn, skewed, lcn[:1]):
        length = clusters[: start.size]
        query = rng.integers(-5, int(start[-1]) + 20, 60_000)
        query[::2] = rng.choice(start, 30_000) + rng.integers(-1, 9, 30_000)
        monkeypatch.setattr(kernels, "COMPILED_FROM", 0)
        shuffled = kernels.find_runs(start, length, query)
        ordered = kernels.find_runs(start, length, np.sort(query))
        assert (shuffled == kernels.find_runs_numpy(start, length, query)).all()
        assert (ordered == kernels.find_runs_numpy(start, length, np.sort(query))).all()
        monkeypatch.setattr(kernels, "COMPILED_FROM", 1 << 40)
        assert (shuffled == kernels.find_runs(start, length, query)).all()


def test_flattening_by_both_kernels(monkeypatch):
    rng = np.random.default_rng(4)
    lcn = np.sort(rng.integers(0, 20_000, 3000))
    clusters = rng.integers(1, 60, 3000)
    plain = kernels.flatten_runs(lcn, clusters)
    monkeypatch.setattr(kernels, "COMPILED_FROM", 0)
    compiled = kernels.flatten_runs(lcn, clusters)
    assert all((one == other).all() for one, other in zip(plain, compiled, strict=True))


@pytest.mark.parametrize("compiled_from", [0, 1 << 40])
def test_pieces_and_weights_by_both_kernels_and_by_hand(monkeypatch, compiled_from):
    monkeypatch.setattr(kernels, "COMPILED_FROM", compiled_from)
    rng = np.random.default_rng(5)
    edges = np.cumsum(rng.integers(1, 9, 4001))
    lcn, clusters = edges[:-1:2], np.diff(edges)[::2]
    clusters[::3] = np.diff(edges)[::2][::3] + np.diff(edges)[1::2][::3]  # runs that touch
    stream, vcn = rng.integers(0, 40, lcn.size), np.arange(lcn.size)
    stream[1::5] = stream[:-1:5]
    weight = rng.random(40).astype(np.float32)
    pieces = np.zeros(40, np.int64)
    for row in range(lcn.size):
        on = row and lcn[row] == lcn[row - 1] + clusters[row - 1] and stream[row] == stream[row - 1]
        pieces[stream[row]] += not on
    found = kernels.pieces_of_streams(lcn, clusters, stream, vcn, 40)
    assert (found == pieces).all()
    assert pieces.sum() < lcn.size
    before = kernels.weighted_before(lcn, stream, weight)
    assert before[0] == 0.0
    assert np.diff(before) == pytest.approx(lcn * weight[stream].astype(float))


def test_a_run_over_the_whole_volume_takes_nothing_from_the_files_in_it():
    volume = Volume().add(30, "bad", [(0, 0, 1000)]).add(31, "good", [(0, 40, 5)])
    frame = ExtentMap.from_tables(volume.tables()).owner_of([39, 40, 44, 45])
    assert frame["path"].tolist() == ["bad", "good", "good", "bad"]
    assert frame["owners"].tolist() == [1, 2, 2, 1]


def test_owner_of_names_place_and_stream():
    volume = Volume(total_clusters=100, partition_start_lba=64)
    volume.add(30, "a/b.txt", [(0, 10, 4), (4, 20, 2)], size_bytes=5 * CLUSTER_BYTES + 100)
    volume.stream(30, [(0, 50, 1)], attribute_name="note")
    volume.stream(5, [(0, 60, 1)], attribute_type=0xA0, attribute_name="$I30")
    extent_map = ExtentMap.from_tables(volume.tables())
    frame = extent_map.owner_of([21, 50, 60, 99, 100, -7])
    assert frame["lcn"].tolist() == [21, 50, 60, 99, 100, -7]
    assert frame["path"].tolist()[:3] == ["a/b.txt", "a/b.txt", "$record/5"]
    assert frame["path"].isna().tolist() == [False] * 3 + [True] * 3
    streams = ["$DATA", "note:$DATA", "$I30:$INDEX_ALLOCATION"]
    assert frame["stream_name"].tolist()[:3] == streams
    assert frame["vcn"].tolist()[:3] == [5, 0, 0]
    assert frame["file_offset_bytes"].tolist()[0] == 5 * CLUSTER_BYTES
    assert not frame["slack"].any()


def test_owner_of_an_lba_and_of_a_byte_of_the_lun():
    volume = Volume(total_clusters=100, partition_start_lba=64)
    volume.add(30, "f", [(0, 10, 4)], size_bytes=CLUSTER_BYTES + 100)
    extent_map = ExtentMap.from_tables(volume.tables())
    lba = 64 + 11 * 8
    frame = extent_map.owner_of([63, 64, lba, lba + 1, 64 + 800], unit="lba")
    assert frame["lcn"].tolist() == [-1, 0, 11, 11, -1]
    offsets = frame["file_offset_bytes"].tolist()
    assert offsets[2:4] == [CLUSTER_BYTES, CLUSTER_BYTES + 512]
    assert frame["slack"].tolist() == [False, False, False, True, False]
    byte = lba * 512
    frame = extent_map.owner_of([byte + 99, byte + 100], unit="byte")
    assert frame["file_offset_bytes"].tolist() == [CLUSTER_BYTES + 99, CLUSTER_BYTES + 100]
    assert frame["slack"].tolist() == [False, True]


def test_in_a_compressed_stream_only_the_unit_is_known():
    runs = [(0, 10, 4), (4, -1, 12), (16, 30, 3), (19, -1, 13)]
    volume = Volume().add(30, "f", runs, compression_unit=4, flags=1)
    frame = ExtentMap.from_tables(volume.tables()).owner_of([12, 31])
    assert frame["vcn"].tolist() == [2, 17]
    assert frame["file_offset_bytes"].tolist() == [0, 16 * CLUSTER_BYTES]


def test_extents_of_a_file_and_files_in_a_range():
    volume = Volume().add(30, "f", [(0, 90, 2), (2, -1, 1), (3, 10, 5)]).add(31, "g", [(0, 12, 9)])
    extent_map = ExtentMap.from_tables(volume.tables())
    frame = extent_map.extents_of("f")
    assert frame[["vcn", "lcn", "clusters"]].to_numpy().tolist() == [
        [0, 90, 2], [2, -1, 1], [3, 10, 5]
    ]  # fmt: skip
    assert extent_map.files_in(14, 20)["path"].tolist() == ["f", "g"]
    assert extent_map.files_in(21, 89).empty
    with pytest.raises(StreamNotFoundError, match="no file 'h'"):
        extent_map.extents_of("h")


def test_a_bare_mft_answers_by_cluster_only():
    volume = Volume(total_clusters=0).add(30, "f", [(0, 1 << 33, 4)])
    volume.info.cluster_bytes = volume.info.sector_bytes = 0
    extent_map = ExtentMap.from_tables(volume.tables())
    frame = extent_map.owner_of([(1 << 33) + 1, 5])
    assert frame["path"].tolist()[0] == "f"
    assert frame["file_offset_bytes"].isna().all()
    with pytest.raises(UsageError, match=r"a bare \$MFT does not tell"):
        extent_map.owner_of([5], unit="byte")


def test_an_empty_volume_answers():
    extent_map = ExtentMap.from_tables(Volume().tables())
    assert extent_map.owner_rows(np.arange(60_000)).max() == -1
    assert extent_map.owner_of([3])["path"].isna().all()
    assert extent_map.files_in(0, 999).empty
    assert extent_map.free_runs("owners").clusters.tolist() == [1000]
    assert extent_map.fragmentation().score == 0
    assert extent_map.occupancy(0, 999, 7).sum() == 0


def change(tables, name, values):
    column = tables.extents.schema.get_field_index(name)
    field = tables.extents.schema.field(column)
    extents = tables.extents.set_column(column, field, pa.array(values, field.type))
    return tables.replaced(extents=extents)


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("lcn", [30, 20], "not sorted"),
        ("lcn", [-1, 20], "not sorted"),
        ("stream", [0, 2], "streams that do not exist"),
        ("clusters", [1, 0], "no clusters"),
        ("clusters", [1, 1 << 62], "beyond the end"),
        ("lcn", [1, 1 << 62], "beyond the end"),
    ],
)
def test_extents_that_no_scan_writes_are_refused(name, values, what):
    tables = Volume().add(30, "f", [(0, 10, 4), (4, 20, 2)]).tables()
    with pytest.raises(TableError, match=what):
        ExtentMap.from_tables(change(tables, name, values))


def members(found: Runs):
    pairs = zip(found.lcn.tolist(), found.clusters.tolist(), strict=True)
    return {cluster for lcn, clusters in pairs for cluster in range(lcn, lcn + clusters)}


def run_lists():
    pair = st.tuples(st.integers(0, 60), st.integers(1, 20))
    return st.lists(pair, max_size=12).map(
        lambda pairs: np.array(sorted(pairs), np.int64).reshape(-1, 2).T.copy()
    )


@given(one=run_lists(), other=run_lists(), total=st.integers(0, 90))
@settings(deadline=None, max_examples=150)
def test_set_algebra_of_runs(one, other, total):
    many = [{c for lcn, n in side.T for c in range(lcn, lcn + n)} for side in (one, other)]
    sets = [runs.union(*side) for side in (one, other)]
    assert [members(s) for s in sets] == many
    assert members(runs.intersect(*sets)) == many[0] & many[1]
    assert members(runs.complement(sets[0], total)) == set(range(total)) - many[0]
    clipped = [runs.clip(s, total) for s in sets]
    assert members(clipped[0]) == many[0] & set(range(total))
    assert members(runs.subtract(*clipped, total)) == (many[0] - many[1]) & set(range(total))
    claimed = [c for lcn, n in one.T for c in range(lcn, lcn + n)]
    assert members(runs.shared(*one)) == {c for c in claimed if claimed.count(c) > 1}
