"""How fragmented files and the volume are, and what that costs a reader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.extents import groups
from sbtk.extents.map import ExtentMap
from sbtk.extents.owners import label
from sbtk.ntfs.layout import SystemRecord

Int64Array = NDArray[np.int64]
_Number = TypeVar("_Number", np.int64, np.float64)

SEEK_S = 0.008
"""What a seek costs: average of a 7,200 rpm disk, half a turn included."""
BYTES_PER_S = 200_000_000
"""What reading on costs: outer tracks of the same disk."""

ASSUMED_CLUSTER_BYTES = 4096
"""What a bare $MFT is measured with, since it does not tell: the default up to 16 TiB."""

_BARE_CLUSTERS = 1 << 50  # more than any volume has, few enough to count in bytes

SCORE_DEFINITION = (
    "share of the time, in percent, that a reader of every file from start to end spends between "
    "fragments: each jump costs a seek, or reading over the gap where that is quicker"
)

SEEK_CLASSES = (
    ("seeks_to_1_mib", 1 << 20),
    ("seeks_to_64_mib", 64 << 20),
    ("seeks_to_1_gib", 1 << 30),
    ("seeks_over_1_gib", np.iinfo(np.int64).max),
)
"""Columns of seeks by distance, with the largest distance in bytes that each counts."""

_SUMS = ["extents", "fragments", "seeks", *(name for name, _ in SEEK_CLASSES)]


@dataclass(frozen=True)
class Fragmentation:
    """What ``measure`` found.

    Attributes:
        streams: one row a non-resident stream with clusters: record, path, stream_name, extents
            (runs as NTFS lists them), fragments (runs that touch on the disk count once), seeks
            (fragments - 1) in all and by distance, on_disk_bytes, largest_piece_bytes,
            seek_share (of the volume's seeks), jump_s (cost of the jumps), read_s (cost of the
            bytes), is_directory, modified.
        free_clusters: (f,) clusters of each free run, by $Bitmap where it was read.
        cluster_bytes: bytes a cluster; ``ASSUMED_CLUSTER_BYTES`` for a bare $MFT.
    """

    streams: pd.DataFrame
    free_clusters: Int64Array
    cluster_bytes: int

    @cached_property
    def files(self) -> pd.DataFrame:
        """One row a file, all its streams together, worst first; the columns of ``streams``.

        A second stream in one piece does not fragment a file: ``fragments`` is seeks + 1.
        """
        sums = dict.fromkeys((*_SUMS, "on_disk_bytes", "seek_share", "jump_s", "read_s"), "sum")
        streams = self.streams
        numbers = streams.groupby("record", sort=True).agg({**sums, "largest_piece_bytes": "max"})
        numbers["fragments"] = numbers["seeks"] + 1
        numbers = numbers.reset_index()
        numbers = numbers.sort_values(["seeks", "record"], ascending=[False, True])
        # Paths once and last: groupby would make an object of each, every step a copy of all.
        record = streams["record"].drop_duplicates()
        first = pd.Series(record.index, record.to_numpy())[numbers.pop("record").to_numpy()]
        words = streams.loc[first.to_numpy(), ["record", "path", "is_directory", "modified"]]
        parts = [part.reset_index(drop=True) for part in (words, numbers)]
        return pd.concat(parts, axis=1)

    @property
    def score(self) -> float:
        """0 (every file in one piece) to 100 (nothing but seeking): ``SCORE_DEFINITION``."""
        jump_s, read_s = (float(self.streams[name].sum()) for name in ("jump_s", "read_s"))
        return groups.score(jump_s, read_s)

    def summary(self) -> dict[str, float | int | str]:
        """The volume in numbers: score, files, fragments, percentiles, free space, $MFT."""
        files = self.files
        broken = files[files["seeks"] > 0]
        mft = self.streams[self.streams["record"] == SystemRecord.MFT]
        mft = mft[mft["stream_name"] == "$DATA"]
        fragments = files["fragments"].to_numpy(np.int64)
        free = self.free_clusters * self.cluster_bytes
        points = _percentiles(fragments, (50, 90, 99, 100))
        return {
            "score": round(self.score, 2),
            "score_definition": SCORE_DEFINITION,
            "files": len(files),
            "fragmented_files": len(broken),
            "on_disk_bytes": int(files["on_disk_bytes"].sum()),
            "fragmented_bytes": int(broken["on_disk_bytes"].sum()),
            **{name: int(files[name].sum()) for name in _SUMS},
            "fragments_per_file": float(fragments.mean()) if fragments.size else 0.0,
            **{f"fragments_p{point}": value for point, value in points.items()},
            "jump_s": float(files["jump_s"].sum()),
            "read_s": float(files["read_s"].sum()),
            "free_bytes": int(free.sum()),
            "free_runs": int(free.size),
            "free_largest_bytes": int(free.max(initial=0)),
            "free_median_bytes": _percentiles(free, (50,))[50],
            "mft_extents": int(mft["extents"].sum()),
            "mft_fragments": int(mft["fragments"].sum()),
            "mft_bytes": int(mft["on_disk_bytes"].sum()),
            "mft_largest_piece_bytes": int(mft["largest_piece_bytes"].max() if len(mft) else 0),
        }

    def worst(self, count: int = 10) -> pd.DataFrame:
        """The streams with the most seeks, worst first, with a ``label`` that names them."""
        broken = self.streams[self.streams["seeks"] > 0]
        order = ["seeks", "jump_s", "record"]
        worst = broken.sort_values(order, ascending=[False, False, True]).head(count)
        labels = [label(*pair) for pair in zip(worst["path"], worst["stream_name"], strict=True)]
        return worst.assign(label=labels).reset_index(drop=True)

    def histogram(self) -> pd.DataFrame:
        """Files and bytes by number of fragments."""
        return groups.by_fragments(self.files)

    def free_histogram(self) -> pd.DataFrame:
        """Free runs and bytes by size of the run."""
        return groups.free_by_size(self.free_clusters * self.cluster_bytes)

    def by_folder(self, depth: int = 1) -> pd.DataFrame:
        """By the first ``depth`` folders of the path; "." is the root itself."""
        return groups.summarise(self.files, groups.folder_of(self.files["path"], depth), "folder")

    def by_extension(self) -> pd.DataFrame:
        """By the name's extension, lower case; folders and names without one apart."""
        return groups.summarise(self.files, groups.extension_of(self.files), "extension")

    def by_age(self, now: pd.Timestamp | None = None) -> pd.DataFrame:
        """By time since the last change of content.

        Args:
            now: what age counts to; by default the newest change on the volume, so that an
                image tells the same tomorrow.
        """
        return groups.summarise(self.files, groups.age_of(self.files, now), "age", ordered=True)

    def by_size(self) -> pd.DataFrame:
        """By size on disk."""
        size = groups.size_class(self.files["on_disk_bytes"].to_numpy(np.int64))
        return groups.summarise(self.files, size, "size", ordered=True)


