"""The one function that a job calls: flush, quiet window, snapshot, re-check, hand over, drop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbtk.device.location import open_transport, parse
from sbtk.errors import ActivitySourceError, SnapshotError, SourceChangedError
from sbtk.events import Event, FreezeStep, Listener, SnapshotStep, ignore
from sbtk.quiesce.activity import ActivitySource, activity_of
from sbtk.quiesce.flush import Flush, HookFlush, HostFlush, ScsiFlush
from sbtk.quiesce.freeze import frozen
from sbtk.quiesce.report import QuietReport
from sbtk.quiesce.termination import terminations_raise
from sbtk.quiesce.unit_counters import LogSenseSource, UnitSource
from sbtk.quiesce.wait import Clock, QuietWait
from sbtk.settings import settings
from sbtk.snapshot.base import Snapshot, SnapshotProvider, SnapshotRequest
from sbtk.snapshot.registry import AUTO, choose

if TYPE_CHECKING:
    from sbtk.device.base import BlockDevice
    from sbtk.mover.base import BlockUnit
    from sbtk.transport.base import Transport


class StaticView:
    """A source that stands still, for as long as the ``static_view`` block lasts.

    Attributes:
        location: where it can be read, for ``sbtk.device.location``.
        device: the view as a device of this process; None where ``location`` says it all.
        report: how it came about.
    """

    def __init__(self, snapshot: Snapshot, wait: QuietWait, report: QuietReport) -> None:
        self.location = snapshot.location
        self.device: BlockDevice | None = snapshot.device
        self.report = report
        self._snapshot = snapshot
        self._wait = wait

    def check(self) -> None:
        """Whether the view is still whole; called between command lists, and at the end.

        Raises:
            SourceChangedError: there is no snapshot and the source was written to.
            SnapshotFullError: the snapshot is lost.
        """
        self._snapshot.check()
        if self.report.watched and not self._wait.stands_still():
            raise SourceChangedError(
                f"{self.report.source} was written to while it was copied without a snapshot; what "
                "was copied is no set",
                hint="Stop its writers and start again, or use a snapshot",
            )


@contextlib.contextmanager
def static_view(
    source: str,
    *,
    provider: str = AUTO,
    quiet_s: float = 3.0,
    timeout_s: float = 80.0,
    activity: ActivitySource | None = None,
    flushes: Sequence[Flush] | None = None,
    hook: Sequence[str] = (),
    freeze: Sequence[str] = (),
    freeze_s: float = 10.0,
    unit: BlockUnit | None = None,
    transport: Transport | None = None,
    store: Path | None = None,
    cap_bytes: int = 0,
    options: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    emit: Listener = ignore,
) -> Iterator[StaticView]:
    """Wait for quiet, take a snapshot, make sure of it, and drop it at the end on every path.

    When the body ends without an error, the view is checked once more before it is dropped.

    Args:
        source: a location.
        provider: name of a snapshot provider; ``auto`` takes the one that fits.
        quiet_s: how long nothing may be written.
        timeout_s: within which time that has to come to pass.
        activity: the write counter; by default what fits ``unit``, ``transport`` or the path.
        flushes: what to flush; by default what fits the same.
        hook: a command to run once before the wait, as an argument list.
        freeze: mount points to freeze for the snapshot.
        freeze_s: how long they may stay frozen.
        unit: the mover's LUN that all writers come through.
        transport: a path to the logical unit, where the source is no path of this host; one is
            opened for the wait if it is left out.
        store: folder for what the snapshot keeps.
        cap_bytes: most that it may keep; 0 leaves it to the provider.
        options: options of the provider.
        clock: time; passed in by tests.
        emit: listener for samples, transitions, flushes and snapshots.

    Raises:
        QuietTimeoutError: it did not fall quiet in time.
        NoStaticViewError: no provider can make a static view of it.
        SourceChangedError: provider ``none``, and the source changed before the body ended.
    """
    place = parse(source)
    path = place.path if place.kind == "path" else ""
    request = SnapshotRequest(
        source, path, unit=unit, store=store, cap_bytes=cap_bytes, options=options or {}
    )
    maker = choose(request, provider)
    events = _HeldEvents(emit)
    with terminations_raise(), ExitStack() as opened:
        if place.kind in ("iscsi", "sg") and not (unit or activity or transport):
            transport = opened.enter_context(contextlib.closing(open_transport(place)))
        watched = activity or _activity(source, path, unit, transport)
        opened.callback(watched.close)
        chosen = [*([HookFlush(hook)] if hook else []), *_flushes(flushes, path, unit, transport)]
        wait = QuietWait(
            source,
            watched,
            flushes=chosen,
            quiet_s=quiet_s,
            timeout_s=timeout_s,
            clock=clock,
            emit=events,
        )
        taking = _Taking(maker, wait, tuple(freeze), freeze_s, store, events)
        snapshot = taking.take()
        with _dropped(snapshot, events):
            report = _report(taking, snapshot, watched, chosen)
            view = StaticView(snapshot, wait, report)
            yield view
            view.check()


class _HeldEvents:
    """A listener that can be held: while a file system is frozen, nobody may write a log."""

    def __init__(self, emit: Listener) -> None:
        self._emit = emit
        self._held: list[Event] | None = None

    def __call__(self, event: Event) -> None:
        if self._held is None:
            self._emit(event)
        else:
            self._held.append(event)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep events back until the end of the body."""
        self._held = []
        try:
            yield
        finally:
            kept, self._held = self._held, None
            for event in kept:
                self._emit(event)


