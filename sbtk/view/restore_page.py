"""What 50_restore_verify shows: sets, their files, restore, extract, verify, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from sbtk.catalog.records import SetRecord
from sbtk.catalog.store import Catalog
from sbtk.errors import UsageError
from sbtk.events import Listener, ignore
from sbtk.extents import runs
from sbtk.extents.runs import Runs
from sbtk.jobs.control import Control
from sbtk.jobs.extract import extract
from sbtk.jobs.restore import restore
from sbtk.jobs.results import CheckedResult, JobResult
from sbtk.jobs.sets import find_set
from sbtk.jobs.verify import verify
from sbtk.plan.setmap import SetMap
from sbtk.units import format_bytes, plural
from sbtk.view import backup_page, html, plots, result
from sbtk.view.backup_page import Finished
from sbtk.view.callbacks import guarded
from sbtk.view.cells import CellMap
from sbtk.view.globs import globs, text_of
from sbtk.view.html import Html
from sbtk.view.job_panel import Job, JobPanel, line
from sbtk.view.panels import MapPanel, SearchPanel
from sbtk.view.plots import Picture
from sbtk.view.source import Source

ACTIONS = ("verify", "restore", "extract")


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes: as the parameters of the notebook; ``yes`` confirms what is overwritten.
    """

    set_id: str
    action: str
    to: str
    files: tuple[str, ...] = ()
    against: str = ""
    yes: str = ""
    through_host: bool = False

    def job(self) -> Job:
        """The job, ready to run.

        Raises:
            UsageError: there is no such action.
        """
        if self.action not in ACTIONS:
            raise UsageError(f"{self.action!r} is no action", hint=f"Use {', '.join(ACTIONS)}")
        if self.action == "extract" and not self.files:
            raise UsageError("nothing to extract is named", hint="Give globs of paths in files")

        def run(control: Control, emit: Listener) -> JobResult:
            if self.action == "verify":
                return verify(
                    self.set_id, against=self.against, through_host=self.through_host,
                    control=control, emit=emit,
                )  # fmt: skip
            result.folder(str(Path(self.to).parent))
            if self.action == "extract":
                return extract(self.set_id, self.files, to=self.to, control=control, emit=emit)
            return restore(
                self.set_id, to=self.to, files=self.files, yes=self.yes, control=control, emit=emit
            )

        return run


def sets() -> list[SetRecord]:
    """The sets that the catalog knows, the newest first."""
    with Catalog.open() as catalog:
        return catalog.sets()[::-1]


def ready(set_id: str, out_dir: str) -> Html:
    """What the catalog knows; where it knows nothing, a set of the sample is made to look at.

    Raises:
        CatalogError: it knows no such set.
    """
    note = Html("", "")
    if set_id == "last" and not sets():
        tape = f"tape:{Path(out_dir) / 'sample.tape'}"
        order = backup_page.Order("office.ntfs", tape, "image", "none", 0.2, 80.0)
        order.job()(Control(), ignore)
        text = f"The catalog knew no set: one of the sample was made on {tape}."
        note = html.note_line(text)
    known = sets()
    with Catalog.open() as catalog:
        catalog.find_set(set_id)
    rows = [
        (
            item.set_id,
            f"{item.volume_label or '(no label)'}, {item.created[:16].replace('T', ' ')} UTC, "
            f"{item.layout}, {format_bytes(item.archive_bytes)}, {item.status}, {item.location}",
        )
        for item in known[:10]
    ]
    return note + html.facts(rows, plural(len(known), "set") + " in the catalog")


