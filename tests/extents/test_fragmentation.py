"""Fragments, seeks and scores of volumes small enough to count by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest

from sbtk.extents import fragmentation
from sbtk.extents.fragmentation import measure
from sbtk.extents.map import ExtentMap
from tests.extents.synthetic import CLUSTER_BYTES, Volume

MIB = (1 << 20) // CLUSTER_BYTES
DAY_NS = 86_400 * 10**9


def report(volume, **options):
    return measure(ExtentMap.from_tables(volume.tables()), **options)


def rows(frame, *columns):
    return frame[list(columns)].to_numpy().tolist()


def test_runs_that_touch_on_the_disk_are_one_fragment_and_holes_are_none():
    volume = Volume().add(30, "f", [(0, 10, 4), (4, 14, 2), (6, -1, 9), (15, 16, 1), (16, 50, 3)])
    stream = report(volume).streams.iloc[0]
    assert (stream.extents, stream.fragments, stream.seeks) == (4, 2, 1)
    assert stream.on_disk_bytes == 10 * CLUSTER_BYTES
    assert stream.largest_piece_bytes == 7 * CLUSTER_BYTES


def test_seeks_by_distance_forwards_and_backwards():
    far = 1 + 1024 * MIB
    places = [0, 2, 2 + MIB + 1, 2 + MIB + 2 + 1, 100 * MIB, 100 * MIB + far + 1, 0]
    places[-1] = 3
    runs = [(vcn, lcn, 1) for vcn, lcn in enumerate(places)]
    stream = report(Volume(total_clusters=4096 * MIB).add(30, "f", runs)).streams.iloc[0]
    jumps = [abs(b - a - 1) * CLUSTER_BYTES for a, b in itertools.pairwise(places)]
    limits = [1 << 20, 64 << 20, 1 << 30, np.inf]
    expected = [
        sum(low < jump <= high for jump in jumps if jump)
        for low, high in zip([0, *limits], limits, strict=False)
    ]
    assert [stream[name] for name, _ in fragmentation.SEEK_CLASSES] == expected
    assert stream.seeks == sum(expected) == 6


def test_score_is_the_share_of_time_between_fragments():
    volume = Volume(total_clusters=1 << 30)
    volume.add(30, "f", [(0, 0, 100), (100, 1000, 100), (200, 500, 100), (300, 601, 100)])
    found = report(volume, seek_s=0.01, bytes_per_s=CLUSTER_BYTES * 10_000)
    # 900 clusters ahead would take 90 ms: a seek; 600 back: a seek; 1 cluster ahead is read over.
    jump_s, read_s = 0.01 + 0.01 + 1 / 10_000, 400 / 10_000
    assert found.score == pytest.approx(100 * jump_s / (jump_s + read_s))


def test_files_add_their_streams_up_and_the_worst_come_first():
    volume = Volume().add(30, "a", [(0, 10, 1), (1, 20, 1)])
    volume.stream(30, [(0, 30, 4), (4, 50, 1)], attribute_name="s")
    volume.add(31, "b", [(0, 60, 9)]).add(32, "c", [(0, 100, 1), (1, 200, 1), (2, 300, 1)])
    found = report(volume)
    assert rows(found.files, "path", "fragments", "seeks") == [
        ["a", 3, 2], ["c", 3, 2], ["b", 1, 0]
    ]  # fmt: skip
    assert found.files.seek_share.sum() == pytest.approx(1)
    # Of as many seeks, those that go farther back or forth cost more.
    assert rows(found.worst(2), "label", "fragments") == [["c", 3], ["a:s", 2]]
    assert rows(found.worst(), "label", "seeks") == [["c", 2], ["a:s", 1], ["a", 1]]


def test_defects_are_no_fragments_and_the_mft_is_counted_apart():
    volume = Volume().add(0, "$MFT", [(0, 40, 8), (8, 100, 2)]).add(8, "$BadClus", [])
    volume.stream(8, [(0, -1, 5), (5, 5, 1), (6, -1, 3), (9, 9, 1)], attribute_name="$Bad")
    volume.add(30, "f", [(0, 60, 1)])
    found = report(volume)
    assert found.files.path.tolist() == ["$MFT", "f"]
    summary = found.summary()
    assert (summary["mft_fragments"], summary["mft_largest_piece_bytes"]) == (2, 8 * CLUSTER_BYTES)
    assert (summary["files"], summary["fragmented_files"]) == (2, 1)
    assert summary["fragmented_bytes"] == 10 * CLUSTER_BYTES


def test_percentiles_are_values_that_occur():
    volume, lcn = Volume(total_clusters=10_000), 0
    for number in range(100):
        pieces = 1 if number < 90 else number - 88
        runs = [(vcn, lcn + 2 * vcn, 1) for vcn in range(pieces)]
        volume.add(30 + number, f"f{number}", runs)
        lcn += 2 * pieces + 5
    summary = report(volume).summary()
    points = {name: summary[f"fragments_{name}"] for name in ("p50", "p90", "p99", "p100")}
    assert points == {"p50": 1, "p90": 1, "p99": 10, "p100": 11}


def test_a_run_beyond_the_end_is_no_fragment():
    volume = Volume().add(30, "f", [(0, 10, 1), (1, 20, 1), (2, (1 << 55) - 1, 9)])
    stream = report(volume).streams.iloc[0]
    assert (stream.extents, stream.on_disk_bytes) == (2, 2 * CLUSTER_BYTES)


def test_histograms_hold_every_file_and_every_free_run():
    volume = Volume().add(30, "one", [(0, 0, 10)])
    volume.add(31, "three", [(0, 20, 1), (1, 40, 1), (2, 60, 1)])
    found = report(volume)
    assert found.histogram().files.tolist() == [1, 0, 1, 0, 0, 0, 0]
    assert found.histogram().fragments.tolist()[:4] == ["1", "2", "3-4", "5-8"]
    free = found.free_histogram()
    assert free["runs"].sum() == 4
    assert free["bytes"].sum() == (1000 - 13) * CLUSTER_BYTES == found.summary()["free_bytes"]


def test_free_space_is_that_of_the_bitmap_where_there_is_one():
    volume = Volume(total_clusters=100).add(30, "f", [(0, 10, 10)]).mark(also=range(20, 60))
    assert report(volume).free_clusters.tolist() == [10, 40]


def test_groups_by_folder_extension_age_and_size():
    volume = Volume(total_clusters=100_000)
    volume.add(30, "a/b/x.TXT", [(0, 0, 1), (1, 10, 1)], modified=100 * DAY_NS)
    volume.add(31, "a/y.txt", [(0, 20, 300)], modified=99 * DAY_NS)
    volume.add(32, "a.d/z", [(0, 1000, 1)], modified=50 * DAY_NS)
    volume.add(33, "dir.d", [(0, 2000, 1)], is_directory=True, modified=100 * DAY_NS)
    volume.add(34, ".profile", [(0, 2005, 1)], modified=100 * DAY_NS)
    volume.stream(99, [(0, 3000, 1)])
    found = report(volume)
    assert rows(found.by_folder(), "folder", "files", "fragmented_files", "seeks")[0] == [
        "a", 2, 1, 1
    ]  # fmt: skip
    assert set(found.by_folder().folder) == {"a", "a.d", ".", "$record"}
    assert "a/b" in set(found.by_folder(depth=2).folder)
    extensions = dict(rows(found.by_extension(), "extension", "files"))
    assert extensions == {".txt": 2, "(none)": 3, "(folder)": 1}
    ages = dict(rows(found.by_age(), "age", "files"))
    assert ages == {"up to a day": 4, "up to a year": 1, "unknown": 1}
    later = pd.Timestamp(2000 * DAY_NS, tz="UTC")
    assert dict(rows(found.by_age(later), "age", "files")) == {"older": 5, "unknown": 1}
    sizes = dict(rows(found.by_size(), "size", "files"))
    assert sizes == {"up to 64.0 KiB": 5, "up to 16.0 MiB": 1}
    assert found.by_size()["seek_share"].sum() == pytest.approx(1)


def test_a_bare_mft_is_measured_with_clusters_of_the_usual_size():
    volume = Volume(total_clusters=0).add(30, "f", [(0, 10, 1), (1, 20, 4)])
    volume.info.cluster_bytes = volume.info.sector_bytes = 0
    found = report(volume)
    assert found.streams.on_disk_bytes.tolist() == [5 * 4096]
    assert found.free_clusters.size == 0


def test_a_volume_of_resident_files_scores_nothing():
    found = report(Volume().add(30, "f", [], resident=True))
    assert found.score == 0
    assert found.files.empty
    assert found.histogram().files.sum() == 0
    assert found.by_folder().empty
    assert found.by_age().empty
    assert found.worst().empty
    assert found.summary()["fragments_p99"] == 0
