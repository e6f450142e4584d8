# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# (Numba types the loops from their arguments; annotations would be a second, unchecked truth.)
"""The hot loops, compiled by Numba: fixups, the walk over attributes, run lists, names.

One pass over a chunk that is still in the processor's cache. Every row goes into scratch columns
that are large enough for the worst chunk of its size (``make_scratch``), so that no length found in
the data decides about memory. Pages of scratch that no row reaches are never touched.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from sbtk.ntfs.chunk import NO_TIME, Fault, Status
from sbtk.ntfs.kernels_scratch import (
    C_FIXED,
    C_LIST_BYTES,
    C_LISTS,
    C_NAME_BYTES,
    C_NAMES,
    C_RECORDS,
    C_RUNS,
    C_STREAM_BYTES,
    C_STREAMS,
)
from sbtk.ntfs.layout import FILETIME_EPOCH_TICKS

# Without NRT, Numba's reference counts: the loops allocate nothing, and counting the references to
# each array at each call costs five times what the loops do.
_jit = nb.njit(nogil=True, cache=True, _nrt=False)
_inline = nb.njit(nogil=True, forceinline=True, _nrt=False)

_MAX_LCN = 1 << 55
_TICKS_LOW = FILETIME_EPOCH_TICKS - (1 << 63) // 100 + 1
_TICKS_HIGH = FILETIME_EPOCH_TICKS + (1 << 63) // 100 - 1
_NO_TIME = int(NO_TIME)
_EPOCH = FILETIME_EPOCH_TICKS

_FREE, _BASE, _EXTENSION, _BLANK, _DAMAGED = map(int, Status)
_, _F_TORN_MARK, _F_SIGNATURE, _F_SEQUENCE, _F_TORN, _F_HEADER, *_faults = map(int, Fault)
_F_LENGTH, _F_END, _F_NAME, _F_VALUE, _F_SIZES, _F_RUNS, _F_COVERAGE, *_faults = _faults
_F_FILE_NAME, _F_STANDARD, _F_TEXT = _faults


@_jit
def decode_records(v, record_bytes, s):
    """Rows of every in-use record of the chunk ``v`` into ``s``, fixing the records up in place."""
    s.counts[:] = 0
    for i in range(len(s.status)):
        start = i * record_bytes
        s.fault[i] = 0
        signature = _u4(v, start)
        if signature != 0x454C4946:  # "FILE"
            if signature == 0:
                s.status[i] = _BLANK
            else:
                s.status[i] = _DAMAGED
                s.fault[i] = _F_TORN_MARK if signature == 0x44414142 else _F_SIGNATURE
            continue
        if not _u2(v, start + 0x16) & 1:
            s.status[i] = _FREE
            continue
        fault = _fix_up(v, start, record_bytes, s)
        if fault == 0:
            s.status[i], s.fault[i] = _walk(v, start, record_bytes, i, s)
        else:
            s.status[i] = _DAMAGED
            s.fault[i] = fault


# Words of the chunk at a byte. Unsigned, an index needs no look at whether it is negative: that
# look is a fifth of all that decoding takes.
@_inline
def _u1(v, at):
    return v.b1[np.uint64(at)]


@_inline
def _u2(v, at):
    return v.b2[np.uint64(at >> 1)]


@_inline
def _u4(v, at):
    return v.b4[np.uint64(at >> 2)]


@_inline
def _i8(v, at):
    return v.b8[np.uint64(at >> 3)]


@_inline
def _fix_up(v, start, record_bytes, s):
    """Put the saved sector tails back; 512 bytes is the stride whatever the sector size."""
    at = np.int64(_u2(v, start + 4))
    entries = np.int64(_u2(v, start + 6))
    if entries != record_bytes // 512 + 1 or at & 1 or at < 0x2A or at + 2 * entries > 510:
        return _F_SEQUENCE
    array = (start + at) >> 1
    number = v.b2[np.uint64(array)]
    numbered, saved = True, True
    for i in range(1, entries):
        tail = _u2(v, start + 512 * i - 2)
        numbered = numbered and tail == number
        saved = saved and tail == v.b2[np.uint64(array + i)]
    if numbered:
        for i in range(1, entries):
            v.b2[np.uint64((start + 512 * i - 2) >> 1)] = v.b2[np.uint64(array + i)]
        return 0
    if saved:
        s.counts[C_FIXED] += 1
        return 0
    return _F_TORN


@_inline
def _walk(v, start, record_bytes, index, s):
    """Rows of one in-use, fixed-up record; its status and its first fault."""
    r = s.counts[C_RECORDS]
    base = _i8(v, start + 0x20)
    s.record_index[r] = index
    s.sequence[r] = _u2(v, start + 0x10)
    s.hard_links[r] = _u2(v, start + 0x12)
    s.flags[r] = _u2(v, start + 0x16)
    s.base[r] = base & 0xFFFFFFFFFFFF if base else -1
    s.base_sequence[r] = (base >> 48) & 0xFFFF
    s.lsn[r] = _i8(v, start + 8)
    s.times[0, r] = _NO_TIME
    s.times[1, r] = _NO_TIME
    s.times[2, r] = _NO_TIME
    s.times[3, r] = _NO_TIME
    s.attributes[r] = 0
    s.counts[C_RECORDS] = r + 1
    status = _EXTENSION if base else _BASE
    first = np.int64(_u2(v, start + 0x14))
    used = np.int64(_u4(v, start + 0x18))
    if used > record_bytes or first & 7 or first < 0x2A or first > used:
        return status, _F_HEADER
    end = start + used
    p = start + first
    fault = 0
    text_fault = 0
    while True:
        if p + 4 > end:
            return status, fault if fault else _F_END
        kind = _u4(v, p)
        if kind == 0xFFFFFFFF:
            return status, fault if fault else text_fault
        if p + 24 > end:
            return status, fault if fault else _F_LENGTH
        length = np.int64(_u4(v, p + 4))
        if length < 24 or length & 7 or p + length > end:
            return status, fault if fault else _F_LENGTH
        found = _attribute(v, p, length, kind, index, r, s)
        if found == _F_TEXT:
            text_fault = found
        elif fault == 0:
            fault = found
        p += length


@_inline
def _attribute(v, p, length, kind, index, r, s):
    """Rows of one attribute that lies wholly in its record; its fault or 0."""
    form = _u1(v, p + 8)
    name_chars = np.int64(_u1(v, p + 9))
    name_at = np.int64(_u2(v, p + 10))
    if form > 1 or (name_chars and name_at + 2 * name_chars > length):
        return _F_NAME
    if form:
        if kind == 0x30:
            return _F_FILE_NAME
        if kind == 0x10:
            return _F_STANDARD
        return _nonresident(v, p, length, kind, name_at, name_chars, index, s)
    value_bytes = np.int64(_u4(v, p + 16))
    value_at = np.int64(_u2(v, p + 20))
    # A value over its own header would also make more names than scratch has rows for.
    if value_at + value_bytes > length or (value_bytes and value_at < 24):
        return _F_VALUE
    value = p + value_at
    if kind == 0x30:
        return _file_name(v, value, value_bytes, index, s)
    if kind == 0x10:
        return _standard_information(v, value, value_bytes, r, s)
    if kind == 0x20:
        _list_value(v, value, value_bytes, index, s)
    t = s.counts[C_STREAMS]
    s.resident[t] = 1
    s.data_bytes[t] = value_bytes
    s.allocated_bytes[t] = (value_bytes + 7) & ~7
    s.initialized_bytes[t] = value_bytes
    s.compression_unit[t] = 0
    s.lowest_vcn[t] = 0
    s.runs[t] = 0
    return _stream_row(v, p, kind, name_at, name_chars, index, s)


@_inline
def _stream_row(v, p, kind, name_at, name_chars, index, s):
    """The columns that resident and non-resident attributes share."""
    t = s.counts[C_STREAMS]
    s.stream_index[t] = index
    s.attribute_type[t] = kind
    s.attribute_flags[t] = _u2(v, p + 12)
    out, fault = s.counts[C_STREAM_BYTES], 0
    if name_chars:
        out, fault = _utf8(v, p + name_at, name_chars, s.stream_blob, out, False)
    s.counts[C_STREAM_BYTES] = out
    s.stream_ends[t] = out
    s.counts[C_STREAMS] = t + 1
    return fault


@_inline
def _nonresident(v, p, length, kind, name_at, name_chars, index, s):
    """Stream row and run rows of one piece; a damaged run list leaves the row without runs."""
    if length < 0x40:
        return _F_SIZES
    lowest, highest = _i8(v, p + 16), _i8(v, p + 24)
    pairs = np.int64(_u2(v, p + 32))
    allocated, data, initialized = _i8(v, p + 40), _i8(v, p + 48), _i8(v, p + 56)
    fault = 0
    if lowest < 0 or lowest >= _MAX_LCN or highest < lowest - 1 or highest >= _MAX_LCN:
        return _F_SIZES
    if lowest == 0 and (allocated < 0 or data < 0 or initialized < 0 or initialized > data):
        fault = _F_SIZES
        allocated, data = max(allocated, 0), max(data, 0)
        initialized = min(max(initialized, 0), data)
    unit = _u1(v, p + 34)
    if unit > 31:
        fault = _F_SIZES
        unit = 0
    before = s.counts[C_RUNS]
    if pairs < 0x40 or pairs >= length:
        fault = _F_RUNS
    else:
        next_vcn = _run_list(v, p + pairs, p + length, lowest, s)
        if next_vcn < 0:
            fault = _F_RUNS
            s.counts[C_RUNS] = before
        elif next_vcn != highest + 1 and fault == 0:
            fault = _F_COVERAGE
    t = s.counts[C_STREAMS]
    s.resident[t] = 0
    s.data_bytes[t] = data
    s.allocated_bytes[t] = allocated
    s.initialized_bytes[t] = initialized
    s.compression_unit[t] = unit
    s.lowest_vcn[t] = lowest
    s.runs[t] = s.counts[C_RUNS] - before
    text_fault = _stream_row(v, p, kind, name_at, name_chars, index, s)
    return fault if fault else text_fault


@_inline
def _run_list(v, p, end, vcn, s):
    """Decode mapping pairs into run rows; the VCN behind the last one, -1 on damage."""
    u = s.counts[C_RUNS]
    lcn = np.int64(0)
    while p < end:
        header = np.int64(_u1(v, p))
        if header == 0:
            break
        length_bytes, offset_bytes = header & 15, header >> 4
        if length_bytes == 0 or length_bytes > 8 or offset_bytes > 8:
            return np.int64(-1)
        if p + 1 + length_bytes + offset_bytes > end:
            return np.int64(-1)
        p += 1
        clusters = _signed(v, p, length_bytes)
        p += length_bytes
        if clusters <= 0 or clusters >= _MAX_LCN or vcn + clusters > _MAX_LCN:
            return np.int64(-1)
        if offset_bytes:
            delta = _signed(v, p, offset_bytes)
            p += offset_bytes
            if delta <= -_MAX_LCN or delta >= _MAX_LCN:
                return np.int64(-1)
            lcn += delta
            if lcn < 0 or lcn >= _MAX_LCN:
                return np.int64(-1)
            s.lcn[u] = lcn
        else:
            s.lcn[u] = -1
        s.vcn[u] = vcn
        s.clusters[u] = clusters
        u += 1
        vcn += clusters
    s.counts[C_RUNS] = u
    return vcn


@_inline
def _signed(v, p, width):
    """A little-endian two's complement integer of 1 to 8 bytes."""
    value, first = np.int64(0), np.uint64(p)
    for i in range(width):
        value |= np.int64(v.b1[first + np.uint64(i)]) << (8 * i)
    unused = 64 - 8 * width
    return (value << unused) >> unused


