"""The loops as they are written: the twin of ``kernels_numba``, with the same names."""

from __future__ import annotations

from sbtk.plan.loops import cut_pieces, order_windows, pack_disk, pack_tape
from sbtk.plan.read_loops import find_rows, pack_tape_reads

__all__ = [
    "cut_pieces",
    "find_rows",
    "order_windows",
    "pack_disk",
    "pack_tape",
    "pack_tape_reads",
]
