"""``ntfscluster -f -c FIRST-LAST`` (ntfs-3g): which attributes own a range of clusters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.oracles.commands import output_of

TYPE_NAMES = {
    0x10: "$STANDARD_INFORMATION",
    0x20: "$ATTRIBUTE_LIST",
    0x30: "$FILE_NAME",
    0x40: "$OBJECT_ID",
    0x50: "$SECURITY_DESCRIPTOR",
    0x60: "$VOLUME_NAME",
    0x70: "$VOLUME_INFORMATION",
    0x80: "$DATA",
    0x90: "$INDEX_ROOT",
    0xA0: "$INDEX_ALLOCATION",
    0xB0: "$BITMAP",
    0xC0: "$REPARSE_POINT",
    0xD0: "$EA_INFORMATION",
    0xE0: "$EA",
    0x100: "$LOGGED_UTILITY_STREAM",
}
_TYPES = {name: number for number, name in TYPE_NAMES.items()}
_OWNER = re.compile(r"Inode (\d+) .*/(\$[A-Z_]+)(?:\((.*)\))?$")


@dataclass(frozen=True)
class Owner:
    """An attribute that has clusters in the range."""

    record: int
    attribute_type: int
    attribute_name: str


def owners_of(image: Path, first_lcn: int, last_lcn: int) -> set[Owner]:
    """Attributes with at least one cluster from ``first_lcn`` to ``last_lcn``, both included."""
    text = output_of("ntfscluster", "-f", "-c", f"{first_lcn}-{last_lcn}", image, ok=(0, 1))
    owners = set()
    for line in text.split("\n"):
        if found := _OWNER.match(line):
            owners.add(Owner(int(found[1]), _TYPES[found[2]], found[3] or ""))
    return owners