@dataclass
class _Taking:
    """Takes snapshots until one holds."""

    maker: SnapshotProvider
    wait: QuietWait
    freeze: tuple[str, ...]
    freeze_s: float
    store: Path | None
    events: _HeldEvents
    calm_s: float = 0.0
    taken_s: float = 0.0

    def take(self) -> Snapshot:
        """Wait for quiet, make a snapshot, look again; drop it and go on where it is torn."""
        while True:
            self.wait.until_quiet()
            self.calm_s, self.taken_s = self.wait.window.calm_s, time.time()
            snapshot, holds = self._make()
            if holds:
                return snapshot
            snapshot.drop()

    def _make(self) -> tuple[Snapshot, bool]:
        snapshot: Snapshot | None = None
        try:
            with self._frozen():
                began_s = time.monotonic()
                snapshot = self.maker.create()
                self._tell("created", snapshot, time.monotonic() - began_s)
                holds = self.wait.confirm(flush=not self.freeze)
            self._tell("held" if holds else "torn", snapshot)
        except BaseException:
            if snapshot is not None:
                # What failed is what the caller must hear; the record keeps what stays behind.
                with contextlib.suppress(SnapshotError):
                    snapshot.drop()
            raise
        return snapshot, holds

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        if not self.freeze:
            yield
            return
        writes_to = (settings().state_dir, *((self.store,) if self.store else ()))
        began_s = time.monotonic()
        frozen_s = began_s
        with self.events.held():
            with ExitStack() as stack:
                for mount in self.freeze:
                    stack.enter_context(
                        frozen(mount, max_s=self.freeze_s, keep_off=tuple(writes_to))
                    )
                frozen_s = time.monotonic()
                self.wait.rebase()
                yield
            thawed_s = time.monotonic()
            for mount in self.freeze:
                self.events(FreezeStep(action="frozen", mount=mount, took_s=frozen_s - began_s))
                self.events(FreezeStep(action="thawed", mount=mount, took_s=thawed_s - frozen_s))

    def _tell(self, action: str, snapshot: Snapshot, took_s: float = 0.0) -> None:
        self.events(
            SnapshotStep(
                action=action,
                provider=snapshot.provider,
                location=snapshot.location,
                took_s=took_s,
            )
        )


@contextlib.contextmanager
def _dropped(snapshot: Snapshot, emit: Listener) -> Iterator[None]:
    """Drop the snapshot at the end; an error of the body is worth more than one of the drop."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(SnapshotError):
            _drop(snapshot, emit)
        raise
    _drop(snapshot, emit)


def _drop(snapshot: Snapshot, emit: Listener) -> None:
    began_s = time.monotonic()
    action = "left"
    try:
        snapshot.drop()
        action = "dropped"
    finally:
        emit(
            SnapshotStep(
                action=action,
                provider=snapshot.provider,
                location=snapshot.location,
                took_s=time.monotonic() - began_s,
            )
        )


def _activity(
    source: str, path: str, unit: BlockUnit | None, transport: Transport | None
) -> ActivitySource:
    if unit is not None:
        return UnitSource(unit)
    if transport is not None:
        return LogSenseSource(transport)
    if path:
        return activity_of(path)
    raise ActivitySourceError(
        f"nothing is known that counts the writes to {source}",
        hint="Name a file or block device, or open a transport to it",
    )


def _flushes(
    flushes: Sequence[Flush] | None,
    path: str,
    unit: BlockUnit | None,
    transport: Transport | None,
) -> Sequence[Flush]:
    if flushes is not None:
        return flushes
    if unit is not None:
        # Its counters move when a write is submitted: no cache above them is ours to flush.
        return ()
    if transport is not None:
        return (ScsiFlush(transport),)
    return (HostFlush(path),) if path else ()


def _report(
    taking: _Taking, snapshot: Snapshot, watched: ActivitySource, flushes: Sequence[Flush]
) -> QuietReport:
    window = taking.wait.window
    return QuietReport(
        source=taking.maker.request.source,
        provider=snapshot.provider,
        location=snapshot.location,
        activity=watched.name,
        granularity=watched.granularity,
        blind_to=watched.blind_to,
        flushes=tuple(flush.name for flush in flushes),
        flush_count=taking.wait.flush_count,
        quiet_s=window.quiet_s,
        timeout_s=window.timeout_s,
        calm_s=taking.calm_s,
        waited_s=window.waited_s,
        samples=window.samples,
        torn=window.torn,
        resets=window.resets,
        frozen=taking.freeze,
        watched=taking.maker.is_source,
        taken_s=taking.taken_s,
    )
