"""Columns put in order and numbered, against NumPy's and Python's own ways."""

from __future__ import annotations

import numpy as np
import pytest

from sbtk.ntfs.assemble import _by_lcn
from sbtk.ntfs.columns import encode_text, text_of


@pytest.mark.parametrize("top", [1, 5, 1 << 20, 1 << 50, (1 << 55) - 1])
@pytest.mark.parametrize("runs", [0, 1, 2, 7, 1000, 1 << 16])
def test_runs_are_ordered_as_a_stable_sort_orders_them(runs: int, top: int) -> None:
    lcn = np.random.default_rng(runs).integers(-1, top, runs)
    order, ordered = _by_lcn(lcn.copy())
    expected = np.argsort(lcn.view(np.uint64), kind="stable")
    assert np.array_equal(order, expected)
    assert np.array_equal(ordered, lcn[expected])


@pytest.mark.parametrize(
    "words", [[], [""], ["$I30"], ["", "$I30", "", "größe", "$I30", "", "😀"]], ids=len
)
def test_encoded_text_reads_as_it_was(words: list[str]) -> None:
    encoded = encode_text(text_of(words))
    assert encoded.to_pylist() == words
    assert encoded.dictionary.to_pylist() == list(dict.fromkeys(["", *words]))
