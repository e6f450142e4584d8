"""Settings from the environment (``SBTK_*``) and from defaults; read once a process, on demand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What can be set from outside; every field is ``SBTK_`` plus its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SBTK_", extra="ignore")

    kernels: Literal["numba", "numpy"] = "numba"
    """Which implementation of the hot loops runs: compiled, or the NumPy twin."""

    state_dir: Path = Path(platformdirs.user_state_dir("sbtk"))
    """Journals, leftovers of snapshots and the catalog live below this folder."""

    snapshot_create: str = ""
    """``--snapshot command``: the command that makes a snapshot; see docs/quiesce.md."""

    snapshot_delete: str = ""
    """``--snapshot command``: the command that removes it again."""

    snapshot_location: str = ""
    """``--snapshot command`` and ``vss``: the location at which the snapshot appears."""

    snapshot_hook: str = ""
    """``--snapshot vss``: the command that runs a diskshadow script on the Windows host."""

    snapshot_volume: str = ""
    """``--snapshot vss``: the volume there, as ``E:``."""

    snapshot_expose: str = ""
    """``--snapshot vss``: the free drive letter there at which the shadow copy appears."""

    snapshot_timeout_s: float = 120.0
    """How long one command of a snapshot provider may run."""

    iscsi_initiator: str = ""
    """Our iSCSI name at targets; a default one if empty."""

    iscsi_silence_s: float = Field(default=30.0, ge=1)
    """A connection whose other side has not answered, or taken no data, for so long is given up."""

    iscsi_user: str = ""
    """CHAP: the user we are at targets; empty for none."""

    iscsi_secret: SecretStr = SecretStr("")
    """CHAP: the secret of ``iscsi_user``."""

    iscsi_secret_file: Path | None = None
    """CHAP: a file with the secret of ``iscsi_user``, instead of the secret itself."""

    iscsi_mutual_user: str = ""
    """CHAP: the user that a target must prove to be; empty to ask for no proof."""

    iscsi_mutual_secret: SecretStr = SecretStr("")
    """CHAP: the secret of ``iscsi_mutual_user``."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
