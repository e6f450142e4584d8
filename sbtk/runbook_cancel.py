"""Ctrl-C and SIGTERM while a runbook runs: noted, and handed to the cell that runs.

A signal that raised where it happened to come could leave a kernel without its parent, or half a
page. So it only leaves a note; the steps look at it where they can end.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PATIENCE = 2  # signals that a cell gets; the next one ends the run whatever the cell does


class Cancel:
    """Whether a run was cancelled, and whom to tell of it.

    Attributes:
        kernel: process id of the kernel while it runs a cell, else None: one that starts would
            die of a signal, and one between two cells would not hear it.
    """

    def __init__(self) -> None:
        self.kernel: int | None = None
        self._signals = 0

    @property
    def came(self) -> bool:
        """Whether a signal came."""
        return self._signals > 0

    def check(self) -> None:
        """End here if a signal came.

        Raises:
            KeyboardInterrupt: one did.
        """
        if self.came:
            raise KeyboardInterrupt

    def cell_runs(self, kernel: int | None) -> None:
        """A cell has begun in this kernel; a signal that came just before is handed on now."""
        self.kernel = kernel
        if self.came:
            self._interrupt()

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal; the cell that runs is interrupted, so that its job can clean up.

        Raises:
            KeyboardInterrupt: the cell was told often enough.
        """
        del number, frame
        self._signals += 1
        if self._signals > _PATIENCE:
            raise KeyboardInterrupt
        self._interrupt()

    def _interrupt(self) -> None:
        if self.kernel is not None:
            os.kill(self.kernel, signal.SIGINT)


@contextmanager
def signals_cancel() -> Iterator[Cancel]:
    """While the body runs, both signals cancel; in a thread, which gets none, nothing does."""
    cancel = Cancel()
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, cancel.signalled) for number in numbers}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
