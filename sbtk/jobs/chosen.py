"""Which blocks chosen files need: on a scratch LUN, or in place on the live volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbtk.errors import StreamNotFoundError, TargetError
from sbtk.events import Finding
from sbtk.extents import runs
from sbtk.jobs.counting import CountingDevice
from sbtk.jobs.hits import in_words
from sbtk.jobs.sets import KnownSet
from sbtk.ntfs.columns import arrow_array, numpy_truth, numpy_values
from sbtk.ntfs.tables import Tables
from sbtk.plan.model import Ranges
from sbtk.plan.selection import DATA, FIRST_USER_RECORD, glob_pattern

if TYPE_CHECKING:
    from sbtk.jobs.run import Run


def chosen_records(tables: Tables, globs: tuple[str, ...]) -> NDArray[np.uint64]:
    """Records of the files that globs match, any of their names.

    Raises:
        StreamNotFoundError: a glob matches nothing.
    """
    paths = tables.names.column("path")
    found = np.zeros(len(paths), np.bool_)
    for glob in globs:
        hits = pa.compute.match_substring_regex(paths, glob_pattern(glob), ignore_case=True)
        own = numpy_truth(hits)
        if not own.any():
            raise StreamNotFoundError(
                f"no file of the set matches {glob}", hint="sbtk files SRC GLOB shows what does"
            )
        found |= own
    return np.unique(numpy_values(tables.names.column("record"))[found])


def scratch_ranges(known: KnownSet, tables: Tables, globs: tuple[str, ...]) -> Ranges:
    """All metadata, the partition table, and the data of the chosen files."""
    extents = tables.extents
    lcn = numpy_values(extents.column("lcn"))
    record = numpy_values(extents.column("record"))
    is_data = numpy_values(extents.column("attribute_type")) == DATA
    in_extend = _below_extend(tables)
    metadata = ~is_data | (record < FIRST_USER_RECORD) | np.isin(record, in_extend)
    wanted = (lcn >= 0) & (metadata | np.isin(record, chosen_records(tables, globs)))
    ranges = _to_lun(known, lcn[wanted], numpy_values(extents.column("clusters"))[wanted])
    geometry = known.manifest.geometry
    ends = geometry.volume_end_bytes - geometry.sector_bytes
    table = np.array(known.manifest.partition_table, np.int64).reshape(-1, 2)
    start = np.concatenate([ranges.start_bytes, [ends], table[:, 0]])
    length = np.concatenate([ranges.length_bytes, [geometry.sector_bytes], table[:, 1]])
    return _joined(start, length)


def in_place_ranges(
    location: str, known: KnownSet, tables: Tables, globs: tuple[str, ...], run: Run
) -> Ranges:
    """The data blocks of chosen files, where the live $MFT still gives each the same extents.

    Raises:
        TargetError: it does not for any of them, or a file's data lie in $MFT itself.
    """
    from sbtk.device.location import find_ntfs, open_device
    from sbtk.jobs.session import without_partition
    from sbtk.volume import Volume

    records = chosen_records(tables, globs)
    with open_device(without_partition(location)) as disk:
        counted = CountingDevice(disk)
        live = Volume(find_ntfs(location, counted), emit=run.emit).tables
        run.figures.metadata_bytes += counted.read_bytes
    if live.volume.serial != known.manifest.volume.get("serial"):
        raise TargetError(f"{location} is another volume than the one in the set")
    moved = [int(number) for number in records if not _same(tables, live, int(number))]
    if moved:
        names = _paths(tables, moved)
        raise TargetError(
            f"{in_words(names, len(names))}: moved, changed or gone on the live volume, or held in "
            "$MFT itself",
            hint="Restore to a scratch LUN (--file without --in-place), or sbtk extract",
        )
    run.emit(Finding(severity="info", code="in-place", message=f"{len(records)} files in place"))
    lcn, clusters = _data_runs(tables, records)
    return _to_lun(known, lcn, clusters)


def _data_runs(
    tables: Tables, records: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    extents = tables.extents
    lcn = numpy_values(extents.column("lcn"))
    own = (
        (lcn >= 0)
        & (numpy_values(extents.column("attribute_type")) == DATA)
        & np.isin(numpy_values(extents.column("record")), records)
    )
    return lcn[own], numpy_values(extents.column("clusters"))[own]


def _same(old: Tables, live: Tables, record: int) -> bool:
    """Whether a file has data outside of $MFT, and the same on both."""
    facts = [_facts(tables, record) for tables in (old, live)]
    return facts[0] is not None and facts[0] == facts[1]


def _facts(tables: Tables, record: int) -> tuple[object, ...] | None:
    row = np.flatnonzero(numpy_values(tables.files.column("record")) == record)
    if not row.size:
        return None
    file = tables.files.slice(int(row[0]), 1).to_pylist()[0]
    streams = tables.streams
    own = (numpy_values(streams.column("record")) == record) & (
        numpy_values(streams.column("attribute_type")) == DATA
    )
    data = streams.filter(arrow_array(own)).to_pylist()
    if any(item["resident"] for item in data) or not data:
        return None
    sizes = sorted(
        (item["attribute_name"], item["data_bytes"], item["initialized_bytes"], item["flags"])
        for item in data
    )
    extents = tables.extents
    mine = (numpy_values(extents.column("record")) == record) & (
        numpy_values(extents.column("attribute_type")) == DATA
    )
    rows = extents.filter(arrow_array(mine)).to_pylist()
    runs_ = sorted(
        (item["attribute_name"], item["vcn"], item["lcn"], item["clusters"]) for item in rows
    )
    return file["path"], file["sequence"], tuple(sizes), tuple(runs_)


def _below_extend(tables: Tables) -> NDArray[np.uint64]:
    paths = tables.files.column("path")
    inside = numpy_values(pa.compute.starts_with(paths, "$Extend"))
    return np.asarray(numpy_values(tables.files.column("record"))[inside])


def _paths(tables: Tables, records: list[int]) -> list[str]:
    known = dict(
        zip(
            tables.files.column("record").to_pylist(),
            tables.files.column("path").to_pylist(),
            strict=True,
        )
    )
    return [known.get(number, f"record {number}") for number in records]


def _to_lun(known: KnownSet, lcn: NDArray[np.int64], clusters: NDArray[np.int64]) -> Ranges:
    geometry = known.manifest.geometry
    start = lcn * geometry.cluster_bytes + geometry.volume_start_bytes
    return _joined(start, clusters * geometry.cluster_bytes)


def _joined(start: NDArray[np.int64], length: NDArray[np.int64]) -> Ranges:
    order = np.argsort(start, kind="stable")
    merged = runs.union(start[order], length[order])
    return Ranges(merged.lcn, merged.clusters)
