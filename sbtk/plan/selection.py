"""Which clusters of a volume are copied: everything in use, less what globs leave out.

In use means allocated in $Bitmap *or* owned by an in-use record: what one of them forgot, the other
one saves, and each disagreement is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbtk.archive.manifest import Geometry
from sbtk.errors import PlanError, VolumeDamagedError
from sbtk.events import Finding
from sbtk.extents import runs
from sbtk.extents.runs import Runs
from sbtk.ntfs import globs
from sbtk.ntfs.bitmap import bitmap_runs
from sbtk.ntfs.columns import numpy_truth, numpy_values
from sbtk.ntfs.tables import Tables
from sbtk.plan.model import Int64Array, Ranges

PAGING_FILES = ("/pagefile.sys", "/hiberfil.sys", "/swapfile.sys")  # in the root only
"""Files that Windows makes anew; they are restored as holes unless they are asked for."""

DATA = 0x80  # $DATA
FIRST_USER_RECORD = 24


@dataclass(frozen=True)
class Choice:
    """What a user chose.

    Attributes:
        include: globs of paths; empty for the whole volume.
        exclude: globs of paths whose data is left out.
        paging_files: carry pagefile.sys, hiberfil.sys and swapfile.sys too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    paging_files: bool = False


@dataclass(frozen=True)
class Selection:
    """The chosen parts of a volume.

    Attributes:
        runs: chosen clusters.
        backup_boot: carry the last sector of the partition.
        partition_table: ranges of the LUN that hold its partition table.
        left_out: (r,) bool, rows of ``files`` whose data is left out; None: none is.
        findings: where $Bitmap and the records disagree.
        counts: clusters and files by what they are, for people and the manifest.
    """

    runs: Runs
    backup_boot: bool
    partition_table: Ranges
    left_out: NDArray[np.bool_] | None
    findings: tuple[Finding, ...]
    counts: dict[str, int] = field(default_factory=dict)


def select(
    tables: Tables,
    bitmap: bytes | memoryview | NDArray[np.uint8],
    geometry: Geometry,
    choice: Choice,
    partition_table: Ranges,
) -> Selection:
    """Choose clusters.

    Args:
        tables: of the snapshot.
        bitmap: content of $Bitmap.
        geometry: of the volume on its LUN.
        choice: the globs.
        partition_table: ranges of the LUN outside of the volume that travel along.

    Raises:
        PlanError: the scan has no content (a bare $MFT), or an include glob matches nothing.
        UsageError: a glob is none.
        VolumeDamagedError: a chosen cluster lies behind the end of the LUN.
    """
    if tables.volume.bare_mft or not geometry.cluster_bytes:
        raise PlanError(
            "a bare $MFT has no content to back up", hint="Name the volume that it came from"
        )
    lcn, clusters = _real_runs(tables.extents)
    owned = runs.clip(runs.union(lcn, clusters), geometry.total_clusters)
    octets = np.frombuffer(bitmap, np.uint8)
    allocated = Runs(*bitmap_runs(octets, geometry.total_clusters))
    used, findings = _used(owned, allocated, geometry.total_clusters)
    counts = {"used_clusters": used.total_clusters, "files": tables.files.num_rows}
    left_out = _left_out(tables.files, choice)
    chosen = used
    if left_out is not None and left_out.any():
        chosen = _without(used, tables, left_out, geometry.total_clusters)
        counts["left_out_files"] = int(left_out.sum())
    counts["selected_clusters"] = chosen.total_clusters
    _check_end(chosen, geometry)
    backup_boot = geometry.volume_end_bytes <= geometry.lun_bytes
    return Selection(chosen, backup_boot, partition_table, left_out, findings, counts)


def _check_end(chosen: Runs, geometry: Geometry) -> None:
    end = int(chosen.lcn[-1] + chosen.clusters[-1]) if len(chosen) else 0
    end_bytes = geometry.volume_start_bytes + end * geometry.cluster_bytes
    if end_bytes > geometry.lun_bytes:
        raise VolumeDamagedError(
            f"the volume is cut off: the LUN ends after {geometry.lun_bytes} bytes, clusters in "
            f"use reach to byte {end_bytes}",
            hint="Copy the volume again, whole",
        )


def _real_runs(extents: pa.Table) -> tuple[Int64Array, Int64Array]:
    lcn = numpy_values(extents.column("lcn"))
    real = int(np.searchsorted(lcn < 0, True))  # holes come last
    clusters = numpy_values(extents.column("clusters"))[:real]
    lcn = lcn[:real]
    if lcn.size and ((lcn[1:] < lcn[:-1]).any() or (lcn < 0).any()):
        raise PlanError("the extents table is not sorted by lcn", hint="Scan the volume again")
    return lcn, clusters