def measure(
    extent_map: ExtentMap, *, seek_s: float = SEEK_S, bytes_per_s: float = BYTES_PER_S
) -> Fragmentation:
    """Measure every stream that has clusters; $BadClus:$Bad, which has no content, is left out.

    Runs that end behind the volume's last cluster are left out too.

    Args:
        extent_map: the volume.
        seek_s: seconds a seek costs on the disk behind it (an SSD: about 0.0001).
        bytes_per_s: what it reads sequentially.
    """
    rows = extent_map.file_order
    # Beyond the end a run is no place on the disk; the audit names it.
    last_lcn = (extent_map.volume.total_clusters or _BARE_CLUSTERS) - extent_map.clusters[rows]
    keep = (extent_map.lcn[rows] >= 0) & (extent_map.lcn[rows] <= last_lcn)
    if extent_map.owners.bad_clusters.any():
        keep &= ~extent_map.owners.bad_clusters[extent_map.stream[rows]]
    rows = rows[keep]
    stream, lcn, clusters = (
        extent_map.stream[rows], extent_map.lcn[rows], extent_map.clusters[rows]
    )  # fmt: skip
    cluster_bytes = extent_map.volume.cluster_bytes or ASSUMED_CLUSTER_BYTES
    counted = _count(stream, lcn, clusters, cluster_bytes, seek_s=seek_s, bytes_per_s=bytes_per_s)
    columns = ["record", "path", "stream_name", "is_directory", "modified"]
    names = extent_map.owners.frame(counted.pop("stream").to_numpy(np.int64), columns)
    names["record"] = names["record"].astype(np.int64)
    frame = pd.concat([names, counted], axis=1)
    free = extent_map.free_runs("owners" if extent_map.allocated is None else "bitmap")
    return Fragmentation(frame, free.clusters, cluster_bytes)


