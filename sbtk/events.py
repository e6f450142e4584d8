"""What a running piece of work tells: events, one JSON line each, with any number of listeners.

Every event is a frozen dataclass; ``kind`` is its name on the wire and ``to_json`` its line. The
terminal's bar, a notebook's widget, a runbook's log, the journal and the audit are all listeners
of the same stream. docs/events.md lists every kind with its fields (a test compares the two).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        time_s: seconds since the epoch when it happened.
    """

    kind: ClassVar[str] = "event"
    time_s: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        """The event as plain values, ``event`` (its kind) first."""
        return {"event": self.kind, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """The event as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, default=str, separators=(",", ":"))


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that listens to nothing; the default of everything that emits."""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far a piece of work has come.

    Attributes:
        stage: what is being done, a short phrase for people.
        done: units finished.
        total: units in all; 0 when unknown.
        unit: ``"bytes"``, ``"records"``, ``"commands"``, ...
    """

    kind: ClassVar[str] = "progress"
    stage: str
    done: int
    total: int
    unit: str = "bytes"


@dataclass(frozen=True, kw_only=True)
class Finding(Event):
    """Something that a check found; the same columns as the ``findings`` table.

    Attributes:
        severity: ``"info"``, ``"warning"`` or ``"error"``.
        code: a stable word for programs, such as ``"mirror-differs"``.
        record: $MFT record number, -1 where none is meant.
        lcn: first cluster concerned, -1 where none is meant.
        message: one sentence for people.
    """

    kind: ClassVar[str] = "finding"
    severity: str
    code: str
    record: int = -1
    lcn: int = -1
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class QuietSample(Event):
    """One look at a write counter while a job waits for quiet, so that the wait can be drawn.

    Attributes:
        source: what is watched and how.
        state: of the quiet window after this sample.
        counter: opaque numbers; they differ from those before where something was written.
        in_flight: writes begun and not ended.
        calm_s: for how long nothing has been written.
        quiet_s: how long it has to be.
        waited_s: since the wait began.
        timeout_s: when it fails.
    """

    kind: ClassVar[str] = "quiet"
    source: str
    state: str
    counter: tuple[int, ...]
    in_flight: int
    calm_s: float
    quiet_s: float
    waited_s: float
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class QuietTransition(Event):
    """The quiet window went from one state to another.

    Attributes:
        source: what is watched and how.
        old: state before: ``"new"``, ``"calm"``, ``"busy"``, ``"quiet"``, ``"taken"``.
        new: state now; ``"held"`` and ``"timed_out"`` are the two ends.
        waited_s: since the wait began.
    """

    kind: ClassVar[str] = "quiet_state"
    source: str
    old: str
    new: str
    waited_s: float


@dataclass(frozen=True, kw_only=True)
class Flushed(Event):
    """Caches were flushed, or could be seen to be clean.

    Attributes:
        target: what was flushed.
        took_s: how long it took.
    """

    kind: ClassVar[str] = "flush"
    target: str
    took_s: float


@dataclass(frozen=True, kw_only=True)
class SnapshotStep(Event):
    """Something happened to a snapshot.

    Attributes:
        action: ``"created"``, ``"torn"`` (written to meanwhile: dropped), ``"held"`` (the counter
            stands where it stood), ``"dropped"``, ``"left"`` (could not be removed).
        provider: ``"reflink"``, ``"overlay"``, ...
        location: where the static view can be read.
        took_s: how long the step took.
    """

    kind: ClassVar[str] = "snapshot"
    action: str
    provider: str
    location: str
    took_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FreezeStep(Event):
    """A file system was frozen or thawed; told after the thaw, when listeners may write again.

    Attributes:
        action: ``"frozen"`` or ``"thawed"``.
        mount: the file system's mount point.
        took_s: how long the freeze took, or how long it lasted.
    """

    kind: ClassVar[str] = "freeze"
    action: str
    mount: str
    took_s: float


@dataclass(frozen=True, kw_only=True)
class RunStart(Event):
    """A job began.

    Attributes:
        run_id: its name; its folder below ``state_dir/runs`` has the same.
        verb: ``"backup"``, ``"restore"``, ``"verify"``, ``"extract"``.
        source: location or set that is read.
        target: location that is written to; empty for a verify.
        options: what was asked for, by name.
    """

    kind: ClassVar[str] = "run_start"
    run_id: str
    verb: str
    source: str
    target: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlanMade(Event):
    """A plan was made, and what it will cost.

    Attributes:
        plan: ``"backup"``, ``"restore"`` or ``"verify"``.
        layout: of the archive.
        commands: command lists.
        segments: segment descriptors in them.
        moved_bytes: what the copy manager will move.
        inline_bytes: what the host will send.
        archive_bytes: of the archive without its closing member.
        digests: the mover makes digests.
        manager: the copy manager's limits, by name.
        predicted_s: how long it should take.
        medium: ``"tape"`` or ``"disk"``.
        host_commands: ordinary commands that the host sends beside the lists.
        list_bytes: bytes of the parameter lists, inline data included.
        records: tape records.
        selected_bytes: of the volume and its partition table.
        selected_runs: runs that they lie in.
        files: rows of the ``files`` table; 0 where none was scanned.
    """

    kind: ClassVar[str] = "plan"
    plan: str
    layout: str
    commands: int
    segments: int
    moved_bytes: int
    inline_bytes: int
    archive_bytes: int
    digests: bool
    manager: str
    predicted_s: float
    medium: str = ""
    host_commands: int = 0
    list_bytes: int = 0
    records: int = 0
    selected_bytes: int = 0
    selected_runs: int = 0
    files: int = 0


@dataclass(frozen=True, kw_only=True)
class StageDone(Event):
    """A stage of a job ended.

    Attributes:
        stage: ``"view"`` (flush, quiet window, snapshot), ``"scan"``, ``"plan"``, ``"copy"``,
            ``"closing"``, ``"catalog"``, ``"check"``.
        took_s: how long it took.
    """

    kind: ClassVar[str] = "stage"
    stage: str
    took_s: float


@dataclass(frozen=True, kw_only=True)
class ListDone(Event):
    """A command list ended well.

    Attributes:
        command: its number in the plan, from 0.
        commands: lists of the plan.
        moved_bytes: what the copy manager moved for it.
        inline_bytes: what the host sent for it.
        took_s: how long it took.
    """

    kind: ClassVar[str] = "list_done"
    command: int
    commands: int
    moved_bytes: int
    inline_bytes: int
    took_s: float


@dataclass(frozen=True, kw_only=True)
class Checked(Event):
    """What a verify, or the check behind a restore, looked at, and what it did not.

    Attributes:
        what: ``"set"``, ``"lun"`` or ``"restored"``.
        method: who read: ``"mover"`` or ``"host"``.
        checked: what was compared, sentences.
        not_checked: what was not, and why, sentences.
        checked_bytes: bytes compared.
        checked_pieces: pieces compared, each with a digest of its own.
        mismatches: pieces that differ.
        files: paths that they hit, at most some hundred.
        files_total: how many there are.
    """

    kind: ClassVar[str] = "checked"
    what: str
    method: str
    checked: tuple[str, ...]
    not_checked: tuple[str, ...] = ()
    checked_bytes: int = 0
    checked_pieces: int = 0
    mismatches: int = 0
    files: tuple[str, ...] = ()
    files_total: int = 0


@dataclass(frozen=True, kw_only=True)
class RunStop(Event):
    """A job ended, and every byte of it by the path that it took.

    Attributes:
        run_id: name of the run.
        verb: as in ``run_start``.
        status: ``"done"``, ``"flawed"`` (ended, with findings), ``"failed"`` or ``"cancelled"``.
        exit_code: as the command line returns it (docs/exit-codes.md).
        message: of the error, empty otherwise.
        set_id: the set that was written or read.
        took_s: from run_start on.
        copied_s: of that, carrying out command lists.
        predicted_s: how long the plan should have taken.
        commands: EXTENDED COPY lists and the questions about them.
        moved_bytes: moved by the copy manager, not through this host.
        metadata_bytes: metadata of the volume, read by this host.
        command_bytes: command lists sent, without the inline data in them.
        inline_bytes: headers and closing members, sent in lists or by ordinary writes.
        host_data_bytes: file data that went through this host.
        mover_read_bytes: what the embedded mover's units count as read, for the host's own
            commands too; 0 where the copy manager is elsewhere.
        mover_write_bytes: the same for writes.
    """

    kind: ClassVar[str] = "run_stop"
    run_id: str
    verb: str
    status: str
    exit_code: int
    message: str
    set_id: str
    took_s: float
    copied_s: float
    predicted_s: float
    commands: int
    moved_bytes: int
    metadata_bytes: int
    command_bytes: int
    inline_bytes: int
    host_data_bytes: int
    mover_read_bytes: int = 0
    mover_write_bytes: int = 0


def event_classes() -> list[type[Event]]:
    """Every event class that is imported, sorted by kind."""
    found: list[type[Event]] = []
    pending = list(Event.__subclasses__())
    while pending:
        cls = pending.pop()
        found.append(cls)
        pending.extend(cls.__subclasses__())
    return sorted(found, key=lambda cls: cls.kind)
