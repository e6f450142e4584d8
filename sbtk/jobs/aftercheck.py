"""What is looked at behind a restore: boot sectors, $MFT and its mirror, $Bitmap."""

from __future__ import annotations

from sbtk.archive.manifest import Manifest
from sbtk.device.base import BlockDevice
from sbtk.device.location import OpenedVolume
from sbtk.device.partition import PartitionView
from sbtk.errors import SbtkError
from sbtk.events import Checked, Finding, Listener
from sbtk.ntfs.volume import Volume

_SAME = ("serial", "label", "version", "total_sectors", "cluster_bytes", "record_bytes", "mirror")


def check_restored(
    disk: BlockDevice, manifest: Manifest, start_bytes: int, emit: Listener
) -> Checked:
    """Read the metadata of a restored volume and hold it against what the set says of the source.

    Args:
        disk: the LUN.
        manifest: of the set.
        start_bytes: where the volume begins on it.
        emit: told of what differs.
    """
    geometry = manifest.geometry
    wrong: list[str] = []
    first = disk.read(start_bytes, geometry.sector_bytes)
    last_at = start_bytes + geometry.volume_bytes - geometry.sector_bytes
    if first != disk.read(last_at, geometry.sector_bytes):
        wrong.append("the first boot sector differs from its backup")
    view = PartitionView(disk, start_bytes, geometry.volume_bytes)
    try:
        tables = Volume(OpenedVolume(disk.name, view, disk, None)).tables
        info = tables.volume
        for name in _SAME:
            expected = manifest.volume.get(name)
            found = getattr(info, name)
            if expected is not None and found != expected:
                wrong.append(f"{name} is {found!r} and was {expected!r}")
        records = int(manifest.volume.get("counts", {}).get("records_base", 0))
        if records and info.counts.get("records_base", 0) != records:
            wrong.append(
                f"$MFT holds {info.counts.get('records_base', 0)} files and held {records}"
            )
        if tables.bitmap is None:
            wrong.append("$Bitmap cannot be read")
    except SbtkError as error:
        wrong.append(error.line)
    for text in wrong:
        emit(Finding(severity="error", code="restored-differs", message=text))
    return Checked(
        what="restored",
        method="host",
        checked=(
            "both boot sectors are equal",
            "$MFT can be read whole, and $MFTMirr is to it as it was at the source",
            "$Bitmap can be read",
            "serial number, label, sizes and number of files are those of the source",
        ),
        not_checked=("the content of files: sbtk verify SET --against LOCATION does that",),
        mismatches=len(wrong),
    )
