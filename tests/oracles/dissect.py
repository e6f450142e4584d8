"""dissect.ntfs as values: another parser in Python, written by others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dissect.ntfs import NTFS
from dissect.ntfs.mft import MftRecord

HOLE = -1


@dataclass
class Stream:
    """One attribute with its pieces joined."""

    resident: bool
    data_bytes: int
    runs: list[tuple[int, int]] = field(default_factory=list)  # lcn or HOLE, clusters


@contextmanager
def opened(image: Path) -> Iterator[NTFS]:
    with image.open("rb") as file:
        yield NTFS(file)


def streams_of(record: MftRecord) -> dict[tuple[int, str], Stream]:
    """Attributes of a base record that can have runs, by type and name, extensions included."""
    found: dict[tuple[int, str], Stream] = {}
    for attributes in record.attributes.values():
        for attribute in attributes:
            header = attribute.header
            key = (int(header.type.value), str(header.name))
            runs = [] if header.resident else header.dataruns()
            if key not in found:
                found[key] = Stream(header.resident, int(header.size))
            found[key].runs += [(HOLE if lcn is None else lcn, count) for lcn, count in runs]
    return found


def paths_of(record: MftRecord) -> set[str]:
    """Full paths of all names of a record, DOS names left out, ``/`` between."""
    return {path.replace("\\", "/") for path in record.full_paths(ignore_dos=True)}
