"""The corpus holds every trap of the format that real tools can make: one that lost any must fail.

All by ntfsinfo and the manifest, none by sbtk.
"""

from __future__ import annotations

import stat

import pytest

from tests.corpus import NAMES, cache_folder, volume
from tests.corpus.build import RECIPES
from tests.oracles import ntfsinfo
from tests.oracles.views import inodes

ATTRIBUTE_LIST, FILE_NAME, DATA, INDEX_ROOT, INDEX_ALLOCATION = 0x20, 0x30, 0x80, 0x90, 0xA0
OBJECT_ID, REPARSE_POINT, EA = 0x40, 0xC0, 0xE0
COMPRESSED, SPARSE = 0x0001, 0x8000
ZOOS = [name for name in NAMES if name.startswith("zoo")]
COMPRESSING = ["zoo", "zoo_c512", "zoo_s4096"]
SCATTERED = ["zoo", "zoo_c512"]
FALLOCATED = [name for name in ZOOS if name != "zoo_c2m"]


def rows(name):
    return {row["path"]: row for row in volume(name).manifest}


def inode(name, path):
    return inodes(name)[rows(name)[path]["ino"]]


def pieces(found, attribute_type, stream=""):
    return [p for p in found.pieces if p.attribute_type == attribute_type and p.name == stream]


def data(name, path):
    return pieces(inode(name, path), DATA)[0]


@pytest.mark.parametrize("name", NAMES)
def test_geometry_is_what_was_asked_for(name):
    recipe, found = RECIPES[name], ntfsinfo.geometry(volume(name).image)
    assert found.cluster_bytes == recipe.cluster_bytes
    assert found.sector_bytes == recipe.sector_bytes
    assert found.record_bytes == max(1024, recipe.sector_bytes)
    # The backup boot sector lies behind the last cluster (trap 11).
    assert found.clusters * found.cluster_bytes < recipe.size_bytes
    assert volume(name).image.stat().st_size == recipe.size_bytes
    assert stat.S_IMODE(volume(name).image.stat().st_mode) == 0o444


def test_a_volume_is_kept_and_found_again():
    assert volume("zoo").folder == cache_folder() / "zoo"
    assert volume("zoo") is volume("zoo")
    with pytest.raises(KeyError, match="none of zoo"):
        volume("unknown")


@pytest.mark.parametrize("name", ZOOS)
def test_what_the_tools_refused_is_what_is_known(name):
    refused = set(volume(name).notes) - {"fill"}
    assert all(word.startswith("ntfsfallocate") for word in refused)
    assert bool(refused) == (name not in FALLOCATED)


def test_mft_needs_an_attribute_list():
    """Its pieces lie in records that have other uses by nature: 15 and the reserved 16-23."""
    found = inodes("mft_list")[0]
    parts = pieces(found, DATA)
    assert len(parts) >= 8
    assert 15 in found.extensions
    assert not pieces(found, ATTRIBUTE_LIST)[0].resident
    assert pieces(found, FILE_NAME)[0].record != 0


def test_mft_records_straddle_runs():
    """With clusters of half a record, some records lie in two places."""
    runs = [run for part in pieces(inodes("mft_list")[0], DATA) for run in part.runs]
    straddling = [vcn for vcn, _, clusters in runs if (vcn + clusters) % 2]
    assert len(straddling) >= 100


@pytest.mark.parametrize("name", SCATTERED)
def test_a_file_spread_over_ten_extension_records(name):
    parts = pieces(inode(name, "fragmented.bin"), DATA)
    assert len({part.record for part in parts}) >= 10
    assert sum(len(part.runs) for part in parts) >= 3000


@pytest.mark.parametrize("name", COMPRESSING)
def test_compressed_files(name):
    for path in ("text.log", "random.bin", "zeros.bin", "mixed.bin", "holey.bin"):
        found = data(name, f"comp/{path}")
        assert found.flags & COMPRESSED
        assert found.compression_unit == 4
    holes = [run for run in data(name, "comp/text.log").runs if run[1] < 0]
    assert holes
    assert all(run[1] < 0 for run in data(name, "comp/zeros.bin").runs)
    assert data(name, "comp/tiny.txt").resident


