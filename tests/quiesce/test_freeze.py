"""Freezing real file systems, and the watchdog that thaws them whatever happens."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbtk.errors import FreezeError
from sbtk.quiesce import watchdog
from sbtk.quiesce.freeze import frozen
from tests.loopfs import LoopFs, loop_fs, ntfs_3g, run

pytestmark = pytest.mark.root


@pytest.fixture(params=["xfs", "btrfs", "ext4"])
def fs(request, tmp_path) -> LoopFs:
    with loop_fs(request.param, tmp_path) as made:
        try:
            yield made
        finally:
            # A test that failed must not leave a file system that hangs the machine.
            descriptor = os.open(made.path, os.O_RDONLY)
            with contextlib.suppress(OSError):
                watchdog.thaw(descriptor)
            os.close(descriptor)


def writable_within(folder: Path, seconds: float) -> bool:
    """Whether a file can be made there; tried by a process that may hang."""
    process = subprocess.Popen(["touch", str(folder / f"try-{time.monotonic_ns()}")])
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False


def watchdogs_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and watchdog.__file__.encode() in words:
                found.append(int(folder.name))
    return found


def test_frozen_is_frozen_and_thawed_is_thawed(fs):
    (fs.path / "dirty").write_bytes(os.urandom(1 << 20))
    with frozen(str(fs.path), max_s=10):
        assert not writable_within(fs.path, 0.3)
        assert (fs.path / "dirty").read_bytes()
        assert len(watchdogs_of(os.getpid())) == 1
    assert writable_within(fs.path, 5)
    assert watchdogs_of(os.getpid()) == []


def test_an_error_in_the_body_thaws(fs):
    with pytest.raises(ValueError, match="mine"), frozen(str(fs.path)):
        raise ValueError("mine")
    assert writable_within(fs.path, 5)


_FREEZER = """
import sys, time
from sbtk.quiesce.freeze import frozen
print("armed", flush=True)
with frozen(sys.argv[1], max_s=60):
    print("frozen", flush=True)
    time.sleep(60)
"""


def freezer(fs: LoopFs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", _FREEZER, fs.path], stdout=subprocess.PIPE, text=True
    )


def test_sigkill_of_the_process_that_froze_it_thaws(fs):
    process = freezer(fs)
    assert [process.stdout.readline() for _ in range(2)] == ["armed\n", "frozen\n"]
    assert not writable_within(fs.path, 0.3)
    process.kill()
    process.communicate()
    assert writable_within(fs.path, 2), "long before the watchdog's 60 s are over"


def test_sigkill_at_any_moment_leaves_nothing_frozen(fs):
    """Before it is armed, while it freezes with dirty data to write, while it is frozen."""
    for attempt in range(6):
        (fs.path / "dirty").write_bytes(os.urandom(4 << 20))
        process = freezer(fs)
        process.stdout.readline()
        time.sleep(random.Random(attempt).uniform(0.0, 0.12))
        process.kill()
        process.communicate()
        assert writable_within(fs.path, 5), attempt


def test_other_signals_do_not_stop_the_watchdog(fs):
    process = freezer(fs)
    assert [process.stdout.readline() for _ in range(2)] == ["armed\n", "frozen\n"]
    (guard,) = watchdogs_of(process.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guard, number)
    assert os.getsid(guard) == guard, "in a session of its own"
    assert Path(f"/proc/{guard}/cwd").resolve() == Path("/proc")
    process.kill()
    process.communicate()
    assert writable_within(fs.path, 2)


def test_a_body_that_takes_too_long_is_thawed_and_told(fs):
    def linger():
        with frozen(str(fs.path), max_s=0.4):
            assert not writable_within(fs.path, 0.1)
            assert writable_within(fs.path, 3), "thawed while the body still runs"

    with pytest.raises(FreezeError, match="thawed by its watchdog after 400 ms"):
        linger()


def test_a_watchdog_that_does_not_start_freezes_nothing(fs, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(FreezeError, match="nothing was frozen"), frozen(str(fs.path)):
        pytest.fail("not frozen")
    assert writable_within(fs.path, 2)


def test_a_file_system_that_we_write_to_is_refused(fs):
    with (
        pytest.raises(FreezeError, match="lies on it"),
        frozen(str(fs.path), keep_off=(fs.path / "not" / "there",)),
    ):
        pytest.fail("not frozen")
    assert writable_within(fs.path, 2)


def test_one_that_is_frozen_already_is_left_alone(fs):
    with frozen(str(fs.path)):
        with pytest.raises(FreezeError, match="something else has frozen"), frozen(str(fs.path)):
            pytest.fail("not frozen twice")
        assert not writable_within(fs.path, 0.2)
    assert writable_within(fs.path, 5)


def test_ntfs_3g_cannot_be_frozen_and_the_message_says_so(tmp_path):
    image = tmp_path / "ntfs.img"
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    run("mkntfs", "-q", "-F", "-Q", image)
    with (
        ntfs_3g(image, tmp_path / "mnt") as folder,
        pytest.raises(FreezeError, match="its file system cannot be frozen") as caught,
        frozen(str(folder)),
    ):
        pytest.fail("not frozen")
    assert caught.value.exit_code == 47
    with pytest.raises(FreezeError, match="No such file"), frozen(str(tmp_path / "missing")):
        pytest.fail("not frozen")


def test_a_thaw_that_fails_is_tried_again(monkeypatch):
    answers = [errno.EIO, errno.EBUSY, None]

    def ioctl(*_):
        number = answers.pop(0)
        if number is not None:
            raise OSError(number, "no")

    monkeypatch.setattr(watchdog.fcntl, "ioctl", ioctl)
    monkeypatch.setattr(watchdog, "RETRY_S", 0)
    assert watchdog.thaw(0)
    assert answers == []
    answers.append(errno.EINVAL)
    assert not watchdog.thaw(0)
