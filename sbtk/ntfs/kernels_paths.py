# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# (Numba types the loops from their arguments.)
"""Full paths from parent references, compiled by Numba; the loops that stay loops."""

from __future__ import annotations

import numba as nb
import numpy as np

# As in ``kernels_numba``: nothing is allocated, and no reference counted.
_jit = nb.njit(nogil=True, cache=True, _nrt=False)
_inline = nb.njit(nogil=True, forceinline=True, _nrt=False)

# What ``up`` holds where it is no row, and what ``cut`` says about a row: see sbtk.ntfs.paths.
_TOP, _ORPHAN, _ROOT = -1, -2, -3
_WHOLE, _LOOP, _LONG = 0, 1, 2
_PREFIX = np.frombuffer(b"$Orphans/", np.uint8)
_PREFIX_BYTES = 9


@_jit
def path_lengths(up, parent, name_offsets, limit_bytes, length, cut, stack):
    """Bytes of every path into ``length``, and where paths are cut into ``cut``.

    A row on a loop of parents is cut (1); a row whose folder's path is longer than
    ``limit_bytes`` is cut (2). A cut row lies below ``$Orphans/PARENT`` as an orphan does.
    ``stack`` is room for as many rows.
    """
    rows = len(up)
    length[:] = -1  # not known yet; -2: on the stack
    cut[:] = _WHOLE
    for first in range(rows):
        row, depth = np.int64(first), np.int64(0)
        while row >= 0 and length[row] == -1:
            length[row] = -2
            stack[depth] = row
            depth += 1
            row = np.int64(up[row])
        if row >= 0 and length[row] == -2:
            for i in range(depth - 1, -1, -1):
                cut[stack[i]] = _LOOP
                if stack[i] == row:
                    break
        for i in range(depth - 1, -1, -1):
            row = np.int64(stack[i])
            above = up[row]
            if above >= 0 and cut[row] == _WHOLE and length[above] > limit_bytes:
                cut[row] = _LONG
            total = name_offsets[row + 1] - name_offsets[row]
            if above == _ROOT:
                total = 1
            elif above == _ORPHAN or cut[row] != _WHOLE:
                total += _PREFIX_BYTES + _digits(parent[row]) + 1
            elif above >= 0:
                total += length[above] + 1
            length[row] = total


@_inline
def _digits(value):
    count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


@_inline
def _copy(source, at, target, to, count):
    """Copy bytes many at once: unsigned, an index needs no look at whether it is negative."""
    first, place = np.uint64(at), np.uint64(to)
    for i in range(np.uint64(count)):
        target[place + i] = source[first + i]


@_jit
def path_fill(up, cut, parent, name_offsets, name_blob, path_offsets, begin, end_row, blob):
    """Write paths ``begin`` to ``end_row`` into ``blob``, each from its end to its start.

    It goes along the parents, up to one whose path this call has written: most folders come
    before their files. Other calls may write other rows at the same time.
    """
    for first in range(begin, end_row):
        row = np.int64(first)
        end = path_offsets[first + 1]
        if up[row] == _ROOT:
            blob[end - 1] = 46  # "."
            continue
        while True:
            start = name_offsets[row]
            count = name_offsets[row + 1] - start
            end -= count
            _copy(name_blob, start, blob, end, count)
            above = np.int64(up[row])
            if above == _TOP:
                break
            end -= 1
            blob[end] = 47  # "/"
            if above == _ORPHAN or cut[row] != _WHOLE:
                number = parent[row]
                for _ in range(_digits(parent[row])):
                    end -= 1
                    blob[end] = 48 + number % 10
                    number //= 10
                for i in range(_PREFIX_BYTES):
                    blob[end - _PREFIX_BYTES + i] = _PREFIX[i]
                break
            if begin <= above < first:  # its path is written already
                start = path_offsets[above]
                count = path_offsets[above + 1] - start
                _copy(blob, start, blob, end - count, count)
                break
            row = above
