"""Real writers, in processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_WRITER = """
import os, sys, time
path, seconds, sync = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "sync"
descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
end, number, last = time.time() + seconds, 0, time.time()
print("go", flush=True)
while time.time() < end:
    os.pwrite(descriptor, b"%016d" % number * 256, number % 256 * 4096)
    last = time.time()
    if sync:
        os.fdatasync(descriptor)
    number += 1
    time.sleep(0.02)
print(last, flush=True)
"""


class Writer:
    """50 writes of 4 KiB a second, buffered unless ``sync``."""

    def __init__(self, path: Path, seconds: float, *, sync: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, path, str(seconds), "sync" if sync else "buffered"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "go\n"

    @property
    def is_writing(self) -> bool:
        return self.process.poll() is None

    def last_write_s(self) -> float:
        """When it wrote last, in seconds since the epoch; waits for its end."""
        return float(self.process.communicate(timeout=60)[0])


@contextlib.contextmanager
def writer(path: Path, seconds: float = 600, *, sync: bool = False) -> Iterator[Writer]:
    """A writer for the body."""
    made = Writer(path, seconds, sync=sync)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()
