"""A saved extent map: Parquet that any tool reads and that opens here without being read.

The columns that look-ups need are written uncompressed, plainly encoded and as one page each; a
page's payload then is the array itself, and is mapped into memory where it lies in the file. A
file that is laid out otherwise is read the ordinary way, with the same result.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sbtk.errors import TableError
from sbtk.extents.map import COLUMNS, ExtentMap, Pieces
from sbtk.extents.owners import SCHEMA, Owners
from sbtk.extents.runs import Runs
from sbtk.ntfs.tables import VolumeInfo

Int64Array = NDArray[np.int64]

FORMAT_VERSION = 1
_HEAD = "extent_map.json"
_PAGE_ROWS = 1 << 26  # most rows that pyarrow puts into a row group; more are read, not mapped


def save_map(extent_map: ExtentMap, folder: Path) -> None:
    """Write the map into ``folder`` (made if missing); the head last, so that it is all or none."""
    folder.mkdir(parents=True, exist_ok=True)
    head = folder / _HEAD
    head.unlink(missing_ok=True)
    _write(folder / "map_extents.parquet", {name: getattr(extent_map, name) for name in COLUMNS})
    pieces, allocated = extent_map.pieces, extent_map.allocated
    if pieces is not None:
        columns = {"lcn": pieces.lcn, "clusters": pieces.clusters, "row": pieces.row}
        _write(folder / "map_pieces.parquet", columns)
    if allocated is not None:
        columns = {"lcn": allocated.lcn, "clusters": allocated.clusters}
        _write(folder / "map_allocated.parquet", columns)
    pq.write_table(extent_map.owners.table, folder / "map_owners.parquet", compression="zstd")
    document = {
        "format": FORMAT_VERSION,
        "real_rows": extent_map.real_rows,
        "pieces": pieces is not None,
        "allocated": allocated is not None,
        "volume": asdict(extent_map.volume),
    }
    head.write_text(json.dumps(document, indent=1) + "\n")


def open_map(folder: Path) -> ExtentMap:
    """Map what ``save_map`` wrote.

    Raises:
        TableError: no saved map, a damaged one, or one of another version.
    """
    try:
        document = json.loads((folder / _HEAD).read_text())
        version = document["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{folder} holds no saved extent map: {error}", hint="Make it with ExtentMap.save"
        ) from error
    if version != FORMAT_VERSION:
        raise TableError(
            f"{folder} holds an extent map in format {version}, this version reads "
            f"{FORMAT_VERSION}",
            hint="Build it again from the scan",
        )
    try:
        return _open(folder, document)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise TableError(
            f"the extent map in {folder} is damaged: {error}", hint="Build it again from the scan"
        ) from error


def _open(folder: Path, document: dict[str, object]) -> ExtentMap:
    saved = document["volume"]
    if not isinstance(saved, dict):
        raise TypeError("its head has no volume")
    known = {item.name for item in fields(VolumeInfo)}
    pieces = allocated = None
    if document["pieces"]:
        pieces = Pieces(**_map_columns(folder / "map_pieces.parquet", ("lcn", "clusters", "row")))
    if document["allocated"]:
        allocated = Runs(**_map_columns(folder / "map_allocated.parquet", ("lcn", "clusters")))
    columns = _map_columns(folder / "map_extents.parquet", COLUMNS)
    real_rows = int(str(document["real_rows"]))
    if not 0 <= real_rows <= columns["lcn"].size:
        raise ValueError(f"{real_rows} real rows of {columns['lcn'].size}")
    return ExtentMap(
        VolumeInfo(**{key: value for key, value in saved.items() if key in known}),
        columns,
        real_rows,
        pieces=pieces,
        allocated=allocated,
        load_owners=partial(_read_owners, folder / "map_owners.parquet"),
    )


def _read_owners(path: Path) -> Owners:
    try:
        return Owners(pq.read_table(path).select(SCHEMA.names).cast(SCHEMA))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise TableError(
            f"{path} cannot be read: {error}", hint="Build the extent map again from the scan"
        ) from error


def _write(path: Path, columns: dict[str, Int64Array]) -> None:
    schema = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in columns])
    # Pages had no limit of rows before pyarrow had an option for it.
    limited = "max_rows_per_page" in inspect.signature(pq.write_table).parameters
    one_page = {"max_rows_per_page": _PAGE_ROWS} if limited else {}
    pq.write_table(
        pa.table(list(columns.values()), schema=schema),
        path,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        data_page_version="1.0",
        data_page_size=2**31 - 1,
        row_group_size=_PAGE_ROWS,
        **one_page,
    )


def _map_columns(path: Path, names: tuple[str, ...]) -> dict[str, Int64Array]:
    """The named int64 columns of a Parquet file, mapped where their bytes are the array."""
    metadata = pq.read_metadata(path)
    mapped: dict[str, Int64Array] = {}
    if metadata.num_row_groups == 1:
        group = metadata.row_group(0)
        for number in range(group.num_columns):
            column = group.column(number)
            values = _payload(path, column, group.num_rows)
            if values is not None:
                mapped[column.path_in_schema] = values
    missing = [name for name in names if name not in mapped]
    if missing:
        table = pq.read_table(path, columns=missing)
        mapped |= {name: np.asarray(table[name].combine_chunks(), np.int64) for name in missing}
    return {name: mapped[name] for name in names}


def _payload(path: Path, column: pq.ColumnChunkMetaData, rows: int) -> Int64Array | None:
    """The one page of this column as an array over the file; None if it is no such page.

    parquet-format, "Data Pages": a page is its header (Thrift compact), the repetition and
    definition levels (none for a required, flat column), and the encoded values; PLAIN int64 is
    8 bytes a value, little-endian.
    """
    plain = (
        column.compression == "UNCOMPRESSED"
        and not column.has_dictionary_page
        and column.physical_type == "INT64"
        and rows > 0
    )
    if not plain:
        return None
    payload_bytes = rows * 8
    with path.open("rb") as file:
        file.seek(column.data_page_offset)
        head = file.read(16)
    # Field 1 (i32) type: 0 = DATA_PAGE; field 2 (i32) uncompressed_page_size.
    if head[:3] != b"\x15\x00\x15" or _zigzag_varint(head[3:]) != payload_bytes:
        return None
    offset = column.data_page_offset + column.total_compressed_size - payload_bytes
    return np.memmap(path, np.dtype("<i8"), "r", offset, (rows,)).view(np.ndarray)


def _zigzag_varint(octets: bytes) -> int:
    value = 0
    for index, octet in enumerate(octets):
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            break
    return (value >> 1) ^ -(value & 1)
