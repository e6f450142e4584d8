"""A backup plan from what is known of a volume: selection, layout and command lists in one go."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

import sbtk
from sbtk.archive.manifest import Geometry, Manifest
from sbtk.errors import PlanError
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.tables import Tables
from sbtk.plan import batch
from sbtk.plan import layout as layouts
from sbtk.plan.builder import Archive
from sbtk.plan.files_layout import ReadValue, files
from sbtk.plan.kernels import load
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    DIGEST,
    MOVING_TYPES,
    NOTHING,
    Fetches,
    Owners,
    Plan,
    Ranges,
    Segments,
    Target,
)
from sbtk.plan.selection import Choice, Selection, select
from sbtk.scsi.limits import Limits

DEFAULT_RECORD_BYTES = 256 * 1024
EVERYTHING = Choice()


@dataclass(frozen=True)
class SetFacts:
    """What the job knows of the set before the plan is made, for the manifest.

    Attributes:
        set_id: unique name of the set.
        created: when the snapshot was taken, ISO 8601, UTC.
        snapshot: provider, name, time.
        quiet: report of the quiet window.
        notes: further facts.
    """

    set_id: str = "unnamed"
    created: str = ""
    snapshot: dict[str, Any] = field(default_factory=dict)
    quiet: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How a backup is planned.

    Attributes:
        layout: ``"image"``, ``"files"`` or ``"mirror"``.
        choice: globs.
        digests: ask the mover for digests; None: where it can.
        lid4: send lists as LID4; None: where the manager can.
        command_bytes: most bytes of one command.
        slack: files layout: carry what lies behind the ends of files too, so that every cluster
            is restored byte for byte.
    """

    layout: str = "image"
    choice: Choice = EVERYTHING
    digests: bool | None = None
    lid4: bool | None = None
    command_bytes: int = batch.COMMAND_BYTES
    slack: bool = True


DEFAULTS = Options()
NO_FACTS = SetFacts()


def plan_tables(
    tables: Tables,
    bitmap: Any,
    geometry: Geometry,
    target: Target,
    limits: Limits,
    *,
    options: Options = DEFAULTS,
    facts: SetFacts = NO_FACTS,
    partition_table: Ranges = NOTHING,
    read_value: ReadValue | None = None,
) -> Plan:
    """Plan a backup.

    Args:
        tables: of the snapshot.
        bitmap: content of its $Bitmap, one bit a cluster.
        geometry: of the volume on its LUN.
        target: where the archive goes; ``record_bytes`` is cut to what the manager can.
        limits: of the copy manager.
        options: layout, globs, digests.
        facts: for the manifest.
        partition_table: ranges of the LUN that hold its partition table.
        read_value: values of resident attributes, which the files layout needs.

    Raises:
        PlanError: it cannot be planned under these limits, or the choice finds nothing.
    """
    layouts.check_blocks(geometry, target)
    digests = limits.digests if options.digests is None else options.digests
    lid4 = limits.lid4 if options.lid4 is None else options.lid4
    unit = layouts.unit_bytes(geometry, target, 1 << limits.data_granularity)
    on_tape = target.medium == "tape"
    if on_tape:
        wanted = target.record_bytes or DEFAULT_RECORD_BYTES
        target = replace(
            target, block_bytes=1, record_bytes=batch.record_bytes(limits, wanted, unit)
        )
    limit = batch.rules(
        limits,
        block_bytes=geometry.block_bytes,
        unit_bytes=unit,
        part_type=BLOCK_OFFSET_TO_STREAM if on_tape else BLOCK_OFFSET_TO_BLOCK,
        lid4=lid4,
        digests=digests,
        command_bytes=options.command_bytes,
    )
    selection = select(tables, bitmap, geometry, options.choice, partition_table)
    manifest = _manifest(
        tables, geometry, target, limits=limits, options=options, facts=facts, selection=selection
    )
    archive, selected, manifest = _lay_out(
        tables, selection, target, manifest, options=options, unit=unit, read_value=read_value
    )
    pack = batch.to_tape if on_tape else batch.to_disk
    segments, commands, fetches = pack(archive.pieces, archive.inline.size, target, limit)
    return Plan(
        kind="backup",
        layout=options.layout,
        geometry=geometry,
        target=target,
        limits=limits,
        selected=selected,
        pieces=archive.pieces,
        segments=segments,
        commands=commands,
        inline=archive.inline,
        fetches=fetches,
        archive_bytes=archive.archive_bytes,
        digests=digests,
        lid4=lid4,
        manifest=b"" if options.layout == "mirror" else manifest.to_bytes(),
        owners=owners_of(tables.extents, segments, fetches, geometry),
        notes={
            **selection.counts,
            "members": archive.members,
            "not_plain": len(manifest.not_plain),
            "findings": [dataclasses.asdict(item) for item in selection.findings],
        },
    )


