"""What a scan found wrong: one row a record, told to the listener, and turned into a table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sbtk.events import Finding, Listener, ignore
from sbtk.ntfs.columns import arrow_table, short_text
from sbtk.ntfs.tables import FINDINGS

STATES = ("volume-dirty", "log-open", "log-damaged", "hibernated")
"""What a sound record says of the volume: these stand beside whatever is wrong with the record."""

_RANK = {"info": 0, "warning": 1, "error": 2}
_MAX_JOINED_CHARS = 400
_CHUNK_ROWS = 1 << 20  # their text stays below the 2 GiB that 32-bit offsets reach


class _Row(NamedTuple):
    """A row of the table, its columns in order; it becomes an event when it is told."""

    severity: str
    code: str
    record: int
    lcn: int
    message: str


class FindingList:
    """Collects findings; all that is wrong with one record becomes one row.

    The severest code stays, the first among equals, and the sentences are joined. What only follows
    from damage that has its row elsewhere is left out (``add_effect``, ``explain``).

    A finding that concerns no record is emitted as it comes, one that does by ``finish``, when its
    row is complete: up to a number, both together, that a person may read.
    """

    MAX_EMITTED = 100

    def __init__(self, emit: Listener = ignore) -> None:
        self._emit = emit
        self._emitted = 0
        self._rows: list[_Row] = []
        self._row_of: dict[int, int] = {}
        self._effects: list[_Row] = []
        self._told_at: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, severity: str, code: str, message: str, *, record: int = -1, lcn: int = -1
    ) -> None:
        """Keep one finding (``severity`` is ``info``, ``warning`` or ``error``)."""
        row = _Row(severity, code, record, lcn, message)
        place = self._row_of.get(record)
        if record < 0 or code in STATES:
            self._rows.append(row)
        elif place is None:
            self._row_of[record] = len(self._rows)
            self._rows.append(row)
        else:
            self._rows[place] = _join(self._rows[place], row)
        if record < 0:
            self._tell(row)

    def add_effect(self, severity: str, code: str, message: str, *, record: int) -> None:
        """Keep a finding that may follow from another: dropped if its record is explained."""
        self._effects.append(_Row(severity, code, record, -1, message))

    def explain(self, record: int, by: int) -> None:
        """The row of record ``by`` tells what is wrong with ``record``."""
        if by != record:
            self._told_at[record] = by

    def teller(self, record: int) -> int | None:
        """The record whose row tells of damage to ``record``; None if it has only a remark."""
        if record in self._told_at:
            return self._told_at[record]
        place = self._row_of.get(record)
        return None if place is None or self._rows[place].severity == "info" else record

    def finish(self) -> pa.Table:
        """Settle what follows from what, emit the rows, and hand over the ``findings`` table.

        Its rows are in the order in which they came.
        """
        for effect in self._effects:
            if effect.record not in self._told_at:
                self.add(effect.severity, effect.code, effect.message, record=effect.record)
        self._effects.clear()
        for row in self._rows:
            if self._emitted >= self.MAX_EMITTED:
                break
            if row.record >= 0:
                self._tell(row)
        rows = self._rows
        steps = [rows[first : first + _CHUNK_ROWS] for first in range(0, len(rows), _CHUNK_ROWS)]
        parts = [
            arrow_table(
                [
                    short_text(values) if pa.types.is_string(field.type) else np.array(values)
                    for field, values in zip(FINDINGS, zip(*step, strict=True), strict=True)
                ],
                FINDINGS,
            )
            for step in steps
        ]
        return pa.concat_tables(parts) if parts else pa.Table.from_batches([], schema=FINDINGS)

    def _tell(self, row: _Row) -> None:
        if self._emitted < self.MAX_EMITTED:
            self._emitted += 1
            self._emit(Finding(**row._asdict()))


def _join(one: _Row, other: _Row) -> _Row:
    """Both in one row; the sentences of a record do not grow without end."""
    first, second = one, other
    if _RANK[other.severity] > _RANK[one.severity]:
        first, second = other, one
    message = first.message
    if second.message not in message:
        if len(message) + len(second.message) <= _MAX_JOINED_CHARS:
            message += f"; {second.message}"
        elif not message.endswith("; and more"):
            message += "; and more"
    lcn = first.lcn if first.lcn >= 0 else second.lcn
    return first._replace(message=message, lcn=lcn)
