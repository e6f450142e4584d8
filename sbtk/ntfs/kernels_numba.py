"""The hot loops, compiled by Numba: fixups, the walk over attributes, run lists, names, paths.

One pass over a chunk that is still in the processor's cache. Every row goes into scratch columns
that are large enough for the worst chunk of its size (``_scratch``), so that no length found in
the data decides about memory. Pages of scratch that no row reaches are never touched.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numba as nb
import numpy as np

from sbtk.ntfs.chunk import I64, NO_TIME, U8, Chunk, Fault, Status
from sbtk.ntfs.layout import FILETIME_EPOCH_TICKS

_jit = nb.njit(nogil=True, cache=True, _nrt=False)
_inline = nb.njit(nogil=True, forceinline=True, _nrt=False)

_MAX_LCN = 1 << 55
_TICKS_LOW = FILETIME_EPOCH_TICKS - (1 << 63) // 100 + 1
_TICKS_HIGH = FILETIME_EPOCH_TICKS + (1 << 63) // 100 - 1
_NO_TIME = int(NO_TIME)
_EPOCH = FILETIME_EPOCH_TICKS

# Row counters, and what the walk over one record hands back.
_RECORDS, _NAMES, _NAME_BYTES, _STREAMS, _STREAM_BYTES, _RUNS, _LISTS, _LIST_BYTES, _FIXED = range(
    9
)

_FREE, _BASE, _EXTENSION = int(Status.FREE), int(Status.BASE), int(Status.EXTENSION)
_BLANK, _DAMAGED = int(Status.BLANK), int(Status.DAMAGED)
_F_TORN_MARK, _F_SIGNATURE = int(Fault.RECORD_TORN_MARK), int(Fault.RECORD_SIGNATURE)
_F_SEQUENCE, _F_TORN = int(Fault.RECORD_UPDATE_SEQUENCE), int(Fault.RECORD_TORN_WRITE)
_F_HEADER, _F_LENGTH, _F_END = (
    int(Fault.RECORD_HEADER), int(Fault.ATTRIBUTE_LENGTH), int(Fault.ATTRIBUTE_END),
)  # fmt: skip
_F_NAME, _F_VALUE, _F_SIZES = (
    int(Fault.ATTRIBUTE_NAME), int(Fault.ATTRIBUTE_VALUE), int(Fault.ATTRIBUTE_SIZES),
)  # fmt: skip
_F_RUNS, _F_COVERAGE = int(Fault.RUN_LIST), int(Fault.RUN_LIST_COVERAGE)
_F_FILE_NAME, _F_STANDARD = int(Fault.FILE_NAME), int(Fault.STANDARD_INFORMATION)
_F_TEXT = int(Fault.NAME_TEXT)


# Columns of the scratch tables; every table is one (rows, columns) int64 matrix.
R_INDEX, R_SEQUENCE, R_HARD_LINKS, R_FLAGS, R_BASE, R_BASE_SEQUENCE, R_LSN, R_TIMES = range(8)
R_ATTRIBUTES, R_COLUMNS = 11, 12
N_INDEX, N_PARENT, N_PARENT_SEQUENCE, N_NAMESPACE, N_ENDS, N_COLUMNS = range(6)
(S_INDEX, S_ATTRIBUTE_TYPE, S_RESIDENT, S_ATTRIBUTE_FLAGS, S_DATA_BYTES, S_ALLOCATED_BYTES,
 S_INITIALIZED_BYTES, S_COMPRESSION_UNIT, S_LOWEST_VCN, S_RUNS, S_ENDS, S_COLUMNS) = range(12)  # fmt: skip
U_VCN, U_LCN, U_CLUSTERS, U_COLUMNS = range(4)
L_INDEX, L_ENDS, L_COLUMNS = range(3)


class _Scratch(NamedTuple):
    """Row counters and output buffers of one thread."""

    count: I64
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


def _make_scratch(chunk_bytes: int, records: int) -> _Scratch:
    """Buffers for the worst chunk of that size.

    The smallest name attribute takes 96 bytes, any other 24, a run 2; a UTF-16 unit becomes at
    most 7 bytes of text.
    """
    streams, text_bytes = chunk_bytes // 24 + 1, chunk_bytes * 7 // 2
    return _Scratch(
        count=np.zeros(9, np.int64),
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


_local = threading.local()


def decode(buffer: U8, record_bytes: int) -> Chunk:
    """Decode the whole records in ``buffer``, (n * record_bytes,) uint8, fixing them up in place.

    The columns belong to this thread's scratch: copy them before the next call.
    """
    records = len(buffer) // record_bytes
    scratch: _Scratch | None = getattr(_local, "scratch", None)
    if scratch is None or len(scratch.list_blob) < len(buffer) or len(scratch.status) < records:
        scratch = _make_scratch(len(buffer), records)
        _local.scratch = scratch
    scratch = scratch._replace(status=scratch.status[:records])
    _decode_records(
        buffer, buffer.view(np.uint16), buffer.view(np.uint32), buffer.view(np.int64),
        record_bytes, *scratch,
    )  # fmt: skip
    return _cut(scratch)


def _cut(scratch: _Scratch) -> Chunk:
    """The used part of each column."""
    used = [int(value) for value in scratch.count]
    return Chunk(
        scratch.status,
        scratch.fault[: len(scratch.status)],
        used[_FIXED],
        *_columns(scratch.records, used[_RECORDS])[:R_TIMES],
        scratch.records[: used[_RECORDS], R_TIMES:R_ATTRIBUTES],
        scratch.records[: used[_RECORDS], R_ATTRIBUTES],
        *_columns(scratch.names, used[_NAMES]),
        scratch.name_blob[: used[_NAME_BYTES]],
        *_columns(scratch.streams, used[_STREAMS]),
        scratch.stream_blob[: used[_STREAM_BYTES]],
        *_columns(scratch.runs, used[_RUNS]),
        *_columns(scratch.lists, used[_LISTS]),
        scratch.list_blob[: used[_LIST_BYTES]],
    )


def _columns(table: I64, rows: int) -> list[I64]:
    return [table[:rows, column] for column in range(table.shape[1])]


@_jit
def _decode_records(
    b1,
    b2,
    b4,
    b8,
    record_bytes,
    count,
    statuses,
    faults,
    records,
    names,
    name_blob,
    streams,
    stream_blob,
    runs,
    lists,
    list_blob,
):  # type: ignore[no-untyped-def]
    count[:] = 0
    for i in range(len(statuses)):
        start = i * record_bytes
        faults[i] = 0
        signature = b4[start >> 2]
        if signature != 0x454C4946:  # "FILE"
            if signature == 0:
                statuses[i] = _BLANK
            else:
                statuses[i] = _DAMAGED
                faults[i] = _F_TORN_MARK if signature == 0x44414142 else _F_SIGNATURE
            continue
        if not b2[(start + 0x16) >> 1] & 1:
            statuses[i] = _FREE
            continue
        fault = _fix_up(b2, start, record_bytes, count)
        if fault == 0:
            statuses[i], faults[i] = _walk(
                b1,
                b2,
                b4,
                b8,
                start,
                record_bytes,
                i,
                count,
                records,
                names,
                name_blob,
                streams,
                stream_blob,
                runs,
                lists,
                list_blob,
            )
        else:
            statuses[i] = _DAMAGED
            faults[i] = fault


@_inline
def _fix_up(b2, start, record_bytes, count):  # type: ignore[no-untyped-def]
    """Put the saved sector tails back; 512 bytes is the stride whatever the sector size."""
    at = np.int64(b2[(start + 4) >> 1])
    entries = np.int64(b2[(start + 6) >> 1])
    if entries != record_bytes // 512 + 1 or at & 1 or at < 0x2A or at + 2 * entries > 510:
        return _F_SEQUENCE
    array = (start + at) >> 1
    number = b2[array]
    numbered, saved = True, True
    for i in range(1, entries):
        tail = b2[(start + 512 * i - 2) >> 1]
        numbered = numbered and tail == number
        saved = saved and tail == b2[array + i]
    if numbered:
        for i in range(1, entries):
            b2[(start + 512 * i - 2) >> 1] = b2[array + i]
        return 0
    if saved:
        count[_FIXED] += 1
        return 0
    return _F_TORN


@_inline
def _walk(
    b1,
    b2,
    b4,
    b8,
    start,
    record_bytes,
    index,
    count,
    records,
    names,
    name_blob,
    streams,
    stream_blob,
    runs,
    lists,
    list_blob,
):  # type: ignore[no-untyped-def]
    """Rows of one in-use, fixed-up record; its status and its first fault."""
    count = count
    r = count[_RECORDS]
    base = b8[(start + 0x20) >> 3]
    records[r, R_INDEX] = index
    records[r, R_SEQUENCE] = b2[(start + 0x10) >> 1]
    records[r, R_HARD_LINKS] = b2[(start + 0x12) >> 1]
    records[r, R_FLAGS] = b2[(start + 0x16) >> 1]
    records[r, R_BASE] = base & 0xFFFFFFFFFFFF if base else -1
    records[r, R_BASE_SEQUENCE] = (base >> 48) & 0xFFFF
    records[r, R_LSN] = np.uint64(b8[(start + 8) >> 3])
    records[r, R_TIMES + 0] = _NO_TIME
    records[r, R_TIMES + 1] = _NO_TIME
    records[r, R_TIMES + 2] = _NO_TIME
    records[r, R_TIMES + 3] = _NO_TIME
    records[r, R_ATTRIBUTES] = 0
    count[_RECORDS] = r + 1
    status = _EXTENSION if base else _BASE
    first = np.int64(b2[(start + 0x14) >> 1])
    used = np.int64(b4[(start + 0x18) >> 2])
    if used > record_bytes or first & 7 or first < 0x2A or first > used:
        return status, _F_HEADER
    end = start + used
    p = start + first
    fault = 0
    text_fault = 0
    while True:
        if p + 4 > end:
            return status, fault if fault else _F_END
        kind = b4[p >> 2]
        if kind == 0xFFFFFFFF:
            return status, fault if fault else text_fault
        if p + 24 > end:
            return status, fault if fault else _F_LENGTH
        length = np.int64(b4[(p + 4) >> 2])
        if length < 24 or length & 7 or p + length > end:
            return status, fault if fault else _F_LENGTH
        found = _attribute(
            b1,
            b2,
            b4,
            b8,
            p,
            length,
            kind,
            index,
            r,
            count,
            records,
            names,
            name_blob,
            streams,
            stream_blob,
            runs,
            lists,
            list_blob,
        )
        if found == _F_TEXT:
            text_fault = found
        elif fault == 0:
            fault = found
        p += length


@_inline
def _attribute(
    b1,
    b2,
    b4,
    b8,
    p,
    length,
    kind,
    index,
    r,
    count,
    records,
    names,
    name_blob,
    streams,
    stream_blob,
    runs,
    lists,
    list_blob,
):  # type: ignore[no-untyped-def]
    """Rows of one attribute that lies wholly in its record; its fault or 0."""
    form = b1[p + 8]
    name_chars = np.int64(b1[p + 9])
    name_at = np.int64(b2[(p + 10) >> 1])
    if form > 1 or (name_chars and name_at + 2 * name_chars > length):
        return _F_NAME
    if form:
        if kind == 0x30:
            return _F_FILE_NAME
        if kind == 0x10:
            return _F_STANDARD
        return _nonresident(
            b1,
            b2,
            b8,
            p,
            length,
            kind,
            name_at,
            name_chars,
            index,
            count,
            streams,
            stream_blob,
            runs,
        )
    value_bytes = np.int64(b4[(p + 16) >> 2])
    value_at = np.int64(b2[(p + 20) >> 1])
    if value_at + value_bytes > length:
        return _F_VALUE
    value = p + value_at
    if kind == 0x30:
        return _file_name(b1, value, value_bytes, index, count, names, name_blob)
    if kind == 0x10:
        return _standard_information(b1, value, value_bytes, r, records)
    if kind == 0x20:
        _list_value(b1, value, value_bytes, index, count, lists, list_blob)
    t = count[_STREAMS]
    streams[t, S_RESIDENT] = 1
    streams[t, S_DATA_BYTES] = value_bytes
    streams[t, S_ALLOCATED_BYTES] = (value_bytes + 7) & ~7
    streams[t, S_INITIALIZED_BYTES] = value_bytes
    streams[t, S_COMPRESSION_UNIT] = 0
    streams[t, S_LOWEST_VCN] = 0
    streams[t, S_RUNS] = 0
    return _stream_row(b1, b2, p, kind, name_at, name_chars, index, count, streams, stream_blob)


@_inline
def _stream_row(b1, b2, p, kind, name_at, name_chars, index, count, streams, stream_blob):  # type: ignore[no-untyped-def]
    """The columns that resident and non-resident attributes share."""
    t = count[_STREAMS]
    streams[t, S_INDEX] = index
    streams[t, S_ATTRIBUTE_TYPE] = kind
    streams[t, S_ATTRIBUTE_FLAGS] = b2[(p + 12) >> 1]
    out, fault = count[_STREAM_BYTES], 0
    if name_chars:
        out, fault = _utf8(b1, p + name_at, name_chars, stream_blob, out, False)
    count[_STREAM_BYTES] = out
    streams[t, S_ENDS] = out
    count[_STREAMS] = t + 1
    return fault


@_inline
def _nonresident(
    b1, b2, b8, p, length, kind, name_at, name_chars, index, count, streams, stream_blob, runs
):  # type: ignore[no-untyped-def]
    """Stream row and run rows of one piece; a damaged run list leaves the row without runs."""
    if length < 0x40:
        return _F_SIZES
    lowest, highest = b8[(p + 16) >> 3], b8[(p + 24) >> 3]
    pairs = np.int64(b2[(p + 32) >> 1])
    allocated, data, initialized = b8[(p + 40) >> 3], b8[(p + 48) >> 3], b8[(p + 56) >> 3]
    fault = 0
    if lowest < 0 or lowest >= _MAX_LCN or highest < lowest - 1 or highest >= _MAX_LCN:
        return _F_SIZES
    if lowest == 0 and (allocated < 0 or data < 0 or initialized < 0 or initialized > data):
        fault = _F_SIZES
        allocated, data = max(allocated, 0), max(data, 0)
        initialized = min(max(initialized, 0), data)
    unit = b1[p + 34]
    if unit > 31:
        fault = _F_SIZES
        unit = 0
    before = count[_RUNS]
    if pairs < 0x40 or pairs >= length:
        fault = _F_RUNS
    else:
        next_vcn = _run_list(b1, p + pairs, p + length, lowest, count, runs)
        if next_vcn < 0:
            fault = _F_RUNS
            count[_RUNS] = before
        elif next_vcn != highest + 1 and fault == 0:
            fault = _F_COVERAGE
    t = count[_STREAMS]
    streams[t, S_RESIDENT] = 0
    streams[t, S_DATA_BYTES] = data
    streams[t, S_ALLOCATED_BYTES] = allocated
    streams[t, S_INITIALIZED_BYTES] = initialized
    streams[t, S_COMPRESSION_UNIT] = unit
    streams[t, S_LOWEST_VCN] = lowest
    streams[t, S_RUNS] = count[_RUNS] - before
    text_fault = _stream_row(
        b1, b2, p, kind, name_at, name_chars, index, count, streams, stream_blob
    )
    return fault if fault else text_fault


@_inline
def _run_list(b1, p, end, vcn, count, runs):  # type: ignore[no-untyped-def]
    """Decode mapping pairs into run rows; the VCN behind the last one, -1 on damage."""
    u = count[_RUNS]
    lcn = np.int64(0)
    while p < end:
        header = np.int64(b1[p])
        if header == 0:
            break
        length_bytes, offset_bytes = header & 15, header >> 4
        if length_bytes == 0 or length_bytes > 8 or offset_bytes > 8:
            return np.int64(-1)
        if p + 1 + length_bytes + offset_bytes > end:
            return np.int64(-1)
        p += 1
        clusters = _signed(b1, p, length_bytes)
        p += length_bytes
        if clusters <= 0 or clusters >= _MAX_LCN or vcn + clusters > _MAX_LCN:
            return np.int64(-1)
        if offset_bytes:
            delta = _signed(b1, p, offset_bytes)
            p += offset_bytes
            if delta <= -_MAX_LCN or delta >= _MAX_LCN:
                return np.int64(-1)
            lcn += delta
            if lcn < 0 or lcn >= _MAX_LCN:
                return np.int64(-1)
            runs[u, U_LCN] = lcn
        else:
            runs[u, U_LCN] = -1
        runs[u, U_VCN] = vcn
        runs[u, U_CLUSTERS] = clusters
        u += 1
        vcn += clusters
    count[_RUNS] = u
    return vcn


@_inline
def _signed(b1, p, width):  # type: ignore[no-untyped-def]
    """A little-endian two's complement integer of 1 to 8 bytes."""
    value = np.int64(0)
    for i in range(width):
        value |= np.int64(b1[p + i]) << (8 * i)
    unused = 64 - 8 * width
    return (value << unused) >> unused


