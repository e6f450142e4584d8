"""One run of a job: its name and folder, its events on disk, its figures, its end on record."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import sbtk
from sbtk.errors import CancelledError, JobError, SbtkError
from sbtk.events import (
    Event,
    Listener,
    PlanMade,
    Progress,
    QuietSample,
    RunStart,
    RunStop,
    StageDone,
    ignore,
)
from sbtk.jobs.control import Control
from sbtk.quiesce.termination import terminations_raise
from sbtk.settings import settings

EVENTS_NAME = "events.jsonl"


@dataclass
class Figures:
    """What a run has done so far; ``run_stop`` says it.

    Attributes: as those of ``RunStop``.
    """

    copied_s: float = 0.0
    predicted_s: float = 0.0
    commands: int = 0
    moved_bytes: int = 0
    metadata_bytes: int = 0
    command_bytes: int = 0
    inline_bytes: int = 0
    host_data_bytes: int = 0
    mover_read_bytes: int = 0
    mover_write_bytes: int = 0


@dataclass
class Run:
    """A run that is under way.

    Attributes:
        run_id: its name.
        verb: what it does.
        folder: where its events and its journal are.
        source, target: as in ``run_start``.
        control: cancels and pauses it.
        figures: what it has done.
        set_id: of the set that it writes or reads, once that is known.
        flawed: it goes to its end and has findings.
        stop: its last event, once it has ended.
    """

    run_id: str
    verb: str
    folder: Path
    source: str
    target: str
    control: Control
    listener: Listener
    figures: Figures = field(default_factory=Figures)
    set_id: str = ""
    flawed: bool = False
    started_s: float = field(default_factory=time.time)
    stop: RunStop | None = None
    _events: TextIO | None = None

    def close(self) -> None:
        """Close the file of its events."""
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.close()
            self._events = None

    def emit(self, event: Event) -> None:
        """Write an event to the run's folder and pass it on; ends a wait that was cancelled.

        Raises:
            CancelledError: the run was cancelled while it waited or scanned.
            JobError: the run's folder cannot be written to.
        """
        if not isinstance(event, Progress):
            self._write(event)
        if isinstance(event, PlanMade):
            self.figures.predicted_s = event.predicted_s
        self.listener(event)
        if isinstance(event, (Progress, QuietSample)):
            self.control.check()

    def _write(self, event: Event) -> None:
        try:
            if self._events is None:
                self._events = (self.folder / EVENTS_NAME).open(
                    "a", encoding="utf-8", errors="surrogatepass", buffering=1
                )
            self._events.write(event.to_json() + "\n")
        except OSError as error:
            if isinstance(event, RunStop):
                return  # the end of a run is told to its listener and the catalog all the same
            raise JobError(
                f"the events of the run cannot be written in {self.folder}: "
                f"{error.strerror or error}",
                hint="Make room there, or set SBTK_STATE_DIR to another folder",
            ) from error

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage and tell it when it has ended well."""
        began_s = time.monotonic()
        yield
        self.emit(StageDone(stage=name, took_s=time.monotonic() - began_s))


@contextlib.contextmanager
def run_of(
    verb: str,
    source: str,
    target: str,
    options: dict[str, Any],
    *,
    control: Control | None = None,
    emit: Listener = ignore,
    run_id: str = "",
) -> Iterator[Run]:
    """Begin a run and end it on record, however its body ends: by Ctrl-C or SIGTERM too.

    Args:
        verb: what it does.
        source: what is read.
        target: what is written to.
        options: what was asked for.
        control: cancels and pauses it.
        emit: listener for its events.
        run_id: of a run that goes on; a new name if empty.

    Raises:
        JobError: the state folder cannot be written.
    """
    name = run_id or f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    folder = settings().state_dir / "runs" / name
    try:
        folder.mkdir(parents=True, exist_ok=bool(run_id))
    except OSError as error:
        raise JobError(
            f"the folder of the run cannot be made in {folder.parent}: {error.strerror}",
            hint="Set SBTK_STATE_DIR to a folder that can be written",
        ) from error
    lock = _lock(folder)
    run = Run(name, verb, folder, source, target, control or Control(), emit)
    versions = {"sbtk": sbtk.__version__, "python": platform.python_version()}
    try:
        with terminations_raise():
            run.emit(
                RunStart(run_id=name, verb=verb, source=source, target=target,
                         options={**options, "versions": versions})
            )  # fmt: skip
            _record(run, "running")
            yield run
    except BaseException as error:
        _end(run, error)
        raise
    else:
        _end(run, None)
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Keep other processes from the run while it lives.

    Raises:
        JobError: another one has it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise JobError(f"run {folder.name} is under way", hint="Wait until it has ended") from error
    return descriptor


def _end(run: Run, error: BaseException | None) -> None:
    status, code, message = "done", 0, ""
    if run.flawed:
        status, code = "flawed", 1
    if error is not None:
        cancelled = isinstance(error, (CancelledError, KeyboardInterrupt))
        status = "cancelled" if cancelled else "failed"
        code = error.exit_code if isinstance(error, SbtkError) else 3 if cancelled else 10
        message = error.line if isinstance(error, SbtkError) else repr(error)
    run.stop = RunStop(
        run_id=run.run_id,
        verb=run.verb,
        status=status,
        exit_code=code,
        message=message,
        set_id=run.set_id,
        took_s=time.time() - run.started_s,
        **vars(run.figures),
    )
    run.emit(run.stop)
    run.close()
    _record(run, status)


def _record(run: Run, status: str) -> None:
    """Put the run into the catalog; a catalog that fails ends no run that went well."""
    from sbtk.catalog.store import Catalog, RunRecord

    stop = run.stop
    record = RunRecord(
        run_id=run.run_id,
        verb=run.verb,
        status=status,
        started_s=run.started_s,
        ended_s=run.started_s + stop.took_s if stop else 0.0,
        source=absolute(run.source) if run.verb == "backup" else run.source,
        target=absolute(run.target),
        set_id=run.set_id,
        exit_code=stop.exit_code if stop else 0,
        message=stop.message if stop else "",
        folder=str(run.folder.resolve()),
    )
    try:
        with Catalog.open() as catalog:
            catalog.record_run(record)
    except SbtkError as error:
        sys.stderr.write(f"sbtk: the run is not in the catalog: {error.line}\n")


def boot_id() -> str:
    """Which boot of this machine it is; what a run wrote before another one may be lost."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def absolute(location: str) -> str:
    """A location that means the same from every folder."""
    from sbtk.device.location import parse
    from sbtk.errors import LocationError

    try:
        place = parse(location)
    except LocationError:
        return location
    if place.kind not in ("path", "tape") or not location:
        return location
    return str(type(place)(place.kind, str(Path(place.path).resolve()), partition=place.partition))
