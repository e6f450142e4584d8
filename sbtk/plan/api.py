"""Plans of opened volumes: what ``sbtk.plan_backup`` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sbtk.archive.manifest import Geometry
from sbtk.device.location import OpenedVolume, parse
from sbtk.device.partition import read_table
from sbtk.errors import PlanError
from sbtk.extents import runs
from sbtk.extents.runs import Runs
from sbtk.ntfs.tables import VolumeInfo
from sbtk.ntfs.volume import Volume
from sbtk.plan import batch
from sbtk.plan.backup import NO_FACTS, Options, SetFacts, plan_tables
from sbtk.plan.model import NOTHING, Plan, Ranges, Target
from sbtk.plan.selection import Choice
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits

MAX_VALUE_BYTES = 1 << 20
"""More than a resident value can hold; what a damaged one claims beyond it is not read."""


def plan_backup(
    volume: Volume,
    *,
    to: str | Target,
    limits: Limits | str = "spc",
    layout: str = "image",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    paging_files: bool = False,
    record_bytes: int = 0,
    digests: bool | None = None,
    facts: SetFacts = NO_FACTS,
    **options: Any,
) -> Plan:
    """Plan the backup of an opened volume; nothing is written anywhere.

    Args:
        volume: from ``sbtk.open_volume``; scanned if it was not yet.
        to: a location (``tape:PATH`` or a disk), or a ``Target`` with what the job knows of it.
        limits: of the copy manager, or a profile's name. For a tape, a profile that moves no
            tape lends its numbers only.
        layout: ``"image"``, ``"files"`` or ``"mirror"``.
        include: globs of paths; empty for all.
        exclude: globs of paths whose data is left out.
        paging_files: carry pagefile.sys, hiberfil.sys and swapfile.sys too.
        record_bytes: bytes a tape record; 0 for 256 KiB.
        digests: ask for digests; None where the manager can.
        facts: what the job knows of the set.
        options: further fields of ``plan.backup.Options``.

    Raises:
        PlanError: it cannot be planned under these limits.
        UsageError: there is no such profile.
    """
    chosen = profile_limits(limits) if isinstance(limits, str) else limits
    target = to if isinstance(to, Target) else target_of(to, record_bytes=record_bytes)
    if target.medium == "tape":
        chosen = batch.for_tape(chosen)
    tables = volume.tables
    if tables.bitmap is None:
        raise PlanError(
            f"{volume.location} has no readable $Bitmap", hint="sbtk check tells what is damaged"
        )
    opened = volume.device
    return plan_tables(
        tables,
        tables.bitmap,
        geometry_of(opened, tables.volume),
        target,
        chosen,
        options=Options(
            layout=layout,
            choice=Choice(tuple(include), tuple(exclude), paging_files),
            digests=digests,
            **options,
        ),
        facts=facts,
        partition_table=partition_table_of(opened),
        read_value=lambda row: volume.read_value(row, MAX_VALUE_BYTES),
    )


def target_of(location: str, *, record_bytes: int = 0) -> Target:
    """What a location says by itself: tape or disk. The job fills in blocks and capacity."""
    if parse(location).kind == "tape":
        return Target("tape", block_bytes=1, record_bytes=record_bytes)
    return Target("disk")


def geometry_of(opened: OpenedVolume, info: VolumeInfo) -> Geometry:
    """Where an opened volume lies on its LUN.

    The backup boot sector lies behind the file system's last sector (ntfs.md, 11); where the
    partition ends before it, the volume does too.
    """
    whole_bytes = (info.total_sectors + 1) * info.sector_bytes
    return Geometry(
        block_bytes=opened.disk.block_bytes,
        lun_bytes=opened.disk.size_bytes,
        volume_start_bytes=opened.partition_start_bytes,
        volume_bytes=min(whole_bytes, opened.device.size_bytes),
        sector_bytes=info.sector_bytes,
        cluster_bytes=info.cluster_bytes,
        total_clusters=info.total_clusters,
    )


def partition_table_of(opened: OpenedVolume) -> Ranges:
    """The blocks of the LUN that its partition table takes, outside of the volume."""
    if opened.partition is None:
        return NOTHING
    block = opened.disk.block_bytes
    own = np.array(sorted(read_table(opened.disk).own_ranges), np.int64).reshape(-1, 2)
    start = own[:, 0] // block * block
    end = -(-(own[:, 0] + own[:, 1]) // block) * block
    lun = Runs(np.zeros(1, np.int64), np.array([opened.disk.size_bytes]))
    volume = Runs(np.array([opened.partition_start_bytes]), np.array([opened.device.size_bytes]))
    table = runs.intersect(runs.union(start, end - start), lun)
    kept = runs.subtract(table, volume, opened.disk.size_bytes)
    return Ranges(kept.lcn, kept.clusters)
