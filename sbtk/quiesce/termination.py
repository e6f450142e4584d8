"""Turns SIGTERM and SIGHUP into an exception, so that context managers release what they hold."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from sbtk.errors import CancelledError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Termination(BaseException):
    """Passes every ``except Exception`` on its way, as KeyboardInterrupt does.

    An Exception would be taken for a device that failed, or (in ``Thread.start``) for a thread that
    was never begun.
    """


@contextlib.contextmanager
def terminations_raise() -> Iterator[None]:
    """While the body runs, SIGTERM and SIGHUP end it in the main thread, with CancelledError.

    Handlers that somebody else has set stay. In other threads this does nothing: Python runs
    signal handlers in the main thread only.

    Raises:
        CancelledError: one came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        try:
            for number in taken:
                signal.signal(number, _raise)
            yield
        finally:
            for number in taken:
                signal.signal(number, signal.SIG_DFL)
    except _Termination as ended:
        if not taken:
            raise
        raise CancelledError(str(ended)) from None


def _raise(number: int, frame: FrameType | None) -> None:
    del frame
    raise _Termination(f"stopped by {signal.Signals(number).name}")
