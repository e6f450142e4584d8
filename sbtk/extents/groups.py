"""Files of a fragmentation report, put into classes: by fragments, size, age, folder, extension."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sbtk.units import format_bytes

Int64Array = NDArray[np.int64]

_FRAGMENT_LIMITS = (1, 2, 4, 8, 16, 64)
_SIZE_LIMITS_BYTES = (64 << 10, 1 << 20, 16 << 20, 256 << 20, 4 << 30)
_AGE_LIMITS_DAYS = (("a day", 1), ("a week", 7), ("a month", 30), ("a year", 365))


def score(jump_s: float, read_s: float) -> float:
    """Percent of the time that goes into jumps; 0 where there is nothing to read."""
    total_s = jump_s + read_s
    return 100.0 * jump_s / total_s if total_s else 0.0


def summarise(
    files: pd.DataFrame, key: pd.Series[str] | pd.Categorical, name: str, *, ordered: bool = False
) -> pd.DataFrame:
    """Add the files up by a key.

    Returns:
        One row a class, most seeks first, or in the order of the key's categories: ``name``,
        files, fragmented_files, on_disk_bytes, fragments, fragments_per_file, seeks, seek_share,
        score.
    """
    table = files.assign(fragmented_files=files["seeks"] > 0, files=1)
    table[name] = key
    sums = ["files", "fragmented_files", "on_disk_bytes", "fragments", "seeks", "seek_share"]
    grouped = table.groupby(name, observed=True, sort=ordered)[[*sums, "jump_s", "read_s"]].sum()
    frame: pd.DataFrame = grouped.reset_index()
    frame.insert(5, "fragments_per_file", frame["fragments"] / frame["files"])
    jump_s, read_s = frame.pop("jump_s"), frame.pop("read_s")
    frame["score"] = [score(*pair) for pair in zip(jump_s, read_s, strict=True)]
    if ordered:
        return frame
    order = ["seeks", "on_disk_bytes", name]
    return frame.sort_values(order, ascending=[False, False, True], ignore_index=True)


def by_fragments(files: pd.DataFrame) -> pd.DataFrame:
    """One row a class of fragment counts, empty ones included: fragments, files, bytes, shares."""
    names = ["1", "2"]
    names += [f"{low + 1}-{high}" for low, high in pairwise(_FRAGMENT_LIMITS[1:])]
    names.append(f"over {_FRAGMENT_LIMITS[-1]}")
    classes = np.searchsorted(_FRAGMENT_LIMITS, files["fragments"].to_numpy(np.int64))
    return _histogram("fragments", "files", names, classes, files["on_disk_bytes"].to_numpy())


def free_by_size(run_bytes: Int64Array) -> pd.DataFrame:
    """One row a class of free-run sizes, empty ones included: size, runs, bytes, shares."""
    classes = np.searchsorted(_SIZE_LIMITS_BYTES, run_bytes)
    return _histogram("size", "runs", _size_names(), classes, run_bytes)


def size_class(size_bytes: Int64Array) -> pd.Categorical:
    """The size class of each file."""
    classes = np.searchsorted(_SIZE_LIMITS_BYTES, size_bytes)
    return _categories(classes, _size_names())


def age_of(files: pd.DataFrame, now: pd.Timestamp | None) -> pd.Categorical:
    """The age class of each file, counted back from ``now`` or from the newest change."""
    modified = pd.DatetimeIndex(files["modified"])
    newest = modified.max() if now is None else now
    days = np.asarray((newest - modified) / pd.Timedelta(days=1), np.float64)
    limits = [limit for _, limit in _AGE_LIMITS_DAYS]
    names = [f"up to {word}" for word, _ in _AGE_LIMITS_DAYS] + ["older", "unknown"]
    classes = np.where(np.isnan(days), len(names) - 1, np.searchsorted(limits, days))
    return _categories(classes, names)


def folder_of(paths: pd.Series[str], depth: int) -> pd.Series[str]:
    """The first ``depth`` folders of each path; "." where a path has none."""
    pattern = rf"^(?P<folder>(?:[^/]+/){{0,{depth}}})"
    found = pc.struct_field(pc.extract_regex(_arrow(paths), pattern), "folder")
    folder: pd.Series[str] = pc.utf8_rtrim(found, "/").to_pandas()
    return folder.where(folder != "", ".")


def extension_of(files: pd.DataFrame) -> pd.Series[str]:
    """The extension of each file's name, with its point; "(folder)" and "(none)" otherwise."""
    pattern = r"[^/](?P<extension>\.[^./ ]{1,16})$"
    matched = pc.struct_field(pc.extract_regex(_arrow(files["path"]), pattern), "extension")
    extension: pd.Series[str] = pc.utf8_lower(matched.fill_null("(none)")).to_pandas()
    return extension.mask(files["is_directory"].astype(bool), "(folder)")


def _histogram(
    key: str, counted: str, names: list[str], classes: Int64Array, weight_bytes: Int64Array
) -> pd.DataFrame:
    count = np.bincount(classes, minlength=len(names))
    total = np.zeros(len(names), np.int64)
    np.add.at(total, classes, weight_bytes)
    return pd.DataFrame(
        {
            key: names,
            counted: count,
            f"{counted}_share": count / max(int(count.sum()), 1),
            "bytes": total,
            "bytes_share": total / max(int(total.sum()), 1),
        }
    )


def _categories(classes: NDArray[np.intp], names: list[str]) -> pd.Categorical:
    return pd.Categorical([names[index] for index in classes], categories=names, ordered=True)


def _size_names() -> list[str]:
    names = [f"up to {format_bytes(limit)}" for limit in _SIZE_LIMITS_BYTES]
    return [*names, f"over {format_bytes(_SIZE_LIMITS_BYTES[-1])}"]


def _arrow(texts: pd.Series[str]) -> pa.Array:
    return pa.array(texts, pa.large_string(), from_pandas=True)
