"""Digests beside the copy: those of the bytes, in the order of the segments, whatever was mixed."""

import threading

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.mover.digests import SegmentDigests
from sbtk.mover.held_data import HeldData

PIECES = st.lists(st.sampled_from([1, 4096, (128 << 10) - 1, 128 << 10, 300_000]), max_size=4)
SEGMENTS = st.lists(st.tuples(st.booleans(), st.booleans(), PIECES), max_size=8)


@given(SEGMENTS)
@settings(max_examples=60, deadline=None)
def test_digests_beside_plain_hashing(segments):
    """Two buffers in turn, each overwritten as soon as the next but one piece is asked for."""
    held, expected = HeldData(1 << 20), b""
    buffers = [bytearray(300_000), bytearray(300_000)]
    digests, taken = SegmentDigests(held), 0
    for wanted, fails, lengths in segments:
        digests.begin(wanted=wanted)
        plain = blake3()
        for length in lengths:
            taken += 1
            buffer = buffers[taken % 2]
            buffer[:length] = bytes([taken % 251]) * length
            plain.update(bytes(buffer[:length]))
            digests.update(memoryview(buffer)[:length])
        if not fails:  # one that fails is not ended, and has no digest
            digests.end()
            expected += plain.digest() if wanted else b""
    digests.close()
    assert held.data == expected
    assert not [thread for thread in threading.enumerate() if thread.name == "sbtk-digest"]


def test_a_fault_in_the_thread_ends_the_copy():
    """A view that cannot be read is told where the digest is waited for, and the thread ends."""
    digests = SegmentDigests(HeldData(100))
    digests.begin(wanted=True)
    gone = memoryview(bytearray(1 << 20))
    digests.update(gone[::2])  # blake3 takes contiguous bytes only
    digests.end()
    with pytest.raises(BufferError):
        digests.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "sbtk-digest"]
