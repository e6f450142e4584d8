"""The sample as notebooks see it; callbacks raise what they show."""

from __future__ import annotations

import pytest

from sbtk.view.callbacks import RERAISE
from sbtk.view.source import Source, open_source
from tests.state import state_dir  # noqa: F401 - each test has a state folder of its own


@pytest.fixture(scope="session")
def office() -> Source:
    """The office sample, scanned once."""
    return open_source("office.ntfs")


@pytest.fixture(autouse=True)
def callbacks_raise(monkeypatch):
    """What a callback shows as an error, it raises too."""
    monkeypatch.setenv(RERAISE, "1")
