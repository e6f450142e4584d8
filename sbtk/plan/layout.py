"""The layouts image and mirror: which bytes of the LUN lie where in the archive."""

from __future__ import annotations

import numpy as np

from sbtk.archive import manifest as names
from sbtk.archive.manifest import Geometry, Manifest
from sbtk.errors import PlanError
from sbtk.plan.builder import Archive, ArchiveBuilder, pieces_of
from sbtk.plan.model import Ranges, Target
from sbtk.plan.selection import Selection, to_ranges

IMAGE_ALIGN_BYTES = 4096
"""The image's first data byte lies on a multiple of this, whatever the blocks (archive.md, 1)."""


def align_bytes(geometry: Geometry, target: Target) -> int:
    """The block that both ends of a copy count in: data of members begins on it."""
    return max(geometry.block_bytes, target.block_bytes, 512)


def unit_bytes(geometry: Geometry, target: Target, granularity_bytes: int) -> int:
    """What lengths of the mover's segments are multiples of."""
    return max(align_bytes(geometry, target), granularity_bytes)


def check_blocks(geometry: Geometry, target: Target) -> None:
    """Refuse addresses that no command can name.

    Raises:
        PlanError: the volume or the archive does not begin on a block.
    """
    if geometry.volume_start_bytes % geometry.block_bytes:
        raise PlanError(
            f"the volume begins at byte {geometry.volume_start_bytes}, inside a block of "
            f"{geometry.block_bytes} bytes",
            hint="The partition was made for other blocks: serve the disk with its own block size",
        )
    if target.medium == "disk" and target.start_bytes % max(4096, target.block_bytes):
        raise PlanError(
            f"an archive cannot begin at byte {target.start_bytes}",
            hint="Begin on a multiple of 4096 bytes",
        )


def on_lun(volume: Ranges, geometry: Geometry) -> Ranges:
    """Ranges of the volume as ranges of its LUN."""
    if not geometry.volume_start_bytes:
        return volume
    return Ranges(volume.start_bytes + geometry.volume_start_bytes, volume.length_bytes)


def with_table(lun: Ranges, table: Ranges) -> Ranges:
    """Ranges of the LUN and its partition table, ascending."""
    if not len(table):
        return lun
    all_start = np.concatenate([table.start_bytes, lun.start_bytes])
    order = np.argsort(all_start, kind="stable")
    length = np.concatenate([table.length_bytes, lun.length_bytes])
    return Ranges(all_start[order], length[order])


def selected_ranges(selection: Selection, geometry: Geometry, unit: int) -> Ranges:
    """The chosen ranges of the LUN: partition table and volume, ascending."""
    lun = on_lun(to_ranges(selection, geometry, unit), geometry)
    return with_table(lun, selection.partition_table)


def image(
    selection: Selection, target: Target, manifest: Manifest, unit: int
) -> tuple[Archive, Ranges]:
    """One member ``volume.ntfs``: a sparse file with the used clusters.

    Returns:
        The archive, and the ranges of the LUN that it carries.
    """
    geometry = manifest.geometry
    volume = to_ranges(selection, geometry, unit)
    lun = on_lun(volume, geometry)
    builder = ArchiveBuilder(max(IMAGE_ALIGN_BYTES, align_bytes(geometry, target)))
    builder.add_file(names.MANIFEST_NAME, manifest.to_bytes(), mtime_ns=manifest.created_ns)
    add_partition_table(builder, selection.partition_table, manifest.created_ns)
    builder.add_sparse(
        names.IMAGE_NAME,
        geometry.volume_bytes,
        file_start=volume.start_bytes,
        file_length=volume.length_bytes,
        lun_start=lun.start_bytes,
        length=volume.length_bytes,
        mtime_ns=manifest.created_ns,
    )
    return builder.finish(), with_table(lun, selection.partition_table)


def mirror(selection: Selection, geometry: Geometry, unit: int) -> tuple[Archive, Ranges]:
    """Used blocks at the same addresses of another LUN; no headers."""
    ranges = selected_ranges(selection, geometry, unit)
    end = int(ranges.end_bytes[-1]) if len(ranges) else 0
    return Archive(pieces_of(ranges), np.empty(0, np.uint8), end, 0), ranges


def add_partition_table(builder: ArchiveBuilder, table: Ranges, mtime_ns: int) -> None:
    """The blocks in front of and behind the partitions as one small member."""
    if not len(table):
        return
    where = ",".join(
        f"{start}+{length}"
        for start, length in zip(table.start_bytes, table.length_bytes, strict=True)
    )
    builder.add_plain(
        names.PARTITION_TABLE_NAME,
        table.total_bytes,
        table.start_bytes,
        table.length_bytes.copy(),
        mtime_ns=mtime_ns,
        keys={"SBTK.lun_bytes": where},
    )
