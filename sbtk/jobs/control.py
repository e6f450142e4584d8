"""How a running job is steered from outside: cancelled, paused, gone on with."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from sbtk.errors import CancelledError


class Control:
    """One job's controls; any thread may use them.

    A notebook's buttons, Ctrl-C and a test use the same object.
    """

    def __init__(self) -> None:
        self._cancel = threading.Event()
        self._going = threading.Event()
        self._going.set()

    def cancel(self) -> None:
        """Ask the job to stop; copies that are under way are aborted."""
        self._cancel.set()
        self._going.set()

    def pause(self) -> None:
        """Hold the job between command lists."""
        if not self._cancel.is_set():
            self._going.clear()

    def go_on(self) -> None:
        """End a pause."""
        self._going.set()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._cancel.is_set()

    @property
    def paused(self) -> bool:
        """Whether the job is held, or will be at its next list."""
        return not self._going.is_set()

    def check(self) -> None:
        """Raise if the job was cancelled.

        Raises:
            CancelledError: it was.
        """
        if self._cancel.is_set():
            raise CancelledError("cancelled")

    def between_lists(self) -> None:
        """Wait while the job is paused.

        Raises:
            CancelledError: the job was cancelled meanwhile.
        """
        self._going.wait()
        self.check()

    def sleep(self, pause_s: float) -> None:
        """Wait ``pause_s`` seconds; cut short when the job is cancelled meanwhile."""
        if self._cancel.is_set():
            time.sleep(pause_s)  # the cancellation is known: whoever waits now waits for its end
        else:
            self._cancel.wait(pause_s)


@contextlib.contextmanager
def interrupts_cancel(control: Control) -> Iterator[None]:
    """While the body runs, Ctrl-C cancels through ``control``, so that copies are aborted first.

    A second Ctrl-C interrupts at once. In other threads than the main one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def cancel(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGINT, before)
        control.cancel()

    signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
