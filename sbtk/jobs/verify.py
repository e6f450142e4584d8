"""Verify: a set, or a LUN against a set, by digests that the mover makes, or by reading it here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import blake3
import numpy as np
from numpy.typing import NDArray

from sbtk.archive.closing import closing_bytes
from sbtk.errors import CheckConditionError, CopyFailedError, DeviceReadError, PlanError
from sbtk.events import Checked, Finding, Listener, Progress, ignore
from sbtk.jobs.control import Control
from sbtk.jobs.hits import files_at, in_words
from sbtk.jobs.journal import Journal
from sbtk.jobs.medium import ALIGN_BYTES, Place
from sbtk.jobs.results import CheckedResult
from sbtk.jobs.run import Run, run_of
from sbtk.jobs.session import End, Session, open_session, without_partition
from sbtk.jobs.setread import read_archive
from sbtk.jobs.sets import KnownSet, find_set, require_disk
from sbtk.jobs.units import Disk, Tape
from sbtk.jobs.work import carry_out, plan_event
from sbtk.plan.cost import Calibration
from sbtk.plan.model import INLINE, SOURCE, Plan, Ranges, Target
from sbtk.plan.restore import digest_rows, plan_verify
from sbtk.plan.setmap import SetMap
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits
from sbtk.units import format_bytes, plural

if TYPE_CHECKING:
    from sbtk.ntfs.tables import Tables

_SHOWN = 200


def verify(
    name: str,
    *,
    against: str | Path = "",
    location: str | Path = "",
    limits: Limits | str = "spc",
    through_host: bool = False,
    control: Control | None = None,
    emit: Listener = ignore,
) -> CheckedResult:
    """Verify a set, or a LUN against it.

    Args:
        name: id of the set, or ``last``.
        against: a LUN that should hold what the set holds; empty to verify the set itself.
        location: of the medium, where it is not where the catalog says.
        limits: of the embedded mover, or a profile's name.
        through_host: read everything through this host, even where the manager makes digests.
        control: cancels and pauses it.
        emit: listener for its events.

    Raises:
        CatalogError: the catalog does not know the set.
        ArchiveError: the medium holds another set.
        CancelledError: it was cancelled.
    """
    known = find_set(name)
    medium = str(location) or known.record.location
    lun = str(against)
    options = {
        "through_host": through_host,
        "limits": limits if isinstance(limits, str) else limits.name,
    }
    with run_of("verify", known.record.set_id, lun, options, control=control, emit=emit) as run:
        run.set_id = known.record.set_id
        end = End(without_partition(lun) if lun else medium)
        profile = profile_limits(limits) if isinstance(limits, str) else limits
        with open_session([end], profile=profile, emit=run.emit) as session:
            unit = session.units[0]
            if lun:
                checks = verify_lun(run, session, known, require_disk(unit, lun), through_host)
            else:
                known.require_medium(unit, readable=False)
                checks = _verify_set(run, session, known, unit, through_host)
            for check in checks:
                run.emit(check)
                run.flawed |= check.mismatches > 0
    assert run.stop is not None  # noqa: S101 - run_of has ended
    return CheckedResult(run.run_id, run.set_id, run.folder, run.stop, tuple(checks))


def _verify_set(
    run: Run, session: Session, known: KnownSet, unit: Disk | Tape, through_host: bool
) -> list[Checked]:
    bad, method, unread = _compare(
        run, session, known, known.rows, known.target(unit), unit, known.place, through_host
    )
    closing_bad = 0 if known.manifest.layout == "mirror" else _closing_differs(run, known, unit)
    rows = known.rows
    has = rows.has_digest if rows.has_digest is not None else np.zeros(len(rows), np.bool_)
    checked = [_told_rows(rows, has, "of the set against their digests")]
    if known.manifest.layout != "mirror":
        checked.append("its last member, byte for byte")
    not_checked = _not_checked(known, rows, has, unread)
    return [
        _report(
            run, known, "set", method, bad & has, has, checked, not_checked, closing_bad=closing_bad
        )
    ]


def verify_lun(
    run: Run,
    session: Session,
    known: KnownSet,
    disk: Disk,
    through_host: bool,
    *,
    wanted: NDArray[np.bool_] | None = None,
    shift_bytes: int = 0,
) -> list[Checked]:
    """Hold a LUN against a set: every piece of the volume by its digest.

    Args:
        run: takes events and figures.
        session: of the LUN.
        known: the set.
        disk: the LUN.
        through_host: read it here.
        wanted: rows of the set's map to look at; None for all of the volume.
        shift_bytes: how much further behind the volume lies on this LUN.
    """  # fmt: skip
    rows = known.rows
    own = rows.kind == SOURCE
    if wanted is not None:
        own &= wanted
    picked = np.flatnonzero(own)
    picked = picked[np.argsort(rows.lun_start_bytes[picked], kind="stable")]
    place = rows.lun_start_bytes[picked] + shift_bytes
    lun_rows = SetMap(
        place, rows.length_bytes[picked], rows.kind[picked], rows.lun_start_bytes[picked],
        np.zeros(picked.size, np.int64),
        rows.digest[picked] if rows.digest is not None else None,
        rows.has_digest[picked] if rows.has_digest is not None else None,
    )  # fmt: skip
    target = Target("disk", block_bytes=disk.block_bytes, capacity_bytes=disk.size_bytes)
    bad, method, unread = _compare(
        run, session, known, lun_rows, target, disk, Place(), through_host
    )
    has = (
        lun_rows.has_digest
        if lun_rows.has_digest is not None
        else np.zeros(len(lun_rows), np.bool_)
    )
    checked = [_told_rows(lun_rows, has, "of the LUN against the set's digests")]
    not_checked = [
        *_not_checked(known, lun_rows, has, unread),
        "blocks of the LUN that the set does not carry (free space, left-out files)",
    ]
    return [_report(run, known, "lun", method, bad & has, has, checked, not_checked, rows=lun_rows)]


def _told_rows(rows: SetMap, has: NDArray[np.bool_], what: str) -> str:
    count = int(has.sum())
    return f"{plural(count, 'piece')}, {format_bytes(int(rows.length_bytes[has].sum()))}, {what}"


def _not_checked(known: KnownSet, rows: SetMap, has: NDArray[np.bool_], unread: str) -> list[str]:
    told = []
    if not has.all():
        size = format_bytes(int(rows.length_bytes[~has].sum()))
        told.append(
            f"{plural(int((~has).sum()), 'piece')} ({size}) without a digest: "
            "the copy manager that wrote the set makes none"
        )
    flaws = json.loads(known.facts.get("unreadable", "[]"))
    if flaws:
        size = format_bytes(sum(length for _, length in flaws))
        told.append(f"{size} that could not be read from the source and are zeros in the set")
    if unread:
        told.append(unread)
    return told


# -- comparing ---------------------------------------------------------------------------------


def _compare(
    run: Run, session: Session, known: KnownSet, rows: SetMap, target: Target,
    unit: Disk | Tape, place: Place, through_host: bool,
) -> tuple[NDArray[np.bool_], str, str]:  # fmt: skip
    """``(rows that differ, who read, what could not be read)``."""
    if not through_host:
        try:
            return _by_mover(run, session, known, rows, target, unit, place)
        except PlanError as error:
            run.emit(
                Finding(
                    severity="info",
                    code="verify-through-host",
                    message=f"the set is read through this host: {error}",
                )
            )
    bad = _by_host(run, rows, target, unit, place)
    return bad, "host", ""


def _by_mover(
    run: Run, session: Session, known: KnownSet, rows: SetMap, target: Target,
    unit: Disk | Tape, place: Place,
) -> tuple[NDArray[np.bool_], str, str]:  # fmt: skip
    """Digests of every row by the mover; what it cannot read differs."""
    bad = np.zeros(len(rows), np.bool_)
    if rows.digest is None:
        return bad, "mover", ""
    has = rows.has_digest if rows.has_digest is not None else np.zeros(len(rows), np.bool_)
    pending, unreadable = np.flatnonzero(has), 0
    while pending.size:
        plan = plan_verify(
            rows, known.manifest.geometry, target, session.limits,
            layout=known.manifest.layout, chosen=pending,
        )  # fmt: skip
        run.emit(plan_event(plan, Calibration(), known.known_tables))
        journal = Journal.begin(_own_folder(run), {"verb": "verify"}, plan)
        made = digest_rows(plan)
        stopped = -1
        try:
            carry_out(run, session, journal, None, unit, place=place, target=unit.name)
        except DeviceReadError as error:
            stopped = _stopped_at(error, plan, journal, made)
        done = int(np.searchsorted(made, plan.commands.first_segment[journal.first_open]))
        got = journal.digests()[made[:done]]
        bad[pending[:done]] = (got != rows.digest[pending[:done]]).any(axis=1)
        if stopped >= 0:
            bad[pending[stopped]] = True
            unreadable += 1
            pending = np.delete(pending, stopped)
        pending = pending[done:]
    told = f"{plural(unreadable, 'piece')} that the medium cannot read" if unreadable else ""
    return bad, "mover", told


def _own_folder(run: Run) -> Path:
    """Where a verify keeps its journal, beside that of the restore that it may belong to."""
    folder = run.folder / "verify"
    folder.mkdir(exist_ok=True)
    return folder


def _stopped_at(
    error: DeviceReadError, plan: Plan, journal: Journal, made: NDArray[np.int64]
) -> int:
    """Which of the digests' rows cannot be read."""
    cause = error.__cause__
    if not isinstance(cause, CopyFailedError):
        raise error
    segment = int(plan.commands.first_segment[journal.first_open]) + cause.segments_done
    row = int(np.searchsorted(made, segment))
    if row >= len(made):
        raise error
    return row


