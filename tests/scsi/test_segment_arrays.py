"""Segments built from arrays are byte for byte those that the classes encode."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import LocalScsiError
from sbtk.scsi import segment_arrays as arrays
from sbtk.scsi import segments as seg

LBA = st.integers(0, (1 << 63) - 1)
SHORT = st.integers(0, 0xFFFF)
LONG = st.integers(0, (1 << 32) - 1)
TRANSFER = st.integers(0, (1 << 24) - 1)


def column(rows, index):
    return np.array([row[index] for row in rows], dtype=np.int64)


def rows(*strategies):
    return st.lists(st.tuples(*strategies), min_size=1, max_size=20)


def wire(segments) -> bytes:
    return b"".join(item.encode() for item in segments)


@given(
    rows(LBA, SHORT, st.integers(0, 1)),
    SHORT,
    SHORT,
    TRANSFER,
    st.sampled_from([0x00, 0x01, 0x0B, 0xC0]),
)
@settings(max_examples=50, deadline=None)
def test_tape_and_blocks(table, source, destination, transfer, code):
    kind = seg.SEGMENTS[seg.base_type(code)]
    built = arrays.block_stream(
        column(table, 0), column(table, 1), source=source, destination=destination,
        stream_transfer=transfer, cat=column(table, 2), type_code=code,
    )  # fmt: skip
    assert bytes(arrays.encoded(built)) == wire(
        kind(code, bool(cat), source, destination, transfer, blocks, lba)
        for lba, blocks, cat in table
    )


@given(rows(LBA, LBA, SHORT), st.sampled_from([0x02, 0x0D, 0xC2]))
@settings(max_examples=50, deadline=None)
def test_blocks_to_blocks(table, code):
    built = arrays.block_to_block(
        column(table, 0),
        column(table, 1),
        column(table, 2),
        source=3,
        destination=4,
        type_code=code,
    )
    assert bytes(arrays.encoded(built)) == wire(
        seg.BlockToBlock(code, False, False, False, 3, 4, blocks, lba, to)
        for lba, to, blocks in table
    )


@given(rows(LBA, SHORT, LONG), TRANSFER)
@settings(max_examples=50, deadline=None)
def test_bytes_to_tape(table, transfer):
    built = arrays.block_bytes_to_stream(
        column(table, 0), column(table, 1), column(table, 2), source=1, destination=2,
        stream_transfer=transfer,
    )  # fmt: skip
    assert bytes(arrays.encoded(built)) == wire(
        seg.BlockBytesToStream(0x08, True, 1, 2, transfer, count, lba, offset)
        for lba, offset, count in table
    )


@given(rows(LBA, LBA, LONG, SHORT, SHORT))
@settings(max_examples=50, deadline=None)
def test_bytes_to_bytes(table):
    built = arrays.block_bytes_to_block_bytes(
        column(table, 0), column(table, 1), column(table, 2), source=1, destination=2,
        source_offset_bytes=column(table, 3), destination_offset_bytes=column(table, 4),
    )  # fmt: skip
    assert bytes(arrays.encoded(built)) == wire(
        seg.BlockBytesToBlockBytes(0x0A, False, 1, 2, count, lba, to, skip, to_skip)
        for lba, to, count, skip, to_skip in table
    )


def test_a_slice_is_encoded_without_a_copy():
    built = arrays.block_stream(np.arange(10), 8, source=0, destination=1, stream_transfer=4096)
    whole, part = arrays.encoded(built), arrays.encoded(built[3:5])
    assert bytes(part) == bytes(whole[72:120])
    built["blocks"][3] = 9
    assert whole[72 + 15] == part[15] == 9


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("blocks", {"lba": np.array([0, 1]), "blocks": np.array([1, 65536])}),
        ("lba", {"lba": np.array([0, -1]), "blocks": np.array([1, 1])}),
        ("stream_transfer", {"lba": np.array([0]), "blocks": 1, "stream_transfer": 1 << 24}),
        ("source", {"lba": np.array([0]), "blocks": 1, "source": 65536}),
        ("flags", {"lba": np.array([0]), "blocks": 1, "cat": 2}),
    ],
)
def test_what_does_not_fit_is_refused(name, values):
    with pytest.raises(LocalScsiError, match=name):
        arrays.block_stream(**{"source": 0, "destination": 1, "stream_transfer": 512, **values})


def test_no_rows():
    built = arrays.block_stream(
        np.array([], np.int64), np.array([], np.int64), source=0, destination=1, stream_transfer=1
    )
    assert len(arrays.encoded(built)) == 0
