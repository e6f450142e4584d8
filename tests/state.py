"""The state folder of a test: its own, so that tests see no snapshots of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbtk.settings import settings


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory, monkeypatch) -> Path:
    """A fresh SBTK_STATE_DIR, for this process and those it starts."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("SBTK_STATE_DIR", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()