def _by_host(
    run: Run, rows: SetMap, target: Target, unit: Disk | Tape, place: Place
) -> NDArray[np.bool_]:
    """Digests of every row, made here of what is read."""
    bad = np.zeros(len(rows), np.bool_)
    total, done = int(rows.length_bytes.sum()), 0
    if rows.digest is None:
        return bad
    reader = read_archive(unit, rows, target, place)
    for row, pieces in reader:
        if rows.has_digest is not None and not rows.has_digest[row]:
            continue
        digest = blake3.blake3()
        for piece in pieces:
            digest.update(piece)
            done += len(piece)
            run.figures.host_data_bytes += len(piece)
        bad[row] = digest.digest() != rows.digest[row].tobytes()
        run.control.between_lists()
        run.emit(Progress(stage="verifying through this host", done=done, total=total))
    return bad


def _closing_differs(run: Run, known: KnownSet, unit: Disk | Tape) -> int:
    """Whether the last member on the medium differs from what it must be, byte for byte."""
    rows = known.rows
    if isinstance(unit, Tape):
        from sbtk.plan.setmap import record_runs

        record = int(known.manifest.medium["record_bytes"])
        expected = closing_bytes(
            known.content, unit_bytes=record, mtime_ns=known.manifest.created_ns
        )
        runs = record_runs(rows)
        behind = int(
            runs.first_object[-1]
            + (runs.end_bytes[-1] - runs.start_bytes[-1]) // runs.record_bytes[-1]
        )
        unit.locate(known.record.first_object + behind)
        found = b""
        while len(found) < len(expected):
            try:
                piece = unit.read_record(record)
            except CheckConditionError:
                return 1
            if not piece:
                return 1
            found += piece
    else:
        at = rows.end_bytes
        expected = closing_bytes(
            known.content,
            unit_bytes=ALIGN_BYTES,
            at_bytes=at,
            mtime_ns=known.manifest.created_ns,
        )
        found = unit.read(known.record.start_bytes + at, len(expected))
    run.figures.metadata_bytes += len(found)
    return int(found != expected)


