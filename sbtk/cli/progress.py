"""Progress for every verb: a bar on a terminal, lines in a pipe, events as JSON, or nothing.

``with reporter(style, json) as emit:`` gives the listener to hand to the work. Progress goes to
standard error, so that results can be piped; JSON events go where the verb says.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from sbtk.cli.options import ProgressStyle
from sbtk.events import Event, Listener, Progress, ignore
from sbtk.units import format_bytes, format_count

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Clock = Callable[[], float]

_BAR_AFTER_S = 0.3  # shorter work draws no bar
_LINES_AFTER_S = 2.0  # shorter work prints no line, unless lines were asked for
_LINE_EVERY_S = 10.0  # where there is no total to divide into steps
_JSON_EVERY_S = 0.5
_STEPS = 10


@contextmanager
def reporter(
    style: ProgressStyle,
    json: bool = False,
    *,
    events: TextIO | None = None,
    clock: Clock = time.monotonic,
    tick_s: float = 0.25,
) -> Iterator[Listener]:
    """Show what is emitted inside the ``with``.

    Args:
        style: what the user chose with ``--progress``.
        json: write every event as a line of JSON; ``--progress none`` then leaves progress out.
        events: where JSON lines go; standard output if None.
        clock: seconds, for the distance between two lines.
        tick_s: how often it is seen to that one long step, which tells nothing while it lasts, is
            shown too; 0 for never.
    """
    if json:
        yield _JsonLines(events or sys.stdout, clock, progress=style is not ProgressStyle.NONE)
    elif style is ProgressStyle.NONE:
        yield ignore
    elif style is ProgressStyle.LINES or not sys.stderr.isatty():
        after_s = 0.0 if style is ProgressStyle.LINES else _LINES_AFTER_S
        lines = _Lines(sys.stderr, clock, after_s)
        with _ticking(lines.tick, tick_s):
            yield lines
    else:
        bar = _Bar(clock)
        try:
            with _ticking(bar.tick, tick_s):
                yield bar
        finally:
            bar.stop()


@contextmanager
def _ticking(tick: Callable[[], None], tick_s: float) -> Iterator[None]:
    """Call ``tick`` in a thread every ``tick_s`` seconds while the body runs."""
    if not tick_s:
        yield
        return
    over = threading.Event()

    def work() -> None:
        while not over.wait(tick_s):
            tick()

    thread = threading.Thread(target=work, name="sbtk-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def amount(value: int, unit: str) -> str:
    """A number with its unit: ``"1.50 GiB"`` for bytes, ``"12,000 records"`` for all else."""
    return format_bytes(value) if unit == "bytes" else f"{format_count(value)} {unit}"


class _JsonLines:
    """Every event as a line; progress not more often than a reader can use."""

    def __init__(self, stream: TextIO, clock: Clock, *, progress: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._progress = progress
        self._stage = ""
        self._next_s = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._is_wanted(event):
                self._stream.write(event.to_json() + "\n")
                self._stream.flush()

    def _is_wanted(self, event: Event) -> bool:
        if not isinstance(event, Progress):
            return True
        now_s = self._clock()
        due = event.stage != self._stage or event.done == event.total or now_s >= self._next_s
        if not (self._progress and due):
            return False
        self._stage, self._next_s = event.stage, now_s + _JSON_EVERY_S
        return True


class _Lines:
    """A line at every tenth of a stage, or every few seconds where its total is unknown."""

    def __init__(self, stream: TextIO, clock: Clock, after_s: float) -> None:
        self._stream = stream
        self._clock = clock
        self._first_s = clock() + after_s
        self._brief = after_s > 0
        self._stage = ""
        self._step = -1
        self._next_s = 0.0
        self._early: Progress | None = None  # told before it was time for a line
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            with self._lock:
                self._show(event)

    def tick(self) -> None:
        """Show what was told early, and has not ended since."""
        with self._lock:
            if self._early is not None:
                self._show(self._early)

    def _show(self, event: Progress) -> None:
        now_s = self._clock()
        self._early = event if now_s < self._first_s else None
        if self._early is not None:
            return
        if event.stage != self._stage:
            if self._brief and event.total and event.done >= event.total:
                return  # a stage that is over before anybody could wait for it
            self._stage, self._step, self._next_s = event.stage, -1, now_s
        step = event.done * _STEPS // event.total if event.total else self._step
        if step <= self._step and (event.total or now_s < self._next_s):
            return
        self._step, self._next_s = step, now_s + _LINE_EVERY_S
        done = amount(event.done, event.unit)
        if event.total:
            share = f"{event.done * 100 // event.total:3d}%"
            total = amount(event.total, event.unit)
            counted = done if event.unit == "bytes" else format_count(event.done)
            done = f"{share}  {counted} of {total}"
        self._stream.write(f"{event.stage}: {done}\n")
        self._stream.flush()


class _Bar:
    """A bar that appears when the work takes a moment and is gone when it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first_s = clock() + _BAR_AFTER_S
        self._stage = ""
        self._rich: RichProgress | None = None
        self._early: Progress | None = None  # told before it was time for a bar
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Show what was told early, and has not ended since."""
        if self._early is not None:
            self(self._early)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Progress):
            return
        self._early = event if self._clock() < self._first_s else None
        if self._early is not None:
            return
        with self._lock:
            rich = self._rich or self._start()
            if event.stage != self._stage:
                for task in rich.task_ids:
                    rich.remove_task(task)
                rich.add_task(event.stage, total=event.total or None, amount="")
                self._stage = event.stage
            shown = amount(event.done, event.unit)
            rich.update(rich.task_ids[-1], completed=event.done, amount=shown)

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self._rich is not None:
            self._rich.stop()

    def _start(self) -> RichProgress:
        from rich import progress  # only where a bar is drawn
        from rich.console import Console

        self._rich = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[amount]}"),
            progress.TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._rich.start()
        return self._rich
