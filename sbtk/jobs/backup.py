"""Backup: a static view, its tables, a plan, command lists, the closing member, the catalog."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbtk.device.location import find_ntfs, open_device, parse
from sbtk.errors import TargetError, UsageError
from sbtk.events import Finding, Listener, ignore
from sbtk.jobs.control import Control
from sbtk.jobs.counting import CountingDevice
from sbtk.jobs.finish import Facts, finish
from sbtk.jobs.journal import Journal
from sbtk.jobs.policy import Health, OnError, check_health, look_at_source
from sbtk.jobs.results import JobResult
from sbtk.jobs.run import Run, absolute, boot_id, run_of
from sbtk.jobs.same_disk import only_writer, refuse_source
from sbtk.jobs.session import End, Session, create_disk, open_session, without_partition
from sbtk.jobs.source_state import state_of
from sbtk.jobs.targets import Prepared, check_target, prepare
from sbtk.jobs.units import Disk
from sbtk.jobs.work import carry_out, plan_event
from sbtk.plan.api import plan_backup
from sbtk.plan.backup import SetFacts
from sbtk.plan.check import check_plan
from sbtk.plan.cost import Calibration
from sbtk.plan.model import Plan, Target
from sbtk.quiesce.activity import activity_named
from sbtk.quiesce.static_view import StaticView, static_view
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits
from sbtk.volume import Volume

if TYPE_CHECKING:
    from sbtk.mover.base import BlockUnit


@dataclass(frozen=True)
class BackupOptions:
    """How a backup is made.

    Attributes:
        layout: ``"image"``, ``"files"`` or ``"mirror"``.
        include, exclude, paging_files: what is chosen (``plan.selection.Choice``).
        record_bytes: bytes a tape record, 0 for 256 KiB.
        limits: of the embedded mover, or a profile's name.
        digests: ask for digests; None where the manager can.
        snapshot: provider of the static view.
        quiet_s, timeout_s: quiet time, and within which.
        store, cap_bytes: where the snapshot keeps what it must, and how much at most.
        freeze: mount points to freeze for the snapshot.
        activity: write counter to watch, by name (``quiesce.activity``); empty for what fits.
        health: what to do with an unfit source.
        on_error: what to do with unreadable blocks.
        yes: name of a target whose content may be destroyed.
        calibration: costs for the prediction.
    """

    layout: str = "image"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    paging_files: bool = False
    record_bytes: int = 0
    limits: Limits | str = "spc"
    digests: bool | None = None
    snapshot: str = "auto"
    quiet_s: float = 3.0
    timeout_s: float = 80.0
    store: Path | None = None
    cap_bytes: int = 0
    freeze: tuple[str, ...] = ()
    activity: str = ""
    health: Health = Health.WARN
    on_error: OnError = OnError.STOP
    yes: str = ""
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        """Take the words ``"warn"``, ``"skip"``, ... for what they mean."""
        try:
            object.__setattr__(self, "health", Health(self.health))
            object.__setattr__(self, "on_error", OnError(self.on_error))
        except ValueError as error:
            raise UsageError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run_start`` and the journal."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        named = self.limits if isinstance(self.limits, str) else self.limits.name
        return values | {"limits": named, "calibration": asdict(self.calibration)}


def backup(
    source: str | Path,
    *,
    to: str | Path,
    unit: BlockUnit | None = None,
    control: Control | None = None,
    emit: Listener = ignore,
    **options: Any,
) -> JobResult:
    """Back up a volume to a tape or a disk.

    Args:
        source: location of the volume.
        to: location of the medium: ``tape:PATH``, or a disk that holds sets or is blank.
        unit: the LUN of a mover of this process that all writers of the source come through; the
            snapshot is then an overlay of it.
        control: cancels and pauses it.
        emit: listener for its events.
        options: fields of ``BackupOptions``.

    Raises:
        QuietTimeoutError: the source did not fall quiet; nothing was written.
        VolumeUnfitError: it is dirty, hibernated or its mirror differs, and ``health`` is fail.
        TargetError: the target is too small, or holds something else.
        DeviceReadError: blocks of the source cannot be read, and ``on_error`` is stop.
        MediumFullError: the target filled up; what is on it is no set.
        CancelledError: it was cancelled.
    """
    chosen = BackupOptions(**options)
    source, to = str(source), str(to)
    with run_of("backup", source, to, chosen.to_dict(), control=control, emit=emit) as run:
        job = _Backup(run, source, to, chosen, unit)
        job.carry_out()
    assert run.stop is not None  # noqa: S101 - run_of has ended
    return JobResult(run.run_id, run.set_id, run.folder, run.stop)


@dataclass
class _Backup:
    """One backup that is under way."""

    run: Run
    source: str
    to: str
    options: BackupOptions
    unit: BlockUnit | None

    def carry_out(self) -> None:
        options, run = self.options, self.run
        source, to = without_partition(self.source), without_partition(self.to)
        refuse_source(to, source, "is the source itself")
        run.figures.metadata_bytes += look_at_source(self.source, options.health)
        with ExitStack() as stack:
            stack.enter_context(only_writer(to))
            check_target(self.to, options.layout, options.yes)
            with run.stage("view"):
                view = stack.enter_context(
                    static_view(
                        self.source, provider=options.snapshot, quiet_s=options.quiet_s,
                        timeout_s=options.timeout_s, unit=self.unit, store=options.store,
                        cap_bytes=options.cap_bytes, freeze=options.freeze,
                        activity=activity_named(options.activity) if options.activity else None,
                        emit=run.emit,
                    )
                )  # fmt: skip
            disk = view.device or open_device(without_partition(view.location))
            counted = CountingDevice(disk)
            if view.device is None:
                stack.callback(disk.close)
            try:
                self._from_view(view, counted)
            finally:
                run.figures.metadata_bytes += counted.read_bytes

    def _from_view(self, view: StaticView, disk: CountingDevice) -> None:
        run, options = self.run, self.options
        with run.stage("scan"):
            opened = find_ntfs(self.source, disk)
            volume = Volume(opened, emit=run.emit)
            info = volume.tables.volume
        health = check_health(info, options.health, run.emit)
        to = without_partition(self.to)
        made = options.layout == "mirror" and create_disk(to, disk.size_bytes)
        remote = view.device is None and parse(view.location).kind in ("iscsi", "sg")
        ends = [
            End(without_partition(view.location)) if remote
            else End(without_partition(self.source), device=_Kept(disk.inner),
                     designator=getattr(view.device, "designator", None)),
            End(to, writable=True),
        ]  # fmt: skip
        profile = options.limits
        given = profile_limits(profile) if isinstance(profile, str) else profile
        with (
            only_writer(to) if made else nullcontext(),
            open_session(ends, profile=given, emit=run.emit) as session,
        ):
            prepared = prepare(session.units[1], self.to, options.layout, options.yes)
            facts = self._facts(view, volume, health)
            with run.stage("plan"):
                plan = self._plan(volume, session, prepared, facts)
            self._copy(plan, session, prepared, volume, view)

    def _facts(self, view: StaticView, volume: Volume, health: dict[str, object]) -> SetFacts:
        report = view.report
        taken = datetime.fromtimestamp(report.taken_s, UTC)
        self.run.set_id = f"{taken:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        return SetFacts(
            set_id=self.run.set_id,
            created=taken.isoformat(timespec="seconds"),
            snapshot={"provider": report.provider, "location": report.location},
            quiet=report.to_dict(),
            notes={
                "source": absolute(self.source),
                "health": health,
                "run_id": self.run.run_id,
                "findings": volume.tables.findings.num_rows,
            },
        )

    def _plan(self, volume: Volume, session: Session, prepared: Prepared, facts: SetFacts) -> Plan:
        options = self.options
        target = prepared.target
        if target.medium == "tape":
            target = Target("tape", block_bytes=1, record_bytes=options.record_bytes)
        plan = plan_backup(
            volume,
            to=target,
            limits=session.limits,
            layout=options.layout,
            include=options.include,
            exclude=options.exclude,
            paging_files=options.paging_files,
            digests=_digests(session.limits, options.digests),
            facts=facts,
        )
        prepared.require_room(plan)
        check_plan(plan)
        for item in plan.notes.get("findings", ()):
            self.run.emit(Finding(**{key: item[key] for key in _FINDING_FIELDS}))
        self.run.emit(plan_event(plan, options.calibration, volume.tables))
        return plan

    def _copy(
        self, plan: Plan, session: Session, prepared: Prepared, volume: Volume, view: StaticView
    ) -> None:
        run = self.run
        source, archive = session.units
        if not isinstance(source, Disk):
            raise TargetError(f"{self.source} is no disk")
        info = volume.tables.volume
        job = {
            "verb": "backup",
            "source": absolute(self.source),
            "to": absolute(self.to),
            "set_id": run.set_id,
            "place": asdict(prepared.place),
            "label_id": prepared.label_id,
            "view": view.report.to_dict(),
            "volume": asdict(info),
            "options": self.options.to_dict(),
            "boot": boot_id(),
            "source_state": state_of(self.source),
        }
        journal = Journal.begin(run.folder, job, plan)
        prepared.begin(plan)
        done = carry_out(
            run, session, journal, source, archive, place=prepared.place, tables=volume.tables,
            on_error=self.options.on_error, check=view.check, target=self.to,
        )  # fmt: skip
        view.check()
        finish(
            run,
            archive,
            done,
            Facts(run.set_id, absolute(self.source), absolute(without_partition(self.to)),
                  prepared.label_id, prepared.place, info),
            volume.tables,
        )  # fmt: skip


_FINDING_FIELDS = ("severity", "code", "record", "lcn", "message")


def _digests(limits: Limits, wanted: bool | None) -> bool | None:
    """Ask for digests only where they can be fetched."""
    from sbtk.scsi.cdb_copy import ReceiveCopyDataLid1, ReceiveCopyDataLid4

    can = limits.has(ReceiveCopyDataLid1) or limits.has(ReceiveCopyDataLid4)
    return wanted if can else False


class _Kept:
    """A device that a mover may use and not close: the job closes it."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def close(self) -> None:
        """Left to the job."""
