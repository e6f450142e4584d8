"""A set to read from: found in the catalog, held against its medium, readable as a device."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sbtk.archive.manifest import Manifest
from sbtk.device.base import DeviceBase, check_range
from sbtk.device.location import find_ntfs
from sbtk.errors import ArchiveError, DeviceReadError, TargetError
from sbtk.events import Listener, ignore
from sbtk.jobs.label import read_label
from sbtk.jobs.medium import Place, read_set_id
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.model import SOURCE, Target
from sbtk.plan.setmap import SetMap, from_parquet, record_at, record_runs
from sbtk.volume import Volume

if TYPE_CHECKING:
    from sbtk.catalog.store import SetRecord
    from sbtk.ntfs.tables import Tables

_HELD_BYTES = 64 << 20  # records of a tape that are kept while a set is read as a device


@dataclass
class KnownSet:
    """A set as the catalog knows it.

    Attributes:
        record: the catalog's entry.
        manifest: what it says of itself.
        rows: its map.
        facts: what its closing member says beside it.
        content: the closing member as it must lie on the medium.
        known_tables: tables of the volume, where the catalog has them.
    """

    record: SetRecord
    manifest: Manifest
    rows: SetMap
    facts: dict[str, str]
    content: bytes = field(repr=False)
    known_tables: Tables | None = field(default=None, repr=False)

    @property
    def place(self) -> Place:
        """Where it begins on its medium."""
        record = self.record
        return Place(record.start_bytes, record.first_object, record.file_number)

    def target(self, unit: Disk | Tape) -> Target:
        """Its place, for plans that read it."""
        if isinstance(unit, Tape):
            record = int(self.manifest.medium.get("record_bytes", 0))
            return Target("tape", block_bytes=1, record_bytes=record)
        return Target("disk", block_bytes=unit.block_bytes, start_bytes=self.record.start_bytes,
                      capacity_bytes=unit.size_bytes)  # fmt: skip

    def require_medium(self, unit: Disk | Tape, *, readable: bool = True) -> None:
        """Refuse a medium that does not hold this set where the catalog says.

        Args:
            unit: the medium.
            readable: the set's first member must be readable, too; a verify does without.

        Raises:
            ArchiveError: it is another one, or the set is gone.
            TargetError: a tape that sbtk did not label.
        """
        record = self.record
        if self.manifest.layout == "mirror":
            return
        if isinstance(unit, Tape):
            label = read_label(unit)
            if record.medium_label and (label is None or label.cartridge_id != record.medium_label):
                found = "a blank one" if label is None else f"cartridge {label.cartridge_id}"
                raise ArchiveError(
                    f"wrong tape: set {record.set_id} is on cartridge {record.medium_label}, and "
                    f"{unit.name} is {found}",
                    hint="Load the right one, or name it: --from LOCATION",
                )
        found_id = read_set_id(unit, self.place)
        if found_id != record.set_id and (readable or found_id):
            what = f"set {found_id}" if found_id else "no set that can be read"
            raise ArchiveError(
                f"{unit.name} holds {what} where set {record.set_id} should begin",
                hint="sbtk sets LOCATION lists what is on it; sbtk catalog rebuild LOCATION "
                "corrects the catalog",
            )

    def open_volume(self, unit: Disk | Tape, emit: Listener = ignore) -> Volume:
        """The volume in the set, read through this host: metadata, or what is extracted."""
        device = SetDevice(self, unit)
        start = self.manifest.geometry.volume_start_bytes
        if start or self.manifest.partition_table:
            from sbtk.device.location import OpenedVolume
            from sbtk.device.partition import PartitionView

            size = self.manifest.geometry.volume_bytes
            view = PartitionView(device, start, size)
            return Volume(OpenedVolume(self.record.set_id, view, device, None), emit=emit)
        return Volume(find_ntfs(self.record.set_id, device), emit=emit)

    def tables(self, unit: Disk | Tape, emit: Listener = ignore) -> Tables:
        """Tables of its volume: the catalog's, or read from the set."""
        if self.known_tables is None:
            self.known_tables = self.open_volume(unit, emit).tables
        return self.known_tables


