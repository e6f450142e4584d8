"""What a scan found wrong, gathered in order, told to the listener, and turned into a table."""

from __future__ import annotations

import pyarrow as pa

from sbtk.events import Finding, Listener, ignore
from sbtk.ntfs.tables import FINDINGS


class FindingList:
    """Collects findings; each is emitted as it comes, up to a number that a person may read."""

    MAX_EMITTED = 100

    def __init__(self, emit: Listener = ignore) -> None:
        self._emit = emit
        self._rows: list[Finding] = []
        self._records: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, severity: str, code: str, message: str, *, record: int = -1, lcn: int = -1
    ) -> None:
        """Keep one finding (``severity`` is ``info``, ``warning`` or ``error``)."""
        finding = Finding(severity=severity, code=code, record=record, lcn=lcn, message=message)
        self._rows.append(finding)
        self._records.add(record)
        if len(self._rows) <= self.MAX_EMITTED:
            self._emit(finding)

    def has_record(self, record: int) -> bool:
        """Whether something was found wrong with this record before."""
        return record in self._records

    def table(self) -> pa.Table:
        """The ``findings`` table, in the order in which they came."""
        if not self._rows:
            return FINDINGS.empty_table()
        columns = [[getattr(row, field.name) for row in self._rows] for field in FINDINGS]
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, FINDINGS, strict=True)],
            schema=FINDINGS,
        )
