"""Settings from the environment (``SBTK_*``) and from defaults; read once a process, on demand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What can be set from outside; every field is ``SBTK_`` plus its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SBTK_", extra="ignore")

    kernels: Literal["numba", "numpy"] = "numba"
    """Which implementation of the hot loops runs: compiled, or the NumPy twin."""

    state_dir: Path = Path(platformdirs.user_state_dir("sbtk"))
    """Journals, leftovers of snapshots and the catalog live below this folder."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
