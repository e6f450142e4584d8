"""Provider ``none``: the source stands still by itself, and is watched until the copy has ended."""

from __future__ import annotations

from typing import ClassVar

from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.commands import Runner
from sbtk.snapshot.records import Record


class NoSnapshot(SnapshotProvider):
    """No snapshot: the view is the source. Any change until the end of the copy fails the set."""

    name: ClassVar[str] = "none"
    is_source: ClassVar[bool] = True

    def check(self) -> None:
        """Always possible."""

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """Nothing is made."""
        del snapshot_id
        return {}

    def make(self, record: Record) -> Snapshot:
        """The source itself."""
        return Snapshot(self, record, self.request.source)

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Nothing was made."""