@_inline
def _list_value(b1, value, value_bytes, index, count, lists, list_blob):  # type: ignore[no-untyped-def]
    q = count[_LISTS]
    out = count[_LIST_BYTES]
    for i in range(value_bytes):
        list_blob[out + i] = b1[value + i]
    lists[q, L_INDEX] = index
    lists[q, L_ENDS] = out + value_bytes
    count[_LISTS] = q + 1
    count[_LIST_BYTES] = out + value_bytes


@_inline
def _standard_information(b1, value, value_bytes, r, records):  # type: ignore[no-untyped-def]
    if value_bytes < 0x24:
        return _F_STANDARD
    for i in range(4):
        ticks = _signed(b1, value + 8 * i, 8)
        if _TICKS_LOW < ticks < _TICKS_HIGH:
            records[r, R_TIMES + i] = (ticks - _EPOCH) * 100
        else:
            records[r, R_TIMES + i] = _NO_TIME
    records[r, R_ATTRIBUTES] = _signed(b1, value + 0x20, 4) & 0xFFFFFFFF
    return 0


@_inline
def _file_name(b1, value, value_bytes, index, count, names, name_blob):  # type: ignore[no-untyped-def]
    if value_bytes < 0x42:
        return _F_FILE_NAME
    chars = np.int64(b1[value + 0x40])
    if chars == 0 or 0x42 + 2 * chars > value_bytes:
        return _F_FILE_NAME
    k = count[_NAMES]
    parent = _signed(b1, value, 8)
    names[k, N_INDEX] = index
    names[k, N_PARENT] = parent & 0xFFFFFFFFFFFF
    names[k, N_PARENT_SEQUENCE] = (parent >> 48) & 0xFFFF
    names[k, N_NAMESPACE] = b1[value + 0x41]
    out, fault = _utf8(b1, value + 0x42, chars, name_blob, count[_NAME_BYTES], True)
    names[k, N_ENDS] = out
    count[_NAME_BYTES] = out
    count[_NAMES] = k + 1
    return fault