def _lay_out(
    tables: Tables,
    selection: Selection,
    target: Target,
    manifest: Manifest,
    *,
    options: Options,
    unit: int,
    read_value: ReadValue | None,
) -> tuple[Archive, Ranges, Manifest]:
    geometry = manifest.geometry
    if options.layout == "image":
        return *layouts.image(selection, target, manifest, unit), manifest
    if options.layout == "mirror":
        if target.medium == "tape":
            raise PlanError("a tape holds no mirror", hint="Choose the layout image or files")
        if target.capacity_bytes and target.capacity_bytes < geometry.lun_bytes:
            raise PlanError(
                f"the target has {target.capacity_bytes} bytes and the source {geometry.lun_bytes}",
                hint="Mirror to a LUN at least as large as the source",
            )
        return *layouts.mirror(selection, geometry, unit), manifest
    if options.layout != "files":
        raise PlanError(
            f"there is no layout {options.layout!r}", hint="Choose image, files or mirror"
        )
    return files(tables, selection, target, manifest, read_value, slack=options.slack)


def _manifest(
    tables: Tables,
    geometry: Geometry,
    target: Target,
    *,
    limits: Limits,
    options: Options,
    facts: SetFacts,
    selection: Selection,
) -> Manifest:
    table = selection.partition_table
    return Manifest(
        set_id=facts.set_id,
        created=facts.created,
        sbtk_version=sbtk.__version__,
        layout=options.layout,
        geometry=geometry,
        volume=dataclasses.asdict(tables.volume),
        partition_table=np.stack([table.start_bytes, table.length_bytes], axis=1).tolist(),
        selection={**dataclasses.asdict(options.choice), "counts": selection.counts},
        snapshot=facts.snapshot,
        quiet=facts.quiet,
        limits=limits.to_dict(),
        medium={
            "medium": target.medium,
            "block_bytes": target.block_bytes,
            "record_bytes": target.record_bytes,
        },
        notes=facts.notes,
    )


def owners_of(
    extents: pa.Table, segments: Segments, fetches: Fetches, geometry: Geometry
) -> Owners | None:
    """The rows of ``extents`` that each segment touches; none for what the host sends."""
    lcn = numpy_values(extents.column("lcn"))
    real = int(np.searchsorted(lcn < 0, True))
    if not real:
        return None
    lcn, clusters = lcn[:real], numpy_values(extents.column("clusters"))[:real]
    origin, length = segments.origin_bytes, segments.length_bytes
    moving = np.zeros(256, np.bool_)
    moving[MOVING_TYPES] = True
    moving[MOVING_TYPES + DIGEST] = True
    on_lun = moving[segments.type_code]
    if len(fetches):
        origin = origin.copy()
        fetched = np.flatnonzero(np.isin(origin, fetches.inline_start_bytes) & ~on_lun)
        row = np.searchsorted(fetches.inline_start_bytes, origin[fetched])
        origin[fetched] = fetches.lun_start_bytes[row]
        on_lun[fetched] = True
    first, end = (np.empty(len(segments), np.int32) for _ in range(2))
    ascends = load(len(segments)).find_rows(
        origin, length, on_lun, geometry.volume_start_bytes, geometry.cluster_bytes, lcn, clusters,
        first, end,
    )  # fmt: skip
    if ascends:
        return Owners(first, end)
    begin = (origin - geometry.volume_start_bytes) // geometry.cluster_bytes
    stop = -(-(origin + length - geometry.volume_start_bytes) // geometry.cluster_bytes)
    low = np.searchsorted(np.maximum.accumulate(lcn + clusters), begin, side="right")
    high = np.maximum(np.searchsorted(lcn, stop, side="left"), low)
    low, high = np.where(on_lun, low, 0), np.where(on_lun, high, 0)
    return Owners(low.astype(np.int32), high.astype(np.int32))
