"""Turns SIGTERM and SIGHUP into an exception, so that context managers release what they hold."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from sbtk.errors import CancelledError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def terminations_raise() -> Iterator[None]:
    """While the body runs, SIGTERM and SIGHUP raise CancelledError in the main thread.

    Handlers that somebody else has set stay. In other threads this does nothing: Python runs
    signal handlers in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    del frame
    raise CancelledError(f"stopped by {signal.Signals(number).name}")
