"""Drives a quiet window with real sources, flushes and a clock: flush, look, wait, look again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from sbtk.errors import QuietTimeoutError, SourceChangedError
from sbtk.events import Flushed, Listener, Progress, QuietSample, QuietTransition
from sbtk.quiesce.activity import ActivitySource
from sbtk.quiesce.flush import Flush
from sbtk.quiesce.window import QuietWindow, Sample, State
from sbtk.units import format_seconds, plural

_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.02, 1.0
_SHORTEST_SLEEP_S = 0.001
_FLUSH_SHARE = 4.0
"""A flush that took t is not repeated before 4 t have passed, so that we are not the load."""


class Clock(Protocol):
    """Time, as far as the wait needs it."""

    def now_s(self) -> float:
        """Seconds on a clock that never runs backwards."""

    def sleep(self, duration_s: float) -> None:
        """Come back ``duration_s`` later."""


class SystemClock:
    """The clock of this machine."""

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Really sleep."""
        time.sleep(duration_s)


class _Feed(Protocol):
    def __call__(self, sample: Sample) -> State: ...


class QuietWait:
    """One wait for quiet, over as many snapshots as it takes.

    Flushes that repeat run about twelve times in ``quiet_s`` and always right before the look
    that ends the window: a counter below a page cache that holds writes back stands still as well.

    Attributes:
        window: the state machine that decides.
        flush_count: flushes run.
    """

    def __init__(
        self,
        target: str,
        source: ActivitySource,
        *,
        flushes: Sequence[Flush] = (),
        quiet_s: float = 3.0,
        timeout_s: float = 80.0,
        clock: Clock | None = None,
        emit: Listener,
    ) -> None:
        self.window = QuietWindow(quiet_s=quiet_s, timeout_s=timeout_s)
        self.flush_count = 0
        self._target = target
        self._source = source
        self._flushes = tuple(flushes)
        self._repeating = tuple(flush for flush in flushes if flush.repeats)
        self._clock = clock or SystemClock()
        self._emit = emit
        self._poll_s = min(max(quiet_s / 30, _SHORTEST_POLL_S), _LONGEST_POLL_S)
        self._flush_every_s = max(quiet_s / 12, _SHORTEST_POLL_S)
        self._next_flush_s = 0.0
        self._told_s = 0

    def until_quiet(self) -> None:
        """Wait until the window is QUIET, from its beginning or after a torn snapshot.

        Raises:
            QuietTimeoutError: it did not become so in time.
            ActivitySourceError: the counter cannot be read.
        """
        if self.window.state is State.NEW:
            self._step(self.window.begin)
            self._flush(self._flushes)
            self._step(self.window.sample)
        flushed = True
        while self.window.is_waiting or not flushed:
            if self.window.is_waiting:
                self._sleep()
            # A window that ends with a look that no flush came before is looked at once more.
            flushed = self._clock.now_s() >= min(self._next_flush_s, self.window.due_s)
            if flushed:
                self._flush(self._repeating)
            self._step(self.window.sample)
            flushed = flushed or self.window.state is not State.QUIET
        if self.window.state is State.TIMED_OUT:
            raise self.timed_out()

    def rebase(self) -> None:
        """Count from here on: a freeze has just flushed, and nobody can write now."""
        self._step(self.window.rebase)

    def confirm(self, *, flush: bool = True) -> bool:
        """Look again after the snapshot was taken; whether it may be kept.

        Args:
            flush: push held-back writes down first; not while a file system is frozen.
        """
        self.window.take()
        self._tell_transition(State.QUIET)
        if flush:
            self._flush(self._repeating)
        self._step(self.window.recheck)
        return self.window.state is State.HELD

    def stands_still(self) -> bool:
        """Whether the counter still stands where the window left it; held-back writes included.

        The wait is long over, so the flush has all of its time again.

        Raises:
            SourceChangedError: it cannot be told, because held-back writes do not get down.
        """
        try:
            self._flush(self._repeating, timeout_s=self.window.timeout_s)
        except QuietTimeoutError as error:
            raise SourceChangedError(
                f"whether {self._target} was written to meanwhile cannot be told: its caches were "
                f"not flushed within {format_seconds(self.window.timeout_s)}",
                hint="Stop what writes to this host's disks and start again, or use a snapshot",
            ) from error
        reading = self._source.read()
        return reading.counter == self.window.counter and not reading.in_flight

    def timed_out(self) -> QuietTimeoutError:
        """The error that says for how long and how close."""
        window = self.window
        torn = f", {plural(window.torn, 'snapshot')} torn" if window.torn else ""
        return QuietTimeoutError(
            f"{self._target} was not quiet for {format_seconds(window.quiet_s)} within "
            f"{format_seconds(window.timeout_s)} (longest calm "
            f"{format_seconds(window.longest_calm_s)}, {plural(window.samples, 'look')}{torn}); "
            "nothing was written",
            hint="Stop what writes to it, raise --timeout-s, or lower --quiet-s",
        )

    def _sleep(self) -> None:
        """Until the next look is due: a poll, the end of the window, or the end of the wait."""
        now_s = self._clock.now_s()
        until_s = min(now_s + self._poll_s, self.window.due_s, self.window.deadline_s)
        self._clock.sleep(max(until_s - now_s, _SHORTEST_SLEEP_S))

    def _flush(self, flushes: Sequence[Flush], *, timeout_s: float = 0.0) -> None:
        for flush in flushes:
            began_s = self._clock.now_s()
            flush.run(max(self.window.deadline_s - began_s, self.window.quiet_s, timeout_s))
            ended_s = self._clock.now_s()
            took_s = ended_s - began_s
            self._emit(Flushed(target=flush.name, took_s=took_s))
            self._next_flush_s = ended_s + max(self._flush_every_s, _FLUSH_SHARE * took_s)
            self.flush_count += 1

    def _step(self, feed: _Feed) -> None:
        """Look at the counter and hand the sample to the window."""
        before = self.window.state
        began_s = self._clock.now_s()
        reading = self._source.read()
        took_s = self._clock.now_s() - began_s
        feed(Sample(began_s, reading.counter, reading.in_flight, took_s))
        window = self.window
        self._emit(
            QuietSample(
                source=self._source.name,
                state=window.state.value,
                counter=reading.counter,
                in_flight=reading.in_flight,
                calm_s=window.calm_s,
                quiet_s=window.quiet_s,
                waited_s=window.waited_s,
                timeout_s=window.timeout_s,
            )
        )
        self._tell_transition(before)
        self._tell_progress()

    def _tell_progress(self) -> None:
        """Once a second, for listeners that know nothing of windows."""
        second = int(self.window.waited_s)
        if second > self._told_s:
            self._told_s = second
            total_s = round(self.window.timeout_s)
            self._emit(Progress(stage="waiting for quiet", done=second, total=total_s, unit="s"))

    def _tell_transition(self, before: State) -> None:
        if self.window.state is not before:
            self._emit(
                QuietTransition(
                    source=self._source.name,
                    old=before.value,
                    new=self.window.state.value,
                    waited_s=self.window.waited_s,
                )
            )