@_inline
def _hex_escape(unit, blob, out):  # type: ignore[no-untyped-def]
    """U+FFFD and the unit's four hexadecimal digits."""
    blob[out], blob[out + 1], blob[out + 2] = 0xEF, 0xBF, 0xBD
    for i in range(4):
        digit = (unit >> (12 - 4 * i)) & 15
        blob[out + 3 + i] = digit + 48 if digit < 10 else digit + 55
    return out + 7


@_inline
def _utf8(b1, p, chars, blob, out, is_file_name):  # type: ignore[no-untyped-def]
    """UTF-16LE at ``p`` into UTF-8 at ``blob[out:]``; the new end, and _F_TEXT if it escaped."""
    fault = 0
    i = 0
    while i < chars:
        unit = np.int64(b1[p + 2 * i]) | np.int64(b1[p + 2 * i + 1]) << 8
        i += 1
        if 0 < unit < 0x80 and unit != 0x2F:
            blob[out] = unit
            out += 1
        elif 0x80 <= unit < 0x800:
            blob[out] = 0xC0 | unit >> 6
            blob[out + 1] = 0x80 | unit & 63
            out += 2
        elif unit >= 0x800 and (unit < 0xD800 or unit >= 0xE000):
            blob[out] = 0xE0 | unit >> 12
            blob[out + 1] = 0x80 | unit >> 6 & 63
            blob[out + 2] = 0x80 | unit & 63
            out += 3
        else:
            low = np.int64(0)
            if 0xD800 <= unit < 0xDC00 and i < chars:
                low = np.int64(b1[p + 2 * i]) | np.int64(b1[p + 2 * i + 1]) << 8
            if 0xDC00 <= low < 0xE000:
                point = 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF)
                blob[out] = 0xF0 | point >> 18
                blob[out + 1] = 0x80 | point >> 12 & 63
                blob[out + 2] = 0x80 | point >> 6 & 63
                blob[out + 3] = 0x80 | point & 63
                out += 4
                i += 1
            elif unit == 0x2F and not is_file_name:
                blob[out] = 0x2F
                out += 1
            else:
                out = _hex_escape(unit, blob, out)
                fault = _F_TEXT
    return out, fault
