"""Restore: a whole volume, chosen files as a volume that mounts, or files in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbtk.archive.manifest import Geometry
from sbtk.device.location import open_ntfs, parse
from sbtk.device.scsi import ScsiDevice
from sbtk.errors import LocationNotFoundError, SbtkError, TargetError
from sbtk.events import Checked, Listener, ignore
from sbtk.jobs.aftercheck import check_restored
from sbtk.jobs.chosen import in_place_ranges, scratch_ranges
from sbtk.jobs.control import Control
from sbtk.jobs.counting import CountingDevice
from sbtk.jobs.journal import Journal
from sbtk.jobs.policy import confirm_overwrite, what_is_on
from sbtk.jobs.results import CheckedResult
from sbtk.jobs.run import Run, absolute, boot_id, run_of
from sbtk.jobs.same_disk import only_writer, refuse_mounted, refuse_source
from sbtk.jobs.session import End, Session, create_disk, open_session, without_partition
from sbtk.jobs.sets import KnownSet, find_set, require_disk
from sbtk.jobs.units import Disk
from sbtk.jobs.verify import verify_lun
from sbtk.jobs.work import carry_out, plan_event
from sbtk.plan.check import check_plan
from sbtk.plan.cost import Calibration
from sbtk.plan.model import SOURCE, Plan, Ranges
from sbtk.plan.restore import plan_restore
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits
from sbtk.units import format_bytes


def restore(
    name: str,
    *,
    to: str | Path,
    files: Sequence[str] = (),
    in_place: bool = False,
    location: str | Path = "",
    limits: Limits | str = "spc",
    yes: str = "",
    check_digests: bool = False,
    control: Control | None = None,
    emit: Listener = ignore,
) -> CheckedResult:
    """Restore a set to a LUN.

    Args:
        name: id of the set, or ``last``.
        to: the LUN: a disk (a file that does not exist is made), or ``LOCATION#N`` for the volume
            alone into a partition.
        files: globs; the target becomes a volume that mounts with all metadata and the data of
            these files alone.
        in_place: put the files' blocks where they were, on the live volume.
        location: of the medium, where it is not where the catalog says.
        limits: of the embedded mover, or a profile's name.
        yes: name of a target whose content may be destroyed.
        check_digests: hold every restored piece against the set's digests afterwards.
        control: cancels and pauses it.
        emit: listener for its events.

    Raises:
        CatalogError: the catalog does not know the set.
        ArchiveError: the medium holds another set.
        TargetError: the target is too small, or holds something else.
        CancelledError: it was cancelled.
    """
    known = find_set(name)
    medium, target = str(location) or known.record.location, str(to)
    options = {"files": list(files), "in_place": in_place, "check_digests": check_digests,
               "limits": limits if isinstance(limits, str) else limits.name}  # fmt: skip
    with run_of("restore", known.record.set_id, target, options, control=control, emit=emit) as run:
        run.set_id = known.record.set_id
        whole = without_partition(target)
        refuse_source(whole, without_partition(medium), "holds the set itself")
        refuse_mounted(whole)
        made = not in_place and create_disk(target, known.manifest.geometry.lun_bytes)
        profile = profile_limits(limits) if isinstance(limits, str) else limits
        ends = [End(whole, writable=True), End(medium)]
        try:
            with (
                only_writer(whole),
                open_session(ends, profile=profile, emit=run.emit) as session,
            ):
                job = _Restore(run, known, session, target, tuple(files), in_place, yes)
                checks = job.carry_out(check_digests)
        except SbtkError:
            if made and not run.figures.moved_bytes:
                Path(parse(target).path).unlink(missing_ok=True)
            raise
    assert run.stop is not None  # noqa: S101 - run_of has ended
    return CheckedResult(run.run_id, run.set_id, run.folder, run.stop, tuple(checks))


class _Restore:
    """One restore that is under way."""

    def __init__(
        self, run: Run, known: KnownSet, session: Session, target: str, files: tuple[str, ...],
        in_place: bool, yes: str,
    ) -> None:  # fmt: skip
        self._run, self._known, self._session = run, known, session
        self._target, self._files, self._in_place, self._yes = target, files, in_place, yes
        self._disk = require_disk(session.units[0], target)
        self._archive = session.units[1]

    def carry_out(self, check_digests: bool) -> list[Checked]:
        known, run, disk = self._known, self._run, self._disk
        known.require_medium(self._archive)
        start_bytes = self._volume_start()
        shift = start_bytes - known.manifest.geometry.volume_start_bytes
        with run.stage("plan"):
            wanted = self._wanted(shift)
            plan = self._plan(wanted, shift)
        job = {
            "verb": "restore", "set_id": known.record.set_id, "to": absolute(self._target),
            "location": absolute(known.record.location), "start_bytes": start_bytes,
            "files": list(self._files), "in_place": self._in_place, "boot": boot_id(),
        }  # fmt: skip
        journal = Journal.begin(run.folder, job, plan)
        return carry_on(
            run, self._session, known, journal, disk, start_bytes=start_bytes,
            whole=not self._files, check_digests=check_digests,
        )  # fmt: skip

    def _volume_start(self) -> int:
        """Where on the target the volume goes; refuses a target that must not be overwritten."""
        geometry = self._known.manifest.geometry
        number = parse(self._target).partition
        if self._in_place:
            if not self._files:
                raise TargetError(
                    "in place means chosen files", hint="Name them: --file GLOB --in-place"
                )
            return self._live_start()
        if number is None:
            if self._disk.size_bytes < geometry.lun_bytes:
                raise TargetError(
                    f"{self._target} is too small: it has {format_bytes(self._disk.size_bytes)} "
                    f"and the source had {format_bytes(geometry.lun_bytes)}",
                    hint="Choose a larger target; nothing was written",
                )
            holds = what_is_on(self._disk)
            confirm_overwrite(self._target, self._disk, holds, self._yes, "restore to")
            return geometry.volume_start_bytes
        return self._partition_start(number)

    def _partition_start(self, number: int) -> int:
        from sbtk.device.partition import read_table

        table = read_table(ScsiDevice(self._disk.transport))
        for item in table.partitions:
            if item.number == number:
                if item.size_bytes < self._known.manifest.geometry.volume_bytes:
                    raise TargetError(
                        f"{self._target} is too small for the volume",
                        hint="Choose a larger partition; nothing was written",
                    )
                holds = "an NTFS volume" if item.is_ntfs else ""
                confirm_overwrite(self._target, self._disk, holds, self._yes, "restore to")
                return item.start_bytes
        raise LocationNotFoundError(f"{self._target}: there is no such partition")

    def _live_start(self) -> int:
        with open_ntfs(self._target) as opened:
            start = opened.partition_start_bytes
        confirm_overwrite(self._target, self._disk, "the live volume", self._yes, "write to")
        return start

    def _wanted(self, shift: int) -> Ranges | None:
        known, run = self._known, self._run
        if self._in_place:
            tables = known.tables(self._archive, run.emit)
            return in_place_ranges(self._target, known, tables, self._files, run)
        if self._files:
            tables = known.tables(self._archive, run.emit)
            return scratch_ranges(known, tables, self._files)
        if shift or parse(self._target).partition is not None:
            geometry = known.manifest.geometry
            return Ranges(
                np.array([geometry.volume_start_bytes]), np.array([geometry.volume_bytes])
            )
        return None

    def _plan(self, wanted: Ranges | None, shift: int) -> Plan:
        known, disk = self._known, self._disk
        geometry: Geometry = replace(
            known.manifest.geometry, block_bytes=disk.block_bytes, lun_bytes=disk.size_bytes,
            volume_start_bytes=known.manifest.geometry.volume_start_bytes + shift,
        )  # fmt: skip
        plan = plan_restore(
            known.rows, geometry, known.target(self._archive), self._session.limits,
            layout=known.manifest.layout, wanted=wanted, shift_bytes=shift,
        )  # fmt: skip
        check_plan(plan)
        self._run.emit(plan_event(plan, Calibration(), known.known_tables))
        return plan


def carry_on(
    run: Run, session: Session, known: KnownSet, journal: Journal, disk: Disk, *,
    start_bytes: int, whole: bool, check_digests: bool = False,
) -> list[Checked]:  # fmt: skip
    """Carry out a restore from its journal's first open list on, and check what came of it."""
    archive = session.units[1]
    carry_out(
        run, session, journal, disk, archive, place=known.place, tables=known.known_tables,
        target=known.record.location,
    )  # fmt: skip
    disk.flush()
    device = CountingDevice(ScsiDevice(disk.transport))
    with run.stage("check"):
        checks = [check_restored(device, known.manifest, start_bytes, run.emit)]
        if check_digests:
            rows = known.rows
            wanted = _restored_rows(journal.plan, known, start_bytes)
            shift = start_bytes - known.manifest.geometry.volume_start_bytes
            if whole or wanted.any():
                checks += verify_lun(
                    run, session, known, disk, False, wanted=wanted & (rows.kind == SOURCE),
                    shift_bytes=shift,
                )  # fmt: skip
    run.figures.metadata_bytes += device.read_bytes
    for check in checks:
        run.emit(check)
        run.flawed |= check.mismatches > 0
    return checks


def _restored_rows(plan: Plan, known: KnownSet, start_bytes: int) -> NDArray[np.bool_]:
    """Rows of the set's map that the plan restored whole."""
    shift = start_bytes - known.manifest.geometry.volume_start_bytes
    rows, done = known.rows, plan.selected
    start = rows.lun_start_bytes + shift
    row = np.searchsorted(done.start_bytes, start, side="right") - 1
    return (row >= 0) & (start + rows.length_bytes <= done.end_bytes[np.maximum(row, 0)])
