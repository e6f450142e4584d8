"""The quiet window against an independent statement of its rule."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.errors import IllegalTransitionError, UsageError
from sbtk.quiesce.window import TRANSITIONS, QuietWindow, Sample, Signal, State

# Times are whole milliseconds times 1/1024, so that sums and differences are exact.
TICK = 1 / 1024

streams = st.lists(
    st.tuples(
        st.integers(0, 900),  # ticks since the sample before
        st.integers(0, 300).filter(lambda x: x < 20 or x > 250),  # ticks that the look takes
        st.sampled_from([0, 0, 0, 0, 1, 2, -1]),  # writes since
        st.sampled_from([0, 0, 0, 0, 0, 1]),  # in flight
    ),
    min_size=1,
    max_size=40,
)


def samples_of(stream) -> list[Sample]:
    time, counter, found = 5.0, 100, []
    for gap, took, writes, in_flight in stream:
        time += gap * TICK
        counter += writes
        found.append(Sample(time, (counter, 7), in_flight, took * TICK))
        time += took * TICK
    return found


def ends_calm_stretch(samples: list[Sample], i: int, quiet_s: float) -> float | None:
    """The rule, said backwards in time: when the stretch that ends at sample i was complete.

    Walk back from sample i over samples with the same counter and nothing in flight; the
    stretch begins where the last of them ended.
    """
    if samples[i].in_flight:
        return None
    first = i
    while (
        first > 0
        and samples[first - 1].counter == samples[i].counter
        and not samples[first - 1].in_flight
    ):
        first -= 1
    if first == i:
        return None
    complete = samples[first].time_s + samples[first].took_s + quiet_s
    return complete if complete <= samples[i].time_s else None


def expected_end(samples: list[Sample], quiet_s: float, timeout_s: float) -> tuple[int, State]:
    deadline = samples[0].time_s + timeout_s
    for i in range(1, len(samples)):
        complete = ends_calm_stretch(samples, i, quiet_s)
        if complete is not None and complete <= deadline:
            return i, State.QUIET
        if samples[i].time_s >= deadline:
            return i, State.TIMED_OUT
    return len(samples) - 1, State.CALM


@given(streams, st.integers(100, 3000), st.integers(0, 8000))
def test_quiet_exactly_when_the_rule_says(stream, quiet_ticks, more_ticks):
    samples = samples_of(stream)
    quiet_s, timeout_s = quiet_ticks * TICK, (quiet_ticks + more_ticks) * TICK
    window = QuietWindow(quiet_s=quiet_s, timeout_s=timeout_s)
    window.begin(samples[0])
    seen = 0
    while seen + 1 < len(samples) and window.state not in (State.QUIET, State.TIMED_OUT):
        seen += 1
        window.sample(samples[seen])
    end, state = expected_end(samples, quiet_s, timeout_s)
    assert seen == end
    if state is State.CALM:
        assert window.state in (State.CALM, State.BUSY)
    else:
        assert window.state is state
    assert window.samples == seen + 1


@given(streams, st.data())
def test_snapshot_is_kept_only_if_the_counter_stands_where_it_stood(stream, data):
    samples = samples_of(stream)
    window = QuietWindow(quiet_s=50 * TICK, timeout_s=4000 * TICK)
    window.begin(samples[0])
    torn = 0
    for before, sample in itertools.pairwise(samples):
        if window.state is State.QUIET and data.draw(st.booleans()):
            window.take()
            same = sample.counter == before.counter and not sample.in_flight
            state = window.recheck(sample)
            late = sample.time_s >= window.deadline_s
            torn += not same
            assert state is (State.HELD if same else State.TIMED_OUT if late else State.BUSY)
        else:
            window.sample(sample)
        assert window.torn == torn
        if window.state in (State.HELD, State.TIMED_OUT):
            return


@given(st.lists(st.sampled_from(["begin", "sample", "rebase", "take", "recheck"]), max_size=12),
       streams)  # fmt: skip
def test_what_is_illegal_raises_and_changes_nothing(calls, stream):
    window = QuietWindow(quiet_s=50 * TICK, timeout_s=2000 * TICK)
    legal = {
        State.NEW: {"begin"},
        State.CALM: {"sample"},
        State.BUSY: {"sample"},
        State.QUIET: {"sample", "rebase", "take"},
        State.TAKEN: {"recheck"},
        State.HELD: set(),
        State.TIMED_OUT: set(),
    }
    for name, sample in zip(calls, samples_of(stream), strict=False):
        before = dict(vars(window))
        arguments = () if name == "take" else (sample,)
        if name in legal[window.state]:
            getattr(window, name)(*arguments)
        else:
            with pytest.raises(IllegalTransitionError):
                getattr(window, name)(*arguments)
            assert vars(window) == before


def test_a_clock_that_runs_backwards_is_illegal_and_changes_nothing():
    window = QuietWindow()
    window.begin(Sample(10.0, (1,)))
    before = dict(vars(window))
    with pytest.raises(IllegalTransitionError, match="older than the one before"):
        window.sample(Sample(9.0, (1,)))
    assert vars(window) == before


def test_specification_values():
    """3 s within 80 s: quiet at 3.0 s after the sample that saw the last write, not before."""
    window = QuietWindow()
    window.begin(Sample(0.0, (0,)))
    assert window.sample(Sample(2.9, (1,))) is State.BUSY
    assert window.sample(Sample(5.8, (1,))) is State.CALM
    assert window.sample(Sample(5.9, (1,))) is State.QUIET
    late = QuietWindow()
    late.begin(Sample(0.0, (0,)))
    late.sample(Sample(77.01, (1,)))
    assert late.sample(Sample(79.99, (1,))) is State.CALM
    assert late.sample(Sample(80.0, (1,))) is State.TIMED_OUT


def test_a_look_that_comes_late_still_finds_a_window_that_was_complete_in_time():
    window = QuietWindow()
    window.begin(Sample(0.0, (0,)))
    window.sample(Sample(76.0, (1,)))
    assert window.sample(Sample(81.0, (1,))) is State.QUIET


def test_torn_snapshot_waits_on_within_what_is_left():
    window = QuietWindow(quiet_s=3, timeout_s=10)
    window.begin(Sample(0.0, (0,)))
    window.sample(Sample(3.0, (0,)))
    window.take()
    assert window.recheck(Sample(3.5, (1,))) is State.BUSY
    assert window.sample(Sample(6.5, (1,))) is State.QUIET
    window.take()
    assert window.recheck(Sample(9.0, (2,))) is State.BUSY
    assert window.sample(Sample(10.0, (2,))) is State.TIMED_OUT
    assert window.torn == 2


def test_in_flight_writes_are_activity_until_a_look_shows_none():
    window = QuietWindow(quiet_s=3, timeout_s=80)
    window.begin(Sample(0.0, (0,)))
    assert window.sample(Sample(3.0, (0,), in_flight=1)) is State.BUSY
    assert window.sample(Sample(6.5, (0,))) is State.CALM
    assert window.calm_s == 0
    assert window.sample(Sample(9.5, (0,))) is State.QUIET


def test_a_counter_that_runs_backwards_restarts_the_window_and_is_counted():
    window = QuietWindow()
    window.begin(Sample(0.0, (100, 5)))
    assert window.sample(Sample(2.0, (3, 0))) is State.BUSY
    assert window.sample(Sample(4.9, (3, 0))) is State.CALM
    assert window.sample(Sample(5.0, (3, 0))) is State.QUIET
    assert window.resets == 1


def test_rebase_keeps_the_window_and_moves_its_counter():
    window = QuietWindow()
    window.begin(Sample(0.0, (0,)))
    window.sample(Sample(3.0, (0,)))
    assert window.rebase(Sample(3.2, (9,))) is State.QUIET
    window.take()
    assert window.recheck(Sample(3.3, (9,))) is State.HELD


@pytest.mark.parametrize(("quiet_s", "timeout_s"), [(0, 80), (-1, 80), (5, 4), (1, float("inf"))])
def test_impossible_windows_are_refused(quiet_s, timeout_s):
    with pytest.raises(UsageError):
        QuietWindow(quiet_s=quiet_s, timeout_s=timeout_s)


def test_table_is_whole():
    """Every state is reached from NEW, every signal is used, and only the two ends are ends."""
    reached, pending = {State.NEW}, [State.NEW]
    while pending:
        current = pending.pop()
        for (old, _), new in TRANSITIONS.items():
            if old is current and new not in reached:
                reached.add(new)
                pending.append(new)
    assert reached == set(State)
    assert {signal for _, signal in TRANSITIONS} == set(Signal)
    assert set(State) - {old for old, _ in TRANSITIONS} == {State.HELD, State.TIMED_OUT}
