"""The catalog made again from a medium alone: its manifests, its maps, its digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sbtk.catalog.records import COMPLETE, FLAWED, LAST, SetRecord
from sbtk.catalog.store import Catalog
from sbtk.errors import ArchiveError, CatalogError
from sbtk.events import Listener, ignore
from sbtk.jobs.label import read_label
from sbtk.jobs.medium import FoundSet, find_sets
from sbtk.jobs.session import open_medium, without_partition
from sbtk.jobs.units import Tape
from sbtk.plan.model import INLINE
from sbtk.plan.setmap import SetMap

UNREADABLE_FACT = "unreadable"  # of the closing member: what of the source are zeros in the set


@dataclass(frozen=True)
class OnMedium:
    """A set that was found on a medium.

    Attributes:
        record: the row that the catalog has, or would have.
        damage: why it cannot be restored from; empty where it can.
        known: the catalog had it before.
    """

    record: SetRecord
    damage: str = ""
    known: bool = False


def read_medium(location: str, catalog: Catalog, emit: Listener = ignore) -> list[OnMedium]:
    """The sets on a medium, unfinished ones with their damage; nothing is written.

    Args:
        location: of the medium.
        catalog: tells which of them it has.
        emit: takes progress.

    Raises:
        SbtkError: the medium cannot be read, or is none of ours.
    """
    return [entry for _, entry in _read(location, catalog, emit)]


def rebuild(location: str, catalog: Catalog, emit: Listener = ignore) -> list[OnMedium]:
    """Put every whole set on a medium into the catalog, from the medium alone.

    The tables of a set that the catalog has already are kept.

    Args:
        location: of the medium.
        catalog: takes the sets.
        emit: takes progress.

    Raises:
        SbtkError: the medium cannot be read, or is none of ours.
        CatalogError: the catalog cannot be written.
    """
    entries = []
    for found, entry in _read(location, catalog, emit):
        entries.append(entry)
        if entry.damage:
            continue
        if entry.known and _has_same_digests(catalog, entry.record.set_id, found.digests):
            catalog.update_set(entry.record)
        else:
            catalog.record_set(entry.record, found.digests)
    return entries


def _has_same_digests(catalog: Catalog, set_id: str, digests: bytes) -> bool:
    try:
        return catalog.digests(set_id) == digests
    except CatalogError:
        return False  # its files are missing: they are made again


def _read(location: str, catalog: Catalog, emit: Listener) -> Iterator[tuple[FoundSet, OnMedium]]:
    place = without_partition(location)
    with open_medium(place) as unit:
        label = read_label(unit) if isinstance(unit, Tape) else None
        found_sets = find_sets(unit, emit)
    medium = "tape" if label else "disk"
    for found in found_sets:
        yield found, _entry(found, catalog, medium, place, label.cartridge_id if label else "")


def _entry(
    found: FoundSet, catalog: Catalog, medium: str, location: str, medium_label: str
) -> OnMedium:
    damage = found.damage
    rows: SetMap | None = None
    facts: dict[str, str] = {}
    if not damage:
        try:
            rows, facts = found.rows()
        except ArchiveError as error:
            damage = str(error)
    manifest, place = found.manifest, found.place
    notes, volume = _values(manifest.notes), _values(manifest.volume)
    record = SetRecord(
        set_id=manifest.set_id,
        run_id=str(notes.get("run_id", "")),
        created=manifest.created,
        status=FLAWED if facts.get(UNREADABLE_FACT, "[]") != "[]" else COMPLETE,
        source=str(notes.get("source", "")),
        layout=manifest.layout,
        volume_serial=str(volume.get("serial", "")),
        volume_label=str(volume.get("label", "")),
        medium=medium,
        location=location,
        medium_label=medium_label,
        start_bytes=place.start_bytes,
        first_object=place.first_object,
        file_number=place.file_number,
        archive_bytes=rows.end_bytes if rows else 0,
        moved_bytes=_moved_bytes(rows) if rows else 0,
        has_digests=bool(rows and rows.has_digest is not None and rows.has_digest.any()),
        manifest=found.manifest_bytes,
    )
    return OnMedium(record, damage, _is_known(catalog, manifest.set_id))


def _values(part: object) -> dict[str, object]:
    """A part of a manifest that may have been made up."""
    return part if isinstance(part, dict) else {}


def _moved_bytes(rows: SetMap) -> int:
    return int(rows.length_bytes[rows.kind != INLINE].sum())


def _is_known(catalog: Catalog, set_id: str) -> bool:
    if not set_id or set_id == LAST:
        return False
    try:
        return catalog.find_set(set_id).set_id == set_id
    except CatalogError:
        return False
