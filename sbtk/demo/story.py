"""The steps of the demo, in order; each tells in a line what it did and what that proved."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sbtk import samples
from sbtk.demo.proofs import compare_with_tar, compare_with_truth, flip_one_byte, sha256
from sbtk.demo.workstation import Workstation
from sbtk.errors import JobError, LocationError, UsageError
from sbtk.events import (
    Event,
    Listener,
    PlanMade,
    QuietSample,
    SnapshotStep,
    StageDone,
    ignore,
)
from sbtk.jobs.backup import backup
from sbtk.jobs.extract import extract
from sbtk.jobs.restore import restore
from sbtk.jobs.results import CheckedResult, JobResult
from sbtk.jobs.units import Disk
from sbtk.jobs.verify import verify
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.target import Target
from sbtk.report.build import write_report
from sbtk.settings import settings
from sbtk.transport.loopback import Loopback
from sbtk.units import format_bytes, format_seconds, plural
from sbtk.volume import open_volume

SAMPLE = "office.ntfs"
BUSY_FILE, WANTED_FILE = "Logs/server.log", "Documents/contract.pdf"
LEFT_OUT = "pagefile.sys"
BURST_S = 2.0
MEDIA, STATE = "media", "state"  # folders for disks and tapes, for runs and the catalog
_TAPE_BYTES = 1 << 30


@dataclass(frozen=True)
class Step:
    """One step that was done.

    Attributes:
        name: one word.
        did: what was done.
        proved: what that shows; empty where it only prepares.
        took_s: how long it took.
    """

    name: str
    did: str
    proved: str
    took_s: float


Say = Callable[[Step], None]


def tell(
    folder: Path | None = None,
    *,
    say: Say,
    emit: Listener = ignore,
    quiet_s: float = 3.0,
    timeout_s: float = 80.0,
) -> Path:
    """Tell the whole story.

    Args:
        folder: where everything is kept, empty or missing; None: a temporary folder, in which only
            the reports are left.
        say: told of each step when it is done.
        emit: listener for the events of the jobs.
        quiet_s: quiet time to wait for.
        timeout_s: within which time.

    Returns:
        The report of the backup.

    Raises:
        UsageError: the folder is not empty.
        JobError: a proof failed.
        SbtkError: a job failed.
    """
    place = _own_folder(folder)
    try:
        with _own_state(place / STATE):
            report = _Story(place, say, emit).tell(quiet_s, timeout_s)
    except BaseException:
        if folder is None:
            shutil.rmtree(place)
        raise
    if folder is None:
        for name in (MEDIA, STATE):
            shutil.rmtree(place / name)
    return report


def _own_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="sbtk-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", hint="Name a new folder")
    except OSError as error:
        raise LocationError(
            f"{folder} cannot be used: {error.strerror}", hint="Name a new folder"
        ) from error
    return folder.resolve()


@contextmanager
def _own_state(folder: Path) -> Iterator[None]:
    """A catalog and runs of the demo's own: it leaves no traces in the user's."""
    before = os.environ.get("SBTK_STATE_DIR")
    os.environ["SBTK_STATE_DIR"] = str(folder)
    settings.cache_clear()
    try:
        yield
    finally:
        if before is None:
            del os.environ["SBTK_STATE_DIR"]
        else:
            os.environ["SBTK_STATE_DIR"] = before
        settings.cache_clear()


class _Story:
    """What the steps hand on to each other."""

    def __init__(self, folder: Path, say: Say, emit: Listener) -> None:
        self._say, self._emit = say, emit
        self._folder, self._media = folder, folder / MEDIA
        self._image, self._tape = self._media / "office.img", self._media / "demo.tape"
        self._restored = self._media / "restored.img"
        self._runs: list[JobResult] = []
        self._set_id = ""
        self._busy_content = b""
        self._later_writes = 0
        self._clock_s = time.monotonic()

    def tell(self, quiet_s: float, timeout_s: float) -> Path:
        """All steps; the report of the backup."""
        self.begin()
        self.back_up(quiet_s, timeout_s)
        self.restore()
        self.plain_tar()
        self.verify()
        self.damage()
        self.extract()
        return self.report()

    def _done(self, name: str, did: str, proved: str = "") -> None:
        now_s = time.monotonic()
        self._say(Step(name, did, proved, now_s - self._clock_s))
        self._clock_s = time.monotonic()

    # -- the backup ------------------------------------------------------------------------------

    def begin(self) -> None:
        """The LUN and the cartridge."""
        self._media.mkdir()
        shutil.copyfile(samples.unpack(SAMPLE), self._image)
        create_cartridge(self._tape, capacity_bytes=_TAPE_BYTES, barcode="DEMO01")
        size = format_bytes(self._image.stat().st_size)
        self._done(
            "sample",
            f"an NTFS volume of {size} as a LUN of a data mover in this process, a blank cartridge",
        )

    def back_up(self, quiet_s: float, timeout_s: float) -> None:
        """Quiet window, snapshot, scan, plan, copy, while a workstation writes."""
        with ExitStack() as stack:
            lun = BlockLun(self._image)
            mover = Target(open_access=True)
            stack.callback(mover.close)
            mover.add(0, lun)
            path = Loopback(mover, 0, "iqn.2026-11.local.sbtk:workstation", name=str(self._image))
            writer = Workstation(Disk(path), str(self._image), BUSY_FILE)
            stack.callback(writer.stop)
            writer.start(BURST_S)
            result = backup(
                self._image, to=f"tape:{self._tape}", unit=lun, store=self._media,
                quiet_s=quiet_s, timeout_s=timeout_s, emit=_Chapters(self, writer, self._emit),
            )  # fmt: skip
            writer.stop()
        if not (writer.first_writes and writer.later_writes):
            raise JobError("the demo's workstation did not write", hint="Run it again")
        self._runs.append(result)
        self._set_id, self._busy_content = result.set_id, bytes(writer.content)
        stop = result.stop
        self._later_writes = writer.later_writes
        self._done(
            "backup",
            f"{format_bytes(stop.moved_bytes)} from disk to tape in "
            f"{format_seconds(stop.copied_s)}, set {stop.set_id}; meanwhile "
            f"{plural(writer.later_writes, 'write')} of the workstation",
            f"{format_bytes(stop.host_data_bytes)} of file data through this server: it read "
            f"{format_bytes(stop.metadata_bytes)} of metadata and sent "
            f"{format_bytes(stop.command_bytes + stop.inline_bytes)} of commands and headers",
        )

    def quiet(self, look: QuietSample, taken: SnapshotStep, writer: Workstation) -> None:
        """The snapshot is there, and holds."""
        self._done(
            "quiet",
            f"{plural(writer.first_writes, 'write')} of a workstation, then "
            f"{look.quiet_s:g} s without one, {format_seconds(look.waited_s)} after the wait began "
            f"(at most {look.timeout_s:g} s)",
            f"when the {taken.provider} snapshot was there, the write counter had not moved",
        )

    def planned(self, scan_s: float, plan: PlanMade) -> None:
        """The snapshot was scanned and the copy planned."""
        self._done(
            "plan",
            f"{plural(plan.files, 'file')} in the snapshot's $MFT, read in "
            f"{format_seconds(scan_s)}; {format_bytes(plan.selected_bytes)} in "
            f"{plural(plan.selected_runs, 'run')} become {plural(plan.commands, 'command list')} "
            f"of {plural(plan.segments, 'segment')}",
            f"each selected block once, within the mover's limits; "
            f"{format_seconds(plan.predicted_s)} predicted",
        )

    # -- the way back ----------------------------------------------------------------------------

    def restore(self) -> None:
        """The whole volume, to a disk that did not exist."""
        result = restore(self._set_id, to=self._restored, emit=self._emit)
        self._runs.append(result)
        _require_sound(result)
        files, streams = compare_with_truth(
            self._restored, SAMPLE, changed={BUSY_FILE: self._busy_content}, holes=[LEFT_OUT]
        )
        self._done(
            "restore",
            f"{format_bytes(result.stop.moved_bytes)} from tape to a new disk",
            f"{plural(files, 'file')} and {plural(streams, 'named stream')} have the SHA-256 that "
            f"another driver gave them; {BUSY_FILE} that of the quiet moment, though "
            f"{plural(self._later_writes, 'write')} followed",
        )

    def plain_tar(self) -> None:
        """No sbtk needed to read a set."""
        equal = compare_with_tar(self._tape, self._restored, self._media)
        self._done(
            "tar",
            "read the tape file with nothing but Python's tarfile",
            f"its volume.ntfs is the restored volume, {format_bytes(equal)} byte for byte",
        )

    def verify(self) -> None:
        """The set against its digests."""
        result = verify(self._set_id, emit=self._emit)
        self._runs.append(result)
        _require_sound(result)
        checks = result.checks
        pieces = sum(check.checked_pieces for check in checks)
        self._done(
            "verify",
            f"{format_bytes(sum(check.checked_bytes for check in checks))} read back, in "
            f"{plural(pieces, 'piece')}, by the {' and the '.join({c.method for c in checks})}",
            f"no difference, with {format_bytes(result.stop.host_data_bytes)} of file data through "
            f"this server",
        )

    def damage(self) -> None:
        """A flipped byte is found, and the file that it hits."""
        damaged = self._media / "damaged.tape"
        with open_volume(str(self._restored)) as volume, volume.open(WANTED_FILE) as file:
            known = file.read(4096)
        flip_one_byte(self._tape, damaged, known)
        result = verify(self._set_id, location=f"tape:{damaged}", emit=self._emit)
        files = {name for check in result.checks for name in check.files}
        if result.sound or WANTED_FILE not in files:
            raise JobError(f"a flipped byte in {WANTED_FILE} was not found")
        pieces = sum(check.mismatches for check in result.checks)
        touched = sum(check.files_total for check in result.checks)
        self._done(
            "damage",
            f"flipped one byte of {WANTED_FILE} in a copy of the tape, and verified that",
            f"{plural(pieces, 'damaged piece')} found, and the {plural(touched, 'file')} that lie "
            f"in it, this one among them",
        )

    def extract(self) -> None:
        """One file, through this host."""
        out = self._folder / "extracted"
        result = extract(self._set_id, [WANTED_FILE], to=out, emit=self._emit)
        self._runs.append(result)
        with open_volume(str(samples.unpack(SAMPLE))) as volume, volume.open(WANTED_FILE) as file:
            expected = sha256(file.read())
        if sha256((out / WANTED_FILE).read_bytes()) != expected:
            raise JobError(f"{WANTED_FILE} came out of the set changed")
        self._done(
            "extract",
            f"{WANTED_FILE} from the tape to a folder",
            f"its SHA-256 is the sample's; this is the one way on which file data comes through "
            f"this server: {format_bytes(result.stop.host_data_bytes)}",
        )

    def report(self) -> Path:
        """A page for each run."""
        pages = [
            write_report(run.folder, self._folder / f"report-{run.stop.verb}.html")[0]
            for run in self._runs
        ]
        self._done("report", f"{plural(len(pages), 'page')} in {self._folder}, one a run")
        return pages[0]


class _Chapters:
    """Listens to the backup: tells its steps as they end, and lets the workstation go on."""

    def __init__(self, story: _Story, writer: Workstation, emit: Listener) -> None:
        self._story, self._writer, self._emit = story, writer, emit
        self._look: QuietSample | None = None
        self._scan_s = 0.0

    def __call__(self, event: Event) -> None:
        """Pass the event on; a step may end with it."""
        self._emit(event)
        if isinstance(event, QuietSample):
            self._look = event
        elif isinstance(event, SnapshotStep) and event.action == "held" and self._look:
            self._story.quiet(self._look, event, self._writer)
            self._writer.go_on()
        elif isinstance(event, StageDone) and event.stage == "scan":
            self._scan_s = event.took_s
        elif isinstance(event, PlanMade):
            self._story.planned(self._scan_s, event)


def _require_sound(result: CheckedResult) -> None:
    if not result.sound:
        raise JobError(f"{result.stop.verb} found differences: sbtk report {result.folder}")
