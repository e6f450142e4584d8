"""Progress in a notebook: one line that is updated in place, and is kept when the notebook is."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from IPython.display import display

from sbtk.events import Event, Listener, Progress, ignore
from sbtk.units import format_bytes, format_count, format_seconds
from sbtk.view import html

_FIRST_S = 1.0  # shorter work shows nothing
_EVERY_S = 0.5


class LiveLine:
    """A listener that shows the stage and how far it has come; a context manager.

    One display is updated, so that a saved notebook holds its last state and nothing else
    (tqdm and rich leave a notebook run by papermill at 0 %).
    """

    def __init__(self, emit: Listener = ignore) -> None:
        """Show progress, and pass every event on to ``emit``."""
        self._emit = emit
        self._began_s = time.monotonic()
        self._next_s = self._began_s + _FIRST_S
        self._handle: Any = None
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        self._emit(event)
        if not isinstance(event, Progress):
            return
        with self._lock:
            now_s = time.monotonic()
            if now_s >= self._next_s:
                self._next_s = now_s + _EVERY_S
                self._show(progress_text(event))

    def _show(self, text: str) -> None:
        found = html.note_line(text)
        if self._handle is None:
            self._handle = display(found, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            took = format_seconds(time.monotonic() - self._began_s)
            self._show(f"{'done' if exc is None else 'stopped'} after {took}")


def progress_text(event: Progress) -> str:
    """``"scan: 43 %, 120 MiB of 280 MiB"``."""
    words = format_bytes if event.unit == "bytes" else format_count
    unit = "" if event.unit == "bytes" else f" {event.unit}"
    if not event.total:
        return f"{event.stage}: {words(event.done)}{unit}"
    share = event.done * 100 // event.total
    return f"{event.stage}: {share} %, {words(event.done)} of {words(event.total)}{unit}"
