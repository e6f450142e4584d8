"""Quiet window and snapshot together, with real writers, real clocks and real file systems."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbtk.errors import (
    ActivitySourceError,
    CancelledError,
    NoStaticViewError,
    QuietTimeoutError,
    SnapshotError,
    SourceChangedError,
)
from sbtk.events import FreezeStep, QuietSample, QuietTransition, SnapshotStep
from sbtk.quiesce.activity import Reading
from sbtk.quiesce.static_view import static_view
from sbtk.quiesce.termination import terminations_raise
from sbtk.snapshot import records, registry
from sbtk.snapshot.base import Snapshot
from sbtk.snapshot.reflink import ReflinkProvider
from sbtk.snapshot.static import NoSnapshot
from tests.loopfs import LoopFs, loop_fs, run
from tests.quiesce.fakes import FakeClock, ScriptedSource
from tests.quiesce.writers import writer

pytestmark = pytest.mark.root


@pytest.fixture(params=["xfs", "btrfs"])
def fs(request, tmp_path) -> LoopFs:
    with loop_fs(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def image(fs) -> Path:
    path = fs.path / "disk.img"
    path.write_bytes(os.urandom(4 << 20))
    return path


def digest(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_snapshot_comes_right_after_the_quiet_time(image):
    """The specification's 3.0-3.5 s after the last write, at a third of its length."""
    with writer(image, 1.5) as running, static_view(str(image), quiet_s=1.0, timeout_s=20) as view:
        last_s = running.last_write_s()
        assert 1.0 <= view.report.taken_s - last_s <= 1.0 + 0.5
        assert digest(view.location) == digest(image)
        clone = Path(view.location)
        with image.open("r+b") as stream:
            stream.write(b"later")
        assert not clone.read_bytes().startswith(b"later")
    assert not clone.exists()
    assert records.records() == []


def test_a_write_between_snapshot_and_recheck_tears_it(image, monkeypatch):
    """Real counter, real clone: the first one is dropped, the second one is handed over."""
    make, seen = ReflinkProvider.make, []

    def make_and_write(self, record):
        snapshot = make(self, record)
        seen.append(Path(snapshot.location))
        if len(seen) == 1:
            run("dd", "if=/dev/zero", f"of={image}", "bs=1", "count=1", "conv=notrunc")
        return snapshot

    monkeypatch.setattr(ReflinkProvider, "make", make_and_write)
    with static_view(str(image), quiet_s=0.3, timeout_s=5) as view:
        assert view.report.torn == 1
        assert [clone.exists() for clone in seen] == [False, True]
        assert digest(seen[1]) == digest(image)
    assert sorted(os.listdir(image.parent)) == ["disk.img"]


def test_a_writer_that_never_stops_fails_it_and_nothing_was_touched(fs, tmp_path):
    """One that writes the same bytes again and again: only its times may change."""
    image, target = fs.path / "disk.img", tmp_path / "target"
    with writer(image, 0.3) as first:
        first.last_write_s()
    image.write_bytes(bytes(1 << 20))
    target.write_bytes(os.urandom(65536))
    before = digest(target), sorted(os.listdir(fs.path))
    script = (
        "import os, sys, time\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "while True: os.pwrite(fd, bytes(4096), 4096); time.sleep(0.02)\n"
    )
    busy = subprocess.Popen([sys.executable, "-c", script, image])
    try:
        time.sleep(0.3)
        began_s = time.monotonic()
        with (
            pytest.raises(QuietTimeoutError) as caught,
            static_view(str(image), quiet_s=0.5, timeout_s=2.5),
        ):
            pytest.fail("there is no view")
        assert 2.5 <= time.monotonic() - began_s <= 3.5
    finally:
        busy.kill()
        busy.wait()
    assert caught.value.exit_code == 40
    assert before == (digest(target), sorted(os.listdir(fs.path)))
    assert digest(image) == hashlib.sha256(bytes(1 << 20)).hexdigest()
    assert records.records() == []


def test_the_disk_counter_alone_is_fooled_by_a_buffered_writer_and_ours_is_not(fs):
    with writer(fs.path / "busy") as busy:
        time.sleep(0.2)
        waits = {"provider": "none", "quiet_s": 1.0}
        with static_view(fs.device, flushes=(), timeout_s=25, **waits):
            assert busy.is_writing, "the control: it says quiet while somebody writes"
        events: list = []
        with (
            pytest.raises(QuietTimeoutError),
            static_view(fs.device, emit=events.append, timeout_s=3, **waits),
        ):
            pytest.fail("there is no view")
        assert busy.is_writing
        busiest = [event for event in events if isinstance(event, QuietSample)]
        assert max(event.calm_s for event in busiest) < 1.0


