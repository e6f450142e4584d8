"""Numbered slots: what a snapshot must show if it is the image between two writes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SLOTS = 1024
SLOT_BYTES = 4096
IMAGE_BYTES = SLOTS * SLOT_BYTES

_WRITER = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
number = int(sys.argv[2])
while True:
    os.pwrite(descriptor, number.to_bytes(8, "little") * 512, number % 1024 * 4096)
    number += 1
    if number == 4096:
        print("warm", flush=True)
"""


def stamp(number: int) -> bytes:
    """What the writer of write ``number`` puts into slot ``number % SLOTS``."""
    return number.to_bytes(8, "little") * (SLOT_BYTES // 8)


@contextlib.contextmanager
def stamping(path: Path) -> Iterator[subprocess.Popen]:
    """A process that stamps slot after slot, round and round, as fast as it can."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, path, "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "warm\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def torn_slots(data: bytes) -> int:
    """How many slots are not what they were after the latest write that the image shows.

    If write n is the latest, slot i must hold the latest number up to n that is i modulo SLOTS,
    in all of its 4 KiB.
    """
    words = np.frombuffer(data, "<u8").reshape(SLOTS, SLOT_BYTES // 8)
    latest = int(words.max())
    slot = np.arange(SLOTS)
    expected = latest - (latest - slot) % SLOTS
    return int((words != expected[:, None]).any(axis=1).sum())
