"""Buffers that are lent: never two holders at once, memory used again, and bounded."""

import gc
import random
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.transport.lent import lend

KIB, MIB = 1 << 10, 1 << 20
LENGTHS = [0, 1, 512, 64 * KIB, 64 * KIB + 1, 128 * KIB, 300 * KIB, MIB, MIB + 1, 4 * MIB, 5 * MIB]


@pytest.mark.parametrize("length", LENGTHS)
def test_as_long_as_asked_for_and_writable(length):
    buffer = lend(length)
    assert (len(buffer), buffer.format, buffer.readonly) == (length, "B", False)
    buffer[:] = bytes(length)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["lend", "slice", "drop"]), st.sampled_from(LENGTHS[3:9])),
        max_size=40,
    ),
    seed=st.integers(0, 1 << 32),
)
def test_what_is_held_is_never_lent_again(steps, seed):
    """However views are cut and dropped, what one still sees is what was put there."""
    chosen, held = random.Random(seed), []
    for number, (step, length) in enumerate(steps):
        mark = bytes((number % 251 + 1,))
        if step == "lend":
            buffer = lend(length)
            buffer[:] = mark * length
            held.append((buffer, mark))
        elif held and step == "slice":  # the whole goes, a part stays
            buffer, mark = held.pop(chosen.randrange(len(held)))
            start = chosen.randrange(len(buffer))
            held.append((buffer[start : start + 1000], mark))
            del buffer
        elif held:
            del held[chosen.randrange(len(held))]
        for view, mark in held:
            assert bytes(view) == mark * len(view)


def test_memory_is_used_again_and_what_is_kept_is_bounded():
    gc.collect()
    lend(MIB)
    tracemalloc.start()
    try:
        for _ in range(200):
            lend(MIB)[:3] = b"abc"
        peak_bytes = tracemalloc.get_traced_memory()[1]
        assert peak_bytes < MIB // 2, "memory that came back was not used"
        kept = [lend(MIB) for _ in range(200)]
        assert tracemalloc.get_traced_memory()[0] > 180 * MIB
        del kept
        assert tracemalloc.get_traced_memory()[0] < 17 * MIB
    finally:
        tracemalloc.stop()


def test_threads_that_lend_at_once():
    wrong = []

    def work(mark: int) -> None:
        for turn in range(300):
            buffer = lend(MIB)
            part, buffer = buffer[turn * 512 : (turn + 1) * 512], None
            part[:] = bytes((mark,)) * 512
            other = lend(MIB)
            other[:] = bytes(MIB)
            if part.tobytes() != bytes((mark,)) * 512:
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