def test_a_writer_into_a_file_system_inside_the_image_is_not_overlooked(fs, tmp_path):
    """Image file, loop device, file system, page cache: the flush reaches all the way up."""
    (tmp_path / "inner").mkdir()
    inner_folder = fs.path / "inner"
    inner_folder.mkdir()
    with loop_fs("ext4", inner_folder) as inner, writer(inner.path / "busy") as busy:
        time.sleep(0.2)
        with static_view(str(inner.image), flushes=(), quiet_s=1.0, timeout_s=25):
            assert busy.is_writing, "the control: the change time alone says quiet"
        with (
            pytest.raises(QuietTimeoutError),
            static_view(str(inner.image), quiet_s=1.0, timeout_s=3),
        ):
            pytest.fail("there is no view")


def test_a_synchronous_writer_fools_nobody(fs):
    with (
        writer(fs.path / "busy", sync=True),
        pytest.raises(QuietTimeoutError),
        static_view(fs.device, provider="none", flushes=(), quiet_s=0.8, timeout_s=2.0),
    ):
        pytest.fail("there is no view")


# -- torn snapshots, on a clock of our own -----------------------------------------------------


class Recording(NoSnapshot):
    """Counts what is made and removed; ``during`` runs while a snapshot is made."""

    name = "recording"
    is_source = False
    made: int = 0
    removed: int = 0
    during = staticmethod(lambda number: None)

    def make(self, record):
        type(self).made += 1
        self.during(self.made)
        return Snapshot(self, record, f"view-{self.made}")

    @classmethod
    def remove(cls, record, run):
        cls.removed += 1


@pytest.fixture
def recording(monkeypatch):
    class Fresh(Recording):
        pass

    monkeypatch.setitem(registry._BUILT_IN, "recording", "tests.quiesce.fakes:Provider")
    monkeypatch.setattr("tests.quiesce.fakes.Provider", Fresh, raising=False)
    return Fresh


def test_torn_snapshots_are_dropped_and_the_wait_goes_on(recording, tmp_path):
    clock, writes, events = FakeClock(), {"count": 0}, []
    source = ScriptedSource(clock, lambda s: writes["count"])

    def during(number):
        writes["count"] += number <= 2

    recording.during = staticmethod(during)
    with static_view(
        str(tmp_path / "x"), provider="recording", activity=source, clock=clock, flushes=(),
        emit=events.append,
    ) as view:  # fmt: skip
        assert (view.location, view.report.torn, recording.removed) == ("view-3", 2, 2)
        assert clock.time_s - source.began_s == pytest.approx(9, abs=0.1)
    assert recording.removed == recording.made == 3
    actions = [event.action for event in events if isinstance(event, SnapshotStep)]
    assert actions == ["created", "torn", "created", "torn", "created", "held", "dropped"]
    states = [event.new for event in events if isinstance(event, QuietTransition)]
    assert states.count("held") == 1
    assert states.count("taken") == 3
    assert source.closed


def test_torn_to_the_end_fails_with_nothing_left(recording, tmp_path):
    clock, writes = FakeClock(), {"count": 0}

    def during(number):
        writes["count"] += 1

    recording.during = staticmethod(during)
    source = ScriptedSource(clock, lambda s: writes["count"])
    with (
        pytest.raises(QuietTimeoutError),
        static_view(str(tmp_path / "x"), provider="recording", activity=source, clock=clock,
                    flushes=(), timeout_s=20),
    ):  # fmt: skip
        pytest.fail("there is no view")
    assert recording.made == recording.removed == 6
    assert records.records() == []


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_ends_the_body_the_snapshot_is_dropped(recording, tmp_path, error):
    clock = FakeClock()
    still = ScriptedSource(clock, lambda s: 0)

    def body():
        with static_view(
            str(tmp_path / "x"), provider="recording", clock=clock, flushes=(), activity=still
        ):
            assert len(records.records()) == 1
            raise error

    with pytest.raises(type(error)):
        body()
    assert recording.made == recording.removed == 1
    assert records.records() == []


def test_a_snapshot_whose_recheck_fails_is_dropped(recording, tmp_path):
    clock = FakeClock()

    class Dies(ScriptedSource):
        def read(self):
            if recording.made:
                raise ActivitySourceError("the counter is gone")
            return Reading((0,))

    with (
        pytest.raises(ActivitySourceError, match="gone"),
        static_view(str(tmp_path / "x"), provider="recording", clock=clock, flushes=(),
                    activity=Dies(clock, lambda s: 0)),
    ):  # fmt: skip
        pytest.fail("there is no view")
    assert recording.removed == 1


def test_a_drop_that_fails_is_told_and_stays_on_record(recording, tmp_path, monkeypatch):
    def remove(record, run):
        raise SnapshotError("the array is away")

    monkeypatch.setattr(recording, "remove", staticmethod(remove))
    clock, events = FakeClock(), []
    arguments = {
        "provider": "recording", "clock": clock, "flushes": (), "emit": events.append,
        "activity": ScriptedSource(clock, lambda s: 0),
    }  # fmt: skip
    with pytest.raises(SnapshotError, match="away"), static_view(str(tmp_path / "x"), **arguments):
        pass
    assert events[-1].action == "left"
    assert len(records.records()) == 1
    # An error of the body is worth more than one of the drop.
    with pytest.raises(ValueError, match="mine"), static_view(str(tmp_path / "x"), **arguments):
        raise ValueError("mine")


