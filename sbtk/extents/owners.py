"""Who stands behind a stream number: record, path and the stream's own name; resolved on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sbtk.ntfs.layout import AttributeType, SystemRecord
from sbtk.ntfs.tables import TIMESTAMP, Tables

if TYPE_CHECKING:
    import pandas as pd

Int64Array = NDArray[np.int64]

SCHEMA = pa.schema(
    [
        ("record", pa.int64()),
        ("path", pa.dictionary(pa.int32(), pa.large_string())),
        ("stream_name", pa.dictionary(pa.int32(), pa.large_string())),
        ("attribute_type", pa.uint32()),
        ("compression_unit", pa.uint8()),
        ("data_bytes", pa.int64()),
        ("allocated_bytes", pa.int64()),
        ("initialized_bytes", pa.int64()),
        ("flags", pa.uint16()),
        ("resident", pa.bool_()),
        ("is_directory", pa.bool_()),
        ("modified", TIMESTAMP),
    ]
)
"""One row a stream, in the order of ``streams``: row number = ``extents.stream``."""

_OF_STREAMS = (
    "record", "attribute_type", "attribute_name", "compression_unit", "data_bytes",
    "allocated_bytes", "initialized_bytes", "flags", "resident",
)  # fmt: skip


@dataclass(frozen=True)
class Owners:
    """Every stream of a volume with the file that it belongs to.

    Attributes:
        table: rows of ``SCHEMA``.
    """

    table: pa.Table

    def __len__(self) -> int:
        """Number of streams."""
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[np.integer]:
        """(streams,) one numeric column, as wide as ``SCHEMA`` has it."""
        return np.asarray(self.table[name].combine_chunks())

    @cached_property
    def record(self) -> Int64Array:
        """(streams,) base record of each stream."""
        return np.asarray(self.column("record"), np.int64)

    def named(self, record: int, stream_name: str) -> NDArray[np.bool_]:
        """(streams,) whether the stream is this one of this record."""
        names = self.table["stream_name"].cast(pa.large_string())
        found: NDArray[np.bool_] = np.asarray(pc.equal(names, stream_name)).astype(np.bool_)
        found &= self.record == record
        return found

    @cached_property
    def bad_clusters(self) -> NDArray[np.bool_]:
        """(streams,) whether it is $BadClus:$Bad, whose real runs are defects and no content."""
        return self.named(SystemRecord.BAD_CLUSTERS, "$Bad:$DATA")

    def streams_of(self, path: str) -> Int64Array:
        """The stream numbers of the file at ``path``; none if there is no such file."""
        return np.flatnonzero(
            np.asarray(pc.equal(self.table["path"].cast(pa.large_string()), path))
        )

    def frame(self, stream: Int64Array, columns: list[str]) -> pd.DataFrame:
        """The named columns for these stream numbers; a missing value where one is -1."""
        missing = stream < 0
        index = pa.array(np.where(missing, 0, stream), mask=missing)
        if len(self) == 0:
            index = pa.nulls(stream.size, pa.int64())
        taken = self.table.select(columns).take(index)
        types = [_frame_type(arrow_type) for arrow_type in taken.schema.types]
        plain = taken.cast(pa.schema(list(zip(columns, types, strict=True))))
        frame: pd.DataFrame = plain.to_pandas(types_mapper=_pandas_type)
        return frame

    def labels(self, stream: Int64Array) -> list[str]:
        """Path and stream as one word: ``a/b.txt``, ``a/b.txt:name``, ``a:$I30:$INDEX_...``."""
        frame = self.frame(stream, ["path", "stream_name"])
        return [label(path, name) for path, name in zip(frame.path, frame.stream_name, strict=True)]


def label(path: str, stream_name: str) -> str:
    """How a stream is written: the path alone for unnamed $DATA, without ``:$DATA`` if named."""
    short = stream_name.removesuffix("$DATA").removesuffix(":")
    return f"{path}:{short}" if short else path


def from_tables(tables: Tables) -> Owners:
    """Join ``streams`` with ``files``; a stream whose record has no path is ``$record/N``."""
    streams = tables.columns("streams", *_OF_STREAMS)
    files = tables.columns("files", "record", "path", "is_directory", "modified")
    record = np.asarray(streams["record"].combine_chunks()).astype(np.int64)
    row, known = _file_rows(record, files)
    file_row = pa.array(row, mask=~known)
    columns = {
        "record": pa.array(record),
        "path": _paths(record, row, known, files),
        "is_directory": files["is_directory"].combine_chunks().take(file_row).fill_null(False),
        "modified": files["modified"].combine_chunks().take(file_row),
        "stream_name": _stream_names(streams),
    }
    for name in SCHEMA.names:
        if name not in columns:
            columns[name] = streams[name].combine_chunks()
    return Owners(pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA))


def attribute_type_name(code: int) -> str:
    """``0x80`` -> ``"$DATA"``; an unknown code as ``"$0x..."``."""
    try:
        return f"${AttributeType(code).name}"
    except ValueError:
        return f"${code:#x}"


def _file_rows(record: Int64Array, files: pa.Table) -> tuple[Int64Array, NDArray[np.bool_]]:
    """The row of ``files`` of each record, and whether there is one."""
    file_record = np.asarray(files["record"].combine_chunks()).astype(np.int64)
    row = np.searchsorted(file_record, record)
    known = row < file_record.size
    known[known] = file_record[row[known]] == record[known]
    return row, known


def _paths(
    record: Int64Array, row: Int64Array, known: NDArray[np.bool_], files: pa.Table
) -> pa.DictionaryArray:
    paths, index = files["path"].combine_chunks(), row.astype(np.int32)
    if not known.all():
        orphans, orphan = np.unique(record[~known], return_inverse=True)
        index[~known] = files.num_rows + orphan
        orphan_paths = pa.array([f"$record/{number}" for number in orphans], pa.large_string())
        paths = pa.concat_arrays([paths, orphan_paths])
    return pa.DictionaryArray.from_arrays(pa.array(index), paths, safe=False)


def _stream_names(streams: pa.Table) -> pa.DictionaryArray:
    """``$DATA``, ``name:$DATA``, ``$I30:$INDEX_ALLOCATION``, one entry a distinct name."""
    names = streams["attribute_name"].combine_chunks().dictionary_encode(null_encoding="encode")
    words = [word or "" for word in names.dictionary.to_pylist()]
    kind = np.asarray(streams["attribute_type"].combine_chunks()).astype(np.int64)
    code = np.asarray(names.indices).astype(np.int64)
    pairs = pa.array(kind * max(len(words), 1) + code).dictionary_encode()
    texts = []
    for pair in pairs.dictionary.to_pylist():
        type_name, word = attribute_type_name(pair // len(words)), words[pair % len(words)]
        texts.append(f"{word}:{type_name}" if word else type_name)
    return pa.DictionaryArray.from_arrays(pairs.indices, pa.array(texts, pa.large_string()))


def _frame_type(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(arrow_type):
        return pa.large_string()
    return pa.int64() if pa.types.is_integer(arrow_type) else arrow_type


def _pandas_type(arrow_type: pa.DataType) -> object:
    """Nullable integers, so that "no owner" is a missing value and not a float."""
    import pandas as pd

    return pd.Int64Dtype() if pa.types.is_int64(arrow_type) else None
