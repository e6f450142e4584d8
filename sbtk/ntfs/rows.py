"""All rows of one $MFT: the chunks that the kernels decoded, gathered in narrow columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import Chunk, Status

Array = npt.NDArray[Any]


class Column:
    """An array that grows at its end; room ahead costs no memory until rows are written to it."""

    def __init__(self, dtype: npt.DTypeLike, capacity: int) -> None:
        self._data: Array = np.empty(max(capacity, 16), dtype)
        self.used = 0

    def take_room(self, rows: int) -> Array:
        """The next ``rows`` rows, to be written by the caller."""
        end = self.used + rows
        if end > len(self._data):
            wider: Array = np.empty(end * 3 // 2, self._data.dtype)
            wider[: self.used] = self._data[: self.used]
            self._data = wider
        room = self._data[self.used : end]
        self.used = end
        return room

    def append(self, values: Array) -> None:
        """Copy ``values`` to the end, converting them to this column's type."""
        np.copyto(self.take_room(len(values)), values, casting="unsafe")

    def append_shifted(self, values: Array, shift: int) -> None:
        """Append ``values + shift``: numbers that count from the chunk's start."""
        np.add(values, shift, out=self.take_room(len(values)), casting="unsafe")

    def finish(self) -> Array:
        """The rows; the column is empty afterwards and its spare room is given back."""
        data, used = self._data, self.used
        self._data, self.used = data[:0], 0
        data.resize(used, refcheck=False)
        return data


@dataclass
class Rows:
    """Columns of the whole $MFT, as ``Chunk`` names them; record numbers instead of indexes.

    ``*_ends`` columns of a chunk became ``*_offsets``: (n + 1,) int64, the first one 0.
    ``status`` has one row for every record, in use or not.
    """

    record_count: int
    already_fixed: int
    status: Array
    status_counts: npt.NDArray[np.int64]
    faulty_record: Array
    fault: Array
    columns: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def pop(self, name: str) -> Array:
        """Hand a column over, so that its memory can go when the caller is done."""
        return self.columns.pop(name)


# column -> (field of Chunk, type, expected rows per record); "index" fields become record numbers.
_PLAIN: dict[str, tuple[str, type[np.generic]]] = {
    "sequence": ("record", np.uint16),
    "hard_links": ("record", np.uint16),
    "flags": ("record", np.uint16),
    "base": ("record", np.int64),
    "base_sequence": ("record", np.uint16),
    "lsn": ("record", np.uint64),
    "attributes": ("record", np.uint32),
    "parent": ("name", np.int64),
    "parent_sequence": ("name", np.uint16),
    "namespace": ("name", np.uint8),
    "attribute_type": ("stream", np.uint32),
    "resident": ("stream", np.bool_),
    "attribute_flags": ("stream", np.uint16),
    "data_bytes": ("stream", np.int64),
    "allocated_bytes": ("stream", np.int64),
    "initialized_bytes": ("stream", np.int64),
    "compression_unit": ("stream", np.uint8),
    "lowest_vcn": ("stream", np.int64),
    "runs": ("stream", np.int32),
    "vcn": ("run", np.int64),
    "lcn": ("run", np.int64),
    "clusters": ("run", np.int64),
    "name_blob": ("text", np.uint8),
    "stream_blob": ("text", np.uint8),
    "list_blob": ("list", np.uint8),
}
TIMES = ("created", "modified", "changed", "accessed")
_INDEXES = ("record_index", "name_index", "stream_index", "list_index")
_TEXTS = ("name", "stream", "list")
_ROWS_PER_RECORD = {"record": 1, "name": 2, "stream": 4, "run": 2, "text": 32, "list": 1}


class RowsBuilder:
    """Takes decoded chunks in record order."""

    def __init__(self, record_count: int) -> None:
        """Prepare for ``record_count`` records: that many exist, the caller has checked."""
        room = {kind: record_count * rows for kind, rows in _ROWS_PER_RECORD.items()}
        self._record_count = record_count
        number = np.int32 if record_count < 1 << 31 else np.int64
        self._plain = {name: Column(dtype, room[kind]) for name, (kind, dtype) in _PLAIN.items()}
        self._indexes = {
            name: Column(number, room[name.removesuffix("_index")]) for name in _INDEXES
        }
        self._offsets = {name: Column(np.int64, room[name] + 1) for name in _TEXTS}
        for offsets in self._offsets.values():
            offsets.append(np.zeros(1, np.int64))
        self._times = {name: Column(np.int64, record_count) for name in TIMES}
        self._status = Column(np.uint8, record_count)
        self._faulty = Column(np.int64, 0)
        self._fault = Column(np.uint8, 0)
        self._already_fixed = 0
        self._status_counts = np.zeros(len(Status), np.int64)

    def add(self, first_record: int, chunk: Chunk) -> None:
        """Append the rows of the chunk whose first record is number ``first_record``."""
        for name in _TEXTS:
            shift = self._plain[f"{name}_blob"].used
            self._offsets[name].append_shifted(getattr(chunk, f"{name}_ends"), shift)
        for name, column in self._plain.items():
            column.append(getattr(chunk, name))
        for name, column in self._indexes.items():
            column.append_shifted(getattr(chunk, name), first_record)
        for place, times in enumerate(self._times.values()):
            times.append(chunk.times[:, place])
        self._status.append(chunk.status)
        faulty = np.flatnonzero(chunk.fault)
        self._faulty.append_shifted(faulty, first_record)
        self._fault.append(chunk.fault[faulty])
        self._already_fixed += chunk.already_fixed
        self._status_counts += np.bincount(chunk.status, minlength=len(Status))

    def finish(self) -> Rows:
        """The gathered columns; the builder is spent."""
        columns = {name: column.finish() for name, column in self._plain.items()}
        for name, column in self._indexes.items():
            columns[name.replace("_index", "_record")] = column.finish()
        columns["record"] = columns.pop("record_record")
        for name, column in self._offsets.items():
            columns[f"{name}_offsets"] = column.finish()
        columns |= {name: column.finish() for name, column in self._times.items()}
        return Rows(
            record_count=self._record_count,
            already_fixed=self._already_fixed,
            status=self._status.finish(),
            status_counts=self._status_counts,
            faulty_record=self._faulty.finish(),
            fault=self._fault.finish(),
            columns=columns,
        )
