"""The extent map: from a place on the disk to the file that owns it, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sbtk.errors import StreamNotFoundError, TableError, UsageError
from sbtk.extents import runs
from sbtk.extents.kernels import find_runs, flatten_runs
from sbtk.extents.owners import Owners
from sbtk.extents.owners import from_tables as owners_from_tables
from sbtk.extents.runs import Runs
from sbtk.ntfs.bitmap import bitmap_runs
from sbtk.ntfs.runlist import MAX_LCN
from sbtk.ntfs.tables import Tables, VolumeInfo

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from sbtk.extents.fragmentation import Fragmentation

Int64Array = NDArray[np.int64]
Unit = Literal["lcn", "lba", "byte"]


@dataclass(frozen=True)
class Pieces:
    """Overlapping runs, cut so that each cluster has one owner (see ``flatten_runs``).

    Attributes:
        lcn: (p,) first clusters, ascending; the pieces are disjoint.
        clusters: (p,) clusters of each.
        row: (p,) row of ``extents`` that owns the piece.
    """

    lcn: Int64Array
    clusters: Int64Array
    row: Int64Array


class ExtentMap:
    """Every run of a volume with its owner, for look-ups in both directions.

    A cluster that two runs claim (a damaged volume) is answered with the run that starts last,
    of those the shortest, of those the lowest row; ``rows_in`` and the audit name all of them.

    Attributes:
        volume: geometry, for LBAs and bytes.
        lcn, clusters, vcn, stream: (n,) int64, the rows of the ``extents`` table: ascending by
            lcn, holes (lcn -1) last. Row numbers below are rows of these.
        real_rows: rows that are not holes.
        pieces: what ``owner_rows`` searches where runs overlap; None where none do.
        allocated: clusters whose bit in $Bitmap is set; None where no $Bitmap was read.
    """

    def __init__(
        self,
        volume: VolumeInfo,
        columns: dict[str, Int64Array],
        real_rows: int,
        *,
        pieces: Pieces | None,
        allocated: Runs | None,
        load_owners: Callable[[], Owners],
    ) -> None:
        self.volume = volume
        self.lcn = columns["lcn"]
        self.clusters = columns["clusters"]
        self.vcn = columns["vcn"]
        self.stream = columns["stream"]
        self.real_rows = real_rows
        self.pieces = pieces
        self.allocated = allocated
        self._load_owners = load_owners

    @classmethod
    def from_tables(cls, tables: Tables) -> ExtentMap:
        """Build the map of a scanned volume; names are joined only when they are asked for.

        Raises:
            TableError: the extents are not in the order, or not within the bounds, of a scan.
        """
        extents = tables.columns("extents", *COLUMNS)
        columns = {name: _column(extents, name) for name in COLUMNS}
        real_rows = _check(columns, tables.columns("streams", "resident").num_rows)
        lcn, clusters = columns["lcn"][:real_rows], columns["clusters"][:real_rows]
        pieces = None
        if bool((lcn[1:] - lcn[:-1] < clusters[:-1]).any()):
            pieces = Pieces(*flatten_runs(lcn, clusters))
        return cls(
            tables.volume,
            columns,
            real_rows,
            pieces=pieces,
            allocated=_allocated(tables),
            load_owners=lambda: owners_from_tables(tables),
        )

    def save(self, folder: Path) -> None:
        """Write the map as Parquet files that ``open`` maps into memory; beside scan tables too."""
        from sbtk.extents.store import save_map

        save_map(self, folder)

    @classmethod
    def open(cls, folder: Path) -> ExtentMap:
        """Map what ``save`` wrote into memory: milliseconds, whatever its size.

        Raises:
            TableError: no saved map, a damaged one, or one of another version.
        """
        from sbtk.extents.store import open_map

        return open_map(folder)

    @cached_property
    def owners(self) -> Owners:
        """Every stream's record, path and name; joined or read on first use."""
        return self._load_owners()

    @property
    def overlaps(self) -> bool:
        """Whether any cluster has two owners."""
        return self.pieces is not None

    # -- place on the disk -> owner ----------------------------------------------------------

    def owner_rows(self, lcn: Int64Array) -> Int64Array:
        """The row of ``extents`` that owns each cluster.

        Args:
            lcn: (m,) int64 clusters, any order; sorted ones are found fastest.

        Returns:
            (m,) int64 rows, -1 where no file owns the cluster. O(log n) each.
        """
        if self.pieces is None:
            return find_runs(self.lcn[: self.real_rows], self.clusters[: self.real_rows], lcn)
        piece = find_runs(self.pieces.lcn, self.pieces.clusters, lcn)
        row = self.pieces.row[np.maximum(piece, 0)] if self.pieces.row.size else piece
        return np.where(piece >= 0, row, -1)

    def owner_of(self, places: ArrayLike, unit: Unit = "lcn") -> pd.DataFrame:
        """Who owns these places: one row each, in their order.

        Args:
            places: clusters; or blocks (``"lba"``, in sectors of the volume) or bytes
                (``"byte"``) counted from the start of the LUN, partition table included.
            unit: what ``places`` count.

        Returns:
            Columns: the unit's name, ``lcn`` (-1 for blocks and bytes outside the volume),
            ``path``, ``stream_name``, ``record``, ``vcn``, ``file_offset_bytes`` (of the place
            within the stream; of a compressed stream the start of its compression unit), ``slack``
            (behind the stream's last byte), ``owners`` (above 1: the volume is damaged,
            ``rows_in`` names them), ``row`` of ``extents``, ``allocated`` (the bit in $Bitmap;
            missing where none was read). Values are missing where nobody owns the place.
        """
        from sbtk.extents.frames import owner_frame

        return owner_frame(self, np.atleast_1d(np.asarray(places, np.int64)), unit)

    def to_lcn(self, places: Int64Array, unit: Unit) -> tuple[Int64Array, Int64Array]:
        """``(lcn, offset_bytes)``: cluster of each place and the byte within it; -1, 0 outside.

        Raises:
            UsageError: blocks or bytes of a bare $MFT, which does not tell the size of a cluster.
        """
        volume = self.volume
        total_clusters = volume.total_clusters or MAX_LCN  # a bare $MFT does not tell
        if unit == "lcn":
            inside = (places >= 0) & (places < total_clusters)
            return np.where(inside, places, -1), np.zeros(places.size, np.int64)
        if volume.cluster_bytes == 0:
            raise UsageError(
                "a bare $MFT does not tell where its volume's blocks and bytes are",
                hint="Ask by cluster number",
            )
        step_bytes = volume.sector_bytes if unit == "lba" else 1
        start = volume.partition_start_lba * (volume.sector_bytes // step_bytes)
        behind = start + total_clusters * (volume.cluster_bytes // step_bytes)
        inside = (places >= start) & (places < behind)
        offset_bytes = np.where(inside, places - start, 0) * step_bytes
        lcn = np.where(inside, offset_bytes // volume.cluster_bytes, -1)
        return lcn, offset_bytes % volume.cluster_bytes

    def rows_in(self, first_lcn: int, last_lcn: int) -> Int64Array:
        """Every row that owns a cluster from ``first_lcn`` to ``last_lcn``, both included.

        Returns:
            (k,) ascending rows. O(log n + k); with overlaps also O(rows that reach over others).
        """
        lcn = self.lcn[: self.real_rows]
        begin, behind = np.searchsorted(lcn, [first_lcn, last_lcn + 1])
        earlier = self._reaching[: np.searchsorted(self._reaching, begin)]
        if begin > 0:
            earlier = np.union1d(earlier, [begin - 1])
        reaches = lcn[earlier] + self.clusters[earlier] > first_lcn
        return np.concatenate([earlier[reaches], np.arange(begin, behind)])

    def files_in(self, first_lcn: int, last_lcn: int) -> pd.DataFrame:
        """The files within a range of clusters, one row a run: ``extent_frame``'s columns."""
        from sbtk.extents.frames import extent_frame

        return extent_frame(self, self.rows_in(first_lcn, last_lcn))

    @cached_property
    def _reaching(self) -> Int64Array:
        """Rows that reach over the start of the next one; none on a healthy volume."""
        if self.pieces is None:
            return np.empty(0, np.int64)
        lcn, clusters = self.lcn[: self.real_rows], self.clusters[: self.real_rows]
        return np.flatnonzero(lcn[1:] - lcn[:-1] < clusters[:-1])

    # -- file -> place on the disk -----------------------------------------------------------

    @cached_property
    def file_order(self) -> Int64Array:
        """(n,) rows in the order of their streams, by vcn within a stream; holes included."""
        return runs.order_by(self.stream, self.vcn)

    @cached_property
    def stream_starts(self) -> Int64Array:
        """(streams + 1,) where each stream's rows begin in ``file_order``."""
        counts = np.bincount(self.stream, minlength=len(self.owners))
        return np.concatenate([[0], np.cumsum(counts)])

    def lcn_of(self, stream: Int64Array, vcn: Int64Array) -> Int64Array:
        """The cluster behind a cluster of a stream: the inverse of ``owner_rows``.

        Args:
            stream: (m,) stream numbers.
            vcn: (m,) cluster within the stream.

        Returns:
            (m,) lcn; -1 in a hole and outside of the stream's runs.
        """
        if self.lcn.size == 0:
            return np.full(stream.size, -1, np.int64)
        first, high = self.stream_starts[stream], self.stream_starts[stream + 1]
        low, last = first, self.lcn.size - 1
        sorted_vcn = self.vcn[self.file_order]
        while bool((low < high).any()):  # one bisection for all: log2 of the longest stream
            middle = (low + high) >> 1
            right = (low < high) & (sorted_vcn[np.minimum(middle, last)] <= vcn)
            low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
        found = low > first
        row = self.file_order[np.where(found, low - 1, 0)]
        offset_clusters = vcn - self.vcn[row]
        found &= (offset_clusters < self.clusters[row]) & (self.lcn[row] >= 0)
        return np.where(found, self.lcn[row] + offset_clusters, -1)

    def rows_of(self, record: int) -> Int64Array:
        """The rows of all streams of a file, holes included, by stream and vcn."""
        streams = np.flatnonzero(self.owners.record == record)
        rows = np.flatnonzero(np.isin(self.stream, streams))
        return rows[np.lexsort((self.vcn[rows], self.stream[rows]))]

    def extents_of(self, path: str) -> pd.DataFrame:
        """The extents of a file, by stream and vcn: ``extent_frame``'s columns.

        Raises:
            StreamNotFoundError: no file has this path.
        """
        from sbtk.extents.frames import extent_frame

        streams = self.owners.streams_of(path)
        if streams.size == 0:
            raise StreamNotFoundError(
                f"no file {path!r} on this volume", hint="sbtk files SRC lists the paths"
            )
        return extent_frame(self, self.rows_of(int(self.owners.record[streams[0]])))

    # -- the whole volume --------------------------------------------------------------------

    @cached_property
    def owned(self) -> Runs:
        """The clusters within the volume that at least one file owns."""
        lcn, clusters = self.lcn[: self.real_rows], self.clusters[: self.real_rows]
        return runs.clip(runs.union(lcn, clusters), self.volume.total_clusters or MAX_LCN)

    def is_allocated(self, lcn: Int64Array) -> NDArray[np.bool_]:
        """Whether the bit of each cluster in $Bitmap is set; False outside the volume.

        Raises:
            TableError: no $Bitmap was read.
        """
        allocated = self._bitmap_runs()
        return find_runs(allocated.lcn, allocated.clusters, lcn) >= 0

    def free_runs(self, by: Literal["bitmap", "owners"] = "bitmap") -> Runs:
        """Free space: clusters whose bit in $Bitmap is clear, or that no file owns.

        On a healthy volume the two are equal; the audit lists where they differ.

        Raises:
            TableError: ``by="bitmap"`` and no $Bitmap was read.
        """
        if by == "owners":
            return runs.complement(self.owned, self.volume.total_clusters)
        return runs.complement(self._bitmap_runs(), self.volume.total_clusters)

    def _bitmap_runs(self) -> Runs:
        if self.allocated is None:
            raise TableError(
                "no $Bitmap was read, so free space is not known",
                hint='Scan the volume itself, or ask for free_runs(by="owners")',
            )
        return self.allocated

    def occupancy(self, first_lcn: int, last_lcn: int, cells: int) -> Int64Array:
        """Clusters in use in each of ``cells`` equal parts of a range; see ``occupancy``."""
        from sbtk.extents.occupancy import occupancy

        return occupancy(self, first_lcn, last_lcn, cells)

    def fragmentation(self) -> Fragmentation:
        """How fragmented each file and the volume are."""
        from sbtk.extents.fragmentation import measure

        return measure(self)


COLUMNS = ("lcn", "clusters", "vcn", "stream")


def _allocated(tables: Tables) -> Runs | None:
    if tables.bitmap is None:
        return None
    return Runs(*bitmap_runs(tables.bitmap, tables.volume.total_clusters))


def _column(table: pa.Table, name: str) -> Int64Array:
    return np.asarray(table[name].combine_chunks())


def _check(columns: dict[str, Int64Array], streams: int) -> int:
    """Number of real rows of extents that are as a scan writes them."""
    lcn, stream = columns["lcn"], columns["stream"]
    holes = lcn < 0
    real_rows = int(lcn.size - np.count_nonzero(holes))
    real_lcn = lcn[:real_rows]
    problem = ""
    if holes[:real_rows].any() or (real_lcn[1:] < real_lcn[:-1]).any():
        problem = "are not sorted by lcn with the holes last"
    elif lcn.size and not 0 <= stream.min() <= stream.max() < streams:
        problem = "name streams that do not exist"
    elif lcn.size and (columns["clusters"].min() < 1 or columns["vcn"].min() < 0):
        problem = "have runs of no clusters or negative positions"
    elif real_rows and max(real_lcn[-1], columns["clusters"][:real_rows].max()) > MAX_LCN:
        problem = "lie beyond the end of any volume"
    if problem:
        raise TableError(f"the extents {problem}", hint="Run sbtk scan again")
    return real_rows
