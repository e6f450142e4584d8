"""Carries out the lists of a plan as part of a run: journal, events, figures, errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbtk.errors import CheckConditionError
from sbtk.events import Finding, ListDone, PlanMade, Progress
from sbtk.jobs.control import interrupts_cancel
from sbtk.jobs.failures import explain, failed_segment, reason_of, unreadable_range
from sbtk.jobs.flaws import with_zeros
from sbtk.jobs.hits import files_at, in_words
from sbtk.jobs.journal import Journal
from sbtk.jobs.medium import Place
from sbtk.jobs.policy import OnError
from sbtk.jobs.runner import Ended, Runner
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.cost import Calibration, price
from sbtk.plan.encode import archive_range, segment_range
from sbtk.plan.model import Plan, Ranges
from sbtk.plan.setmap import SetMap, map_of, record_at, record_runs
from sbtk.units import format_bytes

if TYPE_CHECKING:
    from sbtk.jobs.run import Run
    from sbtk.jobs.session import Session
    from sbtk.ntfs.tables import Tables

_MOST_FLAWS = 10_000
_MOST_GAP_BYTES = 1 << 20  # tried block by block: on a dying disk each may take seconds
_CHECK_SHARE = 20  # of the time at most one part in so many goes into looking meanwhile
_CHECK_EVERY_S = 1.0  # whether the view still stands; the last look is behind the last list


@dataclass(frozen=True)
class Done:
    """A plan that was carried out.

    Attributes:
        plan: as it was carried out in the end.
        runner: holds the digests.
        flaws: ranges of the source that could not be read and are zeros in the set.
    """

    plan: Plan
    runner: Runner
    flaws: tuple[tuple[int, int], ...] = ()


def plan_event(plan: Plan, calibration: Calibration, tables: Tables | None = None) -> PlanMade:
    """What ``plan`` tells."""
    cost = price(plan, calibration)
    return PlanMade(
        plan=plan.kind,
        layout=plan.layout,
        commands=cost.commands,
        segments=cost.segments,
        moved_bytes=cost.moved_bytes,
        inline_bytes=cost.inline_bytes,
        archive_bytes=plan.archive_bytes,
        digests=plan.digests,
        manager=plan.limits.name,
        predicted_s=cost.seconds,
        medium=plan.target.medium,
        host_commands=cost.host_commands,
        list_bytes=cost.list_bytes,
        records=cost.records,
        selected_bytes=plan.selected.total_bytes,
        selected_runs=len(plan.selected),
        files=tables.files.num_rows if tables is not None else 0,
    )


def carry_out(
    run: Run,
    session: Session,
    journal: Journal,
    disk: Disk | None,
    archive: Disk | Tape,
    *,
    place: Place,
    tables: Tables | None = None,
    on_error: OnError = OnError.STOP,
    check: Callable[[], None] = lambda: None,
    target: str = "",
) -> Done:
    """Carry out a plan from its journal's first open list on.

    Args:
        run: takes events and figures.
        session: of the units.
        journal: holds the plan.
        disk: the LUN of the volume; None for a verify.
        archive: where the set is.
        place: of the set on it.
        tables: of the source, to name files in errors.
        on_error: what to do with unreadable blocks of the source.
        check: whether the source still stands still; called between lists.
        target: the archive's location, for messages.

    Raises:
        DeviceReadError, MediumFullError, TargetError, CopyFailedError: see ``failures.explain``.
        CancelledError: the run was cancelled; the copy has been aborted.
    """
    work = _Work(run, session, journal, disk, archive, place, tables, target, check)
    began_s = time.monotonic()
    sent = session.sent
    read, written = session.moved
    try:
        with run.stage("copy"), interrupts_cancel(run.control):
            return work.to_the_end(on_error)
    finally:
        figures, now = run.figures, session.sent
        figures.copied_s += time.monotonic() - began_s
        figures.mover_read_bytes += session.moved[0] - read
        figures.mover_write_bytes += session.moved[1] - written
        figures.commands += now.commands - sent.commands
        lists = now.data_out_bytes - sent.data_out_bytes
        figures.command_bytes += max(lists - work.inline_in_lists, 0)
        journal.close()


class _Work:
    def __init__(
        self, run: Run, session: Session, journal: Journal, disk: Disk | None,
        archive: Disk | Tape, place: Place, tables: Tables | None, target: str,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        self._run, self._journal, self._tables, self._target = run, journal, tables, target
        self._check, self._archive, self._place = check, archive, place
        self.inline_in_lists = 0
        self._next_check_s = 0.0
        self._through_host = session.through_host
        self._flaws: list[tuple[int, int]] = []
        self._client = session.client(disk if disk is not None else archive)
        self._disk = disk
        self._runner = self._new_runner(journal.plan)
        held = journal.digests()
        known = held.any(axis=1)
        self._runner.digests[known] = held[known]
        self._runner.has_digest |= known
        self._done_bytes = 0
        self._total_bytes = int(journal.plan.segments.length_bytes.sum())

    def _new_runner(self, plan: Plan) -> Runner:
        return Runner(
            plan, self._disk, self._archive, self._client, first_object=self._place.first_object
        )

    def to_the_end(self, on_error: OnError) -> Done:
        self._tell_progress()
        while True:
            try:
                self._runner.run(
                    self._run.control, self._ended, begin=self._begin,
                    first_command=self._journal.first_open, ended=self._journal.ended_lists,
                )  # fmt: skip
            except CheckConditionError as error:
                if on_error is OnError.SKIP and self._skip(error):
                    continue
                plan, command = self._runner.plan, self._journal.first_open
                raise explain(error, plan, command, self._target, self._tables) from error
            return Done(self._runner.plan, self._runner, tuple(self._flaws))

    def _begin(self, command: int) -> None:
        if time.monotonic() >= self._next_check_s:
            began_s = time.monotonic()
            self._check()
            ended_s = time.monotonic()
            self._next_check_s = ended_s + max(_CHECK_EVERY_S, _CHECK_SHARE * (ended_s - began_s))
        self._journal.begins(command)

    def _ended(self, ended: Ended) -> None:
        plan, figures = self._runner.plan, self._run.figures
        rows = segment_range(plan, ended.command)
        digests = np.where(
            self._runner.has_digest[rows, None], self._runner.digests[rows], np.uint8(0)
        )
        self._journal.ended(ended.command, rows.start, digests)
        figures.moved_bytes += ended.moved_bytes
        figures.inline_bytes += ended.inline_bytes
        figures.host_data_bytes += ended.host_data_bytes
        if self._through_host:
            figures.host_data_bytes += ended.moved_bytes
        if plan.commands.kind[ended.command] == 0:
            self.inline_in_lists += ended.inline_bytes + ended.host_data_bytes
        self._run.emit(
            ListDone(
                command=ended.command,
                commands=len(plan.commands),
                moved_bytes=ended.moved_bytes,
                inline_bytes=ended.inline_bytes,
                took_s=ended.took_s,
            )
        )
        self._done_bytes += int(plan.segments.length_bytes[rows].sum())
        self._tell_progress()

    def _tell_progress(self) -> None:
        stage = {"backup": "copying to", "restore": "restoring from", "verify": "verifying"}
        name = f"{stage[self._runner.plan.kind]} {self._runner.plan.target.medium}"
        self._run.emit(Progress(stage=name, done=self._done_bytes, total=self._total_bytes))

    # -- blocks that cannot be read ------------------------------------------------------------

    def _skip(self, error: CheckConditionError) -> bool:
        """Put zeros where the source cannot be read, and begin the list again."""
        plan, command = self._runner.plan, self._journal.first_open
        reason = reason_of(error.sense)
        row = failed_segment(plan, command, error)
        if reason is None or not reason.unreadable or row < 0 or len(self._flaws) >= _MOST_FLAWS:
            return False
        bad = self._with_what_follows(plan, row, unreadable_range(plan, row, reason.lba))
        self._flaws.append((int(bad.start_bytes[0]), int(bad.length_bytes[0])))
        self._tell_flaw(plan, bad)
        self._run.flawed = True
        replaced, command = with_zeros(plan, bad, keep=command)
        runner = self._new_runner(replaced)
        kept = int(plan.commands.first_segment[command])
        runner.digests[:kept] = self._runner.digests[:kept]
        runner.has_digest[:kept] = self._runner.has_digest[:kept]
        self._runner = runner
        self._done_bytes = int(replaced.segments.length_bytes[:kept].sum())
        self._journal.replace(replaced, runner.digests, command)
        self._back_to(replaced, command)
        return True

    def _with_what_follows(self, plan: Plan, row: int, bad: Ranges) -> Ranges:
        """A range that cannot be read, and what cannot be read right behind it in its segment.

        Bad blocks come in rows, and each one found by the copy costs a list that begins again.
        """
        start, unit = int(bad.start_bytes[0]), int(bad.length_bytes[0])
        segment = plan.segments
        end = int(segment.origin_bytes[row] + segment.length_bytes[row])
        stop = start + unit
        while self._disk is not None and stop < min(end, start + _MOST_GAP_BYTES):
            length = min(unit, end - stop)
            try:
                self._disk.read(stop, length)
            except CheckConditionError:
                stop += length
            else:
                self._run.figures.host_data_bytes += length
                break
        return Ranges(np.array([start]), np.array([stop - start]))

    def _tell_flaw(self, plan: Plan, bad: Ranges) -> None:
        hit = ""
        if self._tables is not None:
            hit = f"; hits {in_words(*files_at(self._tables, plan.geometry, bad))}"
        start = int(bad.start_bytes[0])
        lcn = (start - plan.geometry.volume_start_bytes) // plan.geometry.cluster_bytes
        self._run.emit(
            Finding(
                severity="error",
                code="unreadable-block",
                lcn=lcn,
                message=f"LBA {start // plan.geometry.block_bytes} "
                f"({format_bytes(bad.total_bytes)}) cannot be read and is zeros in the set{hit}",
            )
        )

    def _back_to(self, plan: Plan, command: int) -> None:
        """Position a tape before the first record of a list."""
        if isinstance(self._archive, Tape):
            position_tape(self._archive, plan, command, self._place)


def position_tape(tape: Tape, plan: Plan, command: int, place: Place, *, move: bool = True) -> int:
    """The object that a list of a backup writes first; the tape is put before it."""
    start = 0
    if command < len(plan.commands):
        start, _ = archive_range(plan, command)
    elif len(plan.commands):
        start = plan.archive_bytes
    position = place.first_object
    if start:
        number, _, _ = record_at(record_runs(map_of(plan)), start - 1)
        position += number + 1
    if move:
        tape.locate(position)
    return position


def position_tape_read(tape: Tape, plan: Plan, rows: SetMap, command: int, place: Place) -> None:
    """Put a tape before the first record that a list of a restore reads."""
    if command >= len(plan.commands):
        return
    start, _ = archive_range(plan, command)
    number, _, _ = record_at(record_runs(rows), start)
    tape.locate(place.first_object + number)
