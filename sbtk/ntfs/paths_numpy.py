"""Full paths in waves: the NumPy twin of ``kernels_paths``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import I32, I64, U8
from sbtk.ntfs.text_numpy import ragged

_TOP, _ORPHAN, _ROOT = -1, -2, -3
_LOOP, _LONG = 1, 2
_PREFIX = b"$Orphans/"
_BLOCK_ROWS = 65536


def _digits(values: I64) -> I64:
    count = np.ones(len(values), np.int64)
    rest = values // 10
    while rest.any():
        count += rest > 0
        rest = rest // 10
    return count


def _on_loop(up: I32) -> npt.NDArray[np.bool_]:
    """Rows that come back to themselves: what is left after more steps up than there are rows."""
    rows = np.arange(len(up))
    step = np.where(up >= 0, up, rows).astype(np.int64)
    step[up < 0] = rows[up < 0]
    for _ in range(max(len(up), 1).bit_length()):
        step = step[step]
    reached = np.zeros(len(up), np.bool_)
    reached[step] = True
    return reached & (up >= 0)


def path_lengths(
    up: I32, parent: I64, name_offsets: I64, limit_bytes: int, length: I64, cut: U8
) -> None:
    """Bytes of every path into ``length``, and where paths are cut into ``cut``."""
    name_bytes = np.diff(name_offsets)
    below_orphans = name_bytes + len(_PREFIX) + _digits(parent) + 1
    cut[:] = 0
    cut[_on_loop(up)] = _LOOP
    length[:] = name_bytes
    length[up == _ROOT] = 1
    ends = (up == _ORPHAN) | (cut == _LOOP)
    length[ends] = below_orphans[ends]
    children = np.argsort(up, kind="stable")
    sorted_up = up[children]
    known = np.flatnonzero((up < 0) | (cut == _LOOP))
    while len(known):
        first = np.searchsorted(sorted_up, known, side="left")
        last = np.searchsorted(sorted_up, known, side="right")
        row = children[ragged(first, last - first)]
        row = row[cut[row] != _LOOP]
        above = up[row]
        long = length[above] > limit_bytes
        cut[row[long]] = _LONG
        length[row] = np.where(long, below_orphans[row], name_bytes[row] + length[above] + 1)
        known = row


def path_fill(
    up: I32, cut: U8, parent: I64, name_offsets: I64, name_blob: U8, path_offsets: I64, blob: U8
) -> None:
    """Write every path into ``blob``, each from its end to its start, along the parents."""
    for first in range(0, len(up), _BLOCK_ROWS):
        row = np.arange(first, min(first + _BLOCK_ROWS, len(up)))
        end = path_offsets[row + 1]
        root = up[row] == _ROOT
        blob[end[root] - 1] = ord(".")
        row, end = row[~root], end[~root]
        while len(row):
            count = name_offsets[row + 1] - name_offsets[row]
            end = end - count
            blob[ragged(end, count)] = name_blob[ragged(name_offsets[row], count)]
            going = up[row] != _TOP
            row, end = row[going], end[going] - 1
            blob[end] = ord("/")
            last = (up[row] == _ORPHAN) | (cut[row] != 0)
            _write_prefix(parent[row[last]], end[last], blob)
            row, end = up[row[~last]].astype(np.int64), end[~last]


def _write_prefix(parent: I64, end: I64, blob: U8) -> None:
    """``$Orphans/PARENT`` in front of each ``end``."""
    digits = _digits(parent)
    rest = parent.copy()
    for i in range(int(digits.max(initial=0))):
        some = digits > i
        blob[end[some] - 1 - i] = 48 + rest[some] % 10
        rest = rest // 10
    start = end - digits - len(_PREFIX)
    for i, byte in enumerate(_PREFIX):
        blob[start + i] = byte
