"""The layout files: one member a file, companions for what a tar cannot hold, and the remainder.

Every chosen cluster travels exactly once: in the member of its file, in a companion, or in the
sparse member ``.sbtk/remainder.ntfs``, which holds all metadata ($MFT with every attribute, $Secure
with every descriptor, folders' indexes) and what lies behind the ends of files. Together they are
the whole volume again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sbtk.archive import manifest as names
from sbtk.archive import pax
from sbtk.archive.manifest import Geometry, Manifest, NotPlain
from sbtk.errors import PlanError
from sbtk.extents import runs
from sbtk.ntfs.columns import arrow_array, numpy_values
from sbtk.ntfs.layout import Namespace
from sbtk.ntfs.tables import Tables
from sbtk.plan import reparse
from sbtk.plan.builder import Archive, ArchiveBuilder
from sbtk.plan.file_streams import (
    FIRST_USER_RECORD,
    LEFT,
    PLAIN,
    RAW,
    WHY,
    DataStreams,
    data_streams,
    raw_bytes,
    runs_text,
    stream_bytes,
)
from sbtk.plan.layout import add_partition_table, align_bytes, selected_ranges
from sbtk.plan.model import Int64Array, Ranges, Target
from sbtk.plan.selection import Selection, in_folder, to_ranges

ReadValue = Callable[[int], bytes]
"""``read_value(row)``: the value of the resident attribute in a row of ``streams``."""

_MISSING_NS = 0


@dataclass(frozen=True)
class FileRow:
    """One chosen file or folder: what its member says of it."""

    record: int
    path: str
    is_directory: bool
    mtime_ns: int
    keys: dict[str, str]


def files(
    tables: Tables,
    selection: Selection,
    target: Target,
    manifest: Manifest,
    read_value: ReadValue | None,
    *,
    slack: bool = True,
) -> tuple[Archive, Ranges, Manifest]:
    """Lay out one member a file.

    Args:
        tables: of the snapshot.
        selection: what is chosen of it.
        target: the place of the archive.
        manifest: without its ``not_plain``.
        read_value: values of resident attributes.
        slack: carry what lies behind the ends of files in the remainder.

    Returns:
        The archive, the ranges of the LUN it carries, the manifest with ``not_plain``.

    Raises:
        PlanError: there is nothing to read resident files with.
    """
    if read_value is None:
        raise PlanError("the files layout needs the volume to read small files from")
    geometry = manifest.geometry
    rows = _file_rows(tables, selection)
    streams = data_streams(tables, geometry, np.array([row.record for row in rows], np.int64))
    links = reparse.targets(tables, {row.record for row in rows}, read_value)
    plan = _Members(rows, streams, links)
    manifest = replace(manifest, not_plain=plan.not_plain())
    align = align_bytes(geometry, target)
    builder = ArchiveBuilder(align)
    builder.add_file(names.MANIFEST_NAME, manifest.to_bytes(), mtime_ns=manifest.created_ns)
    add_partition_table(builder, selection.partition_table, manifest.created_ns)
    carried = plan.carried(geometry, align, slack=slack)
    _add_remainder(builder, selection, geometry, carried, align)
    plan.add_folders(builder)
    plan.add_files(builder, geometry, align if slack else 1, read_value)
    plan.add_hard_links(builder, tables)
    selected = selected_ranges(selection, geometry, align)
    if not slack:
        selected = plan.without_slack(selected, geometry)
    return builder.finish(), selected, manifest


def _file_rows(tables: Tables, selection: Selection) -> list[FileRow]:
    """Chosen files and folders of users, by record."""
    table = tables.files
    record = numpy_values(table.column("record"))
    keep = (record >= FIRST_USER_RECORD) & ~in_folder(table.column("path"), "$Extend")
    if selection.left_out is not None:
        keep &= ~selection.left_out
    chosen = table.filter(arrow_array(keep))
    times = {
        name: pa.compute.fill_null(chosen.column(name).cast(pa.int64()), _MISSING_NS).to_pylist()
        for name in ("created", "modified", "changed", "accessed")
    }
    rows = []
    plain = chosen.select(["record", "path", "is_directory", "attributes"]).to_pydict()
    for index, number in enumerate(plain["record"]):
        keys = {
            "atime": pax.decimal_seconds(times["accessed"][index]),
            "SBTK.record": str(number),
            "SBTK.attributes": f"{plain['attributes'][index]:08x}",
            "SBTK.created": pax.decimal_seconds(times["created"][index]),
            "SBTK.changed": pax.decimal_seconds(times["changed"][index]),
        }
        path = plain["path"][index]
        if path:
            rows.append(
                FileRow(number, path, plain["is_directory"][index], times["modified"][index], keys)
            )
    return rows


MAX_NAME_BYTES = 255


def too_long(path: str) -> bool:
    """Whether a name in the path is longer than file systems outside of Windows take."""
    return len(path) > MAX_NAME_BYTES // 4 and any(
        len(name.encode()) > MAX_NAME_BYTES for name in path.split("/")
    )


class _Members:
    """What becomes a member of the archive, and what of the LUN it takes with it."""

    def __init__(
        self, rows: list[FileRow], streams: DataStreams, links: dict[int, reparse.Target]
    ) -> None:
        self._rows = {row.record: row for row in rows}
        self._streams = streams
        self._links = links
        self._becomes = streams.becomes.copy()
        self._why = [WHY[code] for code in streams.why.tolist()]
        for index, number in enumerate(streams.record.tolist()):
            link = links.get(number)
            if link is not None and not streams.name[index]:
                # The unnamed stream behind a reparse point is no content that a tar could hold.
                self._becomes[index] = LEFT
                self._why[index] = link.why
        self._has_member: set[int] = set()

    def _indexes(self) -> list[int]:
        """Streams in the order of the archive: residents first, then along the disk."""
        streams = self._streams
        first = np.full(streams.row.size, -1, np.int64)
        has_runs = np.diff(streams.first_run) > 0
        first[has_runs] = streams.lcn[streams.first_run[:-1][has_runs]]
        return [int(index) for index in np.argsort(first, kind="stable")]

    def _name(self, index: int) -> str:
        streams = self._streams
        record = int(streams.record[index])
        path, kind = self._rows[record].path, "" if self._becomes[index] == PLAIN else ".raw"
        name = f"{names.COMPANIONS}/{path}:{streams.name[index]}{kind}"
        if not kind and not streams.name[index]:
            name = path
        if too_long(name):
            return f"{names.LONG_NAMES}/{record}-{int(streams.row[index])}{kind}"
        return name

    def not_plain(self) -> list[NotPlain]:
        """What has no readable member of its own name."""
        found = []
        for index in range(self._streams.row.size):
            name = self._name(index)
            if not self._why[index] and name.startswith(names.LONG_NAMES):
                path = self._rows[int(self._streams.record[index])].path
                found.append(NotPlain(path, self._streams.name[index], "name-too-long", name))
            if self._why[index]:
                raw = self._becomes[index] == RAW
                member = name if raw else names.REMAINDER_NAME
                path = self._rows[int(self._streams.record[index])].path
                found.append(NotPlain(path, self._streams.name[index], self._why[index], member))
        with_stream = set(self._streams.record.tolist())
        for number, link in self._links.items():
            if link.why and number not in with_stream:
                path = self._rows[number].path
                found.append(NotPlain(path, "", link.why, names.REMAINDER_NAME))
        return found

    def _sectors(self, geometry: Geometry, *, whole: bool) -> tuple[Int64Array, Int64Array]:
        """What members take, relative to the volume: data in sectors, or whole clusters."""
        streams = self._streams
        stream_of = np.repeat(np.arange(streams.row.size), np.diff(streams.first_run))
        becomes = self._becomes[stream_of]
        run_bytes = streams.clusters * geometry.cluster_bytes
        valid = streams.valid_bytes[stream_of] - streams.vcn * geometry.cluster_bytes
        sectors = -(-np.minimum(run_bytes, valid) // 512) * 512
        taken = np.where((becomes == RAW) | whole, run_bytes, sectors)
        kept = (becomes != LEFT) & (taken > 0)
        start = streams.lcn[kept] * geometry.cluster_bytes
        order = np.argsort(start, kind="stable")
        return start[order], taken[kept][order]

    def carried(self, geometry: Geometry, align: int, *, slack: bool) -> runs.Runs:
        """Whole blocks of the volume that the remainder need not hold, in bytes."""
        start, length = self._sectors(geometry, whole=not slack)
        length = length // align * align if slack else length
        return runs.union(start[length > 0], length[length > 0])

    def without_slack(self, selected: Ranges, geometry: Geometry) -> Ranges:
        """The selection less what lies behind the ends of files and travels nowhere."""
        start, data = self._sectors(geometry, whole=False)
        held = runs.union(start[data > 0], data[data > 0])
        start, all_of = self._sectors(geometry, whole=True)
        slack = runs.subtract(runs.union(start, all_of), held, geometry.volume_bytes)
        kept = runs.subtract(
            runs.Runs(selected.start_bytes, selected.length_bytes),
            runs.Runs(slack.lcn + geometry.volume_start_bytes, slack.clusters),
            geometry.lun_bytes,
        )
        return Ranges(kept.lcn, kept.clusters)

    def add_folders(self, builder: ArchiveBuilder) -> None:
        """Folders, outer ones first."""
        folders = sorted(
            (row for row in self._rows.values() if row.is_directory), key=lambda row: row.path
        )
        for row in folders:
            link = self._links.get(row.record)
            if too_long(row.path):
                continue
            if link is not None and link.path:
                self._add_link(builder, row, link)
                continue
            self._has_member.add(row.record)
            builder.add_file(
                f"{row.path}/", typeflag=pax.DIRECTORY, mode=0o755, mtime_ns=row.mtime_ns,
                keys=row.keys,
            )  # fmt: skip

    def _add_link(self, builder: ArchiveBuilder, row: FileRow, link: reparse.Target) -> None:
        if not link.path or too_long(row.path):
            return
        self._has_member.add(row.record)
        builder.add_file(
            row.path, typeflag=pax.SYMBOLIC_LINK, link_name=link.path, mode=0o777,
            mtime_ns=row.mtime_ns, keys=row.keys,
        )  # fmt: skip

    def add_files(
        self, builder: ArchiveBuilder, geometry: Geometry, repeat_unit: int, read_value: ReadValue
    ) -> None:
        """Files, their named streams, and companions of what is not plain."""
        for row in self._rows.values():
            link = self._links.get(row.record)
            if link is not None and not row.is_directory:
                self._add_link(builder, row, link)
        for index in self._indexes():
            row = self._rows[int(self._streams.record[index])]
            if self._becomes[index] == PLAIN:
                self._add_plain(
                    builder, index, row, geometry, repeat_unit=repeat_unit, read_value=read_value
                )
            elif self._becomes[index] == RAW:
                self._add_raw(builder, index, row, geometry)

    def _add_plain(
        self,
        builder: ArchiveBuilder,
        index: int,
        row: FileRow,
        geometry: Geometry,
        *,
        repeat_unit: int,
        read_value: ReadValue,
    ) -> None:
        streams = self._streams
        name, size = self._name(index), int(streams.data_bytes[index])
        if name == row.path:
            self._has_member.add(row.record)
        if streams.resident[index]:
            data = read_value(int(streams.row[index]))
            builder.add_file(name, data, mtime_ns=row.mtime_ns, keys=row.keys)
            return
        place = stream_bytes(streams, index, geometry)
        if not place.is_sparse:
            builder.add_plain(
                name, size, place.lun_start, place.length, mtime_ns=row.mtime_ns, keys=row.keys,
                repeat_unit_bytes=repeat_unit,
            )  # fmt: skip
            return
        builder.add_sparse(
            name, size, file_start=place.file_start, file_length=place.file_length,
            lun_start=place.lun_start, length=place.length, mtime_ns=row.mtime_ns, keys=row.keys,
            repeat_unit_bytes=repeat_unit,
        )  # fmt: skip

    def _add_raw(
        self, builder: ArchiveBuilder, index: int, row: FileRow, geometry: Geometry
    ) -> None:
        streams = self._streams
        start, length = raw_bytes(streams, index, geometry)
        keys = {
            **row.keys,
            "SBTK.why": self._why[index],
            "SBTK.size": str(int(streams.data_bytes[index])),
            "SBTK.valid": str(int(streams.valid_bytes[index])),
            "SBTK.runs": runs_text(streams, index),
        }
        builder.add_plain(
            self._name(index), int(length.sum()), start, length, mtime_ns=row.mtime_ns, keys=keys
        )

    def add_hard_links(self, builder: ArchiveBuilder, tables: Tables) -> None:
        """Further names of files that have a member."""
        table = tables.names
        record = numpy_values(table.column("record"))
        space = numpy_values(table.column("namespace"))
        several = np.isin(record, record[1:][record[1:] == record[:-1]]) & (space != Namespace.DOS)
        picked = table.filter(arrow_array(several)).select(["record", "path"]).to_pydict()
        for number, path in zip(picked["record"], picked["path"], strict=True):
            row = self._rows.get(number)
            if row is None or number not in self._has_member or path in ("", row.path):
                continue
            if too_long(path):
                continue
            builder.add_file(
                path, typeflag=pax.HARD_LINK, link_name=row.path, mtime_ns=row.mtime_ns
            )


def _add_remainder(
    builder: ArchiveBuilder,
    selection: Selection,
    geometry: Geometry,
    carried: runs.Runs,
    align: int,
) -> None:
    volume = to_ranges(selection, geometry, align)
    rest = runs.subtract(
        runs.Runs(volume.start_bytes, volume.length_bytes), carried, geometry.volume_bytes
    )
    builder.add_sparse(
        names.REMAINDER_NAME,
        geometry.volume_bytes,
        file_start=rest.lcn,
        file_length=rest.clusters,
        lun_start=rest.lcn + geometry.volume_start_bytes,
        length=rest.clusters,
    )
