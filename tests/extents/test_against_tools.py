"""The map, free space and fragment counts of real volumes, against other people's tools."""

from itertools import pairwise

import numpy as np
import pytest

from tests.corpus import NAMES, volume
from tests.extents.tools import (
    ClusterTable,
    bitmap_by_ntfscat,
    free_by_blkls,
    scanned,
    totals_by_ntfsinfo,
)
from tests.oracles import ntfsinfo, sleuthkit

RANDOM_CLUSTERS = 10_000
RANDOM_BY_IFIND = 40


@pytest.mark.parametrize("name", NAMES)
def test_owners_of_random_clusters_agree_with_ntfscluster(name):
    tables, extent_map = scanned(name)
    total = tables.volume.total_clusters
    expected = ClusterTable(volume(name).image, total)
    places = np.random.default_rng(7).integers(0, total, RANDOM_CLUSTERS)
    frame = extent_map.owner_of(places)
    for column in ("record", "vcn"):
        found = frame[column].fillna(-1).to_numpy(np.int64)
        assert (found == getattr(expected, column)[places]).all(), column
    row = frame["row"].to_numpy()
    attribute_type = extent_map.owners.column("attribute_type")[extent_map.stream[row]]
    owned = row >= 0
    assert (attribute_type[owned] == expected.attribute_type[places][owned]).all()
    assert 0.05 < owned.mean() < 0.999, "both owned and free clusters were asked for"
    names = tables.names.to_pandas().groupby("record")["path"].agg(set)
    for record, path in set(zip(frame["record"][owned], frame["path"][owned], strict=True)):
        # The tool takes any one of a file's names, DOS names too, and none from an extension.
        told = {path for path in expected.paths[record] if path in names[record]}
        assert path in names[record]
        assert told or record in (0, 5) or not expected.paths[record].isascii(), path


@pytest.mark.parametrize("name", NAMES)
def test_owners_agree_with_ifind(name):
    tables, extent_map = scanned(name)
    if not sleuthkit.can_read(tables.volume.cluster_bytes):
        assert name == "zoo_c2m"
        return
    frame = extent_map.owner_of(np.arange(tables.volume.total_clusters)).query("row >= 0")
    initialized = extent_map.owners.column("initialized_bytes")[extent_map.stream[frame["row"]]]
    # The Sleuth Kit cuts clusters behind the initialised size off.
    known = frame[frame["file_offset_bytes"].to_numpy(np.int64) < initialized]
    places = np.random.default_rng(8).choice(known["lcn"].to_numpy(np.int64), RANDOM_BY_IFIND)
    for lcn, record in zip(places, extent_map.owner_of(places)["record"], strict=True):
        assert record in sleuthkit.records_of_cluster(volume(name).image, int(lcn)), lcn


@pytest.mark.parametrize("name", NAMES)
def test_every_cluster_of_the_volume_agrees_with_ntfscluster(name):
    tables, extent_map = scanned(name)
    total = tables.volume.total_clusters
    expected = ClusterTable(volume(name).image, total)
    row = extent_map.owner_rows(np.arange(total))
    record = np.where(row >= 0, extent_map.owners.record[extent_map.stream[row]], -1)
    assert (record == expected.record).all()


@pytest.mark.parametrize("name", NAMES)
def test_free_clusters_agree_to_the_cluster(name):
    tables, extent_map = scanned(name)
    total, image = tables.volume.total_clusters, volume(name).image
    by_bitmap, by_owners = (members(extent_map.free_runs(by)) for by in ("bitmap", "owners"))
    assert (by_bitmap == np.flatnonzero(~bitmap_by_ntfscat(image, total))).all()
    assert (by_owners == by_bitmap).all()
    assert by_bitmap.size == ntfsinfo.geometry(image).free_clusters
    if sleuthkit.can_read(tables.volume.cluster_bytes):
        assert (free_by_blkls(image) == by_bitmap).all()


def members(runs):
    pairs = zip(runs.lcn, runs.clusters, strict=True)
    return np.concatenate([np.arange(lcn, lcn + clusters) for lcn, clusters in pairs])


@pytest.mark.parametrize("name", NAMES)
def test_fragment_counts_agree_with_ntfsinfo(name):
    _, extent_map = scanned(name)
    streams = extent_map.fragmentation().streams
    rows = np.bincount(extent_map.owners.record[extent_map.stream])
    fragments = streams.groupby("record")["fragments"].sum()
    several = fragments[fragments > 1].index
    others = np.random.default_rng(9).permutation(fragments[fragments == 1].index)[:150]
    records = sorted({*several.tolist(), *others.tolist()})
    totals = totals_by_ntfsinfo(volume(name).image, records)
    assert totals.keys() == set(records)
    excess = excess_of_ntfsinfo(volume(name).image, records)
    for record in records:
        runs, counted = totals[record]
        more_runs, more_fragments = excess[record]
        assert rows[record] == runs - more_runs, record
        assert fragments[record] == counted - more_fragments, record
    assert max(runs for runs, _ in totals.values()) >= 3


def excess_of_ntfsinfo(image, records):
    """What the tool counts beyond runs and fragments: (runs, fragments) by record.

    It counts each record's piece of a run list by itself: a run for the clusters before a later
    piece and one for those behind the first; a fragment for a piece of holes only, and one for a
    piece that goes on at the very next cluster.
    """
    found = {}
    for record, inode in ntfsinfo.parse(ntfsinfo.dump(image, records)).items():
        runs = fragments = 0
        for pieces in inode.streams().values():
            stored = [piece for piece in pieces if not piece.resident]
            stored.sort(key=lambda piece: piece.lowest_vcn)
            runs += sum(piece.lowest_vcn > 0 for piece in stored) + (len(stored) > 1)
            real = [[run for run in piece.runs if run[1] >= 0] for piece in stored]
            fragments += sum(not runs_of_piece for runs_of_piece in real)
            real = [runs_of_piece for runs_of_piece in real if runs_of_piece]
            for before, after in pairwise(real):
                _, lcn, clusters = before[-1]
                fragments += after[0][1] == lcn + clusters
        found[record] = runs, fragments
    return found
