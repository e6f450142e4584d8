"""The compiled loops with the face of ``sbtk.ntfs.kernels``; their object code needs no Numba."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from sbtk.ntfs.chunk import I32, I64, U8, Chunk
from sbtk.ntfs.kernels_scratch import Scratch, cut, make_scratch, make_views
from sbtk.ntfs.object_code import load_loop, prepare

_RECORD_BYTES = 1024
_HERE = "sbtk.ntfs"
_PARTS = min(4, os.cpu_count() or 1)


class CompiledKernels:
    """``decode``, ``path_lengths`` and ``path_fill``, ready to run."""

    def __init__(self) -> None:
        """Load the loops, or have Numba compile them.

        Raises:
            ImportError, OSError, RuntimeError: Numba is needed, and cannot be used here.
        """
        self._local = threading.local()
        buffer = np.zeros(_RECORD_BYTES, np.uint8)
        views, scratch = make_views(buffer), make_scratch(_RECORD_BYTES, 1)
        self._decode_records = load_loop(
            f"{_HERE}.kernels_numba", "decode_records", (views, _RECORD_BYTES, scratch),
            [f"{_HERE}.{module}" for module in ("kernels_scratch", "chunk", "layout")],
        )  # fmt: skip
        up, parent, text = np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.uint8)
        read = [_read_only(array) for array in (up, parent, parent)]
        self._path_lengths = load_loop(
            f"{_HERE}.kernels_paths", "path_lengths", (*read, 0, parent, text, up)
        )
        octets = _read_only(text)
        self._path_fill = load_loop(
            f"{_HERE}.kernels_paths", "path_fill",
            (read[0], octets, *read[1:], octets, read[2], 0, 1, text),
        )  # fmt: skip

    def decode(self, buffer: U8, record_bytes: int) -> Chunk:
        """Decode the whole records in ``buffer``, (n * record_bytes,) uint8, fixing them up.

        The columns belong to this thread's scratch: they are valid until its next call.
        """
        local = self._local
        place = (buffer.ctypes.data, len(buffer), record_bytes)
        if getattr(local, "place", None) != place:
            scratch = self._scratch(len(buffer), len(buffer) // record_bytes)
            local.run = prepare(self._decode_records, make_views(buffer), record_bytes, scratch)
            local.place, local.used = place, scratch
        local.run()
        return cut(local.used)

    def _scratch(self, chunk_bytes: int, records: int) -> Scratch:
        """This thread's scratch, grown if it is too small; its status has as many records."""
        scratch: Scratch | None = getattr(self._local, "scratch", None)
        if scratch is None or len(scratch.list_blob) < chunk_bytes or len(scratch.fault) < records:
            scratch = make_scratch(chunk_bytes, records)
            self._local.scratch = scratch
        return scratch._replace(status=scratch.status[:records])

    def path_lengths(
        self, up: I32, parent: I64, name_offsets: I64, limit_bytes: int, lengths: I64, cuts: U8
    ) -> None:
        """Bytes of every path into ``lengths``, and where paths are cut into ``cuts``."""
        stack = np.empty(len(up), np.int32)
        read = (_read_only(array) for array in (up, parent, name_offsets))
        self._path_lengths(*read, limit_bytes, lengths, cuts, stack)

    def path_fill(
        self, up: I32, cuts: U8, parent: I64, name_offsets: I64, name_blob: U8,
        path_offsets: I64, blob: U8,
    ) -> None:  # fmt: skip
        """Every path into ``blob``, a part of them on each core."""
        read = [
            _read_only(array) for array in (up, cuts, parent, name_offsets, name_blob, path_offsets)
        ]
        edges = np.linspace(0, len(up), _PARTS + 1).astype(int).tolist()
        with ThreadPoolExecutor(_PARTS, "sbtk-paths") as pool:
            parts = [
                pool.submit(self._path_fill, *read, begin, end, blob)
                for begin, end in pairwise(edges)
            ]
        for part in parts:
            part.result()


def _read_only(array: Any) -> Any:
    """A view that cannot be written: mapped and own arrays then share one compiled form."""
    view = array.view()
    view.flags.writeable = False
    return view
