"""What tests of several folders share: the corpus and our tables of it, made once a process."""

from __future__ import annotations

import pytest

from tests.corpus import NAMES, CorpusVolume, volume


@pytest.fixture(params=NAMES)
def corpus_volume(request: pytest.FixtureRequest) -> CorpusVolume:
    """Every volume of the corpus in turn."""
    return volume(request.param)
