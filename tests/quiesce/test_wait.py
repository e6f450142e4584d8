"""The driver, on a clock that only moves when it sleeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.errors import QuietTimeoutError, SourceChangedError
from sbtk.events import Flushed, Progress, QuietSample, QuietTransition
from sbtk.quiesce.wait import QuietWait
from sbtk.quiesce.window import State
from tests.quiesce.fakes import FakeClock, HeldBack, ScriptedSource


def wait_for(clock, source, *, flushes=(), emit=lambda event: None, quiet_s=3.0, timeout_s=80.0):
    return QuietWait(
        "disk", source, flushes=flushes, quiet_s=quiet_s, timeout_s=timeout_s, clock=clock,
        emit=emit,
    )  # fmt: skip


@given(st.floats(0.0, 60.0), st.floats(0.5, 5.0))
def test_quiet_comes_soon_after_the_last_write_and_never_too_early(stop_s, quiet_s):
    clock = FakeClock()
    source = ScriptedSource(clock, lambda s: int(min(s, stop_s) * 50))
    wait_for(clock, source, quiet_s=quiet_s).until_quiet()
    after_s = clock.time_s - source.began_s - int(stop_s * 50) / 50
    poll_s = max(quiet_s / 30, 0.02)
    assert quiet_s - 1e-9 <= after_s <= quiet_s + poll_s + 0.01


def test_a_writer_that_never_stops_fails_the_wait_at_its_timeout():
    clock = FakeClock()
    source = ScriptedSource(clock, lambda s: int(s * 50))
    wait = wait_for(clock, source)
    with pytest.raises(QuietTimeoutError, match=r"not quiet for 3.0 s within 1 min 20 s") as caught:
        wait.until_quiet()
    assert caught.value.exit_code == 40
    assert 80.0 <= clock.time_s - source.began_s <= 80.1
    assert "nothing was written" in caught.value.line


def test_a_cache_fools_the_counter_alone_and_not_the_flushed_one():
    clock = FakeClock()
    cache = HeldBack(clock, lambda s: max(0, int(s * 50)))
    wait_for(clock, ScriptedSource(clock, cache.counted)).until_quiet()
    assert clock.time_s - cache.began_s < 4, "the control: the counter alone says quiet"

    clock = FakeClock()
    cache = HeldBack(clock, lambda s: max(0, int(s * 50)))
    wait = wait_for(clock, ScriptedSource(clock, cache.counted), flushes=[cache])
    with pytest.raises(QuietTimeoutError):
        wait.until_quiet()
    assert clock.time_s - cache.began_s == pytest.approx(80, abs=0.2)


@given(st.floats(0.3, 40.0))
def test_with_a_flush_quiet_comes_within_a_sixth_more_of_the_last_held_back_write(stop_s):
    clock = FakeClock()
    cache = HeldBack(clock, lambda s: max(0, int(min(s, stop_s) * 50)))
    wait_for(clock, ScriptedSource(clock, cache.counted), flushes=[cache]).until_quiet()
    assert 3.0 - 1e-9 <= clock.time_s - cache.began_s - int(stop_s * 50) / 50 <= 3.5


def test_the_look_that_ends_the_window_comes_right_after_a_flush():
    clock = FakeClock()
    cache = HeldBack(clock, lambda s: 0)
    source = ScriptedSource(clock, cache.counted)
    wait_for(clock, source, flushes=[cache]).until_quiet()
    assert cache.runs[-1] == clock.time_s - source.began_s
    assert cache.runs[0] == 0


def test_a_write_that_only_the_last_flush_brings_down_is_seen():
    """Held back 2.99 s into the window, it reaches the counter by the flush at its end."""
    clock = FakeClock()
    cache = HeldBack(clock, lambda s: 1 if s >= 2.99 else 0)
    source = ScriptedSource(clock, cache.counted)
    wait_for(clock, source, flushes=[cache]).until_quiet()
    assert clock.time_s - source.began_s >= 5.99


class Hook:
    name = "hook"
    repeats = False

    def __init__(self):
        self.runs = 0

    def run(self, timeout_s):
        self.runs += 1


def test_a_hook_runs_once_and_before_the_window():
    clock, hook = FakeClock(), Hook()
    cache = HeldBack(clock, lambda s: int(min(s, 10)))
    wait = wait_for(clock, ScriptedSource(clock, cache.counted), flushes=[hook, cache])
    wait.until_quiet()
    assert hook.runs == 1
    assert len(cache.runs) > 20


def test_a_slow_flush_is_not_repeated_so_often_that_it_is_the_load():
    clock = FakeClock()

    class Slow(HeldBack):
        def run(self, timeout_s):
            super().run(timeout_s)
            clock.sleep(1.0)

    slow = Slow(clock, lambda s: int(s * 50))
    with pytest.raises(QuietTimeoutError):
        wait_for(clock, ScriptedSource(clock, slow.counted), flushes=[slow]).until_quiet()
    assert len(slow.runs) <= 80 / 4 + 2


def test_confirm_holds_or_tears():
    clock = FakeClock()
    writes = {"count": 0}
    wait = wait_for(clock, ScriptedSource(clock, lambda s: writes["count"]))
    wait.until_quiet()
    writes["count"] = 1
    assert not wait.confirm()
    wait.until_quiet()
    assert wait.confirm()
    assert wait.window.torn == 1
    assert wait.stands_still()
    writes["count"] = 2
    assert not wait.stands_still()


def test_a_write_held_back_while_the_snapshot_was_taken_is_flushed_out_and_tears_it():
    clock, writes = FakeClock(), {"count": 0}
    cache = HeldBack(clock, lambda s: writes["count"] if s > 0 else 0)
    cache.counted = lambda s: cache.down
    wait = wait_for(clock, ScriptedSource(clock, cache.counted), flushes=[cache])
    wait.until_quiet()
    writes["count"] = 1
    assert not wait.confirm()
    wait.until_quiet()
    assert wait.confirm(flush=False)


def test_torn_to_the_end_times_out():
    clock = FakeClock()
    writes = {"count": 0}
    source = ScriptedSource(clock, lambda s: writes["count"])
    wait = wait_for(clock, source, timeout_s=10)
    for _ in range(3):
        wait.until_quiet()
        writes["count"] += 1
        assert not wait.confirm()
    with pytest.raises(QuietTimeoutError, match="3 snapshots torn"):
        wait.until_quiet()
    assert clock.time_s - source.began_s == pytest.approx(10, abs=0.2)


def test_every_sample_and_transition_is_told():
    clock, events = FakeClock(), []
    source = ScriptedSource(clock, lambda s: int(min(s, 2) * 50))
    wait = wait_for(clock, source, flushes=[HeldBack(clock, lambda s: 0)], emit=events.append)
    wait.until_quiet()
    wait.confirm()
    samples = [event for event in events if isinstance(event, QuietSample)]
    assert len(samples) == wait.window.samples
    assert [event.waited_s for event in samples] == sorted(event.waited_s for event in samples)
    steps = [(e.old, e.new) for e in events if isinstance(e, QuietTransition)]
    assert steps == [
        ("new", "calm"), ("calm", "busy"), ("busy", "calm"), ("calm", "quiet"),
        ("quiet", "taken"), ("taken", "held"),
    ]  # fmt: skip
    assert sum(isinstance(event, Flushed) for event in events) == wait.flush_count
    progress = [event.done for event in events if isinstance(event, Progress)]
    assert progress == [1, 2, 3, 4, 5]
    # Bounded: at most about 30 looks and 12 flushes in every quiet_s.
    assert len(events) < 60 * wait.window.waited_s / wait.window.quiet_s + 20


def test_wait_ends_in_named_states_only():
    clock = FakeClock()
    wait = wait_for(clock, ScriptedSource(clock, lambda s: 0))
    wait.until_quiet()
    assert wait.window.state is State.QUIET


class SlowFlush:
    """A flush that takes ``took_s``, and fails where it is given less."""

    name, repeats = "cache", True

    def __init__(self, took_s: float):
        self.took_s = took_s

    def run(self, timeout_s: float) -> None:
        if timeout_s < self.took_s:
            raise QuietTimeoutError("cache was not flushed", hint="Wait")


def test_a_look_long_after_the_wait_gives_a_flush_all_of_its_time():
    """A copy takes hours, and another program's writes may hold a flush up for longer than 3 s."""
    clock, flush = FakeClock(), SlowFlush(1.0)
    wait = wait_for(clock, ScriptedSource(clock, lambda s: 0), flushes=[flush])
    wait.until_quiet()
    clock.sleep(3600)
    flush.took_s = 79.0
    assert wait.stands_still()
    flush.took_s = 81.0
    with pytest.raises(SourceChangedError, match="cannot be told"):
        wait.stands_still()