@_inline
def _list_value(v, value, value_bytes, index, s):
    q = s.counts[C_LISTS]
    out = s.counts[C_LIST_BYTES]
    for i in range(value_bytes):
        s.list_blob[out + i] = _u1(v, value + i)
    s.list_index[q] = index
    s.list_ends[q] = out + value_bytes
    s.counts[C_LISTS] = q + 1
    s.counts[C_LIST_BYTES] = out + value_bytes


@_inline
def _standard_information(v, value, value_bytes, r, s):
    if value_bytes < 0x24:
        return _F_STANDARD
    for i in range(4):
        ticks = _signed(v, value + 8 * i, 8)
        if _TICKS_LOW < ticks < _TICKS_HIGH:
            s.times[i, r] = (ticks - _EPOCH) * 100
        else:
            s.times[i, r] = _NO_TIME
    s.attributes[r] = _signed(v, value + 0x20, 4) & 0xFFFFFFFF
    return 0


@_inline
def _file_name(v, value, value_bytes, index, s):
    if value_bytes < 0x42:
        return _F_FILE_NAME
    chars = np.int64(_u1(v, value + 0x40))
    if chars == 0 or 0x42 + 2 * chars > value_bytes:
        return _F_FILE_NAME
    k = s.counts[C_NAMES]
    parent = _signed(v, value, 8)
    s.name_index[k] = index
    s.parent[k] = parent & 0xFFFFFFFFFFFF
    s.parent_sequence[k] = (parent >> 48) & 0xFFFF
    s.namespace[k] = _u1(v, value + 0x41)
    out, fault = _utf8(v, value + 0x42, chars, s.name_blob, s.counts[C_NAME_BYTES], True)
    s.name_ends[k] = out
    s.counts[C_NAME_BYTES] = out
    s.counts[C_NAMES] = k + 1
    return fault