@pytest.mark.parametrize("name", COMPRESSING)
def test_sparse_files(name):
    swiss = data(name, "sparse/swiss.bin")
    assert swiss.flags & SPARSE
    assert len([run for run in swiss.runs if run[1] < 0]) >= 39
    assert all(run[1] < 0 for run in data(name, "sparse/all_hole.bin").runs)


@pytest.mark.parametrize("name", COMPRESSING)
def test_a_sparse_file_larger_than_the_volume(name):
    assert data(name, "sparse/larger_than_volume.bin").data_bytes > RECIPES[name].size_bytes


@pytest.mark.parametrize("name", FALLOCATED)
def test_initialised_and_allocated_sizes_differ_from_the_data_size(name):
    short = data(name, "plain/size_4097.bin")
    assert (short.initialized_bytes, short.data_bytes) == (4097, 150_000)
    grown = data(name, "plain/size_1025.bin")
    assert grown.data_bytes == 1025
    assert grown.allocated_bytes >= 200_000


@pytest.mark.parametrize("name", ZOOS)
def test_named_streams(name):
    streams = rows(name)["ads/host.txt"]["streams"]
    assert set(streams) == {"small", "Zone.Identifier", "big", "\U0001f600 strøm"}
    assert not pieces(inode(name, "ads/host.txt"), DATA, "big")[0].resident
    assert rows(name)["ads/dir_with_stream"]["streams"]
    assert len(rows(name)["ads/many.txt"]["streams"]) == 40


@pytest.mark.parametrize("name", ZOOS)
def test_hard_links(name):
    links = [row for path, row in rows(name).items() if path.startswith("links/many_")]
    assert len({row["ino"] for row in links}) == 1
    assert len(links) == links[0]["nlink"] == 60
    assert rows(name)["links/a.txt"]["ino"] == rows(name)["links/sub/c.txt"]["ino"]


@pytest.mark.parametrize("name", [n for n in ZOOS if n != "zoo_s4096"])
def test_names_and_indexes_in_extension_records_only(name):
    """Trap 4; records of 4096 bytes hold all that the zoo puts in one but the 60 links."""
    many = inode(name, "links/many_000.dat")
    assert len({piece.record for piece in pieces(many, FILE_NAME)} - {many.record}) >= 5
    crowded = inode(name, "ads/dir_with_many_streams")
    assert pieces(crowded, FILE_NAME)[0].record != crowded.record
    assert pieces(crowded, INDEX_ROOT, "$I30")[0].record != crowded.record


@pytest.mark.parametrize("name", ZOOS)
def test_names(name):
    found = rows(name)
    assert "names/" + "L" * 255 in found
    assert "names/" + "長" * 255 in found
    assert "names/" + "\U0001f600" * 127 + "x" in found
    assert "names/unicode/emoji_\U0001f600_surrogate.txt" in found
    assert {"names/case/File.txt", "names/case/file.TXT"} <= set(found)
    assert {"names/posix_only/a:b", "names/posix_only/back\\slash"} <= set(found)
    namespaces = {
        n.namespace for n in inode(name, "names/dos/A long file name number 3.document").names
    }
    assert namespaces == {1, 2}
    assert max(path.count("/") for path in found) >= 61


@pytest.mark.parametrize("name", ZOOS)
def test_freed_records_and_one_used_again(name):
    assert inode(name, "deleted/again_00.txt").sequence > 1
    in_use = ntfsinfo.records_in_use(volume(name).image)
    assert max(in_use) + 1 - len(in_use) >= 8


@pytest.mark.parametrize("name", ZOOS)
def test_other_attributes(name):
    assert pieces(inode(name, "plain/with_object_id.txt"), OBJECT_ID)
    assert pieces(inode(name, "plain/with_ea.txt"), EA)
    assert pieces(inode(name, "reparse/wof.bin"), REPARSE_POINT)
    assert rows(name)["reparse/junction"]["reparse_tag"] == 0xA0000003
    assert not pieces(inode(name, "bigdir"), INDEX_ALLOCATION, "$I30")[0].resident


@pytest.mark.parametrize("name", ZOOS)
def test_attribute_lists_of_both_kinds(name):
    lists = [p.resident for found in inodes(name).values() for p in pieces(found, ATTRIBUTE_LIST)]
    assert False in lists
    assert (True in lists) == (name != "zoo_s4096")
