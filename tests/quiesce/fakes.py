"""A clock that only moves when somebody sleeps, and what can be scripted along it."""

from __future__ import annotations

from collections.abc import Callable

from sbtk.quiesce.activity import Reading


class FakeClock:
    """Time that passes by sleeping, in exact binary fractions or not, as the caller likes."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        self.time_s += duration_s


class ScriptedSource:
    """A counter that is a function of the time since the start."""

    name = "scripted"
    granularity = "one write"
    blind_to = "nothing"

    def __init__(self, clock: FakeClock, writes: Callable[[float], int]) -> None:
        self.clock = clock
        self.writes = writes
        self.began_s = clock.time_s
        self.closed = False

    def read(self) -> Reading:
        return Reading((self.writes(self.clock.time_s - self.began_s),))

    def close(self) -> None:
        self.closed = True


class HeldBack:
    """A page cache: writes reach the counter when it is flushed, or when they are 30 s old."""

    name = "cache"
    repeats = True

    def __init__(self, clock: FakeClock, writes: Callable[[float], int]) -> None:
        self.clock = clock
        self.writes = writes
        self.began_s = clock.time_s
        self.down = 0
        self.runs: list[float] = []

    def counted(self, time_s: float) -> int:
        self.down = max(self.down, self.writes(time_s - 30.0))
        return self.down

    def run(self, timeout_s: float) -> None:
        assert timeout_s > 0
        since_s = self.clock.time_s - self.began_s
        self.runs.append(since_s)
        self.down = max(self.down, self.writes(since_s))