class RestorePanel(JobPanel):
    """A set, its files, and what can be done with it."""

    def __init__(self, order: Order) -> None:
        """Show the form, filled in from the parameters, and the files of the set."""
        super().__init__("sbtk-restore", confirm=True)
        options = [
            (
                f"{item.created[:16].replace('T', ' ')}  {item.volume_label}  {item.set_id}",
                item.set_id,
            )
            for item in sets()
        ]
        with Catalog.open() as catalog:
            chosen = catalog.find_set(order.set_id).set_id
        self.set_id = widgets.Dropdown(options=options, value=chosen)
        self.files = widgets.Text(
            value=text_of(order.files),
            placeholder='globs ("a b/*"); empty: the volume',
        )
        self.to = widgets.Text(value=order.to)
        self.against = widgets.Text(value=order.against, placeholder="empty: the set itself")
        self.through_host = widgets.Checkbox(
            description="Verify: read through this host", indent=False
        )
        self.browser = widgets.VBox()
        self.browser.add_class("sbtk-restore-browser")
        self.starter("Verify", "verify", lambda: self._order("verify").job())
        self.starter("Restore", "restore", lambda: self._order("restore").job())
        self.starter("Extract", "extract", lambda: self._order("extract").job())
        self.set_id.observe(self._browse, "value")
        self.lay_out(
            [
                line(self.set_id, "Set", "sbtk-restore-set"),
                self.browser,
                line(self.files, "Files", "sbtk-restore-files"),
                line(self.to, "Restore/extract to", "sbtk-restore-to"),
                line(self.against, "Verify against", "sbtk-restore-against"),
                line(self.through_host, "", "sbtk-restore-host"),
            ]
        )
        self._browse(None)

    def _order(self, action: str) -> Order:
        return Order(
            self.set_id.value, action, self.to.value.strip(), globs(self.files.value),
            self.against.value.strip(), self.confirm.value.strip(), self.through_host.value,
        )  # fmt: skip

    @guarded
    def _browse(self, _: Any) -> None:
        source = source_of(self.set_id.value)
        self.browser.children = [SearchPanel(source).widget] if source else []
        if source is None:
            self.say("The catalog has no tables of this set: its files cannot be listed", "warning")


def panel(order: Order, interactive: bool) -> RestorePanel | Finished:
    """The form; without widgets, the action itself."""
    return RestorePanel(order) if interactive else Finished(order.job())


def source_of(set_id: str) -> Source | None:
    """The volume in a set, as it was scanned; None where the catalog has no tables of it."""
    with Catalog.open() as catalog:
        tables = catalog.tables(catalog.find_set(set_id).set_id)
    return None if tables is None else Source(set_id, tables, None)


def mismatches(set_id: str, found_lcn: list[int]) -> Runs:
    """The clusters of the pieces that begin at these clusters.

    Args:
        set_id: the set that was verified.
        found_lcn: ``lcn`` of the findings of the verify.
    """
    known = find_set(set_id)
    geometry = known.manifest.geometry
    rows: SetMap = known.rows
    first = (rows.lun_start_bytes - geometry.volume_start_bytes) // geometry.cluster_bytes
    hit = np.flatnonzero(np.isin(first, [lcn for lcn in found_lcn if lcn >= 0]))
    clusters = -(-rows.length_bytes[hit] // geometry.cluster_bytes)
    order = np.argsort(first[hit], kind="stable")
    return runs.union(first[hit][order], clusters[order])


def mismatch_map(done: JobPanel | Finished, interactive: bool) -> Html | MapPanel | Picture:
    """The disk map with what the last verify found changed; words where it found nothing."""
    last = done.result
    if not isinstance(last, CheckedResult):
        text = "No verify has ended yet." if last is None else "The last job verified nothing."
        return html.note_line(text)
    total = sum(check.mismatches for check in last.checks)
    if not total:
        return html.facts([("Mismatches", "none: everything that was checked is equal")])
    log = done.view.log
    found = mismatches(last.set_id, [item["lcn"] for item in log.findings] if log else [])
    source = source_of(last.set_id)
    if source is None or not len(found):
        differ = plural(total, "piece differs", "pieces differ")
        return html.note_line(f"{differ}, outside of what a map can show.")
    if interactive:
        return MapPanel(source, mismatches=found)
    cells = CellMap(source.extents)
    frame = cells.frame(0, cells.total_clusters - 1, "occupancy")
    marks = cells.marked_runs(frame, found)
    return plots.disk_map(frame, source.tables.volume.cluster_bytes, marks)


def outcome(done: JobPanel | Finished) -> dict[str, object]:
    """The facts of ``RESULT``."""
    facts = backup_page.outcome(done)
    if isinstance(done.result, CheckedResult):
        facts["mismatches"] = sum(check.mismatches for check in done.result.checks)
        facts["checked_bytes"] = sum(check.checked_bytes for check in done.result.checks)
        facts["not_checked"] = [text for check in done.result.checks for text in check.not_checked]
    return facts
