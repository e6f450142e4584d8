"""How much memory a piece of work takes: the peak of this process's resident pages.

tracemalloc is no help here: stopping it while another thread allocates ends Python 3.11 with a
segmentation fault now and then, and the workers of a parallel run have such a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Growth:
    """Filled in when the work has ended."""

    peak_bytes: int = 0


def resident_bytes(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the peak since it was reset) of this process."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def measured() -> Iterator[Growth]:
    """Measure the work inside: how far its peak lies above what was there before."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak
    growth, before_bytes = Growth(), resident_bytes("VmRSS")
    yield growth
    growth.peak_bytes = max(resident_bytes("VmHWM") - before_bytes, 0)