def find_set(name: str) -> KnownSet:
    """A set by its id, the beginning of it, or ``last``.

    Raises:
        CatalogError: the catalog does not know it.
    """
    from sbtk.catalog.store import Catalog

    with Catalog.open() as catalog:
        record = catalog.find_set(name)
        content = catalog.digests(record.set_id)
        tables = catalog.tables(record.set_id)
    rows, facts = from_parquet(content)
    return KnownSet(record, Manifest.from_bytes(record.manifest), rows, facts, content, tables)


class SetDevice(DeviceBase):
    """The LUN that a set holds, as a device: what the set does not carry reads as zeros.

    Attributes:
        read_bytes: bytes read from the medium.
    """

    def __init__(self, known: KnownSet, unit: Disk | Tape) -> None:
        own = known.rows.kind == SOURCE
        order = np.argsort(known.rows.lun_start_bytes[own], kind="stable")
        self._lun = known.rows.lun_start_bytes[own][order]
        self._length = known.rows.length_bytes[own][order]
        self._archive = known.rows.archive_start_bytes[own][order]
        self._known, self._unit = known, unit
        self._lock = threading.Lock()
        self._held: dict[int, bytes] = {}  # records by number
        self._held_bytes = 0
        self._next = -1  # the record that the drive stands before
        self.read_bytes = 0

    @property
    def name(self) -> str:
        """The set's id."""
        return self._known.record.set_id

    @property
    def size_bytes(self) -> int:
        """Of the LUN that was backed up."""
        return self._known.manifest.geometry.lun_bytes

    @property
    def block_bytes(self) -> int:
        """Of the LUN that was backed up."""
        return self._known.manifest.geometry.block_bytes

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """See ``BlockDevice.read_into``."""
        view = buffer.cast("B")
        check_range(self, offset_bytes, len(view))
        view[:] = bytes(len(view))
        end = offset_bytes + len(view)
        row = max(int(np.searchsorted(self._lun, offset_bytes, side="right")) - 1, 0)
        while row < self._lun.size and int(self._lun[row]) < end:
            low = max(offset_bytes, int(self._lun[row]))
            high = min(end, int(self._lun[row] + self._length[row]))
            if low < high:
                at = int(self._archive[row]) + low - int(self._lun[row])
                view[low - offset_bytes : high - offset_bytes] = self._stored(at, high - low)
            row += 1

    def _stored(self, archive_bytes: int, length_bytes: int) -> bytes:
        self.read_bytes += length_bytes
        if isinstance(self._unit, Disk):
            at = archive_bytes + self._known.record.start_bytes
            data = self._unit.read(at, length_bytes)
        else:
            with self._lock:
                data = self._records(self._unit, archive_bytes, length_bytes)
        if len(data) != length_bytes:
            raise DeviceReadError(f"set {self.name} ends before its map does")
        return data

    @cached_property
    def _runs(self):  # type: ignore[no-untyped-def]
        return record_runs(self._known.rows)

    def _records(self, tape: Tape, archive_bytes: int, length_bytes: int) -> bytes:
        out = bytearray()
        while len(out) < length_bytes:
            at = archive_bytes + len(out)
            number, start, record_bytes = record_at(self._runs, at)
            data = self._record(tape, number, record_bytes)
            piece = data[at - start : at - start + length_bytes - len(out)]
            if not piece:
                break
            out += piece
        return bytes(out)

    def _record(self, tape: Tape, number: int, record_bytes: int) -> bytes:
        """One record; a fragmented file comes back to the same ones, and a drive is slow to."""
        data = self._held.pop(number, None)
        if data is None:
            if number != self._next:
                tape.locate(self._known.record.first_object + number)
            data = tape.read_record(record_bytes) or b""
            self._next = number + 1
            self._held_bytes += len(data)
        self._held[number] = data  # the latest last
        while self._held_bytes > _HELD_BYTES and len(self._held) > 1:
            self._held_bytes -= len(self._held.pop(next(iter(self._held))))
        return data

    def close(self) -> None:
        """The unit is the job's."""


def require_disk(unit: Disk | Tape, location: str) -> Disk:
    """A disk, where one is needed.

    Raises:
        TargetError: it is a tape.
    """
    if not isinstance(unit, Disk):
        raise TargetError(f"{location} is no disk", hint="A volume is restored to a disk")
    return unit
