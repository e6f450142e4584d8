"""What the verbs of jobs print at their end: the figures of a run, what was checked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

from sbtk.cli.options import ProgressStyle
from sbtk.cli.output import printable
from sbtk.cli.progress import reporter
from sbtk.events import Checked, Event, Finding, Listener, RunStop
from sbtk.jobs.results import JobResult
from sbtk.units import format_bytes, format_count, format_seconds, plural

_MOST_FINDINGS = 20

R = TypeVar("R", bound=JobResult)


class Told:
    """A listener that keeps what is shown at the end, and passes everything on."""

    def __init__(self, then: Listener) -> None:
        self._then = then
        self.findings: list[Finding] = []

    def __call__(self, event: Event) -> None:
        """Keep a finding, and pass the event on."""
        if isinstance(event, Finding) and event.severity != "info":
            self.findings.append(event)
        self._then(event)


def bytes_by_path(stop: RunStop) -> list[str]:
    """The lines that tell which way the bytes took."""
    return [
        f"  moved by the mover    {format_bytes(stop.moved_bytes)}",
        f"  metadata read here    {format_bytes(stop.metadata_bytes)}",
        f"  command lists         {format_bytes(stop.command_bytes)} in "
        f"{plural(stop.commands, 'command')}",
        f"  headers sent          {format_bytes(stop.inline_bytes)}",
        f"  file data through us  {format_bytes(stop.host_data_bytes)}",
        f"  time                  {format_seconds(stop.took_s)}, of that "
        f"{format_seconds(stop.copied_s)} copying ({format_seconds(stop.predicted_s)} predicted)",
    ]


def check_lines(checks: Iterable[Checked]) -> list[str]:
    """What was checked, what was not, and which files a mismatch hits."""
    who = {"mover": "by the mover", "host": "through this host"}
    lines = []
    for check in checks:
        state = f"{format_count(check.mismatches)} DIFFER" if check.mismatches else "equal"
        lines.append(f"{check.what}, {who[check.method]}: {state}")
        lines += [f"  checked      {text}" for text in check.checked]
        lines += [f"  not checked  {text}" for text in check.not_checked]
        lines += [f"  hits         {printable(path)}" for path in check.files]
        if check.files_total > len(check.files):
            lines.append(f"  hits         {check.files_total - len(check.files)} more files")
    return lines


def finding_lines(findings: list[Finding]) -> list[str]:
    """Findings, the first of them."""
    lines = [
        f"{item.severity:<8} {item.code}: {printable(item.message)}"
        for item in findings[:_MOST_FINDINGS]
    ]
    if len(findings) > _MOST_FINDINGS:
        lines.append(f"and {len(findings) - _MOST_FINDINGS} more findings (--json has all)")
    return lines


def carry_out(
    job: Callable[[Listener], R],
    told: Callable[[R], Iterable[str]],
    *,
    progress: ProgressStyle,
    as_json: bool,
) -> int:
    """Run a job, show its progress, its findings and what it did; returns its exit code.

    Args:
        job: does the work and tells it to the listener that it gets.
        told: the lines for people, behind the findings.
        progress: how progress is shown.
        as_json: events as lines of JSON, and nothing else.
    """
    with reporter(progress, as_json) as emit:
        listener = Told(emit)
        result = job(listener)
    if not as_json:
        lines = [*finding_lines(listener.findings), *told(result)]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return result.stop.exit_code
