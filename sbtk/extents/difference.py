"""Two scans of one volume compared: two days, or a source and its restore."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.errors import UsageError
from sbtk.extents.overlay import changed_extents
from sbtk.ntfs.tables import Tables

CHANGES = (
    "added", "removed", "renamed", "moved_with_folder", "grown", "shrunk", "moved_on_disk",
    "rewritten_in_place", "metadata_only",
)  # fmt: skip
"""The columns of ``Difference.files`` that say what happened, one or more of them a file."""

_METADATA = ["lsn", "changed", "attributes", "hard_links"]
_FILE_COLUMNS = [
    "record", "sequence", "path", "is_directory", "size_bytes", "modified", *_METADATA
]  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What changed from one scan to another; both tables are empty where nothing did.

    Attributes:
        files: one row a changed file. ``record`` and ``sequence`` are its identity, ``path`` its
            name after (before, if removed), ``path_before``, ``size_before_bytes`` and
            ``size_bytes``, ``new_clusters`` (clusters at places where it had none before), and
            the booleans of ``CHANGES``:
            added, removed: no file of this identity on the other side;
            renamed: its own name or folder changed;
            moved_with_folder: only a folder above it was renamed or moved;
            grown, shrunk: the size of its data;
            moved_on_disk: clusters that it has on both sides lie elsewhere now;
            rewritten_in_place: modified since, and its clusters are where they were. Metadata
            tells no more: the content may be the same;
            metadata_only: nothing of these, but its record was written ($LogFile sequence
            number, change time, attributes, links), or it got or lost clusters at its end.
        extents: one row a changed stretch of a stream: record, path, stream_name, vcn, clusters,
            lcn_before and lcn_after (-1 a hole; missing where the stream had no cluster).
    """

    files: pd.DataFrame
    extents: pd.DataFrame

    @property
    def differs(self) -> bool:
        """Whether anything changed."""
        return len(self.files) + len(self.extents) > 0

    def summary(self) -> dict[str, int]:
        """How many files changed in each way, extents that changed, and clusters at new places."""
        counts = {name: int(self.files[name].sum()) for name in CHANGES}
        return {
            "files": len(self.files),
            **counts,
            "extents": len(self.extents),
            "new_clusters": int(self.files["new_clusters"].sum()),
        }


def difference(before: Tables, after: Tables) -> Difference:
    """Compare two scans file by file; a file is its record number with its sequence number.

    Raises:
        UsageError: their clusters differ in size, so that they cannot be of one volume.
    """
    sizes = before.volume.cluster_bytes, after.volume.cluster_bytes
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"clusters of {sizes[0]} B and of {sizes[1]} B: these are not two scans of one volume",
            hint="Compare scans of the same volume, or a source and its restore",
        )
    both = _own_names(before).merge(
        _own_names(after), on=["record", "sequence"], how="outer", suffixes=("_before", "_after")
    )
    extents = changed_extents(before, after)
    by_file = extents.groupby(["record", "sequence"])[["moved", "mapped", "new_clusters"]].sum()
    both = both.merge(by_file, left_on=["record", "sequence"], right_index=True, how="left")
    for name in ("moved", "mapped", "new_clusters"):
        both[name] = both[name].fillna(0).astype(np.int64)
    changes = _changes(both)
    both["path"] = both["path_after"].fillna(both["path_before"])
    changed = np.logical_or.reduce([changes[name] for name in CHANGES])
    renames = {"size_bytes_before": "size_before_bytes", "size_bytes_after": "size_bytes"}
    columns = [
        "record", "sequence", "path", "path_before", "is_directory", "size_before_bytes",
        "size_bytes", "new_clusters",
    ]  # fmt: skip
    both["is_directory"] = both["is_directory_after"].fillna(both["is_directory_before"])
    files = both.rename(columns=renames)[columns].assign(**changes)[changed]
    extents = extents.drop(columns=["sequence", "moved", "mapped", "new_clusters"])
    return Difference(files.reset_index(drop=True), extents)


def _changes(both: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """The booleans of ``CHANGES`` for each row of the merged files."""
    added = both["path_before"].isna().to_numpy(bool)
    removed = both["path_after"].isna().to_numpy(bool)
    kept = ~(added | removed)

    def differs(name: str) -> NDArray[np.bool_]:
        one, other = both[f"{name}_before"], both[f"{name}_after"]
        same = (one == other) | (one.isna() & other.isna())
        return kept & ~same.fillna(False).to_numpy(bool)

    size = both["size_bytes_after"].fillna(0) - both["size_bytes_before"].fillna(0)
    found = {
        "added": added,
        "removed": removed,
        "renamed": differs("parent") | differs("name"),
        "grown": kept & (size > 0).to_numpy(bool),
        "shrunk": kept & (size < 0).to_numpy(bool),
        "moved_on_disk": kept & (both["moved"] > 0).to_numpy(bool),
    }
    found["moved_with_folder"] = differs("path") & ~found["renamed"]
    found["rewritten_in_place"] = differs("modified") & ~(
        found["moved_on_disk"] | found["grown"] | found["shrunk"]
    )
    explained = np.logical_or.reduce(list(found.values()))
    touched = [differs(name) for name in _METADATA] + [kept & (both["mapped"] > 0).to_numpy(bool)]
    found["metadata_only"] = np.logical_or.reduce(touched) & ~explained
    return {name: found[name] for name in CHANGES}


def _own_names(tables: Tables) -> pd.DataFrame:
    """Files with the folder and the name of the link that ``files.path`` shows."""
    files = tables.files.select(_FILE_COLUMNS)
    names = tables.names.select(["record", "path", "parent", "name"])
    first = names.to_pandas().drop_duplicates(["record", "path"])
    frame: pd.DataFrame = files.to_pandas().merge(first, on=["record", "path"], how="left")
    return frame.astype({"record": np.int64, "sequence": np.int64})
