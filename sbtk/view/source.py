"""What a notebook looks at: a volume, a sample by its name, or the tables of a scan."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from sbtk import samples
from sbtk.events import Listener, ignore
from sbtk.extents.fragmentation import Fragmentation
from sbtk.extents.map import ExtentMap
from sbtk.ntfs.tables import Tables
from sbtk.view.live import LiveLine
from sbtk.volume import TABLES_MARK, Volume, open_volume, read_tables


def locate(source: str) -> str:
    """A location; the name of a sample (``office.ntfs``) becomes the path of its image."""
    if source in samples.names():
        return str(samples.unpack(source))
    return source


class Source:
    """Tables and everything made of them, each made once.

    Attributes:
        location: what was opened.
        tables: of the scan.
        volume: for content; None where only tables were given.
    """

    def __init__(self, location: str, tables: Tables, volume: Volume | None) -> None:
        self.location = location
        self.tables = tables
        self.volume = volume

    @cached_property
    def extents(self) -> ExtentMap:
        """Who owns a cluster."""
        return ExtentMap.from_tables(self.tables)

    @cached_property
    def fragmentation(self) -> Fragmentation:
        """How fragmented files and volume are."""
        return self.extents.fragmentation()


def open_source(source: str, *, emit: Listener = ignore) -> Source:
    """Open and scan what ``source`` names; the progress of a long scan is shown.

    Args:
        source: a location, a sample's name, or a folder of ``sbtk scan --out``.
        emit: takes the events of the scan too.

    Raises:
        SbtkError: as ``sbtk.open_volume`` and ``sbtk.read_tables``.
    """
    location = locate(source)
    with LiveLine(emit) as line:
        if (Path(location) / TABLES_MARK).is_file():
            return Source(location, read_tables(location, emit=line), None)
        volume = open_volume(location, emit=line)
        return Source(location, volume.tables, volume)
