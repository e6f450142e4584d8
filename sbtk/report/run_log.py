"""What a run told: its ``events.jsonl``, read into what a report needs."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbtk.errors import JobError

EVENTS_NAME = "events.jsonl"
MOST_FINDINGS = 200  # that a report lists one by one; the others are counted

Fields = dict[str, Any]


@dataclass
class Lists:
    """The command lists that ended well, in the order of their ends.

    Attributes:
        end_s: (n,) seconds since the epoch.
        took_s: (n,) how long each took.
        carried_bytes: (n,) what each moved, inline bytes included.
    """

    end_s: array[float] = field(default_factory=lambda: array("d"))
    took_s: array[float] = field(default_factory=lambda: array("d"))
    carried_bytes: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.end_s)

    def add(self, event: Fields) -> None:
        """Take in a ``list_done``."""
        self.end_s.append(event["time_s"])
        self.took_s.append(event["took_s"])
        self.carried_bytes.append(event["moved_bytes"] + event["inline_bytes"])


@dataclass
class RunLog:
    """One run's events, by kind.

    Attributes:
        start: the first ``run_start``.
        stop: the last ``run_stop``; None where the run was killed or still goes on.
        starts: how often it was begun: more than once where it was resumed.
        plan: the last ``plan``; None where it did not come so far.
        stages, quiet, snapshots, flushes, checks: events of these kinds.
        lists: command lists.
        findings: the first of them.
        finding_counts: (severity, code) -> how many in all.
        last_s: time of the last event.
    """

    start: Fields
    stop: Fields | None = None
    starts: int = 0
    plan: Fields | None = None
    stages: list[Fields] = field(default_factory=list)
    quiet: list[Fields] = field(default_factory=list)
    snapshots: list[Fields] = field(default_factory=list)
    flushes: list[Fields] = field(default_factory=list)
    checks: list[Fields] = field(default_factory=list)
    lists: Lists = field(default_factory=Lists)
    findings: list[Fields] = field(default_factory=list)
    finding_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_s: float = 0.0

    @property
    def verb(self) -> str:
        """What the run did."""
        return str(self.start["verb"])

    def add(self, event: Fields) -> None:
        """Take in one event."""
        kind = event["event"]
        self.last_s = max(self.last_s, event["time_s"])
        kept = {
            "stage": self.stages, "quiet": self.quiet, "snapshot": self.snapshots,
            "flush": self.flushes, "checked": self.checks,
        }.get(kind)  # fmt: skip
        if kept is not None:
            kept.append(event)
        elif kind == "list_done":
            self.lists.add(event)
        elif kind == "plan":
            self.plan = event
        elif kind == "run_stop":
            self.stop = event
        elif kind == "run_start":
            self.starts += 1
            self.stop = None
        elif kind == "finding":
            self.finding_counts[event["severity"], event["code"]] += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(event)


def read_run(folder: Path) -> RunLog:
    """The events in a run's folder.

    Raises:
        JobError: there are none, or they cannot be read.
    """
    path = folder / EVENTS_NAME
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return from_lines(lines)
    except OSError as error:
        raise JobError(
            f"{folder} is no folder of a run: {path.name}: {error.strerror or error}",
            hint="`sbtk report` lists the runs",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(f"{path} holds no events of this version of sbtk ({error!r})") from error


def from_lines(lines: Iterable[str]) -> RunLog:
    """A run's events, from their lines.

    A last line that was cut off, by a kill or a power failure, is left out.

    Raises:
        ValueError: a line in the middle is none of JSON, or no run begins.
        KeyError: an event lacks a field.
    """
    log: RunLog | None = None
    damaged = ""
    for line in lines:
        if damaged:
            raise ValueError(f"no JSON: {damaged[:60]!r}")
        try:
            event = json.loads(line)
        except ValueError:
            damaged = line
            continue
        if log is None and event["event"] == "run_start":
            log = RunLog(event)
        if log is not None:
            log.add(event)
    if log is None:
        raise ValueError("no run_start")
    return log
