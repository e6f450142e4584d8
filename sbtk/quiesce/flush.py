"""Flushes: what pushes written data down to where the write counter sees it."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Protocol

from sbtk.errors import ActivitySourceError, CheckConditionError, QuietTimeoutError
from sbtk.quiesce.mounts import above
from sbtk.scsi.cdb import SynchronizeCache10
from sbtk.scsi.sense import describe
from sbtk.snapshot.commands import run_command
from sbtk.transport.base import GOOD, Transport
from sbtk.units import format_seconds


class Flush(Protocol):
    """One way of flushing."""

    @property
    def name(self) -> str:
        """What is flushed, for people."""

    @property
    def repeats(self) -> bool:
        """Whether it is cheap enough to be called again and again during the wait."""

    def run(self, timeout_s: float) -> None:
        """Flush, and come back when what was written before is down.

        Raises:
            SbtkError: it failed, or did not end in ``timeout_s``.
        """


class HostFlush:
    """Everything that this host holds back over an image file or block device.

    syncfs of each file system that is mounted from it (through loop and device-mapper devices,
    or by FUSE), then fsync of those devices from the top down, then of the file or device itself.
    What is mounted in other mount namespaces, and what other hosts hold, is not reached.
    """

    repeats = True

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """What is flushed."""
        return f"host caches over {self._path}"

    def run(self, timeout_s: float) -> None:
        """Flush in a thread of its own: a sync of a dead device never returns."""
        failure: list[OSError] = []

        def work() -> None:
            try:
                _flush_host(self._path)
            except OSError as error:
                failure.append(error)

        thread = threading.Thread(target=work, name="sbtk-flush", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            raise QuietTimeoutError(
                f"{self.name} were not flushed within {format_seconds(timeout_s)}; nothing was "
                "written",
                hint="Too much is being written, or a device below does not answer",
            )
        if failure:
            at = f" at {failure[0].filename}" if failure[0].filename else ""
            raise ActivitySourceError(
                f"{self.name} cannot be flushed{at}: {failure[0].strerror}",
                hint="Run as a user who may open it, mount FUSE with allow_other, or unmount it",
            ) from failure[0]


def _flush_host(path: str) -> None:
    over = above(path)
    for mount in over.mounts:
        sync_file_system(mount.path)
    for place in (*reversed(over.devices), path):
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file_system(path: str) -> None:
    """syncfs(2) of the file system at ``path``; sync(2) where the C library has no syncfs."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)


class ScsiFlush:
    """SYNCHRONIZE CACHE(10) of the whole logical unit (SBC-3 5.26: LBA 0, 0 blocks)."""

    repeats = True

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def name(self) -> str:
        """What is flushed."""
        return f"write cache of {self._transport.name}"

    def run(self, timeout_s: float) -> None:
        """Send the command and look at its status."""
        response = self._transport.execute(SynchronizeCache10().encode(), timeout_s=timeout_s)
        if response.status != GOOD:
            raise CheckConditionError(
                f"SYNCHRONIZE CACHE on {self._transport.name} failed: {describe(response.sense)}",
                sense=response.sense,
                status=response.status,
            )


class HookFlush:
    """A user's command: tells initiators, a data base or a virtual machine to flush.

    It runs once, before the wait. It is an argument list; a shell runs only where the list
    itself names one.
    """

    repeats = False

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)

    @property
    def name(self) -> str:
        """What is flushed."""
        return f"hook {self._arguments[0]}"

    def run(self, timeout_s: float) -> None:
        """Run the command; a status other than 0 fails the wait."""
        run_command(self._arguments, timeout_s)
