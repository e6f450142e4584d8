"""What the runbooks do and show; they run unattended, so nothing here is a widget."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbtk.catalog.records import RunRecord, SetRecord
from sbtk.catalog.store import Catalog
from sbtk.errors import JobError, SbtkError
from sbtk.events import Listener
from sbtk.jobs.control import Control
from sbtk.jobs.restore import restore
from sbtk.jobs.results import CheckedResult, JobResult
from sbtk.jobs.resume import resume
from sbtk.jobs.run import absolute
from sbtk.jobs.verify import verify
from sbtk.ntfs.summary import summarise
from sbtk.view import backup_page, html, result
from sbtk.view.backup_page import Finished
from sbtk.view.html import Html
from sbtk.view.job_panel import run_now
from sbtk.view.run_view import RunView
from sbtk.view.source import Source, locate, open_source


def say(text: str) -> None:
    """A line for the log of the runbook."""
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} UTC  {text}", flush=True)


# -- nightly_backup ------------------------------------------------------------------------------


def interrupted(source: str, to: str) -> RunRecord | None:
    """The newest backup of ``source`` to ``to``, if it was killed or failed, else None."""
    with Catalog.open() as catalog:
        runs = catalog.runs()
    for run in reversed(runs):
        if (run.verb, run.source, run.target) == ("backup", absolute(source), absolute(to)):
            return run if run.status in ("running", "failed") else None
    return None


def nightly(order: backup_page.Order, try_resume: bool) -> Finished:
    """Go on with the backup that was broken off, or make a new one.

    Raises:
        SbtkError: as ``sbtk.backup``.
    """
    open_run = interrupted(locate(order.source), order.to) if try_resume else None
    if open_run is not None:
        try:
            say(f"run {open_run.run_id} was broken off: going on with it")
            return Finished(_resume_job(open_run.run_id))
        except JobError as error:
            say(f"it cannot be gone on with ({error.args[0]}): a new backup")
    say(f"backup of {order.source} to {order.to}")
    done = Finished(order.job())
    say(f"set {done.result.set_id if done.result else ''} is complete")
    return done


def _resume_job(run_id: str) -> Any:
    def job(control: Control, emit: Listener) -> JobResult:
        return resume(run_id, control=control, emit=emit)

    return job


# -- restore_drill -------------------------------------------------------------------------------


@dataclass
class Drill:
    """A restore that was tried out.

    Attributes:
        restored: the restore.
        verified: the check of what it wrote against the set.
        views: their events, for the pictures.
        kept: the restored volume was left where it is.
    """

    restored: CheckedResult
    verified: CheckedResult
    views: tuple[RunView, RunView]
    kept: bool

    def _repr_mimebundle_(self, **named: Any) -> dict[str, str]:
        shown = html.title("Restore") + self.views[0].draw()
        shown = shown + html.title("Verify of the restored volume") + self.views[1].draw()
        return shown._repr_mimebundle_(**named)

    def outcome(self) -> dict[str, object]:
        """The facts of ``RESULT``."""
        sound = self.restored.sound and self.verified.sound
        return {
            "status": "done" if sound else "flawed",
            "exit_code": 0 if sound else 1,
            "message": "" if sound else "the restored volume differs from the set",
            "set_id": self.restored.set_id,
            "restored_bytes": self.restored.stop.moved_bytes,
            "restore_s": self.restored.stop.took_s,
            "checked_bytes": sum(check.checked_bytes for check in self.verified.checks),
            "mismatches": sum(check.mismatches for check in self.verified.checks),
            "kept": self.kept,
        }


def drill(set_id: str, scratch: str, keep: bool, yes: str) -> Drill:
    """Restore a set to a scratch LUN, hold it against the set, and remove it if it is a new file.

    Raises:
        SbtkError: as ``sbtk.restore`` and ``sbtk.verify``.
    """
    path = Path(scratch)
    made = not path.exists()
    if made:
        result.folder(str(path.parent))

    def put_back(control: Control, emit: Listener) -> JobResult:
        return restore(set_id, to=scratch, yes=yes, control=control, emit=emit)

    def compare(control: Control, emit: Listener) -> JobResult:
        return verify(set_id, against=scratch, control=control, emit=emit)

    say(f"restore of set {set_id} to {scratch}")
    try:
        restored, first = run_now(put_back)
        say(f"verify of {scratch} against set {set_id}")
        verified, second = run_now(compare)
    finally:
        if made and not keep:
            path.unlink(missing_ok=True)
    if not isinstance(restored, CheckedResult) or not isinstance(verified, CheckedResult):
        raise JobError("the restore told nothing about its checks")
    say("equal" if verified.sound else "NOT equal")
    return Drill(restored, verified, (first, second), keep or not made)


# -- verify_sample -------------------------------------------------------------------------------


def choose_sets(count: int, seed: int) -> list[SetRecord]:
    """The newest set and others drawn at random, ``count`` in all; 0 for every set."""
    with Catalog.open() as catalog:
        known = catalog.sets()
    if not known or count <= 0 or count >= len(known):
        return known[::-1]
    others = random.Random(seed or None).sample(known[:-1], count - 1)  # noqa: S311 - no secret
    return [known[-1], *others]


@dataclass
class Sample:
    """Sets that were verified.

    Attributes:
        rows: one dict a set.
    """

    rows: list[dict[str, Any]]

    def _repr_mimebundle_(self, **named: Any) -> dict[str, str]:
        columns = {
            "set_id": ("set", "id"), "volume": ("volume", "text"), "outcome": ("outcome", "text"),
            "checked_bytes": ("checked", "bytes"), "method": ("read by", "text"),
            "not_checked": ("not checked", "text"),
        }  # fmt: skip
        frame = html.frame(self.rows, columns)
        return html.table(frame, columns, rows=1000)._repr_mimebundle_(**named)

    def outcome(self) -> dict[str, object]:
        """The facts of ``RESULT``."""
        bad = [row["set_id"] for row in self.rows if row["outcome"] != "equal"]
        return {
            "status": "flawed" if bad else "done",
            "exit_code": 1 if bad else 0,
            "message": f"not sound: {', '.join(bad)}" if bad else "",
            "sets": len(self.rows),
            "not_sound": bad,
            "checked_bytes": sum(row["checked_bytes"] for row in self.rows),
        }


def verify_sample(chosen: list[SetRecord]) -> Sample:
    """Verify each set; one that cannot be read is a row, too."""
    rows = []
    for number, item in enumerate(chosen):
        say(f"{number + 1} of {len(chosen)}: set {item.set_id} on {item.location}")
        row: dict[str, Any] = {"set_id": item.set_id, "volume": item.volume_label,
                               "checked_bytes": 0, "method": "", "not_checked": ""}  # fmt: skip
        try:
            found = verify(item.set_id)
        except SbtkError as error:
            row["outcome"] = error.line
        else:
            row["outcome"] = "equal" if found.sound else "DIFFERS"
            row["checked_bytes"] = sum(check.checked_bytes for check in found.checks)
            row["method"] = ", ".join({check.method for check in found.checks})
            row["not_checked"] = "; ".join(t for c in found.checks for t in c.not_checked) or "-"
        say(row["outcome"])
        rows.append(row)
    return Sample(rows)


# -- volume_survey -------------------------------------------------------------------------------


@dataclass
class Survey:
    """Volumes that were scanned.

    Attributes:
        rows: one dict a volume; ``problem`` says why one could not be read.
        sources: those that could.
    """

    rows: list[dict[str, Any]]
    sources: list[Source]

    def _repr_mimebundle_(self, **named: Any) -> dict[str, str]:
        return survey_table(self)._repr_mimebundle_(**named)

    def outcome(self) -> dict[str, object]:
        """The facts of ``RESULT``."""
        bad = [row["place"] for row in self.rows if row["problem"] or row["health"] != "sound"]
        return {
            "status": "flawed" if bad else "done",
            "exit_code": 1 if bad else 0,
            "message": f"look at {', '.join(bad)}" if bad else "",
            "volumes": len(self.rows),
            "unfit": bad,
            "files": sum(row["files"] for row in self.rows),
            "used_bytes": sum(row["used_bytes"] for row in self.rows),
        }


def survey(places: str) -> Survey:
    """Scan every place of a list with commas; what cannot be read is a row, too."""
    rows, sources = [], []
    for place in filter(None, (text.strip() for text in places.split(","))):
        say(f"scan of {place}")
        row: dict[str, Any] = dict.fromkeys(("files", "used_bytes", "size_bytes"), 0)
        row |= {"place": place, "label": "", "score": 0.0, "health": "", "problem": ""}
        try:
            source = open_source(place)
        except SbtkError as error:
            row["problem"] = error.line
        else:
            sources.append(source)
            row |= _surveyed(source)
        rows.append(row)
    return Survey(rows, sources)


def _surveyed(source: Source) -> dict[str, Any]:
    found = summarise(source.tables)
    volume = found.volume
    unfit = [text for text, is_so in (
        ("dirty", volume.dirty), ("hibernated", volume.hibernated),
        ("mirror differs", volume.mirror == "differs"),
        (f"{found.findings['error']} errors", found.findings["error"] > 0),
    ) if is_so]  # fmt: skip
    return {
        "label": volume.label,
        "files": found.files,
        "size_bytes": volume.total_clusters * volume.cluster_bytes,
        "used_bytes": (found.used_clusters or 0) * volume.cluster_bytes,
        "score": source.fragmentation.score,
        "health": ", ".join(unfit) or "sound",
    }


def survey_table(found: Survey) -> Html:
    """One row a volume."""
    columns = {
        "place": ("place", "mono"), "label": ("label", "text"), "health": ("health", "text"),
        "files": ("files", "count"), "size_bytes": ("size", "bytes"),
        "used_bytes": ("used", "bytes"), "score": ("fragmentation", "number"),
        "problem": ("problem", "text"),
    }  # fmt: skip
    return html.table(html.frame(found.rows, columns), columns, rows=1000)