@_inline
def _hex_escape(unit, blob, out):
    """U+FFFD and the unit's four hexadecimal digits."""
    blob[out], blob[out + 1], blob[out + 2] = 0xEF, 0xBF, 0xBD
    for i in range(4):
        digit = (unit >> (12 - 4 * i)) & 15
        blob[out + 3 + i] = digit + 48 if digit < 10 else digit + 55
    return out + 7


@_inline
def _ascii(v, p, chars, blob, out):
    """The units of a name before the first that is no plain character, into ``blob``; how many.

    Unsigned, an index needs no look at whether it is negative.
    """
    first, place = np.uint64(p), np.uint64(out)
    for i in range(np.uint64(chars)):
        low = v.b1[first + i + i]
        if v.b1[first + i + i + np.uint64(1)] or low == 0 or low >= 0x80 or low == 0x2F:
            return np.int64(i)
        blob[place + i] = low
    return chars


@_inline
def _utf8(v, p, chars, blob, out, is_file_name):
    """UTF-16LE at ``p`` into UTF-8 at ``blob[out:]``; the new end, and _F_TEXT if it escaped."""
    fault = 0
    i = _ascii(v, p, chars, blob, out)
    out += i
    while i < chars:
        unit = np.int64(_u1(v, p + 2 * i)) | np.int64(_u1(v, p + 2 * i + 1)) << 8
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
                low = np.int64(_u1(v, p + 2 * i)) | np.int64(_u1(v, p + 2 * i + 1)) << 8
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
