"""The few figures that tell a person what a volume is like; computed from its tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.ntfs.bitmap import allocated_clusters
from sbtk.ntfs.columns import numpy_values, text_buffers
from sbtk.ntfs.layout import SystemRecord
from sbtk.ntfs.tables import Tables, VolumeInfo

_SEVERITIES = ("error", "warning", "info")
_OWN_FOLDER = b"$Extend/"
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
        named_streams=int(np.count_nonzero(~np.isin(tables.figure("streams"), record[own]))),
        resident_files=count("resident"),
        compressed_files=count("compressed"),
        sparse_files=count("sparse"),
        encrypted_files=count("encrypted"),
        linked_files=int(np.count_nonzero(np.isin(tables.figure("names"), record[plain]))),
        extents=int(tables.figure("extents")),
        fragmented_files=int(np.count_nonzero(plain & (extents > 1))),
        largest=_top(files, np.where(plain, size_bytes, 0), top, above=0),
        most_fragmented=_top(files, np.where(plain, extents, 0), top, above=1),
        findings=_count_findings(tables.findings),
    )


def _total(sizes: npt.NDArray[np.int64]) -> int:
    """Their exact sum: a few sparse files, or sizes that lie, are more than 64 bits hold."""
    return (int((sizes >> 32).sum()) << 32) + int((sizes & 0xFFFFFFFF).sum())


def _below_own_folder(files: pa.Table) -> npt.NDArray[np.bool_]:
    parts = [_starts_with_own_folder(text) for text in files["path"].chunks]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _starts_with_own_folder(text: pa.LargeStringArray) -> npt.NDArray[np.bool_]:
    offsets, blob = text_buffers(text)
    starts = offsets[:-1]
    rows = np.flatnonzero(np.diff(offsets) >= len(_OWN_FOLDER))
    for place, octet in enumerate(_OWN_FOLDER):
        rows = rows[blob[starts[rows] + place] == octet]
    found = np.zeros(len(text), np.bool_)
    found[rows] = True
    return found


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
