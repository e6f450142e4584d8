"""The quiet window: a state machine over (time, write counter) samples. No clock, no I/O.

The rule (DESIGN.md, "Quiet window and snapshot"): a snapshot may be taken once the write counter
has stood still for ``quiet_s`` with nothing in flight, if that stretch is complete within
``timeout_s`` of the first sample; and it may be kept only if the counter still stands there
afterwards. ``TRANSITIONS`` is the whole machine; docs/img/quiet-window.svg is drawn from it.

Any *other* value of the counter is activity, a smaller one too: a device that was reset, or whose
counter wrapped, may have been written to unseen, so the stretch starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sbtk.errors import IllegalTransitionError, UsageError
from sbtk.units import format_seconds


class State(StrEnum):
    """Where the wait stands."""

    NEW = "new"
    CALM = "calm"
    BUSY = "busy"
    QUIET = "quiet"
    TAKEN = "taken"
    HELD = "held"
    TIMED_OUT = "timed_out"


class Signal(StrEnum):
    """What a sample, or the driver, tells the machine."""

    BEGIN = "begin"
    """The first sample: time and counter count from here."""
    STILL = "still"
    """Nothing written and nothing in flight since the sample before; not yet long enough."""
    MOVED = "moved"
    """The counter is another one, or writes are in flight."""
    SETTLED = "settled"
    """Still for ``quiet_s``, complete within ``timeout_s``."""
    LATE = "late"
    """``timeout_s`` is over and the stretch was not complete in it."""
    REBASE = "rebase"
    """The driver froze the file system, which itself writes: the counter counts from here."""
    TAKE = "take"
    """The driver has a snapshot in hand."""
    CONFIRMED = "confirmed"
    """After the snapshot: the counter stands where it stood."""
    TORN = "torn"
    """After the snapshot: it moved; the snapshot is worth nothing and there is time left."""
    TORN_LATE = "torn_late"
    """After the snapshot: it moved, and ``timeout_s`` is over."""


TRANSITIONS: Final[dict[tuple[State, Signal], State]] = {
    (State.NEW, Signal.BEGIN): State.CALM,
    (State.CALM, Signal.STILL): State.CALM,
    (State.CALM, Signal.MOVED): State.BUSY,
    (State.CALM, Signal.SETTLED): State.QUIET,
    (State.CALM, Signal.LATE): State.TIMED_OUT,
    (State.BUSY, Signal.STILL): State.CALM,
    (State.BUSY, Signal.MOVED): State.BUSY,
    (State.BUSY, Signal.SETTLED): State.QUIET,
    (State.BUSY, Signal.LATE): State.TIMED_OUT,
    (State.QUIET, Signal.SETTLED): State.QUIET,
    (State.QUIET, Signal.MOVED): State.BUSY,
    (State.QUIET, Signal.LATE): State.TIMED_OUT,
    (State.QUIET, Signal.REBASE): State.QUIET,
    (State.QUIET, Signal.TAKE): State.TAKEN,
    (State.TAKEN, Signal.CONFIRMED): State.HELD,
    (State.TAKEN, Signal.TORN): State.BUSY,
    (State.TAKEN, Signal.TORN_LATE): State.TIMED_OUT,
}
"""Every transition there is. HELD and TIMED_OUT are ends: no signal leads out of them."""


@dataclass(frozen=True)
class Sample:
    """One look at a write counter.

    Attributes:
        time_s: when the look began, on a clock that never runs backwards.
        counter: opaque numbers; two that differ mean that something was written between.
        in_flight: writes begun and not ended; 0 where the source cannot know.
        took_s: how long the look took; what was written meanwhile may be in the counter or not.
    """

    time_s: float
    counter: tuple[int, ...]
    in_flight: int = 0
    took_s: float = 0.0

    @property
    def end_s(self) -> float:
        """When the look ended: a still stretch starts here, never earlier."""
        return self.time_s + self.took_s


class QuietWindow:
    """The machine: ``begin``, then ``sample`` until QUIET, ``take`` the snapshot, ``recheck``.

    A call that the state does not allow raises IllegalTransitionError and changes nothing.

    Attributes:
        state: where the wait stands.
        samples: looks taken so far.
        torn: snapshots that had to be dropped.
        resets: times that the counter ran backwards.
        longest_calm_s: the longest still stretch seen.
    """

    def __init__(self, *, quiet_s: float = 3.0, timeout_s: float = 80.0) -> None:
        if not 0 < quiet_s <= timeout_s < float("inf"):
            raise UsageError(
                f"a quiet window of {quiet_s:g} s within {timeout_s:g} s cannot come to pass",
                hint="quiet_s is above 0 and timeout_s no smaller",
            )
        self.quiet_s = quiet_s
        self.timeout_s = timeout_s
        self.state = State.NEW
        self.samples = 0
        self.torn = 0
        self.resets = 0
        self.longest_calm_s = 0.0
        self._began_s = 0.0
        self._calm_since_s = 0.0
        self._last = Sample(float("-inf"), ())

    @property
    def began_s(self) -> float:
        """When the wait began; ``timeout_s`` counts from here."""
        return self._began_s

    @property
    def is_waiting(self) -> bool:
        """Whether more samples are wanted before anything else can happen."""
        return self.state in (State.CALM, State.BUSY)

    @property
    def counter(self) -> tuple[int, ...]:
        """The counter as of the last sample."""
        return self._last.counter

    @property
    def waited_s(self) -> float:
        """From the first sample to the last one."""
        return 0.0 if self.state is State.NEW else self._last.time_s - self._began_s

    @property
    def calm_s(self) -> float:
        """For how long nothing has been written, as of the last sample."""
        return max(0.0, self._last.time_s - self._calm_since_s)

    @property
    def due_s(self) -> float:
        """When the present stretch is long enough, if nothing moves until then."""
        return self._calm_since_s + self.quiet_s

    @property
    def deadline_s(self) -> float:
        """When the wait fails."""
        return self._began_s + self.timeout_s

    def begin(self, sample: Sample) -> State:
        """Take the first sample: nothing is known of the time before it."""
        state = self._next(Signal.BEGIN, sample)
        self._began_s = sample.time_s
        return self._enter(state, sample, restart=True)

    def sample(self, sample: Sample) -> State:
        """Take one more sample while waiting (CALM or BUSY) or before the snapshot (QUIET).

        A still stretch begins with the sample that ends the activity: the one that shows the new
        counter, or the first one with nothing in flight any more.
        """
        moved = self._moved(sample)
        restart = moved or self._last.in_flight > 0
        if not restart and self.due_s <= min(sample.time_s, self.deadline_s):
            signal = Signal.SETTLED
        elif sample.time_s >= self.deadline_s:
            signal = Signal.LATE
        else:
            signal = Signal.MOVED if moved else Signal.STILL
        return self._enter(self._next(signal, sample), sample, restart=restart)

    def rebase(self, sample: Sample) -> State:
        """Count from this sample on: the file system is frozen, and freezing it wrote."""
        state = self._next(Signal.REBASE, sample)
        return self._enter(state, sample, restart=False)

    def take(self) -> State:
        """Note that the snapshot exists; only ``recheck`` says whether it may be kept."""
        self.state = self._next(Signal.TAKE, self._last)
        return self.state

    def recheck(self, sample: Sample) -> State:
        """Look again after the snapshot: HELD, or BUSY (TIMED_OUT) and it must be dropped."""
        moved = self._moved(sample)
        if moved:
            signal = Signal.TORN_LATE if sample.time_s >= self.deadline_s else Signal.TORN
        else:
            signal = Signal.CONFIRMED
        state = self._next(signal, sample)
        self.torn += moved
        return self._enter(state, sample, restart=moved)

    def _moved(self, sample: Sample) -> bool:
        return sample.counter != self._last.counter or sample.in_flight > 0

    def _next(self, signal: Signal, sample: Sample) -> State:
        state = TRANSITIONS.get((self.state, signal))
        if state is None:
            raise IllegalTransitionError(f"a quiet window that is {self.state} has no {signal}")
        if sample.time_s < self._last.time_s:
            raise IllegalTransitionError(
                f"a sample is {format_seconds(self._last.time_s - sample.time_s)} older than the "
                "one before",
                hint="Samples come from one clock that never runs backwards",
            )
        return state

    def _enter(self, state: State, sample: Sample, *, restart: bool) -> State:
        if restart:
            self._calm_since_s = sample.end_s
        if any(new < old for new, old in zip(sample.counter, self._last.counter, strict=False)):
            self.resets += 1
        self._last = sample
        self.samples += 1
        self.longest_calm_s = max(self.longest_calm_s, self.calm_s)
        self.state = state
        return state
