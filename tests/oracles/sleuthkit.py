"""``fls``, ``istat`` and ``ifind`` (The Sleuth Kit) as values.

What fls does its own way, and what ``listing`` makes of it:
- deleted names are marked ``*``, unreferenced ones lie in a made-up $OrphanFiles: left out;
- a folder's named streams are listed again below its ``.`` and ``..`` entries: left out;
- a stream longer than the volume is an error to it: the name comes without a type, left out;
- it knows no clusters of 2 MiB ("Cannot determine file system type"): ``can_read`` is False;
- DOS names are not listed, which suits us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.oracles.commands import output_of

LARGEST_CLUSTER_BYTES = 65536
DATA, INDEX_ROOT = 0x80, 0x90

_LINE = re.compile(r"(?P<kind>./.) (?P<gone>\* )?(?P<record>\d+)(?:-(?P<type>\d+)-(?P<id>\d+))?")
_REALLOCATED = "(realloc)"


@dataclass(frozen=True)
class Entry:
    """One line of fls: a name, or a named stream of it (``path:stream``)."""

    record: int
    attribute_type: int
    path: str


def can_read(cluster_bytes: int) -> bool:
    """Whether The Sleuth Kit opens volumes with such clusters."""
    return cluster_bytes <= LARGEST_CLUSTER_BYTES


def listing(image: Path) -> set[Entry]:
    """Every name and named stream that exists, as ``fls -r -p`` sees it."""
    entries = set()
    for line in output_of("fls", "-f", "ntfs", "-r", "-p", image).split("\n"):
        place, tab, path = line.partition(":\t")
        found = _LINE.match(place)
        if not tab or not found:
            continue
        gone = found["gone"] or _REALLOCATED in place or path.startswith("$OrphanFiles")
        if gone or "/.:" in path or "/..:" in path or path.startswith((".:", "..:")):
            continue
        entries.add(Entry(int(found["record"]), int(found["type"] or 0), path))
    return entries


def records_of_cluster(image: Path, lcn: int) -> set[int]:
    """Records whose run lists hold a cluster, by ``ifind -a -d``: freed records are among them."""
    text = output_of("ifind", "-f", "ntfs", "-a", "-d", str(lcn), image)
    return {int(number) for number in re.findall(r"^(\d+)-", text, re.MULTILINE)}


@dataclass(frozen=True)
class Attribute:
    """One line of istat's list of attributes."""

    attribute_type: int
    name: str
    resident: bool
    size_bytes: int
    initialized_bytes: int


_ATTRIBUTE = re.compile(
    r"Type: \S+ \((?P<type>\d+)-\d+\)   Name: (?P<name>.*?)   (?P<kind>Non-Resident|Resident)"
    r"(?P<flags>.*?)   size: (?P<size>\d+)(?:  init_size: (?P<init>\d+))?"
)


def attributes_of(image: Path, record: int) -> list[Attribute]:
    """The attributes of a record, by ``istat``; unnamed ones are called "N/A" there."""
    found = []
    for line in output_of("istat", "-f", "ntfs", "-r", image, str(record)).split("\n"):
        if match := _ATTRIBUTE.match(line):
            size = int(match["size"])
            found.append(
                Attribute(
                    attribute_type=int(match["type"]),
                    name="" if match["name"] == "N/A" else match["name"],
                    resident=match["kind"] == "Resident",
                    size_bytes=size,
                    initialized_bytes=int(match["init"] or size),
                )
            )
    return found
