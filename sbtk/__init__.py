"""sbtk: serverless backup of NTFS volumes on a storage network.

The names below are the whole public surface; each is imported when it is first used, so that
``import sbtk`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Volume": "sbtk.volume",
    "open_volume": "sbtk.volume",
    "read_tables": "sbtk.volume",
    "SbtkError": "sbtk.errors",
    "limits": "sbtk.scsi.limits",
    "plan_backup": "sbtk.plan.api",
    "backup": "sbtk.jobs.backup",
    "restore": "sbtk.jobs.restore",
    "extract": "sbtk.jobs.extract",
    "verify": "sbtk.jobs.verify",
    "resume": "sbtk.jobs.resume",
}

__all__ = ["SbtkError", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'sbtk' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
