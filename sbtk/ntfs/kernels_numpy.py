"""The NumPy twin of the compiled kernels: oracle of their tests, and what runs without Numba.

It works in waves: the first attribute of every record, then every second one, and so on; likewise
for the runs of all run lists. Same rows, same order, same faults as ``kernels_numba``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import I64, NO_TIME, U8, Chunk, Fault, Status
from sbtk.ntfs.layout import ATTRIBUTE_MIN_BYTES, FILETIME_EPOCH_TICKS, AttributeType
from sbtk.ntfs.text_numpy import utf8

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_MAX_LCN = 1 << 55
_TICKS_REACH = (1 << 63) // 100 - 1


class _Bytes:
    """Little-endian integers at any position of a buffer, as int64."""

    def __init__(self, buffer: U8) -> None:
        self.raw = buffer

    def read(self, at: I64, width: int) -> I64:
        """Unsigned below 8 bytes; 8 bytes keep their bits."""
        value = np.zeros(len(at), np.int64)
        for i in range(width):
            value |= self.raw[at + i].astype(np.int64) << (8 * i)
        return value

    def read_signed(self, at: I64, width: I64) -> I64:
        """Two's complement integers of 1 to 8 bytes each."""
        value = np.zeros(len(at), np.int64)
        for i in range(int(width.max(initial=0))):
            some = np.flatnonzero(width > i)
            value[some] |= self.raw[at[some] + i].astype(np.int64) << (8 * i)
        unused = 64 - 8 * width
        return (value << unused) >> unused


