"""What the jobs give back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sbtk.events import Checked, RunStop


@dataclass(frozen=True)
class JobResult:
    """A job that went to its end.

    Attributes:
        run_id: name of the run.
        set_id: the set that was written or read.
        folder: where its events and journal are.
        stop: figures of the run.
    """

    run_id: str
    set_id: str
    folder: Path
    stop: RunStop


@dataclass(frozen=True)
class CheckedResult(JobResult):
    """A job that compared something.

    Attributes:
        checks: what was compared, what was not, what differs.
    """

    checks: tuple[Checked, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing differs."""
        return not any(check.mismatches for check in self.checks)
