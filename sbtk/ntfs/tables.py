"""The tables that the rest of sbtk works on: their columns are contracts (DESIGN: Tables).

Arrow in memory, Parquet on disk (one file a table, beside ``volume.json``), pandas at the surface.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sbtk.errors import TableError

FORMAT_VERSION = 1

TIMESTAMP = pa.timestamp("ns", tz="UTC")

FILES = pa.schema(
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
NAMES = pa.schema(
    [
        ("record", pa.uint64()),
        ("parent", pa.uint64()),  # record number of the folder, without its sequence
        ("namespace", pa.uint8()),  # 0 POSIX, 1 Win32, 2 DOS, 3 Win32 and DOS
        ("name", pa.large_string()),
        ("path", pa.large_string()),
    ]
)
STREAMS = pa.schema(
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
EXTENTS = pa.schema(
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
FINDINGS = pa.schema(
    [
        ("severity", pa.string()),  # info, warning, error
        ("code", pa.string()),
        ("record", pa.int64()),  # -1: none
        ("lcn", pa.int64()),  # -1: none
        ("message", pa.string()),
    ]
)
_REPEATING = frozenset(
    ["sequence", "extents", "hard_links", "attributes", "namespace", "attribute_type",
     "attribute_name", "flags", "compression_unit", "severity", "code"]
)  # fmt: skip
_COUNTING_TYPES = frozenset([pa.int64(), pa.uint64(), TIMESTAMP])
_ROW_GROUP_ROWS = 128 * 1024
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


@dataclass(frozen=True)
class Tables:
    """All tables of one volume.

    Attributes:
        volume: geometry, identity, health.
        files: one row per in-use base record, sorted by record.
        names: every name of every in-use base record, sorted by record.
        streams: every attribute of every in-use base record, sorted by record.
        extents: every run, sorted by lcn, holes last.
        findings: what was wrong, one row a damaged record.
        bitmap: $Bitmap as it lies on the disk, (ceil(total_clusters / 8),) uint8, bit 0 of byte 0
            is cluster 0 (``sbtk.ntfs.bitmap`` reads it); None for a bare $MFT, or if it cannot
            be read. Saved as ``bitmap.npy``.
    """

    volume: VolumeInfo
    files: pa.Table
    names: pa.Table
    streams: pa.Table
    extents: pa.Table
    findings: pa.Table
    bitmap: npt.NDArray[np.uint8] | None = None

    def save(self, folder: Path) -> None:
        """Write ``volume.json`` and one Parquet file a table into ``folder``; made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in SCHEMAS:
            _write_parquet(getattr(self, name), folder / f"{name}.parquet")
        if self.bitmap is not None:
            np.save(folder / "bitmap.npy", self.bitmap)
        document = {"format": FORMAT_VERSION, **asdict(self.volume)}
        (folder / "volume.json").write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Tables:
        """Read what ``save`` wrote.

        Raises:
            TableError: a file is missing or damaged, or was written by another version.
        """
        volume = _load_volume(folder)
        tables: dict[str, Any] = {}
        for name, schema in SCHEMAS.items():
            try:
                table = pq.read_table(folder / f"{name}.parquet", memory_map=True)
                tables[name] = table.select(schema.names).cast(schema)
            except (OSError, pa.ArrowInvalid, KeyError) as error:
                raise TableError(
                    f"{folder / name}.parquet cannot be read: {error}",
                    hint="Run sbtk scan --out again",
                ) from error
        return cls(volume=volume, bitmap=_load_bitmap(folder), **tables)


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Write one table: LZ4, differences where numbers run on, dictionaries where they repeat.

    Half the time and a quarter less room than the defaults, which build dictionaries of millions
    of different values before they give up on them.
    """
    repeating = [name for name in table.column_names if name in _REPEATING]
    encodings = {
        field.name: "DELTA_BYTE_ARRAY" if field.name == "path" else "DELTA_BINARY_PACKED"
        for field in table.schema
        if field.name == "path" or (field.type in _COUNTING_TYPES and field.name not in repeating)
    }
    pq.write_table(
        table, path, compression="lz4", row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=repeating, column_encoding=encodings,
    )  # fmt: skip


def _load_bitmap(folder: Path) -> npt.NDArray[np.uint8] | None:
    path = folder / "bitmap.npy"
    if not path.exists():
        return None
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), np.uint8)
    except (OSError, ValueError) as error:
        raise TableError(
            f"{path} cannot be read: {error}", hint="Run sbtk scan --out again"
        ) from error


def _load_volume(folder: Path) -> VolumeInfo:
    try:
        document = json.loads((folder / "volume.json").read_text())
        version = document.pop("format")
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{folder} holds no tables of a scan: {error}", hint="Run sbtk scan SRC --out DIR"
        ) from error
    if version != FORMAT_VERSION:
        raise TableError(
            f"{folder} was written in format {version}, this version reads {FORMAT_VERSION}",
            hint="Run sbtk scan --out again",
        )
    known = {item.name for item in fields(VolumeInfo)}
    return VolumeInfo(**{key: value for key, value in document.items() if key in known})
