"""What 40_backup shows: the form, the quiet window as it passes, and the closing summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from sbtk.device.location import parse
from sbtk.events import Listener
from sbtk.jobs.backup import backup
from sbtk.jobs.control import Control
from sbtk.jobs.results import JobResult
from sbtk.mover.cartridge import create_cartridge
from sbtk.view import html, result
from sbtk.view.html import Html
from sbtk.view.job_panel import Job, JobPanel, line, run_now
from sbtk.view.source import locate

CARTRIDGE_BYTES = 1 << 40
LAYOUTS = ["image", "files", "mirror"]


@dataclass(frozen=True)
class Order:
    """What is asked of a backup.

    Attributes: as the parameters of the notebook.
    """

    source: str
    to: str
    layout: str
    snapshot: str
    quiet_s: float
    timeout_s: float
    exclude: tuple[str, ...] = ()
    yes: str = ""

    def job(self) -> Job:
        """The backup, ready to run; a cartridge that does not exist is made."""

        def run(control: Control, emit: Listener) -> JobResult:
            prepare_target(self.to)
            return backup(
                locate(self.source), to=self.to, layout=self.layout, snapshot=self.snapshot,
                quiet_s=self.quiet_s, timeout_s=self.timeout_s, exclude=self.exclude,
                yes=self.yes, control=control, emit=emit,
            )  # fmt: skip

        return run


def prepare_target(location: str) -> None:
    """Make the cartridge file of a ``tape:`` location that does not exist yet.

    Raises:
        LocationError: it cannot be made.
    """
    place = parse(location)
    if place.kind == "tape" and not Path(place.path).exists():
        result.folder(str(Path(place.path).parent))
        create_cartridge(Path(place.path), capacity_bytes=CARTRIDGE_BYTES)


class BackupPanel(JobPanel):
    """The form of a backup."""

    def __init__(self, order: Order) -> None:
        """Show the form, filled in from the parameters."""
        super().__init__("sbtk-backup", confirm=True)
        self.source = widgets.Text(value=order.source)
        self.to = widgets.Text(value=order.to)
        self.layout = widgets.Dropdown(options=LAYOUTS, value=order.layout)
        self.snapshot = widgets.Text(value=order.snapshot)
        self.quiet_s = widgets.BoundedFloatText(value=order.quiet_s, min=0.1, max=3600)
        self.timeout_s = widgets.BoundedFloatText(value=order.timeout_s, min=1, max=86400)
        self.exclude = widgets.Textarea(
            value="\n".join(order.exclude), rows=2, placeholder="one glob a line"
        )
        self.starter("Start backup", "start", self._job)
        self.lay_out(
            [
                line(self.source, "Source", "sbtk-backup-source"),
                line(self.to, "To", "sbtk-backup-to"),
                line(self.layout, "Layout", "sbtk-backup-layout"),
                line(self.snapshot, "Snapshot", "sbtk-backup-snapshot"),
                line(self.quiet_s, "Quiet for (s)", "sbtk-backup-quiet"),
                line(self.timeout_s, "Within (s)", "sbtk-backup-timeout"),
                line(self.exclude, "Leave out", "sbtk-backup-exclude"),
            ]
        )

    def _job(self) -> Job:
        globs = tuple(text.strip() for text in self.exclude.value.splitlines() if text.strip())
        return Order(
            self.source.value.strip(), self.to.value.strip(), self.layout.value,
            self.snapshot.value.strip(), self.quiet_s.value, self.timeout_s.value, globs,
            self.confirm.value.strip(),
        ).job()  # fmt: skip


class Finished:
    """A job that was run without a panel.

    Attributes: as those of ``JobPanel``.
    """

    def __init__(self, job: Job) -> None:
        """Run it now; its errors end the cell."""
        self.result: JobResult | None
        self.result, self.view = run_now(job)
        self.status = self.result.stop.status
        self.error = ""

    def _repr_mimebundle_(self, **named: Any) -> dict[str, str]:
        return self.view.draw()._repr_mimebundle_(**named)


def panel(order: Order, interactive: bool) -> BackupPanel | Finished:
    """The form; without widgets, the backup itself."""
    return BackupPanel(order) if interactive else Finished(order.job())


def report(done: JobPanel | Finished) -> Html:
    """Where the report of the run is; nothing before it has ended."""
    from sbtk.report.build import write_report

    if done.result is None:
        text = (
            f"The job has {done.status.replace('running', 'not ended')}: run this cell again later."
        )
        text = "Nothing was started yet." if done.status == "not started" else text
        return html.note_line(text)
    path, _ = write_report(done.result.folder)
    return html.facts([("Set", done.result.set_id or "none"), ("Report", str(path))])


def outcome(done: JobPanel | Finished) -> dict[str, object]:
    """The facts of ``RESULT``."""
    if done.result is None:
        return {"status": done.status, "message": done.error}
    stop = done.result.stop
    names = ("status", "exit_code", "set_id", "run_id", "commands", "moved_bytes",
             "metadata_bytes", "command_bytes", "inline_bytes", "host_data_bytes",
             "took_s")  # fmt: skip
    return {name: getattr(stop, name) for name in names}
