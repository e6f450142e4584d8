"""What tests of several folders share: the corpus and our tables of it, made once a process."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.corpus import NAMES, CorpusVolume, volume

# A test that takes longer because others use the machine has not failed.
settings.register_profile("sbtk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sbtk")


@pytest.fixture(params=NAMES)
def corpus_volume(request: pytest.FixtureRequest) -> CorpusVolume:
    """Every volume of the corpus in turn."""
    return volume(request.param)
