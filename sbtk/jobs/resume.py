"""Go on with a backup or restore that was killed, at the first command list that has not ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sbtk.device.location import find_ntfs, open_device, parse
from sbtk.errors import ArchiveError, CheckConditionError, JobError, SbtkError
from sbtk.events import Finding, Listener, ignore
from sbtk.jobs.control import Control
from sbtk.jobs.counting import CountingDevice
from sbtk.jobs.finish import Facts, finish
from sbtk.jobs.journal import Journal
from sbtk.jobs.label import read_label
from sbtk.jobs.medium import Place, disk_reader, read_set_id, tape_reader
from sbtk.jobs.policy import OnError
from sbtk.jobs.restore import carry_on
from sbtk.jobs.results import JobResult
from sbtk.jobs.run import Run, boot_id, run_of
from sbtk.jobs.same_disk import only_writer
from sbtk.jobs.session import End, open_session, without_partition
from sbtk.jobs.sets import find_set, require_disk
from sbtk.jobs.source_state import state_of
from sbtk.jobs.units import Disk, Tape
from sbtk.jobs.work import carry_out, plan_event, position_tape, position_tape_read
from sbtk.ntfs.tables import Tables, VolumeInfo
from sbtk.plan.cost import Calibration
from sbtk.plan.encode import archive_range
from sbtk.scsi.limits import limits as profile_limits
from sbtk.snapshot import records
from sbtk.snapshot.commands import run_command
from sbtk.snapshot.records import Record
from sbtk.snapshot.registry import provider_class
from sbtk.volume import Volume

_COMPARED_BYTES = 64 * 1024  # of the beginning of a set: its manifest, with its name


def resume(name: str, *, control: Control | None = None, emit: Listener = ignore) -> JobResult:
    """Go on with a run.

    Args:
        name: id of the run, or ``last``.
        control: cancels and pauses it.
        emit: listener for its events.

    Raises:
        CatalogError: there is no such run.
        JobError: it cannot be resumed; says why.
    """
    from sbtk.catalog.store import Catalog

    with Catalog.open() as catalog:
        record = catalog.find_run(name)
    if record.status in ("done", "flawed"):
        raise JobError(f"run {record.run_id} has ended: {record.status}", hint="sbtk sets lists it")
    folder = Path(record.folder)
    journal = Journal.load(folder)
    verb = str(journal.job.get("verb", ""))
    if verb not in ("backup", "restore"):
        raise JobError(f"run {record.run_id} is a {verb}: nothing is lost", hint="Start it again")
    if journal.job.get("boot") != boot_id():
        journal.reopen(0)  # what the machine had not written yet went with it
    options = {"first_list": journal.first_open, "resumed": True}
    with run_of(
        verb, record.source, record.target, options, control=control, emit=emit,
        run_id=record.run_id,
    ) as run:  # fmt: skip
        run.set_id = str(journal.job["set_id"])
        if verb == "backup":
            _backup(run, journal)
        else:
            _restore(run, journal)
    assert run.stop is not None  # noqa: S101 - run_of has ended
    return JobResult(run.run_id, run.set_id, run.folder, run.stop)


def _backup(run: Run, journal: Journal) -> None:
    job = journal.job
    source, to = str(job["source"]), str(job["to"])
    place = Place(**job["place"])
    with (
        _static(job) as (view, still),
        CountingDevice(open_device(without_partition(view))) as disk,
    ):
        volume = Volume(find_ntfs(_same_partition(view, source), disk), emit=run.emit)
        tables = volume.tables
        run.figures.metadata_bytes += disk.read_bytes
        ends = [End(without_partition(view)), End(without_partition(to), writable=True)]
        with (
            only_writer(without_partition(to)),
            open_session(ends, profile=_profile(job), emit=run.emit) as session,
        ):
            archive = session.units[1]
            _require_begun(journal, archive, place, run)
            run.emit(plan_event(journal.plan, Calibration(), tables))
            done = carry_out(
                run, session, journal, require_disk(session.units[0], view), archive,
                place=place, tables=tables, target=to,
                on_error=OnError(job["options"].get("on_error", "stop")),
                check=still,
            )  # fmt: skip
            still()
            facts = Facts(
                run.set_id, source, without_partition(to), str(job["label_id"]), place,
                _info(job, tables),
            )  # fmt: skip
            finish(run, archive, done, facts, tables)


def _info(job: dict[str, Any], tables: Tables) -> VolumeInfo:
    """The volume's identity; another one than at the start of the run is no resumption."""
    if tables.volume.serial != job["volume"]["serial"]:
        raise JobError("the snapshot holds another volume than the run began with")
    return tables.volume


def _require_begun(journal: Journal, archive: Disk | Tape, place: Place, run: Run) -> None:
    """The medium must hold what the ended lists wrote, and nothing since; a tape is put behind it.

    Raises:
        JobError: it holds something else.
    """
    if isinstance(archive, Tape):
        position = _behind_what_was_written(journal, archive, place)
    if not _begins_as_planned(journal, archive, place):
        raise JobError(
            f"{archive.name} does not hold what run {run.run_id} wrote",
            hint="Load the medium that it wrote to, or start it again",
        )
    if isinstance(archive, Tape):
        archive.locate(position)
        told = f"goes on at list {journal.first_open} of {len(journal.plan.commands)}"
        run.emit(Finding(severity="info", code="resumed", message=told))