def _count(
    stream: Int64Array,
    lcn: Int64Array,
    clusters: Int64Array,
    cluster_bytes: int,
    *,
    seek_s: float,
    bytes_per_s: float,
) -> pd.DataFrame:
    """One row a stream; the arguments are real runs in the order of their streams and VCNs."""
    begins_stream = np.ones(stream.size, np.bool_)
    begins_stream[1:] = stream[1:] != stream[:-1]
    jump_bytes = np.zeros(stream.size, np.int64)  # from the end of the run before
    jump_bytes[1:] = (lcn[1:] - lcn[:-1] - clusters[:-1]) * cluster_bytes
    seeks = ~begins_stream & (jump_bytes != 0)
    first = np.flatnonzero(begins_stream)
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {"stream": stream[first]}
    columns["extents"] = np.diff(np.append(first, stream.size))
    columns["seeks"] = _sum_at(seeks.astype(np.int64), first)
    columns["fragments"] = columns["seeks"] + 1
    distance_class = np.searchsorted([limit for _, limit in SEEK_CLASSES], np.abs(jump_bytes))
    for number, (name, _) in enumerate(SEEK_CLASSES):
        columns[name] = _sum_at((seeks & (distance_class == number)).astype(np.int64), first)
    on_disk_bytes = _sum_at(clusters, first) * cluster_bytes
    columns["on_disk_bytes"] = on_disk_bytes
    columns["largest_piece_bytes"] = (
        _largest_piece(clusters, begins_stream | seeks, first) * cluster_bytes
    )
    columns["seek_share"] = columns["seeks"] / max(int(columns["seeks"].sum()), 1)
    jump_s = np.where(jump_bytes > 0, np.minimum(jump_bytes / bytes_per_s, seek_s), seek_s)
    columns["jump_s"] = _sum_at(np.where(seeks, jump_s, 0.0), first)
    columns["read_s"] = on_disk_bytes / bytes_per_s
    return pd.DataFrame(columns)


def _largest_piece(
    clusters: Int64Array, begins_piece: NDArray[np.bool_], first: Int64Array
) -> Int64Array:
    pieces = np.flatnonzero(begins_piece)
    piece_clusters = _sum_at(clusters, pieces)
    first_piece = np.searchsorted(pieces, first)
    return np.maximum.reduceat(piece_clusters, first_piece) if first.size else piece_clusters


def _sum_at(values: NDArray[_Number], first: Int64Array) -> NDArray[_Number]:
    return np.add.reduceat(values, first) if first.size else values[:0]


def _percentiles(values: Int64Array, points: tuple[int, ...]) -> dict[int, int]:
    """The smallest value that so many percent of all values do not exceed."""
    if values.size == 0:
        return dict.fromkeys(points, 0)
    ranked = np.sort(values)
    return {point: int(ranked[-(-point * ranked.size // 100) - 1]) for point in points}
