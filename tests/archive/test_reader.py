"""Archives that lie: each costs one ArchiveError, little memory and little time."""

import contextlib
import random

import numpy as np
import pytest

from sbtk.archive import pax, reader, sparse_map
from sbtk.archive.closing import closing_bytes, read_closing
from sbtk.archive.manifest import Geometry, Manifest
from sbtk.archive.source import SequentialSource
from sbtk.errors import ArchiveError
from sbtk.plan import setmap
from tests import memory

GEOMETRY = Geometry(512, 1 << 20, 0, 1 << 20, 512, 4096, 256)


def small_archive() -> bytes:
    start, length = np.array([0, 8192]), np.array([4096, 512])
    text = sparse_map.encode(start, length, 1 << 20).tobytes()
    document = Manifest("id", "now", "1", "image", GEOMETRY).to_bytes()
    head = pax.member_head("manifest.json", len(document))
    image = pax.member_head(
        pax.sparse_member_name("volume.ntfs"), len(text) + 4608,
        keys=pax.sparse_keys("volume.ntfs", 1 << 20) | {"SBTK.x": "1"},
    )  # fmt: skip
    body = head + document + bytes(-len(document) % 512) + image + text + b"d" * 4608
    rows = setmap.SetMap(
        np.array([0]), np.array([len(body)]), np.array([1], np.uint8), np.array([-1]),
        np.array([len(body)]), np.zeros((1, 32), np.uint8), np.array([True]),
    )  # fmt: skip
    return body + closing_bytes(setmap.to_parquet(rows), unit_bytes=4096)


ARCHIVE = small_archive()
CLOSING_AT = list(reader.iterate_members(lambda a, n: ARCHIVE[a : a + n]))[-1].header_start_bytes


def read_everything(data: bytes) -> int:
    """What a rebuild of the catalog reads; the number of members."""

    def read_at(offset: int, size: int) -> bytes:
        assert size <= len(data) + (1 << 20), "asked for more than the archive has"
        return data[offset : offset + size]

    reader.read_manifest(read_at)
    count = 0
    for member in reader.iterate_members(read_at, limit_bytes=len(data)):
        reader.read_map(read_at, member)
        count += 1
    content, _ = read_closing(read_at, CLOSING_AT)
    setmap.from_parquet(content)
    return count


def test_a_sound_archive_is_read():
    assert read_everything(ARCHIVE) == 3


@pytest.mark.parametrize("seed", range(40))
def test_mutations_cost_an_archive_error_and_nothing_else(seed):
    rng = random.Random(seed)
    with memory.measured() as grown:
        for _ in range(50):
            data = bytearray(ARCHIVE)
            for _ in range(rng.choice([1, 1, 2, 20])):
                at = rng.randrange(len(data))
                flipped = data[at] ^ (1 << rng.randrange(8))
                data[at] = rng.choice([flipped, rng.randrange(256), 0x39])
            if rng.random() < 0.2:
                del data[rng.randrange(len(data)) :]
            with contextlib.suppress(ArchiveError):
                read_everything(bytes(data))
    assert grown.peak_bytes < 64 << 20


def test_every_flipped_byte_of_headers_manifest_map_and_end_is_noticed():
    """Verify regenerates what the host wrote and compares; here the reader alone finds most."""
    silent = []
    for at in range(CLOSING_AT, len(ARCHIVE)):
        data = bytearray(ARCHIVE)
        data[at] ^= 1
        content, _ = read_closing(lambda a, n: ARCHIVE[a : a + n], CLOSING_AT)
        again = closing_bytes(content, unit_bytes=4096)
        if bytes(data[CLOSING_AT:]) == again:
            silent.append(at)
    assert silent == []


HUGE = {
    "size": pax.member_head("a", 1 << 60),
    "extended": pax.ustar_header(b"x", pax.MAX_OCTAL_SIZE, typeflag=pax.EXTENDED),
    "negative": pax.extended_header(pax.pax_record("size", "-5"), name=b"x")
    + pax.ustar_header(b"a", 0),
    "digits": pax.extended_header(pax.pax_record("size", "9" * 400), name=b"x")
    + pax.ustar_header(b"a", 0),
    "record length": pax.extended_header(b"99999 path=a\n", name=b"x") + pax.ustar_header(b"a", 0),
    "zero record": pax.extended_header(b"0 path=a\n", name=b"x") + pax.ustar_header(b"a", 0),
    "type": pax.ustar_header(b"a", 0, typeflag=b"?"),
    "one empty block": bytes(512) + pax.ustar_header(b"a", 0),
    "text": b"this is no tar " * 100,
}


@pytest.mark.parametrize("name", HUGE)
def test_headers_that_lie(name):
    data = HUGE[name] + bytes(2048)
    with pytest.raises(ArchiveError, match=r"byte|archive|header"):
        list(reader.iterate_members(lambda a, n: data[a : a + n], limit_bytes=len(data)))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x\n", b"99999999999999999\n0\n0\n", b"2\n0\n512\n100\n5\n", b"1\n-5\n6\n", b"1\n5\n",
        b"1\n1e5\n6\n", b"9" * 600, b"1\n0\n512\n",
    ],
)  # fmt: skip
def test_maps_that_lie(text):
    with pytest.raises(ArchiveError, match="map"):
        sparse_map.decode(text)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b'{"format": 9}', b'{"format": 1}', b"[" * 5000, b"\xff\xfe",
        Manifest("i", "n", "1", "odd", GEOMETRY).to_bytes(),
        Manifest("i", "n", "1", "image", GEOMETRY, partition_table=[[1, 1 << 40]]).to_bytes(),
        Manifest("i", "n", "1", "image", Geometry(7, 1, 0, 9, 5, 1, 1)).to_bytes(),
        Manifest(3, "n", "1", "image", GEOMETRY).to_bytes(),
    ],
)  # fmt: skip
def test_manifests_that_lie(document):
    with pytest.raises(ArchiveError):
        Manifest.from_bytes(document)


def test_a_manifest_comes_back_as_it_was():
    made = Manifest("id", "now", "1", "files", GEOMETRY, quiet={"quiet_s": 3.0}, notes={"a": [1]})
    assert Manifest.from_bytes(made.to_bytes()) == made


def test_an_unfinished_set_is_named_as_such():
    with pytest.raises(ArchiveError, match="not finished"):
        read_closing(lambda a, n: (ARCHIVE[:CLOSING_AT] + bytes(9000))[a : a + n], CLOSING_AT)
    with pytest.raises(ArchiveError, match="no set"):
        reader.read_manifest(lambda a, n: pax.member_head("other", 0)[a : a + n])


@pytest.mark.parametrize("record", [512, 4096, 262144])
def test_a_stream_of_records_is_read_like_a_file(record):
    parts = iter([ARCHIVE[at : at + record] for at in range(0, len(ARCHIVE), record)])
    source = SequentialSource(lambda: next(parts, b""), keep_bytes=2048)
    listed = list(reader.iterate_members(source.read_at))
    assert listed == list(reader.iterate_members(lambda a, n: ARCHIVE[a : a + n]))
    if record < 2048:
        with pytest.raises(ArchiveError, match="gone by"):
            source.read_at(0, 1)
