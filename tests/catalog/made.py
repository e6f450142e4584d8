"""Real sets on real media: the office sample, backed up by the jobs."""

from __future__ import annotations

from pathlib import Path

from sbtk import samples
from sbtk.jobs.backup import backup
from sbtk.jobs.results import JobResult
from sbtk.mover.cartridge import create_cartridge


def tape(path: Path) -> Path:
    create_cartridge(path, capacity_bytes=1 << 30)
    return path


def disk(path: Path, size_bytes: int = 64 << 20) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def back_up(to: str | Path, sample: str = "office.ntfs", **options: object) -> JobResult:
    """A backup of a sample that nobody writes to."""
    values = {"snapshot": "none", "quiet_s": 0.05, **options}
    return backup(samples.unpack(sample), to=to, **values)
