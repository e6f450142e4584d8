"""Names, paths, hard links, sizes and times, against ntfsinfo, the mount and fls."""

from __future__ import annotations

import stat

import numpy as np

from tests.oracles import sleuthkit
from tests.oracles.views import inodes, our_attributes, our_names, tables

DOS, WIN32_AND_DOS = 2, 3
DATA, INDEX_ROOT = 0x80, 0x90
ROOT_RECORD = 5
EPOCH_1601_TO_1970 = 116_444_736_000_000_000  # in units of 100 ns
HIDDEN_FROM_THE_MOUNT = {"$MFT"}  # it numbers files by record, and 0 is no inode number


def linked(rows):
    """Names that are links: all but DOS names, which are second names of one."""
    return [row for row in rows if row["namespace"] != DOS]


def by_path(name):
    return {row["path"]: row for rows in our_names(name).values() for row in linked(rows)}


def test_names_of_every_record(corpus_volume):
    ours = our_names(corpus_volume.name)
    for record, inode in inodes(corpus_volume.name).items():
        found = sorted((n["parent"], n["namespace"], n["name"]) for n in ours.get(record, []))
        theirs = sorted((n.parent, n.namespace, n.name) for n in inode.names)
        assert found == theirs, f"record {record}"


def test_paths_are_those_of_the_mount(corpus_volume):
    ours = {path: row["record"] for path, row in by_path(corpus_volume.name).items()}
    theirs = {row["path"]: row["ino"] for row in corpus_volume.manifest}
    hidden = dict.fromkeys(HIDDEN_FROM_THE_MOUNT, 0)
    assert ours == theirs | hidden


def test_no_path_twice(corpus_volume):
    paths = [row["path"] for rows in our_names(corpus_volume.name).values() for row in linked(rows)]
    assert len(paths) == len(set(paths))


def test_paths_and_streams_are_those_of_fls(corpus_volume):
    """fls lists names in emptied index nodes, too, if it finds their record in use as something.

    Such a line names a record that ntfsinfo does not know, or not by this name: both are left out.
    """
    name = corpus_volume.name
    if not sleuthkit.can_read(tables(name).volume.cluster_bytes):
        return  # "invalid cluster size": test_istat_agrees_on_a_sample holds it to that
    known = {
        (record, row["name"]) for record, rows in our_names(name).items() for row in linked(rows)
    }
    theirs = {
        (entry.record, entry.path)
        for entry in sleuthkit.listing(corpus_volume.image)
        if entry.attribute_type and entry.record in inodes(name)
    }
    ours = expected_of_fls(name)
    missed = ours - theirs
    assert not missed
    stale = {(r, p) for r, p in theirs - ours if (r, p.rpartition("/")[2]) not in known}
    assert theirs - ours == stale
    assert len(stale) <= len(ours) // 100


def expected_of_fls(name):
    """What fls lists: a name with $DATA or as a folder; with ``:stream`` for every other one."""
    expected = set()
    total_clusters = tables(name).volume.total_clusters
    for record, attributes in our_attributes(name).items():
        for row in linked(our_names(name).get(record, [])):
            if record == ROOT_RECORD:
                continue
            for attribute in attributes:
                plain = attribute.name in ("", "$I30")
                too_long = any(run[2] > total_clusters for run in attribute.runs)
                if attribute.attribute_type in (DATA, INDEX_ROOT) and not too_long:
                    path = row["path"] + ("" if plain else f":{attribute.name}")
                    expected.add((record, path))
    return expected


def test_sizes_and_link_counts_are_those_of_the_mount(corpus_volume):
    files = {row["record"]: row for row in tables(corpus_volume.name).files.to_pylist()}
    names = our_names(corpus_volume.name)
    for row in corpus_volume.manifest:
        ours = files[row["ino"]]
        assert ours["is_directory"] == (stat.S_ISDIR(row["mode"]) or is_junction(row)), row["path"]
        # A DOS name is no link of its own, and yet it is counted as one (trap 9).
        assert ours["hard_links"] == row["nlink"] == len(names[row["ino"]]), row["path"]
        if stat.S_ISREG(row["mode"]) and "error" not in row:
            assert ours["size_bytes"] == row["size"], row["path"]


def is_junction(row):
    """The mount shows a folder with a mount point as a symbolic link."""
    return row.get("reparse_tag") == 0xA0000003


def test_a_dos_name_belongs_to_the_link_it_shortens(corpus_volume):
    names = our_names(corpus_volume.name)
    shown = [row for row in corpus_volume.manifest if row.get("dos")]
    if corpus_volume.name.startswith("zoo"):
        assert len([row for row in shown if row["path"].startswith("names/dos/")]) == 12
    for row in shown:
        own = names[row["ino"]]
        dos = {n["name"].upper() for n in own if n["namespace"] in (DOS, WIN32_AND_DOS)}
        assert row["dos"].upper() in dos, row["path"]


def test_first_path_of_a_file_is_one_of_its_links(corpus_volume):
    names = our_names(corpus_volume.name)
    for row in tables(corpus_volume.name).files.to_pylist():
        links = {n["path"] for n in linked(names.get(row["record"], []))}
        assert row["path"] in links or (not links and row["path"])


def test_times_are_those_of_the_mount_to_the_100_ns(corpus_volume):
    table = tables(corpus_volume.name).files
    at = {record: i for i, record in enumerate(table["record"].to_pylist())}
    columns = [
        table[name].to_numpy().astype("datetime64[ns]").astype(np.int64)
        for name in ("created", "modified", "accessed", "changed")
    ]
    for row in corpus_volume.manifest:
        ours = [int(column[at[row["ino"]]]) for column in columns]
        assert ours == [(t - EPOCH_1601_TO_1970) * 100 for t in row["times"]], row["path"]


def test_attributes_are_those_of_the_mount(corpus_volume):
    """The mount adds the folder flag, which is stored in $FILE_NAME and not in the record."""
    folder_flag = 0x10
    files = {row["record"]: row for row in tables(corpus_volume.name).files.to_pylist()}
    for row in corpus_volume.manifest:
        ours = files[row["ino"]]["attributes"]
        assert ours & 0xFFFF & ~folder_flag == row["attributes"] & 0xFFFF & ~folder_flag, row[
            "path"
        ]
