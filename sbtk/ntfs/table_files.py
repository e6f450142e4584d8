"""The tables as files: Parquet, one a table, written in the background while the next is built."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sbtk.errors import DeviceWriteError, TableError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

VOLUME_NAME = "volume.json"
BITMAP_NAME = "bitmap.npy"

_REPEATING = frozenset(
    ["sequence", "hard_links", "attributes", "namespace", "attribute_type", "attribute_name",
     "flags", "compression_unit", "severity", "code"]
)  # fmt: skip
_SOUGHT = ("record", "stream", "lcn")  # what a reader looks for: with statistics
_COUNTING_TYPES = frozenset([pa.int32(), pa.int64(), pa.uint64(), pa.timestamp("ns", tz="UTC")])
_ROW_GROUP_ROWS = 128 * 1024
_THREADS = 2
_AGAIN = "Run sbtk scan --out again"


class TableWriter:
    """Writes the tables of one volume into a folder, each as soon as it is there.

    ``volume.json`` is what makes a folder of tables one: it goes first where an older one is
    written over, and comes last, so that half a set of tables is never taken for a whole one.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder, if it is missing.

        Raises:
            DeviceWriteError: it cannot be written to.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / VOLUME_NAME).unlink(missing_ok=True)
            (folder / BITMAP_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritten(error) from error
        self._pool = ThreadPoolExecutor(_THREADS, "sbtk-tables")
        self._pending: list[Future[None]] = []

    def put(self, name: str, table: pa.Table) -> None:
        """Have one table written; it is let go of when it is."""
        self._pending.append(self._pool.submit(write_table, table, self.folder / f"{name}.parquet"))

    def drain(self) -> None:
        """Wait until every table so far is written and let go of.

        Raises:
            DeviceWriteError: one could not be written.
        """
        try:
            while self._pending:
                self._pending.pop().result()
        except OSError as error:
            raise self._unwritten(error) from error

    def finish(self, document: dict[str, Any], bitmap: npt.NDArray[np.uint8] | None) -> None:
        """Wait for the tables, then write what belongs to all of them.

        Raises:
            DeviceWriteError: something could not be written.
        """
        try:
            if bitmap is not None:
                np.save(self.folder / BITMAP_NAME, bitmap)
            self.drain()
            (self.folder / VOLUME_NAME).write_text(json.dumps(document, indent=1) + "\n")
        except OSError as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _unwritten(self, error: OSError) -> DeviceWriteError:
        return DeviceWriteError(
            f"{self.folder}: the tables cannot be written ({error.strerror or error})",
            hint="Name a folder that this user may write to, with room for them",
        )


def write_table(table: pa.Table, path: Path) -> None:
    """Write one table: differences where numbers run on, LZ4 where they repeat.

    A third of the time and a quarter less room than the defaults, which build dictionaries of
    millions of different values before they give up on them. A dictionary is written where the
    table has one; to build one takes longer than LZ4, for little less room. Paths are not
    compressed beyond what they share with the path before: that would halve their room and more
    than double their time.
    """
    names = table.column_names
    repeating = [name for name in names if name in _REPEATING]
    encoded = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    encodings = {
        field.name: "DELTA_BYTE_ARRAY" if field.name == "path" else "DELTA_BINARY_PACKED"
        for field in table.schema
        if field.name == "path" or (field.type in _COUNTING_TYPES and field.name not in repeating)
    }
    packed = {
        field.name: "lz4" if field.name in repeating or pa.types.is_boolean(field.type) else "none"
        for field in table.schema
    }
    pq.write_table(
        table, path, compression=packed, row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=encoded, column_encoding=encodings,
        write_statistics=[name for name in names if name in _SOUGHT],
    )  # fmt: skip


def check_table(path: Path, schema: pa.Schema) -> None:
    """Refuse a file that is no table of this kind, from its footer alone.

    Raises:
        TableError: it is missing, cut off, or has other columns.
    """
    try:
        found = pq.read_schema(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path} cannot be read: {error}", hint=_AGAIN) from error
    missing = [name for name in schema.names if name not in found.names]
    if missing:
        raise TableError(f"{path} has no column {missing[0]}", hint=_AGAIN)


def read_table(path: Path, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    """Some columns of one table.

    Raises:
        TableError: the file is damaged.
    """
    wanted = pa.schema([schema.field(name) for name in columns])
    try:
        with pq.ParquetFile(path, memory_map=True) as file:  # read_table imports pandas
            return file.read(list(columns)).select(list(columns)).cast(wanted)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise TableError(f"{path} cannot be read: {error}", hint=_AGAIN) from error


def read_bitmap(folder: Path) -> npt.NDArray[np.uint8] | None:
    """$Bitmap as ``TableWriter`` saved it, mapped; None where there was none.

    Raises:
        TableError: the file is damaged.
    """
    path = folder / BITMAP_NAME
    if not path.exists():
        return None
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), np.uint8)
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read: {error}", hint=_AGAIN) from error


def read_document(folder: Path) -> dict[str, Any]:
    """``volume.json``.

    Raises:
        TableError: there is none, or it is damaged.
    """
    try:
        document = json.loads((folder / VOLUME_NAME).read_text())
        if not isinstance(document, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise TableError(
            f"{folder} holds no tables of a scan: {error}", hint="Run sbtk scan SRC --out DIR"
        ) from error
    return document
