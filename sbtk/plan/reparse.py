"""Reparse points: which are links that a tar can hold, and what to call the others.

Layout of the value: [MS-FSCC] 2.1.2.4 (symbolic links) and 2.1.2.5 (mount points).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sbtk.errors import SbtkError
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.tables import Tables

SYMLINK = 0xA000000C
MOUNT_POINT = 0xA0000003
WOF = 0x80000017
DEDUP = 0x80000013

_HEAD = struct.Struct("<IHH")  # tag, data length, reserved
_NAMES = struct.Struct("<HHHH")  # substitute offset and length, print offset and length


@dataclass(frozen=True)
class Target:
    """What a reparse point becomes.

    Attributes:
        path: target of a symbolic link, ``/`` between folders; empty where it is none.
        why: why it is no plain member; empty for a link.
    """

    path: str
    why: str


def targets(
    tables: Tables, records: set[int], read_value: Callable[[int], bytes]
) -> dict[int, Target]:
    """The reparse points among ``records``."""
    streams = tables.streams
    rows = np.flatnonzero(
        numpy_values(streams.column("attribute_type")) == AttributeType.REPARSE_POINT
    )
    number = numpy_values(streams.column("record"))
    found = {}
    for row in rows.tolist():
        record = int(number[row])
        if record in records:
            found[record] = _read(row, read_value)
    return found


def _read(row: int, read_value: Callable[[int], bytes]) -> Target:
    try:
        return parse(read_value(row))
    except SbtkError:
        return Target("", "reparse")


def parse(value: bytes) -> Target:
    """The target that a reparse point's value tells."""
    if len(value) < _HEAD.size:
        return Target("", "reparse")
    tag = _HEAD.unpack_from(value)[0]
    if tag in (WOF, DEDUP):
        return Target("", "wof" if tag == WOF else "dedup")
    flag_bytes = 4 if tag == SYMLINK else 0
    names_at = _HEAD.size + _NAMES.size + flag_bytes
    if tag not in (SYMLINK, MOUNT_POINT) or len(value) < names_at:
        return Target("", "reparse")
    start, length = _NAMES.unpack_from(value, _HEAD.size)[:2]
    raw = value[names_at + start : names_at + start + length]
    text = raw.decode("utf-16-le", "replace").replace("\\", "/")
    if "\0" in text or not text or len(raw) < length:
        return Target("", "reparse")
    return Target(text.removeprefix("/??/"), "")
