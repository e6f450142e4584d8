"""The face of snapshot providers, and what all of them share: records, dropping, cleaning."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from sbtk.errors import SnapshotError
from sbtk.snapshot import records
from sbtk.snapshot.commands import Runner, run_command
from sbtk.snapshot.records import Record

if TYPE_CHECKING:
    from sbtk.device.base import BlockDevice
    from sbtk.mover.base import BlockUnit

DEFAULT_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class SnapshotRequest:
    """What a snapshot is wanted of, and what it may use.

    Attributes:
        source: the location, as the user wrote it.
        path: of the file or block device in it; empty where the location is no path.
        unit: the mover's block LUN that all writers come through; None where there is none.
        store: folder for what the snapshot has to keep; None leaves it to the provider.
        cap_bytes: most bytes it may keep; 0 leaves it to the provider.
        options: strings of the provider's own: command templates, names.
        timeout_s: how long one command of the provider may run.
        run: runs the provider's commands.
    """

    source: str
    path: str = ""
    unit: BlockUnit | None = None
    store: Path | None = None
    cap_bytes: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = DEFAULT_TIMEOUT_S
    run: Runner = run_command


def _nothing() -> None:
    """The check of a view that cannot be lost."""


class Snapshot:
    """A static view that exists; a context manager that drops it.

    Attributes:
        provider: name of the provider that made it.
        location: where the static view can be read.
        device: the view as a device of this process, where it is no location (overlay).
    """

    def __init__(
        self,
        provider: SnapshotProvider,
        record: Record,
        location: str,
        *,
        device: BlockDevice | None = None,
        check: Callable[[], None] = _nothing,
    ) -> None:
        self.provider = provider.name
        self.location = location
        self.device = device
        self._maker = provider
        self._check = check
        self._record: Record | None = record

    def check(self) -> None:
        """Whether the view is still whole; called while it is being copied.

        Raises:
            SnapshotFullError: its store is full, or the view is lost for another reason.
        """
        if self._record is not None:
            self._check()

    def drop(self) -> None:
        """Remove the snapshot and its record; safe to call twice.

        Raises:
            SnapshotError: it cannot be removed; its record stays, so that it is found later.
        """
        if self._record is None:
            return
        if self.device is not None:
            self.device.close()
        self._maker.remove(self._record, self._maker.request.run)
        records.forget(self._record)
        self._record = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()


class SnapshotProvider(ABC):
    """Makes snapshots of one kind. Built-in ones and entry points ``sbtk.snapshot_providers``.

    A provider plans its snapshot (``plan``: names and paths, nothing made), the plan is put on
    record, then it is made. ``remove`` undoes a plan however far its making came.
    """

    name: ClassVar[str]
    is_source: ClassVar[bool] = False
    """Whether the source itself is copied, so that its write counter is watched to the end."""

    def __init__(self, request: SnapshotRequest) -> None:
        self.request = request

    @abstractmethod
    def check(self) -> None:
        """Find out before the wait whether a snapshot can be had; makes nothing that stays.

        Raises:
            NoStaticViewError: it cannot, with what to do instead.
        """

    @abstractmethod
    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """The details of a record: all that ``make`` and ``remove`` need."""

    @abstractmethod
    def make(self, record: Record) -> Snapshot:
        """Make the snapshot that the record plans.

        Raises:
            SnapshotError: it cannot be made; ``remove`` is called by ``create``.
        """

    @classmethod
    @abstractmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Remove what the record plans, whether it was made, half made or is gone already.

        Raises:
            SnapshotError: it exists and cannot be removed.
        """

    @classmethod
    def adopt(cls, record: Record) -> Callable[[], None]:  # noqa: ARG003 - for those that need it
        """Take over a snapshot whose run was killed, for the run that goes on with it.

        Returns:
            What finds out whether it is still whole, called while it is being copied.

        Raises:
            SnapshotError: it is gone.
        """
        return _nothing

    def create(self) -> Snapshot:
        """Plan, put on record (unless nothing is made), make; whatever fails is undone."""
        snapshot_id = records.new_id()
        record = Record(snapshot_id, self.name, self.request.source, self.plan(snapshot_id))
        if not self.is_source:
            records.write(record)
        try:
            return self.make(record)
        except BaseException:
            # Where even that fails the record stays, and `sbtk snapshot list` shows it.
            with contextlib.suppress(SnapshotError):
                self.remove(record, self.request.run)
                records.forget(record)
            raise