# -- provider none -----------------------------------------------------------------------------


def test_without_a_snapshot_any_change_until_the_end_fails_the_set(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    waits = {"provider": "none", "quiet_s": 0.2, "timeout_s": 5}
    with static_view(str(image), **waits) as view:
        assert view.location == str(image)
        assert view.report.watched
        image.read_bytes()
        view.check()
    with pytest.raises(SourceChangedError) as caught, static_view(str(image), **waits):
        run("dd", "if=/dev/zero", f"of={image}", "bs=1", "count=1", "conv=notrunc")
    assert caught.value.exit_code == 46

    def change_midway():
        with static_view(str(image), **waits) as view:
            run("dd", "if=/dev/zero", f"of={image}", "bs=1", "count=1", "conv=notrunc")
            view.check()
            pytest.fail("the check comes first")

    with pytest.raises(SourceChangedError):
        change_midway()


def test_where_no_reflink_can_be_had_the_way_out_is_named_before_the_wait(tmp_path):
    with loop_fs("ext4", tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(bytes(1 << 20))
        began_s = time.monotonic()
        with pytest.raises(NoStaticViewError) as caught, static_view(str(image)):
            pytest.fail("there is no view")
        assert "--snapshot none" in caught.value.line
        assert time.monotonic() - began_s < 2
        assert sorted(os.listdir(fs.path)) == ["disk.img", "lost+found"]


# -- signals -----------------------------------------------------------------------------------

_HOLDER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the suite runs behind &
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where it runs behind nohup
from sbtk.quiesce.static_view import static_view
from sbtk.errors import SbtkError
try:
    with static_view(sys.argv[1], quiet_s=0.2, timeout_s=10) as view:
        print(view.location, flush=True)
        time.sleep(60)
except SbtkError as error:
    sys.exit(error.exit_code)
"""


def holder(image: Path) -> tuple[subprocess.Popen, Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, image], stdout=subprocess.PIPE, text=True
    )
    clone = Path(process.stdout.readline().strip())
    assert clone.exists()
    return process, clone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_drop_the_snapshot(image, number):
    process, clone = holder(image)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert number == signal.SIGINT or process.returncode == 3
    assert not clone.exists()
    assert records.records() == []


def test_a_termination_is_no_error_that_is_handled_on_its_way():
    """``except Exception`` would take it for a device that failed; it ends all that is nested."""
    passed = []

    def body():
        with terminations_raise():
            try:
                with terminations_raise():
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(5)
            except Exception as error:
                passed.append(error)

    with pytest.raises(CancelledError, match="stopped by SIGTERM"):
        body()
    assert passed == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_sigkill_leaves_is_found_and_cleaned(image):
    process, clone = holder(image)
    assert registry.left_overs() == []
    assert [record.is_in_use for record in records.records()] == [True]
    with pytest.raises(SnapshotError, match="in use"):
        registry.clean(records.records())
    process.kill()
    process.communicate()
    (left,) = registry.left_overs()
    assert left.details == {"path": str(clone)}
    assert clone.exists()
    registry.clean([left])
    assert not clone.exists()
    assert records.records() == []


# -- freeze, and the report --------------------------------------------------------------------


def test_a_freeze_keeps_writers_out_and_events_back(fs, recording, tmp_path):
    """The snapshot is made while a writer hangs; nothing it wrote tears it; then it goes on."""
    events: list = []
    seen = {}

    def during(number):
        with writer_in_background(fs.path / "log") as busy:
            time.sleep(0.3)
            seen["size"] = busy.poll() is None and (fs.path / "log").exists()
        seen["told"] = any(isinstance(event, SnapshotStep) for event in events)

    recording.during = staticmethod(during)
    with static_view(
        fs.device, provider="recording", quiet_s=0.5, timeout_s=10, freeze=[str(fs.path)],
        emit=events.append,
    ) as view:  # fmt: skip
        assert view.report.frozen == (str(fs.path),)
        assert view.report.torn == 0
        (fs.path / "after").write_text("thawed")
    assert seen == {"size": False, "told": False}
    assert [event.action for event in events if isinstance(event, FreezeStep)] == [
        "frozen",
        "thawed",
    ]


class writer_in_background:  # noqa: N801 - used like a function
    """A process that tries to create a file, and is not waited for while it hangs."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(["touch", str(path)])

    def __enter__(self) -> subprocess.Popen:
        return self.process

    def __exit__(self, *_: object) -> None:
        """It ends by itself when the file system is thawed."""


def test_the_report_travels_as_json(image):
    with static_view(str(image), quiet_s=0.2, timeout_s=5) as view:
        report = json.loads(json.dumps(view.report.to_dict()))
    assert report["provider"] == "reflink"
    assert report["calm_s"] >= report["quiet_s"] == 0.2
    assert report["samples"] >= 3
    assert "memory map" in report["blind_to"]
    assert report["flush_count"] >= 3
