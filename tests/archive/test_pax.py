"""Our headers against three readers that are not ours, and the records against their rules."""

import io
import subprocess
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.archive import pax, reader, sparse_map
from sbtk.errors import ArchiveError

NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))


def read_at(data: bytes):
    return lambda at, size: data[at : at + size]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    NAMES, st.integers(0, 1 << 40), st.integers(-(10**18), 10**19),
    st.sampled_from([512, 4096, 65536]), st.integers(0, 63), st.integers(0, 40),
    st.dictionaries(
        st.sampled_from(["SBTK.a", "SBTK.runs", "atime"]),
        st.from_regex(r"[0-9]{1,600}", fullmatch=True),
    ),
)  # fmt: skip
def test_any_header_is_read_back_and_puts_data_where_it_was_asked_to(
    name, size, mtime_ns, align, at_blocks, lead_blocks, keys
):
    at, lead = at_blocks * 512, lead_blocks * 512
    head = pax.member_head(
        name, size, mtime_ns=mtime_ns, keys=keys, at_bytes=at, align_bytes=align, lead_bytes=lead
    )
    assert len(head) % 512 == 0
    assert (at + len(head) + lead) % align == 0
    found = next(iter(reader.iterate_members(read_at(head + bytes(1024)))))
    assert (found.name, found.stored_bytes, found.mtime_ns) == (name, size, mtime_ns)
    assert keys.items() <= found.keys.items()
    member = tarfile.TarInfo.frombuf(head[-512:], "utf-8", "strict")
    assert member.size == (size if size <= pax.MAX_OCTAL_SIZE else 0)
    with tarfile.open(fileobj=io.BytesIO(head + bytes(1024))) as tar:
        first = tar.next()
    assert (first.name, first.size) == (name.rstrip("/"), size)


@given(st.text(max_size=2000), st.sampled_from(["path", "comment"]))
def test_a_record_counts_itself(value, key):
    raw = value.encode("utf-8", "replace")
    record = pax.pax_record(key, raw)
    length, _, rest = record.partition(b" ")
    assert int(length) == len(record)
    assert rest == key.encode() + b"=" + raw + b"\n"


@pytest.mark.parametrize("length", [12, 13, 99, 100, 101, 999, 1000, 1001, 4096])
def test_a_comment_has_the_length_that_is_asked_for(length):
    assert len(pax.comment_record(length)) == length
    assert int(pax.comment_record(length).split(b" ")[0]) == length


def test_no_comment_is_shorter_than_its_words():
    with pytest.raises(ArchiveError):
        pax.comment_record(pax.SMALLEST_COMMENT_BYTES - 2)
    with pytest.raises(ArchiveError):
        pax.filler(512)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=50),
    st.integers(0, 511),
    st.integers(0, 3),
)
def test_sparse_files_are_the_same_for_python_and_for_us(pairs, short, hole):
    pieces, at = [], 0
    for gap, blocks in pairs:
        pieces.append((at + gap * 512, blocks * 512))
        at += (gap + blocks) * 512
    if pieces:
        pieces[-1] = (pieces[-1][0], pieces[-1][1] - short)
        at -= short
    real = at + hole * 1000
    start = np.array([item[0] for item in pieces], np.int64)
    length = np.array([item[1] for item in pieces], np.int64)
    content = bytearray(real)
    data = b""
    for first, count in pieces:
        content[first : first + count] = bytes([1 + first // 512 % 255]) * count
        data += bytes(content[first : first + count])
    text = sparse_map.encode(start, length, real).tobytes()
    assert len(text) % 512 == 0
    head = pax.member_head(
        pax.sparse_member_name("a/b"), len(text) + len(data), keys=pax.sparse_keys("a/b", real)
    )
    stored = head + text + data
    stored += bytes(-len(stored) % 512) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.extractfile("a/b").read() == content
    member = next(iter(reader.iterate_members(read_at(stored))))
    assert (member.name, member.real_bytes, member.sparse) == ("a/b", real, True)
    mine = bytearray(real)
    for first, place, count in zip(*reader.read_map(read_at(stored), member), strict=True):
        mine[first : first + count] = stored[place : place + count]
    assert mine == content


def test_a_large_map_is_written_and_read_by_compiled_and_plain_code(monkeypatch):
    rng = np.random.default_rng(3)
    start = np.cumsum(rng.integers(2, 1 << 30, 30_000)) * 512
    length = np.full(start.size, 512)
    real = int(start[-1]) + 512
    compiled = sparse_map.encode(start, length, real)
    plain_start, plain_length, plain_bytes = sparse_map.decode(compiled)
    monkeypatch.setattr(sparse_map, "_compiled", lambda items: None)
    assert np.array_equal(sparse_map.encode(start, length, real), compiled)
    found = sparse_map.decode(compiled)
    assert np.array_equal(found[0], plain_start)
    assert np.array_equal(found[0], start)
    assert np.array_equal(found[1], plain_length)
    assert found[2] == plain_bytes == compiled.size


def test_gnu_tar_and_bsdtar_are_silent_about_all_that_we_write(tmp_path):
    path = tmp_path / "a.tar"
    keys = {"SBTK.record": "5", "SBTK.runs": "0:1+2,7:9+3", "atime": "1.000000000"}
    parts = [
        pax.member_head("plain", 3, keys=keys, at_bytes=0, align_bytes=4096),
        b"abc".ljust(512, b"\0"),
        pax.filler(1024),
        pax.member_head("d/", 0, typeflag=pax.DIRECTORY, mode=0o755, mtime_ns=-5),
        pax.member_head("d/link", 0, typeflag=pax.HARD_LINK, link_name="plain"),
        pax.member_head("d/sym" + "x" * 200, 0, typeflag=pax.SYMBOLIC_LINK, link_name="y" * 200),
        pax.member_head("e\u0301", 0),
        pax.END_OF_ARCHIVE,
    ]
    path.write_bytes(b"".join(parts))
    for tool in ("tar", "bsdtar"):
        run = subprocess.run(
            [tool, "-tf", path], capture_output=True, check=True,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert run.stderr == b""
        assert run.stdout.count(b"\n") == 5
        assert "\ne\u0301\n".encode() in run.stdout or tool == "tar"
