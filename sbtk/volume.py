"""What ``sbtk.open_volume`` returns: an NTFS volume, its tables, content and extent map."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sbtk.device.location import open_ntfs
from sbtk.errors import LocationError
from sbtk.events import Listener, ignore
from sbtk.ntfs import volume as ntfs_volume
from sbtk.ntfs.tables import Tables

if TYPE_CHECKING:
    from sbtk.extents.map import ExtentMap

TABLES_MARK = "volume.json"


class Volume(ntfs_volume.Volume):
    """An NTFS volume at a location: ``sbtk.ntfs.volume.Volume`` and its extent map."""

    @cached_property
    def extents(self) -> ExtentMap:
        """Who owns a block, how fragmented a file is; the table itself is ``tables.extents``."""
        from sbtk.extents.map import ExtentMap  # brings pandas, which a scan does without

        return ExtentMap.from_tables(self.tables)


def open_volume(location: str | Path, *, emit: Listener = ignore) -> Volume:
    """Open the NTFS volume at a location (docs/locations.md); it is scanned when that is needed.

    Args:
        location: an image file, a block device, or another place, with ``#N`` for a partition.
        emit: takes the progress and the findings of the scan.

    Raises:
        LocationError: the location cannot be opened.
        PartitionError: several NTFS partitions, and none is named.
        NotNtfsError: no NTFS; the message says what it is.
    """
    return Volume(open_ntfs(str(location)), emit=emit)


def read_tables(
    source: str | Path,
    *,
    out: Path | None = None,
    emit: Listener = ignore,
    look: Callable[[Tables], object] | None = None,
) -> Tables:
    """The tables of a volume: scanned at a location, or loaded from a folder of ``scan --out``.

    Args:
        source: a location or a folder.
        out: folder to save them in; they are read back from there when they are asked for.
        emit: takes the progress and the findings of the scan.
        look: gets the tables as well, of a scan while the last of them are still being saved.

    Raises:
        LocationError, PartitionError, NotNtfsError, VolumeDamagedError: as ``open_volume`` and
            the scan.
        TableError: the folder's tables are damaged or of another version.
    """
    folder = Path(source)
    if str(source) and folder.is_dir():  # Path("") is the current folder
        if (folder / TABLES_MARK).is_file():
            tables = Tables.load(folder)
            if out is not None and out.resolve() != folder.resolve():
                tables.save(out)
            return _looked_at(tables, look)
        raise LocationError(
            f"{source} is a folder without the tables of a scan",
            hint="Name an image or block device, or a folder written by sbtk scan SRC --out DIR",
        )
    with open_volume(source, emit=emit) as volume:
        return _looked_at(volume.tables, look) if out is None else volume.scan_into(out, look)


def _looked_at(tables: Tables, look: Callable[[Tables], object] | None) -> Tables:
    if look is not None:
        look(tables)
    return tables
