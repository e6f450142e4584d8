"""The loops, compiled by Numba; its own module, so that Numba is imported only where it pays."""

from __future__ import annotations

from numba import njit

from sbtk.plan import loops, read_loops

_compile = njit(nogil=True, cache=True)

cut_pieces = _compile(loops.cut_pieces)
order_windows = _compile(loops.order_windows)
pack_disk = _compile(loops.pack_disk)
pack_tape = _compile(loops.pack_tape)
find_rows = _compile(read_loops.find_rows)
pack_tape_reads = _compile(read_loops.pack_tape_reads)
