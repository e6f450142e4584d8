"""``loops``, compiled by Numba; its own module, so that Numba is imported only where it pays."""

from __future__ import annotations

from numba import njit

from sbtk.archive import loops

_compile = njit(nogil=True, cache=True)

write_decimals = _compile(loops.write_decimals)
read_decimals = _compile(loops.read_decimals)
