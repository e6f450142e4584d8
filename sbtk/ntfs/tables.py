"""The tables that the rest of sbtk works on: their columns are contracts (DESIGN: Tables).

Arrow in memory, Parquet on disk (one file a table, beside ``volume.json``), pandas at the surface.
``streams`` holds every attribute of every file but $STANDARD_INFORMATION and $FILE_NAME: those are
columns of ``files`` and rows of ``names``. $ATTRIBUTE_LIST has its row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.errors import TableError
from sbtk.ntfs.figures import FIGURE_COLUMNS, figure_of
from sbtk.ntfs.table_files import (
    TableWriter,
    check_table,
    read_bitmap,
    read_document,
    read_table,
)

FORMAT_VERSION = 1

TIMESTAMP = pa.timestamp("ns", tz="UTC")


def _schema(columns: list[tuple[str, pa.DataType]]) -> pa.Schema:
    """Only timestamps may be missing: what is never null costs Parquet no level a value."""
    return pa.schema([pa.field(name, kind, kind == TIMESTAMP) for name, kind in columns])


FILES = _schema(
    [
        ("record", pa.uint64()),
        ("sequence", pa.uint16()),
        ("path", pa.large_string()),  # volume-relative, "/" between, no leading "/"; root is "."
        ("is_directory", pa.bool_()),
        ("size_bytes", pa.int64()),  # of the unnamed $DATA; 0 if none
        ("allocated_bytes", pa.int64()),
        ("extents", pa.int32()),  # real runs of the unnamed $DATA
        ("resident", pa.bool_()),
        ("compressed", pa.bool_()),
        ("sparse", pa.bool_()),
        ("encrypted", pa.bool_()),
        ("hard_links", pa.uint16()),
        ("attributes", pa.uint32()),  # $STANDARD_INFORMATION file attributes
        ("created", TIMESTAMP),
        ("modified", TIMESTAMP),
        ("changed", TIMESTAMP),
        ("accessed", TIMESTAMP),
        ("lsn", pa.uint64()),
    ]
)
NAMES = _schema(
    [
        ("record", pa.uint64()),
        ("parent", pa.uint64()),  # record number of the folder, without its sequence
        ("namespace", pa.uint8()),  # 0 POSIX, 1 Win32, 2 DOS, 3 Win32 and DOS
        ("name", pa.large_string()),
        ("path", pa.large_string()),
    ]
)
STREAMS = _schema(
    [
        ("stream", pa.int64()),  # row number: the key that ``extents.stream`` refers to
        ("record", pa.uint64()),  # base record
        ("attribute_type", pa.uint32()),
        ("attribute_name", pa.large_string()),
        ("resident", pa.bool_()),
        ("flags", pa.uint16()),
        ("data_bytes", pa.int64()),
        ("allocated_bytes", pa.int64()),
        ("initialized_bytes", pa.int64()),
        ("compression_unit", pa.uint8()),  # log2 of clusters; 0 none
    ]
)
EXTENTS = _schema(
    [
        ("record", pa.uint64()),  # base record
        ("stream", pa.int64()),
        ("attribute_type", pa.uint32()),
        ("attribute_name", pa.dictionary(pa.int32(), pa.large_string())),
        ("vcn", pa.int64()),
        ("lcn", pa.int64()),  # -1: a hole
        ("clusters", pa.int64()),
    ]
)
FINDINGS = _schema(
    [
        ("severity", pa.string()),  # info, warning, error
        ("code", pa.string()),
        ("record", pa.int64()),  # -1: none
        ("lcn", pa.int64()),  # -1: none
        ("message", pa.string()),
    ]
)
SCHEMAS: dict[str, pa.Schema] = {
    "files": FILES,
    "names": NAMES,
    "streams": STREAMS,
    "extents": EXTENTS,
    "findings": FINDINGS,
}


@dataclass
class VolumeInfo:
    """``volume.json``: one volume's geometry, identity and health.

    Attributes:
        source: location that was read.
        partition_start_lba: first LBA of the partition on its LUN, in ``sector_bytes`` blocks.
        sector_bytes: bytes a sector, as the boot sector states it.
        cluster_bytes: bytes a cluster.
        record_bytes: bytes a FILE record.
        index_record_bytes: bytes an INDX record.
        total_sectors: of the file system; the backup boot sector is the one behind them.
        total_clusters: of the file system.
        mft_lcn: first cluster of $MFT as the boot sector states it.
        mft_mirror_lcn: first cluster of $MFTMirr.
        serial: volume serial number, 16 hexadecimal digits.
        label: volume label.
        version: NTFS version, ``"3.1"``.
        dirty: the dirty flag of $VOLUME_INFORMATION.
        mirror: ``"equal"``, ``"differs"``, ``"used"`` (record 0 came from it) or ``"unread"``.
        log: ``"clean"``, ``"open"``, ``"empty"``, ``"damaged"`` or ``"unread"``.
        hibernated: hiberfil.sys holds a live image.
        bare_mft: only an $MFT was read: no content and no bitmap.
        counts: rows and records by what they are.
    """

    source: str = ""
    partition_start_lba: int = 0
    sector_bytes: int = 0
    cluster_bytes: int = 0
    record_bytes: int = 0
    index_record_bytes: int = 0
    total_sectors: int = 0
    total_clusters: int = 0
    mft_lcn: int = -1
    mft_mirror_lcn: int = -1
    serial: str = ""
    label: str = ""
    version: str = ""
    dirty: bool = False
    mirror: str = "unread"
    log: str = "unread"
    hibernated: bool = False
    bare_mft: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """What ``volume.json`` holds."""
        return {"format": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_document(cls, document: dict[str, Any], folder: Path) -> VolumeInfo:
        """Read what ``to_document`` made.

        Raises:
            TableError: another version wrote it.
        """
        version = document.get("format")
        if version != FORMAT_VERSION:
            raise TableError(
                f"{folder} was written in format {version}, this version reads {FORMAT_VERSION}",
                hint="Run sbtk scan --out again",
            )
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in document.items() if key in known})


class Tables:
    """All tables of one volume, in memory or in the folder where they were saved.

    Tables of a folder are read when they are first asked for.

    Attributes:
        volume: geometry, identity, health.
        bitmap: $Bitmap as it lies on the disk, (ceil(total_clusters / 8),) uint8, bit 0 of byte 0
            is cluster 0 (``sbtk.ntfs.bitmap`` reads it); None for a bare $MFT, or if it cannot
            be read. Saved as ``bitmap.npy``.
    """

    def __init__(
        self,
        volume: VolumeInfo,
        files: pa.Table | None = None,
        names: pa.Table | None = None,
        streams: pa.Table | None = None,
        extents: pa.Table | None = None,
        findings: pa.Table | None = None,
        bitmap: npt.NDArray[np.uint8] | None = None,
        *,
        folder: Path | None = None,
        figures: dict[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """Take tables and figures that are there; tables that are not lie in ``folder``."""
        self.volume = volume
        self.bitmap = bitmap
        self._folder = folder
        given = {"files": files, "names": names, "streams": streams, "extents": extents,
                 "findings": findings}  # fmt: skip
        self._held = {name: table for name, table in given.items() if table is not None}
        self._figures = dict(figures or {})

    @property
    def files(self) -> pa.Table:
        """One row per in-use base record, sorted by record."""
        return self._table("files")

    @property
    def names(self) -> pa.Table:
        """Every name of every in-use base record, sorted by record."""
        return self._table("names")

    @property
    def streams(self) -> pa.Table:
        """Attributes of every in-use base record, sorted by record."""
        return self._table("streams")

    @property
    def extents(self) -> pa.Table:
        """Every run, sorted by lcn, holes last."""
        return self._table("extents")

    @property
    def findings(self) -> pa.Table:
        """What was wrong, one row a damaged record."""
        return self._table("findings")

    def columns(self, table: str, *names: str) -> pa.Table:
        """Some columns of a table: of a saved one, only they are read.

        Raises:
            TableError: the saved table is damaged.
        """
        if table in self._held or self._folder is None:
            return self._table(table).select(list(names))
        return read_table(self._folder / f"{table}.parquet", SCHEMAS[table], names)

    def figure(self, table: str) -> npt.NDArray[Any]:
        """What ``figure_of`` makes of a table; the scan that made the table has left it here.

        Raises:
            TableError: the saved table is damaged.
        """
        if table not in self._figures:
            self._figures[table] = figure_of(table, self.columns(table, *FIGURE_COLUMNS[table]))
        return self._figures[table]

    def replaced(self, **tables: pa.Table) -> Tables:
        """The same volume with other tables under these names."""
        held = self._held | tables
        figures = {name: found for name, found in self._figures.items() if name not in tables}
        return Tables(self.volume, **held, bitmap=self.bitmap, folder=self._folder, figures=figures)

    def _table(self, name: str) -> pa.Table:
        if name not in self._held:
            if self._folder is None:
                raise TableError(f"the table {name} was not kept")
            path = self._folder / f"{name}.parquet"
            self._held[name] = read_table(path, SCHEMAS[name], SCHEMAS[name].names)
        return self._held[name]

    def save(self, folder: Path) -> None:
        """Write ``volume.json`` and one Parquet file a table into ``folder``; made if missing.

        Raises:
            DeviceWriteError: the folder cannot be written to.
        """
        tables = {name: self._table(name) for name in SCHEMAS}
        with TableWriter(folder) as writer:
            for name, table in tables.items():
                writer.put(name, table)
            writer.finish(self.volume.to_document(), self.bitmap)

    @classmethod
    def load(cls, folder: Path) -> Tables:
        """The tables that ``save`` or a scan wrote into ``folder``.

        Raises:
            TableError: a file is missing or damaged, or was written by another version.
        """
        volume = VolumeInfo.from_document(read_document(folder), folder)
        for name, schema in SCHEMAS.items():
            check_table(folder / f"{name}.parquet", schema)
        return cls(volume, bitmap=read_bitmap(folder), folder=folder)
