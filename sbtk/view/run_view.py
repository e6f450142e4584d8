"""A job's events as they come: the same pictures as the report's, in Jupyter's colours."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from functools import cache
from html import unescape
from importlib import resources

from sbtk.events import Event, Listener, PlanMade, Progress, RunStop, StageDone, ignore
from sbtk.report import paths_picture, pictures
from sbtk.report.run_log import Fields, RunLog
from sbtk.report.sections import _ends as ends_of
from sbtk.units import format_bytes, format_rate, format_seconds, plural
from sbtk.view import html
from sbtk.view.html import Html
from sbtk.view.live import progress_text

_EVERY_S = 0.25
_MOST_SQUARES = 480
_MOST_HIT = 20
_TOKENS = """
.sbtk-run { --page: var(--jp-layout-color0, #fff); --ink: #1b1f24; --soft: #57606a;
  --rule: #d0d7de; --panel: #f6f8fa; --mover: #0072b2; --host: #c25400; --good: #00684a;
  --bad: #b3261e; --note: #8a5a00; max-width: 860px; }
body[data-jp-theme-light="false"] .sbtk-run { --ink: #e6e9ec; --soft: #9da7b1; --rule: #3a434d;
  --panel: #1b2027; --mover: #56b4e9; --host: #f2a34a; --good: #4fc9a4; --bad: #ff938a;
  --note: #e8bd55; }
.sbtk-run .square { stroke: var(--rule); fill: var(--panel); }
.sbtk-run .square.ended { fill: var(--mover); stroke: none; }
"""


@cache
def run_style() -> str:
    """The style sheet of run pictures: the report's rules, with Jupyter's colours."""
    sheet = (resources.files("sbtk.report") / "style.css").read_text(encoding="utf-8")
    own = [f".sbtk-run {line}" for line in sheet.splitlines() if line.startswith(".picture")]
    own = [re.sub(r"\} \.picture", "} .sbtk-run .picture", line) for line in own]
    own = [re.sub(r", \.picture", ", .sbtk-run .picture", line) for line in own]
    return f"<style>{_TOKENS}{''.join(own)}</style>"


class RunView:
    """A listener that keeps a run's events and draws them, not more often than one can see.

    Attributes:
        log: the events so far; None before ``run_start``.
        line: what is being done now.
    """

    def __init__(self, redraw: Callable[[], None] | None = None, emit: Listener = ignore) -> None:
        """Keep events.

        Args:
            redraw: called when there is something new to see.
            emit: gets every event too.
        """
        self.log: RunLog | None = None
        self.line = ""
        self._redraw = redraw
        self._emit = emit
        self._next_s = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take in an event; any thread may call."""
        self._emit(event)
        with self._lock:
            self._take(event)
        now_s = time.monotonic()
        last = isinstance(event, (RunStop, PlanMade))
        if self._redraw is not None and (last or now_s >= self._next_s):
            self._next_s = now_s + _EVERY_S
            self._redraw()

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.line = progress_text(event)
            return
        if isinstance(event, StageDone):
            self.line = ""  # what it told is over
        fields = json.loads(event.to_json())
        if self.log is None and fields["event"] == "run_start":
            self.log = RunLog(fields)
        if self.log is not None:
            self.log.add(fields)

    def draw(self) -> Html:
        """Everything that there is to see now."""
        with self._lock:
            if self.log is None:
                return Html("", "")
            return draw_run(self.log, self.line)


def draw_run(log: RunLog, line: str = "") -> Html:
    """The pictures of a run, each with its words; those that have no events yet are left out."""
    parts: list[Html] = []
    if log.stop is None and line:
        parts.append(html.note_line(line))
    if log.quiet:
        parts.append(html.title("The wait for quiet") + _svg(pictures.quiet_window(log)))
    if log.plan is not None and log.plan["commands"]:
        parts.append(html.title("Command lists") + list_map(len(log.lists), log.plan["commands"]))
    if len(log.lists):
        parts.append(html.title("Throughput") + _svg(pictures.throughput(log.lists)))
    if log.stop is not None:
        picture = paths_picture.bytes_by_path(log.stop, ends_of(log))
        parts.append(html.title("Which way the bytes went") + _svg(picture) + by_path(log.stop))
        parts.append(html.facts(summary(log), "Summary"))
    if log.checks:
        parts.append(checks(log.checks))
    found = Html("", "")
    for part in parts:
        found += part
    return Html(f'{run_style()}<div class="sbtk-run">{found.body}</div>', found.text.strip())


def list_map(done: int, total: int) -> Html:
    """A square a command list, or for so many lists that they would not fit; ended ones filled."""
    squares = min(total, _MOST_SQUARES)
    filled = done * squares // total
    columns, edge = 60, 12
    body = "".join(
        f'<rect class="square{" ended" if at < filled else ""}" x="{at % columns * edge + 1}" '
        f'y="{at // columns * edge + 1}" width="{edge - 2}" height="{edge - 2}"/>'
        for at in range(squares)
    )
    height = -(-squares // columns) * edge
    text = f"{done:,} of {plural(total, 'list')} ended"
    svg = (
        f'<svg role="img" aria-label="{text}" width="{columns * edge}" height="{height}" '
        f'viewBox="0 0 {columns * edge} {height}">{body}</svg>'
    )
    return Html(f"{svg}<div>{text}</div>", text)


def by_path(stop: Fields) -> Html:
    """Bytes by the path that they took."""
    rows = [(name, format_bytes(count)) for name, count in paths_picture.rows(stop)]
    return html.facts(rows)


def summary(log: RunLog) -> list[tuple[str, str]]:
    """The closing lines of a run."""
    stop = log.stop or {}
    copied_s = stop["copied_s"]
    rows = [
        ("Outcome", f"{stop['verb']} {stop['status']}, exit code {stop['exit_code']}"),
        ("Run", stop["run_id"]),
        ("Set", stop["set_id"] or "none"),
        ("Took", f"{format_seconds(stop['took_s'])}, of them {format_seconds(copied_s)} copying"),
        ("Predicted", format_seconds(stop["predicted_s"])),
        (
            "Commands",
            f"{plural(len(log.lists), 'command list')}; with the questions about them "
            f"{plural(stop['commands'], 'command')}",
        ),
    ]
    if copied_s > 0 and stop["moved_bytes"]:
        rate = format_rate(stop["moved_bytes"] / copied_s)
        rows.append(("Rate", f"{rate} over the whole stage of copying"))
    if stop["message"]:
        rows.append(("Message", stop["message"]))
    rows += [("Finding", item["message"]) for item in log.findings[:10]]
    return rows


def checks(found: list[Fields]) -> Html:
    """What was checked, what was not, and which files a mismatch hits."""
    rows: list[tuple[str, str]] = []
    for check in found:
        rows.append(("Read by", "the mover" if check["method"] == "mover" else "this host"))
        rows += [("Checked", sentence) for sentence in check["checked"]]
        rows += [("Not checked", sentence) for sentence in check["not_checked"]]
        differ = plural(check["mismatches"], "piece differs", "pieces differ")
        rows.append(("Result", differ if check["mismatches"] else "everything checked is equal"))
        if check["files_total"]:
            hit = check["files"][:_MOST_HIT]
            more = check["files_total"] - len(hit)
            rows.append(("Files hit", ", ".join([*hit, f"and {more} more"] if more else hit)))
    return html.facts(rows, "What was and was not checked")


def _svg(picture: str) -> Html:
    label = re.search(r'aria-label="(.*?)"', picture)
    return Html(picture, unescape(label[1]) if label else "")
