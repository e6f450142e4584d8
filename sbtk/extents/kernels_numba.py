"""``loops``, compiled by Numba; its own module, so that Numba is imported only where it pays."""

from __future__ import annotations

from numba import njit

from sbtk.extents import loops

_compile = njit(nogil=True, cache=True)

is_sorted = _compile(loops.is_sorted)
find_sorted = _compile(loops.find_sorted)
bucket_starts = _compile(loops.bucket_starts)
find_bucketed = _compile(loops.find_bucketed)
sweep = _compile(loops.sweep)
count_pieces = _compile(loops.count_pieces)
weigh_runs = _compile(loops.weigh_runs)
