"""What a damaged volume's tables have in common with those of the healthy one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from sbtk.ntfs.scan import scan
from sbtk.ntfs.tables import Tables
from tests.hostile.surgery import Patient
from tests.oracles.views import inodes

FIRST_USER_RECORD = 64


@dataclass(frozen=True)
class Healthy:
    """A volume in memory, its tables, and its records by kind."""

    patient: Patient
    tables: Tables
    leaves: list[int]  # files without extensions
    folders: list[int]
    extensions: dict[int, int]  # of streams and names: to their base record

    def children(self, record: int) -> list[int]:
        """Records that have a name in this folder."""
        inside = pc.equal(self.tables.names["parent"], pa.scalar(record, pa.uint64()))
        found: list[int] = self.tables.names["record"].filter(inside).to_pylist()
        return found

    def is_folder(self, record: int) -> bool:
        """Whether a base record in use is a folder."""
        row = pc.index(self.tables.files["record"], pa.scalar(record, pa.uint64())).as_py()
        return bool(self.tables.files["is_directory"][row].as_py())


@cache
def healthy(name: str) -> Healthy:
    """The volume of that name, scanned once a process."""
    patient = Patient(name)
    found = inodes(name)
    used = [n for n in found if n >= FIRST_USER_RECORD]
    return Healthy(
        patient=patient,
        tables=scan(patient.device, source="x", threads=1),
        leaves=[n for n in used if not found[n].is_directory and not found[n].extensions],
        folders=[n for n in used if found[n].is_directory and not found[n].extensions],
        extensions={
            extension: n
            for n in used
            for extension in found[n].extensions - {n}
        },
    )  # fmt: skip


def scan_with(name: str, record: int, damage: Callable[[bytearray], None]) -> Tables:
    """Tables of the volume with one record damaged; the patient is healed."""
    patient = healthy(name).patient
    raw = patient.raw(record)
    damage(raw)
    patient.put_raw(record, raw)
    try:
        return scan(patient.device, source="x", threads=1)
    finally:
        patient.heal()


def scanned(patient: Patient) -> Tables:
    """Tables of the volume as it is."""
    return scan(patient.device, source="x", threads=1)


def without(table: pa.Table, records: set[int]) -> pa.Table:
    """Rows of a table that belong to no record of a set."""
    keep = pc.invert(pc.is_in(table["record"], pa.array(sorted(records), pa.uint64())))
    return plain(table).filter(keep)


def plain(table: pa.Table) -> pa.Table:
    """A table whose text is not encoded: equal text may lie in dictionaries that differ."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            text = table.column(place).cast(field.type.value_type)
            table = table.set_column(place, field.name, text)
    return table


def assert_others_unchanged(
    tables: Tables, name: str, records: set[int], *, paths: bool = True
) -> None:
    """All rows that belong to no record of a set are those of the healthy volume."""
    before = healthy(name).tables
    for table in ("files", "names", "streams", "extents"):
        ours, theirs = (without(getattr(t, table), records) for t in (tables, before))
        columns = [c for c in ours.column_names if c != "stream" and (paths or c != "path")]
        assert ours.select(columns).equals(theirs.select(columns)), table
