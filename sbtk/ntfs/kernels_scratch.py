"""Where the compiled kernels write: one thread's output buffers, a column each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import I32, I64, U8, Chunk

U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]

# Counters in ``Scratch.counts``.
(
    C_RECORDS,
    C_NAMES,
    C_NAME_BYTES,
    C_STREAMS,
    C_STREAM_BYTES,
    C_RUNS,
    C_LISTS,
    C_LIST_BYTES,
    C_FIXED,
) = range(9)


class Views(NamedTuple):
    """The chunk as bytes and as aligned little-endian words."""

    b1: U8
    b2: U16
    b4: U32
    b8: I64


class Scratch(NamedTuple):
    """Row counters and output buffers of one thread: ``Chunk``'s columns, as wide as tables'."""

    counts: I64
    status: U8
    fault: U8

    record_index: I32
    sequence: U16
    hard_links: U16
    flags: U16
    base: I64
    base_sequence: U16
    lsn: I64
    times: I64  # (4, n): a time's values lie side by side
    attributes: U32

    name_index: I32
    parent: I64
    parent_sequence: U16
    namespace: U8
    name_ends: I64
    name_blob: U8

    stream_index: I32
    attribute_type: U32
    resident: npt.NDArray[np.bool_]
    attribute_flags: U16
    data_bytes: I64
    allocated_bytes: I64
    initialized_bytes: I64
    compression_unit: U8
    lowest_vcn: I64
    runs: I32
    stream_ends: I64
    stream_blob: U8

    vcn: I64
    lcn: I64
    clusters: I64

    list_index: I32
    list_ends: I64
    list_blob: U8


_COUNTED = {
    C_RECORDS: ("record_index", "sequence", "hard_links", "flags", "base", "base_sequence", "lsn",
                "attributes"),
    C_NAMES: ("name_index", "parent", "parent_sequence", "namespace", "name_ends"),
    C_NAME_BYTES: ("name_blob",),
    C_STREAMS: ("stream_index", "attribute_type", "resident", "attribute_flags", "data_bytes",
                "allocated_bytes", "initialized_bytes", "compression_unit", "lowest_vcn", "runs",
                "stream_ends"),
    C_STREAM_BYTES: ("stream_blob",),
    C_RUNS: ("vcn", "lcn", "clusters"),
    C_LISTS: ("list_index", "list_ends"),
    C_LIST_BYTES: ("list_blob",),
}  # fmt: skip
_TYPES = {
    "record_index": np.int32, "sequence": np.uint16, "hard_links": np.uint16, "flags": np.uint16,
    "base_sequence": np.uint16, "attributes": np.uint32, "name_index": np.int32,
    "parent_sequence": np.uint16, "namespace": np.uint8, "name_blob": np.uint8,
    "stream_index": np.int32, "attribute_type": np.uint32, "resident": np.bool_,
    "attribute_flags": np.uint16, "compression_unit": np.uint8, "runs": np.int32,
    "stream_blob": np.uint8, "list_index": np.int32, "list_blob": np.uint8,
}  # fmt: skip


def make_views(buffer: U8) -> Views:
    """The chunk in ``buffer``, seen as words of all widths."""
    return Views(buffer, buffer.view(np.uint16), buffer.view(np.uint32), buffer.view(np.int64))


def make_scratch(chunk_bytes: int, records: int) -> Scratch:
    """Buffers for the worst chunk of that size.

    The smallest name attribute takes 96 bytes, any other 24, a run 2; a UTF-16 unit becomes at
    most 7 bytes of text.
    """
    rows = {
        C_RECORDS: records,
        C_NAMES: chunk_bytes // 96 + 1,
        C_NAME_BYTES: chunk_bytes * 7 // 2,
        C_STREAMS: chunk_bytes // 24 + 1,
        C_STREAM_BYTES: chunk_bytes * 7 // 2,
        C_RUNS: chunk_bytes // 2 + 1,
        C_LISTS: chunk_bytes // 24 + 1,
        C_LIST_BYTES: chunk_bytes,
    }
    return Scratch(
        counts=np.zeros(9, np.int64),
        status=np.empty(records, np.uint8),
        fault=np.empty(records, np.uint8),
        times=np.empty((4, records), np.int64),
        **{
            name: np.empty(rows[counter], _TYPES.get(name, np.int64))
            for counter, names in _COUNTED.items()
            for name in names
        },
    )


def cut(scratch: Scratch) -> Chunk:
    """The used part of each column."""
    used = scratch.counts.tolist()
    records = len(scratch.status)
    columns = {
        name: getattr(scratch, name)[: used[counter]]
        for counter, names in _COUNTED.items()
        for name in names
    }
    return Chunk(
        status=scratch.status,
        fault=scratch.fault[:records],
        already_fixed=used[C_FIXED],
        times=scratch.times[:, : used[C_RECORDS]].T,
        **columns,
    )