# -- telling -----------------------------------------------------------------------------------


def _report(
    run: Run, known: KnownSet, what: str, method: str, bad: NDArray[np.bool_],
    has: NDArray[np.bool_], checked: list[str], not_checked: list[str],
    *, closing_bad: int = 0, rows: SetMap | None = None,
) -> Checked:  # fmt: skip
    rows = rows if rows is not None else known.rows
    wrong = np.flatnonzero(bad)
    own = wrong[rows.kind[wrong] != INLINE]
    hit: tuple[list[str], int] = ([], 0)
    tables: Tables | None = known.known_tables
    if own.size and tables is not None:
        ranges = Ranges(rows.lun_start_bytes[own], rows.length_bytes[own])
        hit = files_at(tables, known.manifest.geometry, ranges)
    for row in wrong[:_SHOWN].tolist():
        run.emit(_finding(known, rows, row, tables))
    if wrong.size > _SHOWN:
        more = f"{wrong.size - _SHOWN} more pieces differ"
        run.emit(Finding(severity="error", code="digest-differs", message=more))
    if closing_bad:
        run.emit(
            Finding(
                severity="error", code="closing-differs", message="the set's last member is damaged"
            )
        )
    return Checked(
        what=what,
        method=method,
        checked=tuple(checked),
        not_checked=tuple(not_checked),
        checked_bytes=int(rows.length_bytes[has].sum()),
        checked_pieces=int(has.sum()),
        mismatches=int(wrong.size) + closing_bad,
        files=tuple(hit[0]),
        files_total=hit[1],
    )


def _finding(known: KnownSet, rows: SetMap, row: int, tables: Tables | None) -> Finding:
    at, length = int(rows.archive_start_bytes[row]), int(rows.length_bytes[row])
    if rows.kind[row] == INLINE:
        return Finding(
            severity="error",
            code="header-differs",
            message=f"the archive's own headers differ at byte {at} ({format_bytes(length)})",
        )
    one = Ranges(rows.lun_start_bytes[row : row + 1], rows.length_bytes[row : row + 1])
    named = "" if tables is None else (
        f": hits {in_words(*files_at(tables, known.manifest.geometry, one))}"
    )  # fmt: skip
    geometry = known.manifest.geometry
    lcn = int(one.start_bytes[0] - geometry.volume_start_bytes) // geometry.cluster_bytes
    return Finding(
        severity="error",
        code="digest-differs",
        lcn=max(lcn, -1),
        message=f"{format_bytes(length)} at byte {at} differ from their digest{named}",
    )