def _used(owned: Runs, allocated: Runs, total_clusters: int) -> tuple[Runs, tuple[Finding, ...]]:
    if np.array_equal(owned.lcn, allocated.lcn) and np.array_equal(
        owned.clusters, allocated.clusters
    ):
        return owned, ()
    lcn = np.concatenate([owned.lcn, allocated.lcn])
    order = np.argsort(lcn, kind="stable")
    used = runs.union(lcn[order], np.concatenate([owned.clusters, allocated.clusters])[order])
    found = []
    for code, part, text in (
        ("allocated-unowned", runs.subtract(allocated, owned, total_clusters), "no file owns them"),
        ("owned-free", runs.subtract(owned, allocated, total_clusters), "$Bitmap calls them free"),
    ):
        if len(part):
            message = f"{part.total_clusters} clusters in {len(part)} runs are copied though {text}"
            found.append(
                Finding(severity="warning", code=code, lcn=int(part.lcn[0]), message=message)
            )
    return used, tuple(found)


def _left_out(files: pa.Table, choice: Choice) -> NDArray[np.bool_] | None:
    """Rows of ``files`` whose data is not chosen; metadata (records 0-23, folders) always is."""
    exclude = choice.exclude if choice.paging_files else (*PAGING_FILES, *choice.exclude)
    paths = files.column("path")
    left_out = _matches(paths, exclude)
    if choice.include:
        wanted = _matches(paths, choice.include)
        if not wanted.any():
            raise PlanError(
                f"no file matches {', '.join(choice.include)}",
                hint="sbtk files SRC GLOB shows what a glob finds",
            )
        left_out |= ~wanted
    system = numpy_values(files.column("record")) < FIRST_USER_RECORD
    in_extend = in_folder(paths, "$Extend")
    folder = numpy_values(files.column("is_directory"))
    left_out &= ~(system | in_extend | folder)
    return left_out if left_out.any() else None


def in_folder(paths: pa.ChunkedArray, folder: str) -> NDArray[np.bool_]:
    """(rows,) bool: the folder itself and all that is in it."""
    return numpy_truth(pa.compute.match_substring_regex(paths, rf"^{re.escape(folder)}(/|$)"))


def _matches(paths: pa.ChunkedArray, patterns: Sequence[str]) -> NDArray[np.bool_]:
    found = np.zeros(len(paths), np.bool_)
    for pattern in patterns:
        hits = pa.compute.match_substring_regex(paths, glob_pattern(pattern), ignore_case=True)
        found |= numpy_truth(hits)
    return found


def glob_pattern(glob: str) -> str:
    """A glob as ``sbtk files`` takes it (sbtk.ntfs.globs), as a regular expression for Arrow.

    A folder that it matches stands for all that is in it.

    Raises:
        UsageError: the glob is none.
    """
    return globs.to_regex(glob, below=True)


def _without(used: Runs, tables: Tables, left_out: NDArray[np.bool_], total_clusters: int) -> Runs:
    """``used`` less the data clusters of left-out files that no other stream has too."""
    extents = tables.extents
    lcn, clusters = _real_runs(extents)
    record = numpy_values(extents.column("record"))[: lcn.size]
    is_data = numpy_values(extents.column("attribute_type"))[: lcn.size] == DATA
    records = numpy_values(tables.files.column("record"))[left_out]
    dropped = is_data & np.isin(record, records)
    mine = runs.union(lcn[dropped], clusters[dropped])
    others = runs.union(lcn[~dropped], clusters[~dropped])
    return runs.subtract(used, runs.subtract(mine, others, total_clusters), total_clusters)


def to_ranges(selection: Selection, geometry: Geometry, unit_bytes: int) -> Ranges:
    """The chosen clusters and the backup boot sector as ranges of the volume, in whole units.

    Where a unit (a block, or the copy manager's granularity) is larger than a cluster, ranges grow
    to whole units, counted from the volume's first byte; the last one ends with the volume.

    Returns:
        Ranges relative to the volume's first byte.
    """
    lcn, clusters = selection.runs.lcn, selection.runs.clusters
    rows = lcn.size + int(selection.backup_boot)
    start, length = np.empty(rows, np.int64), np.empty(rows, np.int64)
    np.multiply(lcn, geometry.cluster_bytes, out=start[: lcn.size])
    np.multiply(clusters, geometry.cluster_bytes, out=length[: lcn.size])
    touches = False
    if selection.backup_boot:
        start[-1] = geometry.volume_bytes - geometry.sector_bytes
        length[-1] = geometry.sector_bytes
        touches = rows > 1 and bool(start[-2] + length[-2] >= start[-1])
    if geometry.cluster_bytes % unit_bytes or geometry.sector_bytes % unit_bytes:
        end = np.minimum(-(-(start + length) // unit_bytes) * unit_bytes, geometry.volume_bytes)
        start = start // unit_bytes * unit_bytes
        length = end - start
    elif not touches:
        return Ranges(start, length)
    merged = runs.union(start, length)
    return Ranges(merged.lcn, merged.clusters)
