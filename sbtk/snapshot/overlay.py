"""Provider ``overlay``: copy-before-write inside the mover's block LUN, on any file system."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sbtk.errors import NoStaticViewError, SnapshotError
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.snapshot import find_leftovers
from sbtk.settings import settings
from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.commands import Runner
from sbtk.snapshot.records import Record

_MARK = ".sbtk-overlay-"


class OverlayProvider(SnapshotProvider):
    """A snapshot of a LUN whose writers all come through the mover of this process.

    Each snapshot has a folder of its own in the store. When its file reaches the cap, the
    snapshot fails and the job with it; writers never do.
    """

    name: ClassVar[str] = "overlay"

    def check(self) -> None:
        """There has to be a LUN of ours that is written to."""
        if not isinstance(self.request.unit, BlockLun):
            raise NoStaticViewError(
                f"there is no static view of {self.request.source} to be had by overlay: its "
                "writers do not come through the mover of this process",
                hint="Serve it with `sbtk san serve` and use --snapshot san, or take another",
            )
        if not self._store().is_dir():
            raise SnapshotError(
                f"{self._store()} is no folder that could hold an overlay",
                hint="Name one that exists and has space",
            )

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """The snapshot's own folder."""
        return {"folder": str(self._store() / f"{_MARK}{snapshot_id}")}

    def make(self, record: Record) -> Snapshot:
        """Put the overlay into the LUN's write path."""
        unit = self.request.unit
        if not isinstance(unit, BlockLun):
            raise SnapshotError(f"{self.request.source} is no LUN of this mover")
        folder = Path(record.text("folder"))
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise SnapshotError(
                f"no overlay can be made in {folder.parent}: {error.strerror}"
            ) from error
        overlay = unit.create_overlay(folder, cap_bytes=self.request.cap_bytes or None)
        location = f"overlay of {self.request.source}"
        return Snapshot(self, record, location, device=overlay, check=overlay.check)

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Delete the overlay's file and folder; the LUN needs nothing of them."""
        del run
        folder = Path(record.text("folder"))
        if folder.name != _MARK + record.id:
            raise SnapshotError(f"record {record.id} names {folder}, which is no overlay of sbtk")
        for left in find_leftovers(folder):
            left.remove()
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise SnapshotError(f"the overlay in {folder} is still in use") from error

    def _store(self) -> Path:
        if self.request.store is not None:
            return self.request.store
        beside = Path(self.request.path).parent if self.request.path else settings().state_dir
        return beside if beside.is_dir() else settings().state_dir