def decode(buffer: U8, record_bytes: int) -> Chunk:
    """Decode the whole records in ``buffer``, (n * record_bytes,) uint8, in place."""
    data = _Bytes(buffer)
    starts = np.arange(len(buffer) // record_bytes, dtype=np.int64) * record_bytes
    status, fault, already_fixed = _classify(data, starts, record_bytes)
    rows = np.flatnonzero((status == Status.BASE) | (status == Status.EXTENSION))
    start = starts[rows]
    walked, walk_fault = _walk(data, start, record_bytes)
    parts = _Attributes(data, *walked)
    times, attributes = parts.standard_information(len(rows))
    names = parts.names()
    streams, runs = parts.streams()
    fault[rows] = _first_faults(walk_fault, parts)
    base = data.read(start + 0x20, 8)
    lists = parts.lists()
    return Chunk._make([
        status, fault, already_fixed,
        rows, data.read(start + 0x10, 2), data.read(start + 0x12, 2), data.read(start + 0x16, 2),
        np.where(base == 0, -1, base & 0xFFFFFFFFFFFF), (base >> 48) & 0xFFFF,
        data.read(start + 8, 8), times, attributes,
        rows[names[0]], *names[1:],
        rows[streams[0]], *streams[1:], *runs, rows[lists[0]], *lists[1:],
    ])  # fmt: skip


def _classify(data: _Bytes, starts: I64, record_bytes: int) -> tuple[U8, U8, int]:
    """Status and header fault of every record; those in use are fixed up."""
    signature = data.read(starts, 4)
    fault = np.zeros(len(starts), np.uint8)
    status = np.full(len(starts), Status.DAMAGED, np.uint8)
    status[signature == 0] = Status.BLANK
    is_file = signature == int.from_bytes(b"FILE", "little")
    torn = signature == int.from_bytes(b"BAAD", "little")
    fault[~is_file & (signature != 0)] = Fault.RECORD_SIGNATURE
    fault[torn] = Fault.RECORD_TORN_MARK
    in_use = is_file & (data.read(starts + 0x16, 2) & 1 == 1)
    status[is_file & ~in_use] = Status.FREE
    rows = np.flatnonzero(in_use)
    at, entries = data.read(starts[rows] + 4, 2), data.read(starts[rows] + 6, 2)
    sectors = record_bytes // 512
    good = (entries == sectors + 1) & (at % 2 == 0) & (at >= 0x2A) & (at + 2 * entries <= 510)
    fault[rows[~good]] = Fault.RECORD_UPDATE_SEQUENCE
    rows, at = rows[good], at[good]
    array = starts[rows] + at
    number = data.read(array, 2)
    tail_at = starts[rows][:, None] + 512 * np.arange(1, sectors + 1) - 2
    saved_at = array[:, None] + 2 * np.arange(1, sectors + 1)
    tails = data.read(tail_at.ravel(), 2).reshape(-1, sectors)
    saved = data.read(saved_at.ravel(), 2).reshape(-1, sectors)
    numbered = (tails == number[:, None]).all(axis=1)
    already = ~numbered & (tails == saved).all(axis=1)
    for byte in (0, 1):
        data.raw[tail_at[numbered] + byte] = data.raw[saved_at[numbered] + byte]
    fault[rows[~numbered & ~already]] = Fault.RECORD_TORN_WRITE
    rows = rows[numbered | already]
    base = data.read(starts[rows] + 0x20, 8)
    status[rows] = np.where(base == 0, Status.BASE, Status.EXTENSION)
    return status, fault, int(already.sum())


def _walk(data: _Bytes, start: I64, record_bytes: int) -> tuple[tuple[I64, I64, I64, I64], U8]:
    """(record row, position, bytes, type) of every attribute; the fault that ended each walk."""
    fault = np.zeros(len(start), np.uint8)
    first, used = data.read(start + 0x14, 2), data.read(start + 0x18, 4)
    bad = (used > record_bytes) | (first % 8 != 0) | (first < 0x2A) | (first > used)
    fault[bad] = Fault.RECORD_HEADER
    row = np.flatnonzero(~bad)
    at, end = (start + first)[row], (start + used)[row]
    found: list[tuple[I64, I64, I64, I64]] = [(np.empty(0, np.int64),) * 4]
    while len(row):
        inside = at + 4 <= end
        fault[row[~inside]] = Fault.ATTRIBUTE_END
        row, at, end = row[inside], at[inside], end[inside]
        kind = data.read(at, 4)
        going = kind != AttributeType.END
        row, at, end, kind = row[going], at[going], end[going], kind[going]
        inside = at + 24 <= end
        length = np.zeros(len(at), np.int64)
        length[inside] = data.read(at[inside] + 4, 4)
        good = inside & (length >= 24) & (length % 8 == 0) & (at + length <= end)
        fault[row[~good]] = Fault.ATTRIBUTE_LENGTH
        row, at, end, kind, length = row[good], at[good], end[good], kind[good], length[good]
        found.append((row, at, length, kind))
        at = at + length
    merged = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(merged[1], kind="stable")
    owner, position, size, code = (column[order] for column in merged)
    return (owner, position, size, code), fault


def _first_faults(walk_fault: U8, parts: _Attributes) -> U8:
    """The first real fault of each record; odd names count only where nothing else is wrong."""
    fault = np.zeros(len(walk_fault), np.uint8)
    for texts in (True, False):
        if not texts:
            fault[walk_fault != 0] = walk_fault[walk_fault != 0]
        is_text = parts.fault == Fault.NAME_TEXT
        rows = np.flatnonzero((parts.fault != 0) & (is_text == texts))[::-1]
        fault[parts.row[rows]] = parts.fault[rows]
    return fault


class _Attributes:
    """All attributes of a chunk, in order; ``fault`` is filled as they are decoded."""

    def __init__(self, data: _Bytes, row: I64, at: I64, length: I64, kind: I64) -> None:
        self.data, self.row, self.at, self.length, self.kind = data, row, at, length, kind
        self.fault: U8 = np.zeros(len(at), np.uint8)
        self.form = data.read(at + 8, 1)
        self.name_chars = data.read(at + 9, 1)
        self.name_at = data.read(at + 10, 2)
        named = self.name_chars > 0
        self._fail(
            (self.form > 1) | (named & (self.name_at + 2 * self.name_chars > length)),
            Fault.ATTRIBUTE_NAME,
        )
        nonresident = self.form == 1
        self._fail(nonresident & (kind == AttributeType.FILE_NAME), Fault.FILE_NAME)
        self._fail(
            nonresident & (kind == AttributeType.STANDARD_INFORMATION), Fault.STANDARD_INFORMATION
        )
        self.value_bytes = np.where(nonresident, 0, data.read(at + 16, 4))
        value_at = data.read(at + 20, 2)
        outside = value_at + self.value_bytes > length
        outside |= (self.value_bytes > 0) & (value_at < ATTRIBUTE_MIN_BYTES)
        self._fail(~nonresident & outside, Fault.ATTRIBUTE_VALUE)
        self.value = at + value_at

    def _fail(self, where: Mask, fault: Fault) -> None:
        self.fault[where & (self.fault == 0)] = fault

    def _pick(self, kind: int) -> I64:
        """Undamaged resident attributes of one type."""
        return np.flatnonzero((self.kind == kind) & (self.form == 0) & (self.fault == 0))

    def standard_information(self, records: int) -> tuple[I64, I64]:
        """(records, 4) timestamps and (records,) file attributes; the last one counts."""
        times = np.full((records, 4), NO_TIME, np.int64)
        attributes = np.zeros(records, np.int64)
        rows = self._pick(AttributeType.STANDARD_INFORMATION)
        short = self.value_bytes[rows] < 0x24
        self.fault[rows[short]] = Fault.STANDARD_INFORMATION
        rows = rows[~short]
        value, to = self.value[rows], self.row[rows]
        for i in range(4):
            ticks = self.data.read(value + 8 * i, 8)
            reach = FILETIME_EPOCH_TICKS
            good = (ticks > reach - _TICKS_REACH) & (ticks < reach + _TICKS_REACH)
            nanoseconds = np.full(len(ticks), NO_TIME, np.int64)
            nanoseconds[good] = (ticks[good] - reach) * 100
            times[to, i] = nanoseconds
        attributes[to] = self.data.read(value + 0x20, 4)
        return times, attributes

    def names(self) -> tuple[I64, I64, I64, I64, I64, U8]:
        """Record row, parent, its sequence, namespace, ends and text of every $FILE_NAME."""
        rows = self._pick(AttributeType.FILE_NAME)
        chars = np.zeros(len(rows), np.int64)
        whole = self.value_bytes[rows] >= 0x42
        chars[whole] = self.data.read(self.value[rows[whole]] + 0x40, 1)
        good = (chars > 0) & (0x42 + 2 * chars <= self.value_bytes[rows])
        self.fault[rows[~good]] = Fault.FILE_NAME
        rows, chars = rows[good], chars[good]
        value = self.value[rows]
        parent = self.data.read(value, 8)
        ends, blob, escaped = utf8(self.data.raw, value + 0x42, chars, is_file_name=True)
        self.fault[rows[escaped]] = Fault.NAME_TEXT
        return (
            self.row[rows], parent & 0xFFFFFFFFFFFF, (parent >> 48) & 0xFFFF,
            self.data.read(value + 0x41, 1), ends, blob,
        )  # fmt: skip

    def lists(self) -> tuple[I64, I64, U8]:
        """Record row, ends and bytes of every resident $ATTRIBUTE_LIST."""
        wanted = (self.kind == AttributeType.ATTRIBUTE_LIST) & (self.form == 0)
        rows = np.flatnonzero(wanted & ((self.fault == 0) | (self.fault == Fault.NAME_TEXT)))
        parts = [
            self.data.raw[at : at + size]
            for at, size in zip(self.value[rows], self.value_bytes[rows], strict=True)
        ]
        ends = np.cumsum(self.value_bytes[rows])
        return self.row[rows], ends, np.concatenate([np.empty(0, np.uint8), *parts])

    def streams(self) -> tuple[tuple[Array, ...], tuple[I64, I64, I64]]:
        """The stream columns of ``Chunk`` (record row first), and its run columns."""
        other = (self.kind != AttributeType.FILE_NAME) & (
            self.kind != AttributeType.STANDARD_INFORMATION
        )
        short = other & (self.form == 1) & (self.length < 0x40)
        self._fail(short, Fault.ATTRIBUTE_SIZES)
        candidates = np.flatnonzero(other & (self.fault == 0))
        sizes, kept = self._sizes(candidates)
        rows = candidates[kept]
        data_bytes, allocated, initialized, unit, lowest, highest = (
            column[kept] for column in sizes
        )
        runs_of, runs = self._run_lists(rows, lowest, highest)
        chars = self.name_chars[rows]
        ends, blob, escaped = utf8(
            self.data.raw, self.at[rows] + self.name_at[rows], chars, is_file_name=False
        )
        self._fail(np.isin(np.arange(len(self.at)), rows[escaped]), Fault.NAME_TEXT)
        columns = (
            self.row[rows], self.kind[rows], 1 - self.form[rows],
            self.data.read(self.at[rows] + 12, 2), data_bytes, allocated, initialized, unit,
            lowest, runs_of, ends, blob,
        )  # fmt: skip
        return columns, runs

    def _sizes(self, rows: I64) -> tuple[list[I64], Mask]:
        """Sizes, compression unit and VCN range of these attributes; which of them make rows."""
        resident = self.form[rows] == 0
        value_bytes = self.value_bytes[rows]
        data_bytes, initialized = value_bytes.copy(), value_bytes.copy()
        allocated = (value_bytes + 7) & ~7
        unit, lowest = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        highest = np.full(len(rows), -1, np.int64)
        some = np.flatnonzero(~resident)
        at = self.at[rows[some]]
        lowest[some], highest[some] = self.data.read(at + 16, 8), self.data.read(at + 24, 8)
        unit[some] = self.data.read(at + 34, 1)
        allocated[some], data_bytes[some], initialized[some] = (
            self.data.read(at + offset, 8) for offset in (40, 48, 56)
        )
        kept = resident | (
            (lowest >= 0) & (lowest < _MAX_LCN) & (highest >= lowest - 1) & (highest < _MAX_LCN)
        )
        self.fault[rows[~kept]] = Fault.ATTRIBUTE_SIZES
        lies = kept & ~resident & (lowest == 0)
        lies &= (allocated < 0) | (data_bytes < 0) | (initialized < 0) | (initialized > data_bytes)
        self.fault[rows[lies]] = Fault.ATTRIBUTE_SIZES
        allocated[lies] = np.maximum(allocated[lies], 0)
        data_bytes[lies] = np.maximum(data_bytes[lies], 0)
        initialized[lies] = np.clip(initialized[lies], 0, data_bytes[lies])
        odd = kept & (unit > 31)
        self.fault[rows[odd]] = Fault.ATTRIBUTE_SIZES
        unit[odd] = 0
        return [data_bytes, allocated, initialized, unit, lowest, highest], kept

    def _run_lists(self, rows: I64, lowest: I64, highest: I64) -> tuple[I64, tuple[I64, I64, I64]]:
        """Number of runs of each piece (0 where damaged or resident), and all run rows."""
        some = np.flatnonzero(self.form[rows] == 1)
        pairs = self.data.read(self.at[rows[some]] + 32, 2)
        length = self.length[rows[some]]
        bad = (pairs < 0x40) | (pairs >= length)
        # A bad run list replaces the fault of bad sizes, as it is found later in the same header.
        self.fault[rows[some[bad]]] = Fault.RUN_LIST
        some, pairs, length = some[~bad], pairs[~bad], length[~bad]
        at = self.at[rows[some]]
        damaged, next_vcn, table = _decode_runs(
            self.data, at + pairs, at + length, lowest[some], len(some)
        )
        self.fault[rows[some[damaged]]] = Fault.RUN_LIST
        uncovered = ~damaged & (next_vcn != highest[some] + 1)
        uncovered &= self.fault[rows[some]] == 0
        self.fault[rows[some[uncovered]]] = Fault.RUN_LIST_COVERAGE
        piece = table[0]
        counts = np.zeros(len(rows), np.int64)
        counts[some] = np.bincount(piece, minlength=len(some))
        return counts, (table[1], table[2], table[3])


def _decode_runs(
    data: _Bytes, at: I64, end: I64, vcn: I64, pieces: int
) -> tuple[Mask, I64, tuple[I64, I64, I64, I64]]:
    """Which run lists are damaged, the VCN behind each, and (piece, vcn, lcn, clusters) rows."""
    damaged = np.zeros(pieces, np.bool_)
    next_vcn = vcn.copy()
    piece, lcn = np.arange(pieces, dtype=np.int64), np.zeros(pieces, np.int64)
    found: list[tuple[I64, ...]] = [(np.empty(0, np.int64),) * 4]
    while len(piece):
        going = at < end
        header = np.zeros(len(at), np.int64)
        header[going] = data.read(at[going], 1)
        going &= header != 0
        next_vcn[piece[~going]] = vcn[~going]
        piece, at, end, vcn, lcn, header = (
            column[going] for column in (piece, at, end, vcn, lcn, header)
        )
        wide, far = header & 15, header >> 4
        good = (wide > 0) & (wide <= 8) & (far <= 8) & (at + 1 + wide + far <= end)
        wide, far = np.where(good, wide, 0), np.where(good, far, 0)
        clusters = np.where(good, data.read_signed(np.where(good, at + 1, 0), wide), 0)
        good &= (clusters > 0) & (clusters < _MAX_LCN)
        good &= vcn + np.where(good, clusters, 0) <= _MAX_LCN
        delta = np.where(far > 0, data.read_signed(np.where(good, at + 1 + wide, 0), far), 0)
        good &= (delta > -_MAX_LCN) & (delta < _MAX_LCN)
        lcn = lcn + np.where(good, delta, 0)
        good &= (lcn >= 0) & (lcn < _MAX_LCN)
        damaged[piece[~good]] = True
        at = at + 1 + wide + far
        piece, at, end, vcn, lcn, clusters, far = (
            column[good] for column in (piece, at, end, vcn, lcn, clusters, far)
        )
        found.append((piece, vcn, np.where(far > 0, lcn, -1), clusters))
        vcn = vcn + clusters
    table = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(table[0], kind="stable")
    order = order[~damaged[table[0][order]]]
    return damaged, next_vcn, (table[0][order], table[1][order], table[2][order], table[3][order])
