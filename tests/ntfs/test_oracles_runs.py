"""Attributes and run lists of every record, against ntfsinfo and dissect.ntfs."""

from __future__ import annotations

import random

import pytest

from tests.oracles import dissect, ntfsinfo, sleuthkit
from tests.oracles.views import IN_OTHER_TABLES, inodes, our_attributes, tables, their_attributes

SEED = 4711
DISSECT_SAMPLE = 150
ISTAT_SAMPLE = 40
SYSTEM_RECORDS = range(12)


def test_the_same_records_are_files(corpus_volume):
    assert set(tables(corpus_volume.name).files["record"].to_pylist()) == set(
        inodes(corpus_volume.name)
    )


def test_every_record_in_use_is_a_file_or_extends_one(corpus_volume):
    """Proves that no record went unexamined: ntfsinfo is silent on extensions only."""
    theirs = inodes(corpus_volume.name)
    extensions = {n for inode in theirs.values() for n in inode.extensions - {inode.record}}
    in_use = set(ntfsinfo.records_in_use(corpus_volume.image))
    assert in_use == set(theirs) | extensions
    counts = tables(corpus_volume.name).volume.counts
    assert counts["records_base"] == len(theirs)
    assert counts["records_extension"] == len(extensions)


def test_attributes_and_run_lists_of_every_record(corpus_volume):
    ours = our_attributes(corpus_volume.name)
    for record, inode in inodes(corpus_volume.name).items():
        assert ours.get(record, []) == their_attributes(inode), f"record {record}"


def test_headers_of_every_record(corpus_volume):
    columns = ("record", "sequence", "hard_links", "is_directory")
    ours = tables(corpus_volume.name).files.select(columns).to_pylist()
    theirs = [
        dict(zip(columns, (i.record, i.sequence, i.hard_links, i.is_directory), strict=True))
        for i in inodes(corpus_volume.name).values()
    ]
    assert ours == sorted(theirs, key=lambda row: row["record"])


def test_geometry(corpus_volume):
    ours, theirs = tables(corpus_volume.name).volume, ntfsinfo.geometry(corpus_volume.image)
    assert ours.cluster_bytes == theirs.cluster_bytes
    assert ours.sector_bytes == theirs.sector_bytes
    assert ours.record_bytes == theirs.record_bytes
    assert ours.total_clusters == theirs.clusters
    assert ours.label == corpus_volume.name
    assert ours.version == "3.1"
    assert not ours.dirty
    assert ours.mirror == "equal"


def test_a_healthy_volume_has_no_findings(corpus_volume):
    assert tables(corpus_volume.name).findings.to_pylist() == []


def test_files_columns_follow_the_unnamed_data(corpus_volume):
    """The ``files`` row repeats what the ``streams`` row of the unnamed $DATA says."""
    ours = our_attributes(corpus_volume.name)
    for row in tables(corpus_volume.name).files.to_pylist():
        data = next(
            (a for a in ours[row["record"]] if (a.attribute_type, a.name) == (0x80, "")), None
        )
        if data is None:
            assert row["size_bytes"] == row["extents"] == 0
            continue
        assert row["size_bytes"] == data.data_bytes
        assert row["resident"] == data.resident
        assert row["extents"] == sum(lcn >= 0 for _, lcn, _ in data.runs)
        assert row["compressed"] == bool(data.flags & 0x00FF)
        assert row["encrypted"] == bool(data.flags & 0x4000)
        assert row["sparse"] == bool(data.flags & 0x8000)


def test_runs_cover_what_is_allocated_and_that_the_data(corpus_volume):
    """The rule by which sizes that lie are told from honest ones (tests/hostile)."""
    cluster_bytes = tables(corpus_volume.name).volume.cluster_bytes
    for record, attributes in our_attributes(corpus_volume.name).items():
        for a in attributes:
            if not a.resident:
                covered_bytes = cluster_bytes * sum(clusters for _, _, clusters in a.runs)
                assert covered_bytes == a.allocated_bytes, f"record {record}"
                assert a.initialized_bytes <= a.data_bytes <= a.allocated_bytes


def sample(name, count):
    records = sorted(our_attributes(name))
    spread = [r for r in records if any(len(a.runs) > 200 for a in our_attributes(name)[r])]
    chosen = random.Random(SEED).sample(records, min(count, len(records)))
    return sorted({*SYSTEM_RECORDS, *spread, *chosen})


def test_dissect_agrees_on_a_sample(corpus_volume):
    """dissect opens a $MFT with an attribute list as far as its first piece goes."""
    name = corpus_volume.name
    reach = their_first_piece_records(name)
    seen = 0
    with dissect.opened(corpus_volume.image) as theirs:
        for record in sample(name, DISSECT_SAMPLE):
            extents = inodes(name)[record].extensions
            if max({record, *extents}) >= reach:
                continue
            seen += 1
            expected = {
                (a.attribute_type, a.name): (a.resident, a.data_bytes, [r[1:] for r in a.runs])
                for a in our_attributes(name)[record]
            }
            found = dissect.streams_of(theirs.mft.get(record))
            listed = {
                key: (stream.resident, stream.data_bytes, stream.runs)
                for key, stream in found.items()
                if key[0] not in IN_OTHER_TABLES
            }
            assert listed == expected, f"record {record}"
    assert seen >= 50


def their_first_piece_records(name):
    data = next(p for p in inodes(name)[0].pieces if p.attribute_type == 0x80 and p.lowest_vcn == 0)
    info = tables(name).volume
    return (data.highest_vcn + 1) * info.cluster_bytes // info.record_bytes


def test_istat_agrees_on_a_sample(corpus_volume):
    """Sizes and residency by a third code base; it refuses clusters of 2 MiB."""
    info = tables(corpus_volume.name).volume
    if not sleuthkit.can_read(info.cluster_bytes):
        with pytest.raises(AssertionError, match="invalid cluster size"):
            sleuthkit.attributes_of(corpus_volume.image, 0)
        return
    for record in sample(corpus_volume.name, ISTAT_SAMPLE):
        ours = sorted(
            (a.attribute_type, a.name, a.resident, a.data_bytes, a.initialized_bytes)
            for a in our_attributes(corpus_volume.name)[record]
        )
        theirs = sorted(
            (a.attribute_type, a.name, a.resident, a.size_bytes,
             0 if a.resident else a.initialized_bytes)
            for a in sleuthkit.attributes_of(corpus_volume.image, record)
            if a.attribute_type not in IN_OTHER_TABLES
        )  # fmt: skip
        assert ours == theirs, f"record {record}"
