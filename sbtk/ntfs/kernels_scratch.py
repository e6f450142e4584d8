"""Where the compiled kernels write: one thread's output buffers, and what their columns mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import I64, U8, Chunk

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

# Columns of the scratch tables; every table is one (rows, columns) int64 matrix.
R_INDEX, R_SEQUENCE, R_HARD_LINKS, R_FLAGS, R_BASE, R_BASE_SEQUENCE, R_LSN, R_TIMES = range(8)
R_ATTRIBUTES, R_COLUMNS = 11, 12
N_INDEX, N_PARENT, N_PARENT_SEQUENCE, N_NAMESPACE, N_ENDS, N_COLUMNS = range(6)
S_INDEX, S_ATTRIBUTE_TYPE, S_RESIDENT, S_ATTRIBUTE_FLAGS, S_DATA_BYTES = range(5)
S_ALLOCATED_BYTES, S_INITIALIZED_BYTES, S_COMPRESSION_UNIT, S_LOWEST_VCN = range(5, 9)
S_RUNS, S_ENDS, S_COLUMNS = range(9, 12)
U_VCN, U_LCN, U_CLUSTERS, U_COLUMNS = range(4)
L_INDEX, L_ENDS, L_COLUMNS = range(3)


class Views(NamedTuple):
    """The chunk as bytes and as aligned little-endian words."""

    b1: U8
    b2: npt.NDArray[np.uint16]
    b4: npt.NDArray[np.uint32]
    b8: I64


class Scratch(NamedTuple):
    """Row counters and output buffers of one thread."""

    counts: I64
    status: U8
    fault: U8
    records: I64
    names: I64
    name_blob: U8
    streams: I64
    stream_blob: U8
    runs: I64
    lists: I64
    list_blob: U8


def make_views(buffer: U8) -> Views:
    """The chunk in ``buffer``, seen as words of all widths."""
    return Views(buffer, buffer.view(np.uint16), buffer.view(np.uint32), buffer.view(np.int64))


def make_scratch(chunk_bytes: int, records: int) -> Scratch:
    """Buffers for the worst chunk of that size.

    The smallest name attribute takes 96 bytes, any other 24, a run 2; a UTF-16 unit becomes at
    most 7 bytes of text.
    """
    streams, text_bytes = chunk_bytes // 24 + 1, chunk_bytes * 7 // 2
    return Scratch(
        counts=np.zeros(9, np.int64),
        status=np.empty(records, np.uint8),
        fault=np.empty(records, np.uint8),
        records=np.empty((records, R_COLUMNS), np.int64),
        names=np.empty((chunk_bytes // 96 + 1, N_COLUMNS), np.int64),
        name_blob=np.empty(text_bytes, np.uint8),
        streams=np.empty((streams, S_COLUMNS), np.int64),
        stream_blob=np.empty(text_bytes, np.uint8),
        runs=np.empty((chunk_bytes // 2 + 1, U_COLUMNS), np.int64),
        lists=np.empty((streams, L_COLUMNS), np.int64),
        list_blob=np.empty(chunk_bytes, np.uint8),
    )


def cut(scratch: Scratch) -> Chunk:
    """The used part of each column."""
    used = [int(value) for value in scratch.counts]
    return Chunk._make(
        [
            scratch.status,
            scratch.fault[: len(scratch.status)],
            used[C_FIXED],
            *_columns(scratch.records, used[C_RECORDS])[:R_TIMES],
            scratch.records[: used[C_RECORDS], R_TIMES:R_ATTRIBUTES],
            scratch.records[: used[C_RECORDS], R_ATTRIBUTES],
            *_columns(scratch.names, used[C_NAMES]),
            scratch.name_blob[: used[C_NAME_BYTES]],
            *_columns(scratch.streams, used[C_STREAMS]),
            scratch.stream_blob[: used[C_STREAM_BYTES]],
            *_columns(scratch.runs, used[C_RUNS]),
            *_columns(scratch.lists, used[C_LISTS]),
            scratch.list_blob[: used[C_LIST_BYTES]],
        ]
    )


def _columns(table: I64, rows: int) -> list[I64]:
    return [table[:rows, column] for column in range(table.shape[1])]