def _behind_what_was_written(journal: Journal, tape: Tape, place: Place) -> int:
    """The object that the first open list writes first; lists that did not get to the tape open.

    Raises:
        JobError: it is another cartridge, or a set was written behind the unfinished one.
    """
    label = read_label(tape)
    if label is None or label.cartridge_id != journal.job["label_id"]:
        found = "a blank one" if label is None else f"cartridge {label.cartridge_id}"
        raise JobError(
            f"wrong tape: {tape.name} does not hold what the run wrote, it is {found}",
            hint=f"Load cartridge {journal.job['label_id']}",
        )
    tape.to_end_of_data()
    end = tape.position()
    if end.logical_file != place.file_number:
        raise JobError(
            f"{tape.name} has had another set written behind the unfinished one, which going on "
            "would overwrite",
            hint="Start it again: the new set goes behind all others",
        )
    while True:
        position = position_tape(tape, journal.plan, journal.first_open, place, move=False)
        if position <= end.logical_object or not journal.first_open:
            return position
        journal.reopen(journal.first_open - 1)


def _begins_as_planned(journal: Journal, archive: Disk | Tape, place: Place) -> bool:
    """Whether the set begins with the bytes that the plan begins with, as far as they were written.

    Where no list has ended, a disk may hold anything there but another set.
    """
    plan, ended = journal.plan, journal.first_open
    if plan.layout == "mirror":
        return True
    if not ended:
        return isinstance(archive, Tape) or read_set_id(archive, place) in ("", _set_id(journal))
    _, written = archive_range(plan, ended - 1 if isinstance(archive, Tape) else 0)
    size = min(int(plan.pieces.length_bytes[0]), written, _COMPARED_BYTES)
    try:
        read_at = (
            tape_reader(archive, place.first_object)
            if isinstance(archive, Tape)
            else disk_reader(archive, place.start_bytes)
        )
        return read_at(0, size) == plan.inline[:size].tobytes()
    except (ArchiveError, CheckConditionError):
        return False


def _set_id(journal: Journal) -> str:
    return str(journal.job["set_id"])


def _restore(run: Run, journal: Journal) -> None:
    job = journal.job
    known = find_set(run.set_id)
    target, medium = str(job["to"]), str(job["location"])
    ends = [End(without_partition(target), writable=True), End(medium)]
    with (
        only_writer(without_partition(target)),
        open_session(ends, emit=run.emit) as session,
    ):
        disk, archive = require_disk(session.units[0], target), session.units[1]
        try:
            known.require_medium(archive)
        except ArchiveError as error:
            raise JobError(f"run {run.run_id} cannot be resumed: {error}") from error
        run.emit(plan_event(journal.plan, Calibration(), known.known_tables))
        if isinstance(archive, Tape):
            position_tape_read(archive, journal.plan, known.rows, journal.first_open, known.place)
        carry_on(
            run, session, known, journal, disk, start_bytes=int(job["start_bytes"]),
            whole=not job["files"],
        )  # fmt: skip


def _profile(job: dict[str, Any]) -> Any:
    named = str(job["options"].get("limits", "spc"))
    try:
        return profile_limits(named.partition("+")[0])
    except SbtkError as error:
        raise JobError(f"the limits {named!r} of the run are not known any more") from error


def _same_partition(view: str, source: str) -> str:
    """The location of the volume in the view: where the source named a partition, so does it."""
    if parse(view).partition is not None or parse(source).partition is None:
        return view
    return f"{view}#{parse(source).partition}"


# -- the static view of the run that was killed ------------------------------------------------


def _still(job: dict[str, Any]) -> Callable[[], None]:
    """A check that an unwatched source has not been written to since the run began."""

    def check() -> None:
        if job.get("source_state") is None or state_of(str(job["source"])) != job["source_state"]:
            raise JobError(
                f"{job['source']} has been written to since the run began, or cannot be told",
                hint="Start it again",
            )

    return check


@contextlib.contextmanager
def _static(job: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The location of the view that the killed run copied from, and a check that it is whole.

    It is dropped when all went well.

    Raises:
        JobError: it is gone.
    """
    view = job["view"]
    provider = str(view["provider"])
    if provider == "none":
        still = _still(job)
        still()
        yield str(job["source"]), still
        return
    if provider == "overlay":
        raise JobError(
            "the run cannot be resumed: its snapshot lived in the process that was killed",
            hint="Start it again",
        )
    left = [
        item
        for item in records.records()
        if item.provider == provider and item.is_left_over and item.source == view["source"]
        and item.created_s >= float(view["taken_s"]) - 1
    ]  # fmt: skip
    location = str(view["location"])
    if not left or not _exists(location):
        raise JobError(
            f"the run cannot be resumed: its snapshot {location} is gone", hint="Start it again"
        )
    # From now on it is this process's: `sbtk snapshot clean` keeps its hands off.
    own = Record(left[0].id, left[0].provider, left[0].source, left[0].details)
    records.write(own)
    maker = provider_class(provider)
    yield location, maker.adopt(own)
    maker.remove(own, run_command)
    records.forget(own)


def _exists(location: str) -> bool:
    place = parse(location)
    return place.kind != "path" or os.path.exists(place.path)
