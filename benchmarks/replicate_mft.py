"""Blows a real $MFT up to any number of records, for benchmarks.

    python -m benchmarks.replicate_mft SOURCE.mft TARGET.mft RECORDS

Copy k of the user records (number 64 on) is moved by k times their number: its own number, its base
reference, the parents in its names and the references in resident attribute lists; fixups are
undone and redone around the change. LCNs stay, so the copies overlap on the disk.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numba import njit

SYSTEM_RECORDS = 64
STEP_RECORDS = 65536


@njit(nogil=True, cache=True)
def word(raw, at, width):
    value = np.int64(0)
    for i in range(width):
        value |= np.int64(raw[at + i]) << (8 * i)
    return value


@njit(nogil=True, cache=True)
def move(raw, at, width, distance):
    """Move a record number if it is a user record's."""
    value = word(raw, at, width)
    if value >= SYSTEM_RECORDS:
        value += distance
        for i in range(width):
            raw[at + i] = (value >> (8 * i)) & 255


@njit(nogil=True, cache=True)
def move_value(raw, kind, value, value_bytes, distance):
    if kind == 0x30:
        move(raw, value, 6, distance)
    elif kind == 0x20:
        at = value
        while at + 26 <= value + value_bytes:
            move(raw, at + 16, 6, distance)
            step = word(raw, at + 4, 2)
            if step < 26:
                break
            at += step


@njit(nogil=True, cache=True)
def move_records(raw, record_bytes, records, distance):
    """Move every reference of ``records`` sound records by ``distance``, in place."""
    for number in range(records):
        start = number * record_bytes
        if word(raw, start, 4) != 0x454C4946:  # "FILE"
            continue
        array, entries = start + word(raw, start + 4, 2), word(raw, start + 6, 2)
        for i in range(1, entries):
            tail = start + 512 * i - 2
            raw[tail], raw[tail + 1] = raw[array + 2 * i], raw[array + 2 * i + 1]
        move(raw, start + 44, 4, distance)
        move(raw, start + 32, 6, distance)
        at = start + word(raw, start + 20, 2)
        while at + 24 <= start + record_bytes:
            kind, attribute_bytes = word(raw, at, 4), word(raw, at + 4, 4)
            if kind == 0xFFFFFFFF or attribute_bytes < 24:
                break
            if raw[at + 8] == 0:
                value, value_bytes = at + word(raw, at + 20, 2), word(raw, at + 16, 4)
                move_value(raw, kind, value, value_bytes, distance)
            at += attribute_bytes
        for i in range(1, entries):
            tail = start + 512 * i - 2
            raw[array + 2 * i], raw[array + 2 * i + 1] = raw[tail], raw[tail + 1]
            raw[tail], raw[tail + 1] = raw[array], raw[array + 1]


def replicate(source: Path, target: Path, records: int, record_bytes: int = 1024) -> None:
    """Write ``records`` records to ``target``, which appears only when it is whole."""
    raw = np.memmap(source, np.uint8, "r")
    user = len(raw) // record_bytes - SYSTEM_RECORDS
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        raw[: SYSTEM_RECORDS * record_bytes].tofile(file)
        done, copy = SYSTEM_RECORDS, 0
        while done < records:
            for first in range(0, user, STEP_RECORDS):
                count = min(STEP_RECORDS, user - first, records - done)
                start = (SYSTEM_RECORDS + first) * record_bytes
                block = np.array(raw[start : start + count * record_bytes])
                move_records(block, record_bytes, count, copy * user)
                block.tofile(file)
                done += count
            copy += 1
    part.rename(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("records", type=int)
    options = parser.parse_args()
    replicate(options.source, options.target, options.records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
