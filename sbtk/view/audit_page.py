"""What 60_audit shows: history, coverage, what was proved, which way the bytes went; no widgets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pandas as pd

from sbtk.catalog.records import COMPLETE, RunRecord, SetRecord
from sbtk.catalog.store import Catalog
from sbtk.errors import DeviceWriteError, JobError
from sbtk.report.paths_picture import rows as path_rows
from sbtk.report.run_log import RunLog, read_run
from sbtk.units import format_bytes, format_seconds
from sbtk.view import html, plots, result
from sbtk.view.html import Html
from sbtk.whole_file import write_whole

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Audit:
    """What the catalog and the journals tell.

    Attributes:
        sets: all sets, the newest last.
        runs: runs of the time looked at, the newest last.
        logs: run id -> its events; runs whose journal is gone are missing.
        days: how far back.
    """

    sets: list[SetRecord]
    runs: list[RunRecord]
    logs: dict[str, RunLog]
    days: float


def read(days: float, now_s: float | None = None) -> Audit:
    """Read the catalog and the journals of the runs of the last ``days``."""
    since_s = (time.time() if now_s is None else now_s) - days * _DAY_S
    with Catalog.open() as catalog:
        sets, runs = catalog.sets(), catalog.runs()
    runs = [run for run in runs if run.started_s >= since_s]
    logs: dict[str, RunLog] = {}
    for run in runs:
        try:
            logs[run.run_id] = read_run(Path(run.folder))
        except JobError:
            continue  # history says that its journal is gone
    return Audit(sets, runs, logs, days)


def volumes(audit: Audit, stale_days: float, now_s: float | None = None) -> pd.DataFrame:
    """One row a volume: label, serial, sets, newest, age_days, verified, covered."""
    now_s = time.time() if now_s is None else now_s
    sound = _last_sound_verify(audit)
    found = []
    by_serial: dict[str, list[SetRecord]] = {}
    for item in audit.sets:
        by_serial.setdefault(item.volume_serial, []).append(item)
    for serial, items in sorted(by_serial.items()):
        complete = [item for item in items if item.status == COMPLETE]
        newest = complete[-1] if complete else None
        age_days = (now_s - _seconds(newest.created)) / _DAY_S if newest else float("nan")
        verified = [sound[item.set_id] for item in items if item.set_id in sound]
        found.append(
            {
                "label": items[-1].volume_label or "(no label)",
                "serial": serial,
                "sets": len(items),
                "newest": newest.created[:16].replace("T", " ") if newest else "none complete",
                "age_days": age_days,
                "location": newest.location if newest else "",
                "verified": _moment(max(verified)) if verified else "never",
                "covered": "yes" if newest and age_days <= stale_days else "NO",
            }
        )
    columns = ["label", "serial", "sets", "newest", "age_days", "location", "verified", "covered"]
    return html.frame(found, columns)


def overview(audit: Audit, stale_days: float) -> Html:
    """The answer in five lines."""
    frame = volumes(audit, stale_days)
    bad = [run for run in audit.runs if run.status not in ("done", "running")]
    uncovered = frame[frame["covered"] == "NO"]["label"].tolist()
    never = frame[frame["verified"] == "never"]["label"].tolist()
    rows = [
        ("Volumes", f"{len(frame)} known, {len(frame) - len(uncovered)} covered"),
        ("Not covered", ", ".join(uncovered) or "none"),
        ("Never verified", ", ".join(never) or "none"),
        ("Sets that differ", ", ".join(differing(audit)) or "none known"),
        ("Runs", f"{len(audit.runs)} in {audit.days:g} days, {_ended_well(len(bad))}"),
        ("Sets", f"{len(audit.sets)} known"),
        ("As of", f"{_moment(time.time())} UTC"),
    ]
    return html.facts(rows, "In short")


def differing(audit: Audit) -> list[str]:
    """Sets whose newest verify of these runs found a difference; an older sound one proves less."""
    newest = {run.set_id: run.status for run in audit.runs if run.verb == "verify" and run.ended_s}
    return [set_id for set_id, status in newest.items() if status == "flawed"]


def coverage(audit: Audit, stale_days: float) -> Html:
    """Every volume and its newest complete set."""
    columns = {
        "label": ("volume", "text"), "serial": ("serial", "id"), "sets": ("sets", "count"),
        "newest": ("newest complete (UTC)", "time"), "age_days": ("age, days", "number"),
        "verified": ("last sound verify (UTC)", "time"), "covered": ("covered", "text"),
        "location": ("where", "mono"),
    }  # fmt: skip
    return html.table(volumes(audit, stale_days), columns, rows=100)


def history(audit: Audit, rows: int = 40) -> Html:
    """Runs, the newest first."""
    found = [
        {
            "when": _moment(run.started_s),
            "verb": run.verb,
            "status": run.status if run.run_id in audit.logs else f"{run.status}, journal gone",
            "took": format_seconds(max(run.ended_s - run.started_s, 0)) if run.ended_s else "",
            "what": f"{run.source} → {run.target}" if run.target else run.source,
            "message": run.message,
        }
        for run in reversed(audit.runs)
    ]
    columns = {
        "when": ("begun (UTC)", "time"), "verb": ("verb", "text"), "status": ("status", "text"),
        "took": ("took", "time"), "what": ("from and to", "mono"), "message": ("message", "text"),
    }  # fmt: skip
    return html.table(html.frame(found, columns), columns, rows=rows)


def verified(audit: Audit, rows: int = 40) -> Html:
    """Every check of these runs: what it covered and what not."""
    found = [
        {
            "when": _moment(run.started_s),
            "set": run.set_id,
            "method": "mover" if check["method"] == "mover" else "host",
            "checked": "; ".join(check["checked"]),
            "not_checked": "; ".join(check["not_checked"]) or "-",
            "differ": check["mismatches"],
        }
        for run in reversed(audit.runs)
        if run.run_id in audit.logs
        for check in audit.logs[run.run_id].checks
    ]
    columns = {
        "when": ("when (UTC)", "time"), "set": ("set", "id"), "method": ("read by", "text"),
        "checked": ("checked", "text"), "not_checked": ("not checked", "text"),
        "differ": ("differ", "count"),
    }  # fmt: skip
    return html.table(html.frame(found, columns), columns, rows=rows)


def path_sums(audit: Audit) -> dict[str, int]:
    """Bytes by the path they took, over all runs that ended."""
    sums: dict[str, int] = {}
    for log in audit.logs.values():
        for name, count in path_rows(log.stop) if log.stop else []:
            sums[name] = sums.get(name, 0) + count
    return sums


def paths(audit: Audit) -> plots.Picture | Html:
    """The sums as bars."""
    sums = path_sums(audit)
    if not sums:
        return html.note_line("no run has ended")
    values = [float(value) for value in sums.values()]
    labels = [format_bytes(value) for value in sums.values()]
    return plots.bars(list(sums), values, labels, heading="Bytes by path")


def export(audit: Audit, stale_days: float, out_dir: str) -> Html:
    """All of it as one HTML page that needs no network.

    Raises:
        DeviceWriteError: it cannot be written.
    """
    target = result.folder(out_dir) / "audit.html"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        "<title>sbtk audit</title>\n<style>:root { color-scheme: light dark; } "
        "body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; "
        "padding: 0 1rem; } .sbtk { max-width: none; }</style>"
        f'{html.style()}\n</head>\n<body><main class="sbtk">\n<h1>Audit</h1>\n'
        + "\n".join(
            f"<section><h2>{escape(heading)}</h2>{part.body}</section>"
            for heading, part in (
                ("In short", overview(audit, stale_days)),
                ("Coverage", coverage(audit, stale_days)),
                ("Runs", history(audit, 1000)),
                ("Verifies and checks", verified(audit, 1000)),
                ("Which way the bytes went", _path_facts(audit)),
            )
        )
        + "\n</main></body>\n</html>\n"
    )
    try:
        write_whole(target, page.encode())
    except OSError as error:
        raise DeviceWriteError(f"{target} cannot be written: {error.strerror or error}") from error
    return html.facts([("Page", str(target)), ("Size", format_bytes(len(page.encode())))])


def outcome(audit: Audit, stale_days: float) -> dict[str, object]:
    """The facts of ``RESULT``."""
    frame = volumes(audit, stale_days)
    status: dict[str, int] = {}
    for run in audit.runs:
        status[run.status] = status.get(run.status, 0) + 1
    return {
        "volumes": len(frame),
        "covered": int((frame["covered"] == "yes").sum()),
        "sets": len(audit.sets),
        "sets_that_differ": differing(audit),
        "runs": len(audit.runs),
        "status": status,
        "bytes_by_path": path_sums(audit),
    }


def _ended_well(bad: int) -> str:
    return f"{bad} that did not end well" if bad else "all ended well"


def _path_facts(audit: Audit) -> Html:
    sums = path_sums(audit)
    if not sums:
        return html.note_line("no run has ended")
    return html.facts([(name, format_bytes(count)) for name, count in sums.items()])


def _last_sound_verify(audit: Audit) -> dict[str, float]:
    """Set -> when it was last verified without a difference."""
    found: dict[str, float] = {}
    for run in audit.runs:
        if run.verb == "verify" and run.status == "done" and run.set_id:
            found[run.set_id] = max(run.ended_s, found.get(run.set_id, 0.0))
    return found


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()


def _moment(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"
