"""A search box over a million paths that answers while one types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sbtk.ntfs.tables import Tables

COLUMNS = ["record", "path", "size_bytes", "allocated_bytes", "extents", "modified"]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        total: files that match.
        size_bytes: their sizes added up.
        files: the largest of them, the columns ``COLUMNS``.
    """

    total: int
    size_bytes: int
    files: pd.DataFrame


def find(tables: Tables, text: str, limit: int = 100) -> Found:
    """Files and folders whose path holds ``text``, upper and lower case alike.

    Args:
        tables: a scan.
        text: any part of a path; empty for all.
        limit: rows in ``Found.files``; the largest files, by path where they are equal.
    """
    files = tables.files
    if text:
        hit = pc.match_substring(files["path"], text, ignore_case=True)
        rows = np.flatnonzero(np.asarray(hit.combine_chunks()).astype(np.bool_))
    else:
        rows = np.arange(files.num_rows)
    size_bytes = files["size_bytes"].to_numpy()[rows]
    first = rows
    if rows.size > limit:
        first = rows[np.argpartition(size_bytes, rows.size - limit)[rows.size - limit :]]
    taken = files.select(COLUMNS).take(pa.array(first)).to_pandas()
    order = ["size_bytes", "path"]
    largest = taken.sort_values(order, ascending=[False, True], ignore_index=True)
    return Found(int(rows.size), int(size_bytes.sum()), largest)
