"""Which form of the loops runs: compiled for many rows, plain for few or where settings say so."""

from __future__ import annotations

from types import ModuleType

from sbtk.plan import kernels_plain
from sbtk.settings import settings

COMPILED_FROM = 20_000
"""Below this many rows the plain form is done before Numba would be imported."""


def load(rows: int) -> ModuleType:
    """``kernels_numba`` or ``kernels_plain``, with the same functions."""
    if rows < COMPILED_FROM or settings().kernels != "numba":
        return kernels_plain
    from sbtk.plan import kernels_numba

    return kernels_numba
