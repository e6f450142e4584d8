"""``loops``, compiled by Numba; its own module, so that Numba is imported only where it pays."""

from __future__ import annotations

from numba import njit

from sbtk.plan import loops

_compile = njit(nogil=True, cache=True)

pack_tape = _compile(loops.pack_tape)
cut_pieces = _compile(loops.cut_pieces)
pack_disk = _compile(loops.pack_disk)
pack_tape_reads = _compile(loops.pack_tape_reads)
find_rows = _compile(loops.find_rows)
