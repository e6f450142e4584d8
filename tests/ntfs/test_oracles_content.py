"""Content of every file and stream through ``Volume.open``, against the mount and ntfscat."""

from __future__ import annotations

import hashlib
import io

import pytest

import sbtk
from sbtk.errors import StreamNotFoundError, StreamUnreadableError
from tests.oracles import sleuthkit
from tests.oracles.commands import bytes_of
from tests.oracles.views import our_attributes, our_names, tables

DATA = 0x80
CHUNK_BYTES = 1 << 20
MFT_RECORD, BAD_CLUSTERS_RECORD, SECURE_RECORD = 0, 8, 9
NOTHING = hashlib.sha256(b"").hexdigest()
WOF_PATH = "reparse/wof.bin"
WOF_BYTES, WOF_STREAM_BYTES = 12_288, 3000
ODD_READS = ((0, 1), (1, 511), (4095, 2), (65_535, 70_001))


@pytest.fixture
def opened(corpus_volume):
    with sbtk.open_volume(corpus_volume.image) as found:
        found.__dict__["tables"] = tables(corpus_volume.name)  # scanned once a process
        yield found


def sha256_of(stream):
    digest = hashlib.sha256()
    while block := stream.read(CHUNK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def data_streams(name):
    """Record and name of every $DATA of every file; without the one that is refused."""
    found = {
        (record, attribute.name): attribute
        for record, attributes in our_attributes(name).items()
        for attribute in attributes
        if attribute.attribute_type == DATA
    }
    for record, rows in our_names(name).items():
        if any(row["path"] == WOF_PATH for row in rows):
            del found[record, ""]
    return found


def paths(corpus_volume):
    return {row["path"] for row in corpus_volume.manifest}


def shown_by_the_mount(corpus_volume):
    """sha256 of every stream that the mount lets anybody read."""
    shown = {}
    for row in corpus_volume.manifest:
        if "sha256" in row:
            shown[row["ino"], ""] = row["sha256"]
        for stream, digest in row.get("streams", {}).items():
            shown[row["ino"], stream] = digest
    return shown


def test_every_stream_reads_as_on_the_mount(corpus_volume, opened):
    shown = shown_by_the_mount(corpus_volume)
    assert shown.pop((SECURE_RECORD, "")) == NOTHING  # shown as empty where there is none (trap 8)
    assert set(shown) <= set(data_streams(corpus_volume.name))
    for (record, stream), digest in shown.items():
        with opened.open(record, stream) as content:
            assert sha256_of(content) == digest, f"record {record} stream {stream!r}"


def test_streams_that_the_mount_hides_read_as_with_ntfscat(corpus_volume, opened):
    """Links and special files, their streams, and those of the system files."""
    hidden = set(data_streams(corpus_volume.name)) - set(shown_by_the_mount(corpus_volume))
    hidden -= {(MFT_RECORD, ""), (BAD_CLUSTERS_RECORD, "$Bad")}  # the next two tests
    assert (10, "$Info") in hidden
    for record, stream in hidden:
        name = ("-n", stream) if stream else ()
        theirs = bytes_of("ntfscat", "-f", "-i", str(record), *name, corpus_volume.image)
        with opened.open(record, stream) as content:
            assert content.read() == theirs, f"record {record} stream {stream!r}"


def test_mft_reads_as_it_lies_on_the_disk(corpus_volume, opened):
    """By icat, for ntfscat undoes the fixups; icat refuses 2 MiB clusters: by their place there."""
    with opened.open(MFT_RECORD) as content:
        ours = content.read()
    info = tables(corpus_volume.name).volume
    if sleuthkit.can_read(info.cluster_bytes):
        theirs = bytes_of("icat", "-f", "ntfs", corpus_volume.image, "0")
    else:
        data = data_streams(corpus_volume.name)[MFT_RECORD, ""]
        assert len(data.runs) == 1
        with corpus_volume.image.open("rb") as file:
            file.seek(data.runs[0][1] * info.cluster_bytes)
            theirs = file.read(data.data_bytes)
    assert ours == theirs


def test_bad_clusters_read_as_zeros(corpus_volume, opened):
    """As long as the volume and initialised 0: at both ends, for there is a lot in between."""
    with opened.open(BAD_CLUSTERS_RECORD, "$Bad") as content:
        end = content.seek(0, io.SEEK_END)
        assert end == data_streams(corpus_volume.name)[BAD_CLUSTERS_RECORD, "$Bad"].data_bytes
        for at in (0, end - 5000):
            content.seek(at)
            assert content.read(5000) == bytes(5000)


def test_reads_from_odd_places_are_slices_of_the_whole(corpus_volume, opened):
    """Across resident, sparse, compressed and initialised < data streams alike."""
    for (record, stream), attribute in data_streams(corpus_volume.name).items():
        if not attribute.runs or attribute.data_bytes > 20 * CHUNK_BYTES:
            continue
        interesting = len(attribute.runs) > 1 or attribute.flags
        if not interesting and attribute.initialized_bytes == attribute.data_bytes:
            continue
        with opened.open(record, stream) as content:
            whole = content.read()
            assert len(whole) == attribute.data_bytes
            for at, count in (*ODD_READS, (len(whole) // 2 + 1, 66_000), (len(whole) - 3, 9)):
                content.seek(at)
                assert content.read(count) == whole[at : at + count], f"record {record} at {at}"


def test_every_path_opens_the_file_it_names(corpus_volume, opened):
    """Paths that no other system would accept, too: every 7th, and all unusual ones."""
    rows = [row for row in corpus_volume.manifest if "sha256" in row]
    odd = [row for row in rows if row["path"].startswith(("names/", "links/", "deep/"))]
    for row in rows[::7] + odd:
        if ":" in row["path"]:
            continue  # the next test
        with opened.open(row["path"]) as content:
            assert sha256_of(content) == row["sha256"], row["path"]


def test_a_colon_in_a_posix_name_is_still_a_name(corpus_volume, opened):
    for row in corpus_volume.manifest:
        if ":" in row["path"] and "sha256" in row:
            with opened.open(row["path"]) as content:
                assert sha256_of(content) == row["sha256"], row["path"]


def test_what_has_no_content_says_so(corpus_volume, opened):
    without = [row for row in corpus_volume.manifest if "error" in row]
    assert without
    for row in (*without, {"path": "$Secure"}):
        with pytest.raises(StreamNotFoundError):
            opened.open(row["path"])
    with pytest.raises(StreamNotFoundError):
        opened.open("no/such/file")


def test_names_of_streams_are_complete(corpus_volume):
    """No $DATA is invented: each belongs to a file with a name."""
    names = our_names(corpus_volume.name)
    for record, stream in data_streams(corpus_volume.name):
        assert record in names or record < 24, f"record {record} stream {stream!r}"


def test_what_only_windows_unpacks_is_refused_and_its_stream_is_not(corpus_volume, opened):
    """A WOF file: the hole that is its $DATA is not its content (trap 10)."""
    if WOF_PATH not in paths(corpus_volume):
        assert not corpus_volume.name.startswith("zoo")
        return
    assert opened.find(WOF_PATH).data_bytes == WOF_BYTES
    with pytest.raises(StreamUnreadableError, match="WOF"):
        opened.open(WOF_PATH)
    assert len(opened.open(f"{WOF_PATH}:WofCompressedData").read()) == WOF_STREAM_BYTES
