"""The few figures that tell a person what a volume is like; computed from its tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sbtk.ntfs.bitmap import allocated_clusters
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.layout import AttributeType, SystemRecord
from sbtk.ntfs.tables import Tables, VolumeInfo

_SEVERITIES = ("error", "warning", "info")
_OWN_FOLDER = "$Extend"
_FILE_COLUMNS = (
    "record", "path", "is_directory", "size_bytes", "extents", "resident", "compressed", "sparse",
    "encrypted",
)  # fmt: skip


@dataclass(frozen=True)
class FileFigure:
    """One file that stands out.

    Attributes:
        path: its first name.
        size_bytes: of its unnamed $DATA.
        extents: real runs of it.
    """

    path: str
    size_bytes: int
    extents: int


@dataclass(frozen=True)
class Summary:
    """What ``sbtk scan`` prints.

    Attributes:
        volume: geometry, identity, health.
        used_clusters: that $Bitmap says are taken; None where it was not read.
        files: that are no folders, without NTFS's own.
        folders: without NTFS's own.
        own_files: NTFS's own: records below 24 and what lies in $Extend.
        data_bytes: sum of the sizes of ``files``.
        named_streams: named $DATA of files and folders, without NTFS's own.
        resident_files: whose content lies in their record.
        compressed_files: by LZNT1.
        sparse_files: that may have holes.
        encrypted_files: by EFS.
        linked_files: with more than one name, DOS names not counted.
        extents: real runs of all streams, NTFS's own included.
        fragmented_files: in more than one run.
        largest: files, the largest first.
        most_fragmented: files in more than one run, the worst first.
        findings: how many of each severity.
    """

    volume: VolumeInfo
    used_clusters: int | None
    files: int
    folders: int
    own_files: int
    data_bytes: int
    named_streams: int
    resident_files: int
    compressed_files: int
    sparse_files: int
    encrypted_files: int
    linked_files: int
    extents: int
    fragmented_files: int
    largest: list[FileFigure]
    most_fragmented: list[FileFigure]
    findings: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values."""
        return asdict(self)


def summarise(tables: Tables, *, top: int = 5) -> Summary:
    """Compute the figures; ``top`` is how many files are named in each list."""
    files = tables.columns("files", *_FILE_COLUMNS)
    record = numpy_values(files["record"])
    own = (record < SystemRecord.FIRST_USER) | _below_own_folder(files)
    folder = numpy_values(files["is_directory"])
    plain = ~own & ~folder
    size_bytes, extents = numpy_values(files["size_bytes"]), numpy_values(files["extents"])

    def count(column: str) -> int:
        return int(np.count_nonzero(numpy_values(files[column]) & plain))

    return Summary(
        volume=tables.volume,
        used_clusters=None
        if tables.bitmap is None
        else allocated_clusters(tables.bitmap, tables.volume.total_clusters),
        files=int(np.count_nonzero(plain)),
        folders=int(np.count_nonzero(~own & folder)),
        own_files=int(np.count_nonzero(own)),
        data_bytes=_total(size_bytes[plain]),
        named_streams=_count_named_streams(tables, record[own]),
        resident_files=count("resident"),
        compressed_files=count("compressed"),
        sparse_files=count("sparse"),
        encrypted_files=count("encrypted"),
        linked_files=_count_linked(tables, record[plain]),
        extents=int(np.count_nonzero(numpy_values(tables.columns("extents", "lcn")["lcn"]) >= 0)),
        fragmented_files=int(np.count_nonzero(plain & (extents > 1))),
        largest=_top(files, np.where(plain, size_bytes, 0), top, above=0),
        most_fragmented=_top(files, np.where(plain, extents, 0), top, above=1),
        findings=_count_findings(tables.findings),
    )


def _total(sizes: npt.NDArray[np.int64]) -> int:
    """Their exact sum: a few sparse files, or sizes that lie, are more than 64 bits hold."""
    return (int((sizes >> 32).sum()) << 32) + int((sizes & 0xFFFFFFFF).sum())


def _below_own_folder(files: pa.Table) -> npt.NDArray[np.bool_]:
    return numpy_values(pc.starts_with(files["path"], f"{_OWN_FOLDER}/"))


def _count_named_streams(tables: Tables, own_records: npt.NDArray[np.uint64]) -> int:
    streams = tables.columns("streams", "record", "attribute_type", "attribute_name")
    data = numpy_values(streams["attribute_type"]) == int(AttributeType.DATA)
    named = data & (numpy_values(pc.binary_length(streams["attribute_name"])) > 0)
    return int(np.count_nonzero(~np.isin(numpy_values(streams["record"])[named], own_records)))


def _count_linked(tables: Tables, records: npt.NDArray[np.uint64]) -> int:
    """How many of these records have more than one name; the rows of ``names`` are sorted."""
    dos = 2
    names = tables.columns("names", "record", "namespace")
    proper = numpy_values(names["record"])[numpy_values(names["namespace"]) != dos]
    again = np.flatnonzero(proper[1:] == proper[:-1])
    return int(np.count_nonzero(np.isin(np.unique(proper[again]), records)))


def _top(files: pa.Table, key: npt.NDArray[np.int64], top: int, *, above: int) -> list[FileFigure]:
    """The files with the largest keys that are above a limit, the largest first."""
    count = min(top, len(key))
    if not count:
        return []
    chosen = np.argpartition(key, len(key) - count)[len(key) - count :]
    rows = sorted((int(row) for row in chosen if key[row] > above), key=lambda row: -int(key[row]))
    return [
        FileFigure(
            str(files["path"][row]), files["size_bytes"][row].as_py(), files["extents"][row].as_py()
        )
        for row in rows
    ]


def _count_findings(findings: pa.Table) -> dict[str, int]:
    by_severity = Counter(findings["severity"].to_pylist())
    return {severity: by_severity.get(severity, 0) for severity in _SEVERITIES}
