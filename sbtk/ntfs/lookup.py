"""From what a person writes, ``docs/Report.TXT:stream``, to one stream of the tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sbtk.errors import StreamNotFoundError
from sbtk.ntfs.columns import compute
from sbtk.ntfs.layout import REFERENCE_MASK, ROOT_RECORD, AttributeType
from sbtk.ntfs.tables import Tables

_TYPES = {f"${kind.name}": int(kind) for kind in AttributeType}
_STREAM_COLUMNS = (
    "record", "attribute_type", "attribute_name", "resident", "flags", "data_bytes",
    "initialized_bytes", "compression_unit",
)  # fmt: skip
_SHOWN = 8  # candidates that a message lists


@dataclass(frozen=True)
class Stream:
    """One row of the ``streams`` table, with the path it was found by.

    Attributes:
        path: for messages, ``"docs/a.txt"`` or ``"docs/a.txt:stream"``.
        row: row of ``streams``; its ``stream`` column has the same number.
        record: base record.
        attribute_type: type code.
        attribute_name: empty for the unnamed stream.
        resident: the value is in the record.
        flags: compressed 0001h, encrypted 4000h, sparse 8000h.
        data_bytes: length.
        initialized_bytes: bytes behind it read as zero.
        compression_unit: log2 of clusters; 0 none.
    """

    path: str
    row: int
    record: int
    attribute_type: int
    attribute_name: str
    resident: bool
    flags: int
    data_bytes: int
    initialized_bytes: int
    compression_unit: int


def find_record(tables: Tables, path: str) -> int:
    """The record that a path names: as it is written, else without regard to case.

    Raises:
        StreamNotFoundError: there is none, or several that differ in case only.
    """
    record = _find_record(tables, path)
    if record is None:
        raise _no_path(tables, path)
    return record


def find_stream(tables: Tables, target: str | int, stream: str | None = None) -> Stream:
    """The stream that is meant.

    Args:
        tables: of the volume.
        target: a path, a path with ``:stream`` or ``:stream:$TYPE`` behind it, or a record number.
        stream: name of the stream, ``""`` the unnamed one; None if ``target`` tells it.

    Raises:
        StreamNotFoundError: no such path, record or stream, or a path that fits several.
    """
    if isinstance(target, int):
        path = path_of(tables, target)
        return _stream_of(tables, target, path, stream or "", AttributeType.DATA)
    record = _find_record(tables, target)
    if record is not None:
        return _stream_of(tables, record, target, stream or "", AttributeType.DATA)
    if stream is None:
        for path, name, kind in _splits(target):
            record = _find_record(tables, path)
            if record is not None:
                return _stream_of(tables, record, path, name, kind)
    raise _no_path(tables, target)


def path_of(tables: Tables, record: int) -> str:
    """The path of a base record's first name.

    Raises:
        StreamNotFoundError: no base record in use has this number.
    """
    records = tables.files["record"].to_numpy()
    wanted = min(max(record, 0), REFERENCE_MASK)
    row = int(np.searchsorted(records, np.uint64(wanted)))
    if wanted != record or row == len(records) or int(records[row]) != record:
        raise StreamNotFoundError(
            f"record {record} of {_source(tables)} is not in use, or extends another record",
            hint="sbtk files lists the records of files",
        )
    return str(tables.files["path"][row])


def _splits(target: str) -> list[tuple[str, str, int]]:
    """Where a colon may part path and stream: ``path:stream`` and ``path:stream:$TYPE``."""
    found = []
    head, colon, last = target.rpartition(":")
    if colon:
        found.append((head, last, int(AttributeType.DATA)))
        path, second, name = head.rpartition(":")
        if second and last.upper() in _TYPES:
            found.append((path, name, _TYPES[last.upper()]))
    return found


def _find_record(tables: Tables, path: str) -> int | None:
    plain = path.removeprefix("./").strip("/")
    if plain in ("", "."):
        return ROOT_RECORD
    paths = tables.names["path"]
    upper = None
    for wanted in dict.fromkeys((plain, plain.replace("\\", "/"))):
        found = _records_where(
            tables, compute("equal", paths, pa.scalar(wanted, pa.large_string()))
        )
        if not found:
            upper = compute("utf8_upper", paths) if upper is None else upper
            folded = compute("utf8_upper", pa.scalar(wanted, pa.large_string()))
            found = _records_where(tables, compute("equal", upper, folded))
        if len(found) > 1:
            raise _ambiguous(tables, path, found)
        if found:
            return next(iter(found))
    return None


def _records_where(tables: Tables, mask: pa.ChunkedArray) -> dict[int, str]:
    """Records of the names that a mask selects, with their paths."""
    rows = np.flatnonzero(mask.to_numpy())
    records = tables.names["record"].to_numpy()
    return {int(records[row]): str(tables.names["path"][row]) for row in rows}


def _ambiguous(tables: Tables, path: str, found: dict[int, str]) -> StreamNotFoundError:
    listed = ", ".join(
        f"{name!r} (record {record})" for record, name in list(found.items())[:_SHOWN]
    )
    return StreamNotFoundError(
        f"{path!r} fits {len(found)} files of {_source(tables)}: {listed}",
        hint="Write it in the case of one of them, or give the record number",
    )


def _no_path(tables: Tables, path: str) -> StreamNotFoundError:
    return StreamNotFoundError(
        f"{path!r} is not on {_source(tables)}", hint="sbtk files SRC 'GLOB' lists what is"
    )


def _stream_of(tables: Tables, record: int, path: str, name: str, kind: int) -> Stream:
    records = tables.streams["record"].to_numpy()
    low, high = np.searchsorted(records, [np.uint64(record), np.uint64(record + 1)])
    rows = tables.streams.slice(low, high - low)
    names = [str(item) for item in rows["attribute_name"]]
    types = rows["attribute_type"].to_numpy()
    of_kind = [row for row in range(len(rows)) if types[row] == kind]
    exact = [row for row in of_kind if names[row] == name]
    fitting = exact or [row for row in of_kind if names[row].upper() == name.upper()]
    if not fitting:
        raise _no_stream(path, name, kind, [names[row] for row in of_kind])
    return stream_at(tables, int(low) + fitting[0], path)


def stream_at(tables: Tables, row: int, path: str = "") -> Stream:
    """The stream in a row of ``streams``; ``path`` of its file, looked up if it is not given.

    Raises:
        StreamNotFoundError: there is no such row.
    """
    if not 0 <= row < tables.streams.num_rows:
        raise StreamNotFoundError(
            f"stream {row} of {_source(tables)} does not exist",
            hint=f"There are {tables.streams.num_rows}",
        )
    found = {name: tables.streams[name][row].as_py() for name in _STREAM_COLUMNS}
    path = path or path_of(tables, found["record"])
    name = found["attribute_name"]
    return Stream(path=f"{path}:{name}" if name else path, row=row, **found)


def _no_stream(path: str, name: str, kind: int, names: list[str]) -> StreamNotFoundError:
    what = AttributeType(kind).name
    wanted = f"stream {name!r}" if name else "unnamed stream"
    listed = ", ".join(repr(item) if item else "the unnamed one" for item in names[:_SHOWN])
    return StreamNotFoundError(
        f"{path!r} has no {wanted} of type ${what}",
        hint=f"It has {listed}" if listed else f"It has no ${what} at all (a folder, or metadata)",
    )


def _source(tables: Tables) -> str:
    return tables.volume.source
