"""Which files lie in given ranges of a LUN: so that an error names what it hit."""

from __future__ import annotations

import numpy as np

from sbtk.archive.manifest import Geometry
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.tables import Tables
from sbtk.plan.model import Ranges

SHOWN_FILES = 100


def files_at(tables: Tables, geometry: Geometry, ranges: Ranges) -> tuple[list[str], int]:
    """Paths of the files that own clusters in ``ranges`` of the LUN.

    Returns:
        At most ``SHOWN_FILES`` paths, and how many there are.
    """
    lcn = numpy_values(tables.extents.column("lcn"))
    real = int(np.searchsorted(lcn < 0, True))
    lcn = lcn[:real]
    end_lcn = lcn + numpy_values(tables.extents.column("clusters"))[:real]
    if (end_lcn[1:] < end_lcn[:-1]).any():
        end_lcn = np.maximum.accumulate(end_lcn)
    start = (ranges.start_bytes - geometry.volume_start_bytes) // geometry.cluster_bytes
    last = (ranges.end_bytes - 1 - geometry.volume_start_bytes) // geometry.cluster_bytes
    first_row = np.searchsorted(end_lcn, start, side="right")
    end_row = np.searchsorted(lcn, last, side="right")
    record = numpy_values(tables.extents.column("record"))
    hit = [
        np.unique(record[low:high])
        for low, high in zip(first_row.tolist(), end_row.tolist(), strict=True)
        if high > low
    ]
    if not hit:
        return [], 0
    records = np.unique(np.concatenate(hit))
    known = numpy_values(tables.files.column("record"))
    rows = np.searchsorted(known, records[:SHOWN_FILES])
    paths = tables.files.column("path")
    named = [
        paths[int(row)].as_py() if row < known.size and known[row] == number else f"record {number}"
        for row, number in zip(rows.tolist(), records[:SHOWN_FILES].tolist(), strict=True)
    ]
    return named, int(records.size)


def in_words(paths: list[str], total: int, most: int = 5) -> str:
    """``"a.txt, b.txt and 3 more"``; says so where no file is hit."""
    if not total:
        return "no file (free space, or metadata of the archive)"
    more = f" and {total - most} more" if total > most else ""
    return ", ".join(paths[:most]) + more
