"""Chooses the implementation of the hot loops: compiled by Numba, or the NumPy twin.

``SBTK_KERNELS=numpy`` asks for the twin; it is also what runs where Numba cannot be imported. Both
give the same tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from sbtk.ntfs.chunk import I32, I64, U8, Chunk


class Kernels(NamedTuple):
    """The hot loops of a scan.

    Attributes:
        name: ``"numba"`` or ``"numpy"``.
        decode: (buffer, (n * record_bytes,) uint8; record_bytes) -> its rows. The buffer is fixed
            up in place; the rows are valid until the same thread decodes again.
        path_lengths: (up, parent, name_offsets, limit_bytes, lengths, cuts): writes the bytes of
            each path into ``lengths`` and where paths are cut into ``cuts``.
        path_fill: (up, cuts, parent, name_offsets, name_blob, path_offsets, blob): writes the
            paths into ``blob``.
    """

    name: str
    decode: Callable[[U8, int], Chunk]
    path_lengths: Callable[[I32, I64, I64, int, I64, U8], None]
    path_fill: Callable[[I32, U8, I64, I64, U8, I64, U8], None]


def chosen() -> str:
    """The name of the kernels that the settings ask for.

    Settings bring pydantic, which takes as long to import as a million records to decode: they
    are read where the variable is set, in whatever case, and not to learn the default.
    """
    if all(name.upper() != "SBTK_KERNELS" for name in os.environ):
        return "numba"
    from sbtk.settings import settings

    return settings().kernels


@lru_cache(maxsize=2)
def load(name: str = "") -> Kernels:
    """The kernels of that name; by default those that the settings ask for."""
    if (name or chosen()) == "numba":
        try:
            from sbtk.ntfs.kernels_compiled import CompiledKernels

            loops = CompiledKernels()
        except (ImportError, OSError, RuntimeError):  # missing, made for another NumPy, no cache
            return load("numpy")
        return Kernels("numba", loops.decode, loops.path_lengths, loops.path_fill)
    from sbtk.ntfs import kernels_numpy, paths_numpy

    return Kernels("numpy", kernels_numpy.decode, paths_numpy.path_lengths, paths_numpy.path_fill)
