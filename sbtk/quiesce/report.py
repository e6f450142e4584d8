"""How a static view came about, as plain values for the set's manifest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class QuietReport:
    """How a static view came about; travels in the set's manifest.

    Attributes:
        source: location that was waited for.
        provider: which snapshot provider made the view.
        location: where the view could be read.
        activity: write counter that was watched, and how.
        granularity: the smallest write that it shows.
        blind_to: what it cannot see.
        flushes: what was flushed, in order.
        flush_count: how often, in all.
        quiet_s: quiet time that was asked for.
        timeout_s: within which time.
        calm_s: quiet time that was measured before the snapshot was begun.
        waited_s: from the first look to the one that confirmed the snapshot.
        samples: looks at the counter.
        torn: snapshots dropped because something was written while they were taken.
        resets: times that the counter ran backwards.
        frozen: mount points that were frozen for the snapshot.
        watched: the view is the source itself, watched to the end of the copy.
        taken_s: when the snapshot was begun, in seconds since the epoch.
    """

    source: str
    provider: str
    location: str
    activity: str
    granularity: str
    blind_to: str
    flushes: tuple[str, ...]
    flush_count: int
    quiet_s: float
    timeout_s: float
    calm_s: float
    waited_s: float
    samples: int
    torn: int
    resets: int
    frozen: tuple[str, ...]
    watched: bool
    taken_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)
