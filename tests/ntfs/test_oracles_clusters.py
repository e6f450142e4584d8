"""Who owns which cluster, against $Bitmap, ntfscluster and ifind."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.oracles import ntfscluster, ntfsinfo, sleuthkit
from tests.oracles.commands import bytes_of
from tests.oracles.views import inodes, tables

SEED = 815
RANGES = 60
IFIND_SAMPLE = 25  # on each of seven volumes; a run of ifind walks all of $MFT
BITMAP_RECORD, BAD_CLUSTERS_RECORD = 6, 8


def owner_of_clusters(name):
    """Row of ``extents`` that owns each cluster, -1 where none does; and how many do."""
    found = tables(name)
    owner = np.full(found.volume.total_clusters, -1)
    owners = np.zeros(found.volume.total_clusters, int)
    lcn, clusters = (found.extents[column].to_numpy() for column in ("lcn", "clusters"))
    for row in np.flatnonzero(lcn >= 0):
        owner[lcn[row] : lcn[row] + clusters[row]] = row
        owners[lcn[row] : lcn[row] + clusters[row]] += 1
    return owner, owners


def bits(data, count):
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count].astype(bool)


def test_owned_clusters_are_those_of_the_bitmap_and_have_one_owner(corpus_volume):
    _, owners = owner_of_clusters(corpus_volume.name)
    bitmap = bytes_of("ntfscat", "-f", "-i", str(BITMAP_RECORD), corpus_volume.image)
    allocated = bits(bitmap, len(owners))
    assert owners.max() == 1
    assert np.array_equal(owners == 1, allocated)


def test_free_clusters(corpus_volume):
    _, owners = owner_of_clusters(corpus_volume.name)
    free = ntfsinfo.geometry(corpus_volume.image).free_clusters
    assert np.count_nonzero(owners == 0) == free


def test_our_bitmap_is_the_volumes(corpus_volume):
    found = tables(corpus_volume.name)
    total = found.volume.total_clusters
    bitmap = bytes_of("ntfscat", "-f", "-i", str(BITMAP_RECORD), corpus_volume.image)
    assert np.array_equal(bits(found.bitmap.tobytes(), total), bits(bitmap, total))


def test_bad_clusters_own_nothing(corpus_volume):
    """$BadClus:$Bad is one hole of volume size without the sparse flag (trap 7)."""
    found = tables(corpus_volume.name)
    rows = [row for row in found.extents.to_pylist() if row["record"] == BAD_CLUSTERS_RECORD]
    assert [(row["lcn"], row["clusters"]) for row in rows] == [(-1, found.volume.total_clusters)]


def test_freed_records_own_nothing(corpus_volume):
    """Freed records keep their run lists (trap 6): no row of any table comes from them."""
    in_use = set(ntfsinfo.records_in_use(corpus_volume.image))
    for table in ("files", "names", "streams", "extents"):
        assert set(getattr(tables(corpus_volume.name), table)["record"].to_pylist()) <= in_use


def test_extents_are_sorted_by_lcn_and_holes_are_last(corpus_volume):
    lcn = tables(corpus_volume.name).extents["lcn"].to_numpy()
    real = np.count_nonzero(lcn >= 0)
    assert (np.diff(lcn[:real]) > 0).all()
    assert (lcn[real:] == -1).all()


def owners_in(name, first_lcn, last_lcn):
    extents = tables(name).extents
    lcn, clusters = extents["lcn"].to_numpy(), extents["clusters"].to_numpy()
    rows = np.flatnonzero((lcn >= 0) & (lcn <= last_lcn) & (lcn + clusters > first_lcn))
    return {
        ntfscluster.Owner(row["record"], row["attribute_type"], row["attribute_name"])
        for row in extents.take(rows).to_pylist()
    }


def test_owners_of_the_whole_volume_and_of_ranges(corpus_volume):
    last = tables(corpus_volume.name).volume.total_clusters - 1
    rnd = random.Random(SEED)
    ranges = [(0, last)]
    for _ in range(RANGES):
        first = rnd.randrange(last)
        ranges.append((first, min(last, first + rnd.choice((0, 1, 7, 100, 1000)))))
    for first, end in ranges:
        theirs = ntfscluster.owners_of(corpus_volume.image, first, end)
        assert owners_in(corpus_volume.name, first, end) == theirs, f"clusters {first}-{end}"


def test_ifind_names_the_owner_of_a_cluster(corpus_volume):
    """ifind names freed records, too: of those that are in use, the owner is the only one."""
    name = corpus_volume.name
    if not sleuthkit.can_read(tables(name).volume.cluster_bytes):
        with pytest.raises(AssertionError, match="invalid cluster size"):
            sleuthkit.records_of_cluster(corpus_volume.image, 0)
        return
    owner, _ = owner_of_clusters(name)
    records = tables(name).extents["record"].to_numpy()
    for lcn in random.Random(SEED).sample(range(len(owner)), IFIND_SAMPLE):
        ours = {int(records[owner[lcn]])} if owner[lcn] >= 0 else set()
        theirs = sleuthkit.records_of_cluster(corpus_volume.image, lcn) & set(inodes(name))
        assert theirs == ours, f"cluster {lcn}"
