"""Freezing a mounted file system for the moment of the snapshot, with a watchdog armed first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sbtk.errors import FreezeError
from sbtk.quiesce import watchdog
from sbtk.units import format_seconds

FIFREEZE = 0xC0045877  # include/uapi/linux/fs.h: _IOWR('X', 119, int)

_ARMING_TIMEOUT_S = 10.0
_ENDING_TIMEOUT_S = 5.0


@contextlib.contextmanager
def frozen(mount: str, *, max_s: float = 10.0, keep_off: tuple[Path, ...] = ()) -> Iterator[None]:
    """Freeze the file system at ``mount`` for the body; at most ``max_s`` from arming on.

    The watchdog runs before the file system is frozen. It thaws when its time is over or when
    this process is gone, by SIGKILL too. The body must not write to the file system: it would
    hang until the watchdog thaws, and cannot be killed meanwhile.

    Args:
        mount: a mount point, or any folder on the file system.
        max_s: when the watchdog thaws.
        keep_off: folders that the body will write to; none may lie on the file system.

    Raises:
        FreezeError: it cannot be frozen, the watchdog does not start, or it had to thaw before
            the body ended: what the body did was not protected to its end.
    """
    try:
        descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FreezeError(
            f"{mount} cannot be frozen: {error.strerror}", hint="Name its mount point"
        ) from error
    try:
        _refuse_own_folders(mount, descriptor, keep_off)
        with _Watchdog(descriptor, max_s) as guard:
            try:
                _freeze(mount, descriptor)
            except FreezeError:
                guard.done()  # it may be frozen by somebody else: that is not ours to thaw
                raise
            try:
                yield
            finally:
                still_frozen = _thaw(mount, descriptor)
                guard.done()
        if not still_frozen:
            raise FreezeError(
                f"{mount} was thawed by its watchdog after {format_seconds(max_s)}",
                hint="What runs under the freeze takes too long; raise its limit or freeze less",
            )
    finally:
        os.close(descriptor)


def _refuse_own_folders(mount: str, descriptor: int, keep_off: tuple[Path, ...]) -> None:
    device = os.fstat(descriptor).st_dev
    for folder in keep_off:
        nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if nearest.stat().st_dev == device:
            raise FreezeError(
                f"{mount} cannot be frozen: {folder} lies on it and is written to meanwhile",
                hint="Keep state folder (SBTK_STATE_DIR), logs and stores on another file system",
            )


def _freeze(mount: str, descriptor: int) -> None:
    try:
        fcntl.ioctl(descriptor, FIFREEZE, 0)
    except OSError as error:
        texts = {
            errno.EOPNOTSUPP: "its file system cannot be frozen",
            errno.ENOTTY: "its file system cannot be frozen",
            errno.EBUSY: "something else has frozen it",
            errno.EPERM: "only root may freeze a file system",
        }
        text = texts.get(error.errno or 0, error.strerror)
        raise FreezeError(
            f"{mount} cannot be frozen: {text}",
            hint="Leave the freeze out: the flush and the re-check stand on their own",
        ) from error


def _thaw(mount: str, descriptor: int) -> bool:
    """Thaw; False where the watchdog had to do it."""
    try:
        return watchdog.thaw(descriptor)
    except OSError as error:
        raise FreezeError(
            f"{mount} could not be thawed: {error.strerror}",
            hint=f"Its watchdog goes on trying; by hand: fsfreeze -u {mount}",
        ) from error


class _Watchdog:
    """The other process, from armed to gone."""

    def __init__(self, descriptor: int, max_s: float) -> None:
        # -I -S: no site packages, nothing from the environment, a few milliseconds to start.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, str(descriptor), repr(max_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,
            bufsize=0,
        )
        self._max_s = max_s

    def __enter__(self) -> _Watchdog:
        output = self._process.stdout
        assert output is not None  # noqa: S101 - stdout is a pipe
        readable, _, _ = select.select([output], [], [], _ARMING_TIMEOUT_S)
        if not readable or output.read(1) != b"A":
            self._process.kill()
            self._process.communicate()
            raise FreezeError(
                "the watchdog did not start, so nothing was frozen",
                hint="Check that the Python interpreter can start another process",
            )
        return self

    def done(self) -> None:
        """Tell it that there is nothing to thaw any more."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None  # noqa: S101 - stdin is a pipe
            self._process.stdin.write(b"D")

    def __exit__(self, *_: object) -> None:
        # Closing its input ends it, if ``done`` was not reached: it thaws then.
        assert self._process.stdin is not None  # noqa: S101 - stdin is a pipe
        assert self._process.stdout is not None  # noqa: S101 - stdout is a pipe
        self._process.stdin.close()
        self._process.stdout.close()
        end_s = time.monotonic() + _ENDING_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < end_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(end_s - time.monotonic(), 0.01))
