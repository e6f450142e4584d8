from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.ntfs import bitmap as bitmap_module
from sbtk.ntfs.bitmap import allocated_clusters, bitmap_runs


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 16), st.integers(1, 5))
def test_runs_cover_exactly_the_set_bits(bits: list[bool], spare: int, step_bytes: int) -> None:
    packed = np.packbits(np.array(bits + [True] * spare, np.uint8), bitorder="little")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitmap_module, "_STEP_BYTES", step_bytes)
        runs = bitmap_runs(packed, len(bits))
    covered = np.zeros(len(bits), np.bool_)
    before = -1
    for start, clusters in zip(runs.start_lcn, runs.clusters, strict=True):
        assert start > before, "touching runs are one run"
        assert clusters > 0
        covered[start : start + clusters] = True
        before = start + clusters
    assert covered.tolist() == bits
    assert allocated_clusters(packed, len(bits)) == sum(bits)


def test_a_bitmap_that_is_too_short_tells_what_it_holds() -> None:
    runs = bitmap_runs(np.array([0xF0], np.uint8), 100)
    assert (runs.start_lcn.tolist(), runs.clusters.tolist()) == ([4], [4])
    assert allocated_clusters(np.array([0xF0], np.uint8), 100) == 4
