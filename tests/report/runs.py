"""Runs as they are told: real events with made-up figures, as lines of ``events.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from sbtk.events import (
    Checked,
    Event,
    Finding,
    Flushed,
    ListDone,
    PlanMade,
    QuietSample,
    RunStart,
    RunStop,
    SnapshotStep,
    StageDone,
)

ZERO_S = 1_795_000_000.0
SOURCE, TARGET = "/luns/office <b>&amp;</b>.img", "tape:/tapes/a.tape"


def write(folder: Path, events: Iterable[Event]) -> Path:
    """A run's folder with these events."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(event.to_json() + "\n" for event in events)
    (folder / "events.jsonl").write_text(lines, encoding="utf-8")
    return folder


def start(verb: str = "backup", source: str = SOURCE, target: str = TARGET) -> RunStart:
    return RunStart(
        time_s=ZERO_S, run_id="20261118T104320-abc123", verb=verb, source=source, target=target,
        options={"layout": "image", "quiet_s": 3.0, "include": []},
    )  # fmt: skip


def stop(verb: str = "backup", status: str = "done", **changes: object) -> RunStop:
    values = {
        "time_s": ZERO_S + 12, "run_id": "20261118T104320-abc123", "verb": verb, "status": status,
        "exit_code": 0, "message": "", "set_id": "set-1", "took_s": 12.0, "copied_s": 4.2,
        "predicted_s": 5.0, "commands": 40, "moved_bytes": 2_206_000_000,
        "metadata_bytes": 47_300_000, "command_bytes": 110_000, "inline_bytes": 62_000,
        "host_data_bytes": 0,
    }  # fmt: skip
    return RunStop(**{**values, **changes})


def wait(writes_until_s: float = 2.6, torn: bool = True) -> list[Event]:
    """A wait for quiet: writes, a torn snapshot, writes, three seconds without."""
    events: list[Event] = [Flushed(time_s=ZERO_S, target="unit office", took_s=0.01)]
    counter, last_write_s = 0, 0.0
    for index in range(67):
        waited_s = index * 0.1
        if waited_s <= writes_until_s and index % 3 != 2:
            counter, last_write_s = counter + 1, waited_s
        events.append(
            QuietSample(
                time_s=ZERO_S + waited_s, source="write counters of unit office",
                state="calm", counter=(counter, counter * 4096), in_flight=0,
                calm_s=waited_s - last_write_s, quiet_s=3.0, waited_s=waited_s, timeout_s=80.0,
            )
        )  # fmt: skip
        if torn and index == 12:
            events += [
                SnapshotStep(time_s=ZERO_S + waited_s, action=action, provider="overlay",
                             location="overlay-1", took_s=0.001)
                for action in ("created", "torn")
            ]  # fmt: skip
    return events + [
        SnapshotStep(time_s=ZERO_S + 6.62, action=action, provider="overlay", location="overlay-2")
        for action in ("created", "held")
    ]


def lists(count: int = 40, begin_s: float = 7.0, took_s: float = 0.105) -> list[Event]:
    return [
        ListDone(
            time_s=ZERO_S + begin_s + (index + 1) * took_s, command=index, commands=count,
            moved_bytes=int(55e6 * (0.75 + 0.25 * math.sin(index / 4))), inline_bytes=1500,
            took_s=took_s,
        )
        for index in range(count)
    ]  # fmt: skip


def stages() -> list[Event]:
    rows = (("view", 6.7, 6.7), ("scan", 6.9, 0.2), ("plan", 7.0, 0.08), ("copy", 11.2, 4.2),
            ("closing", 11.3, 0.05), ("catalog", 11.5, 0.2))  # fmt: skip
    return [StageDone(time_s=ZERO_S + end, stage=name, took_s=took) for name, end, took in rows]


def plan() -> PlanMade:
    return PlanMade(
        time_s=ZERO_S + 7, plan="backup", layout="image", commands=40, segments=3448,
        moved_bytes=2_206_000_000, inline_bytes=62_000, archive_bytes=2_206_100_480, digests=True,
        manager="spc", predicted_s=5.0, medium="tape", selected_bytes=2_206_000_000,
        selected_runs=3447, files=46033,
    )  # fmt: skip


def findings(count: int) -> list[Event]:
    return [
        Finding(time_s=ZERO_S + 7, severity="warning", code="path-orphan", record=number,
                message=f"record {number} <script>alert(1)</script> has no folder")
        for number in range(count)
    ]  # fmt: skip


def checks(mismatches: int = 0) -> Checked:
    files = ("Documents/a.docx", "Mail/<i>.pst") if mismatches else ()
    return Checked(
        time_s=ZERO_S + 11, what="set", method="mover",
        checked=("every segment of the set against its digest", "every header"),
        not_checked=("the label file of the cartridge",), checked_bytes=2_206_000_000,
        checked_pieces=3448, mismatches=mismatches, files=files, files_total=7 * bool(mismatches),
    )  # fmt: skip


def backup() -> list[Event]:
    return [start(), *wait(), *stages()[:3], plan(), *lists(), *findings(3), *stages()[3:], stop()]
