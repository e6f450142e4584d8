from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.isolation import healthy
from tests.hostile.surgery import Patient


@pytest.fixture
def patient() -> Iterator[Patient]:
    """The tiny volume in memory, healed afterwards."""
    found = healthy("tiny").patient
    yield found
    found.heal()
