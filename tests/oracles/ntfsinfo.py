"""``ntfsinfo -f -v -i N`` (ntfs-3g) as values: every attribute and run list of a record.

It follows attribute lists, so a base record comes with the pieces that lie in its extensions. It
says nothing about extension records and unused records themselves ("Error loading node").
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.oracles.commands import ENVIRONMENT, bytes_of, output_of

HOLE = -1
MARK = "=== sbtk record "
BATCH = 200
BATCH_SCRIPT = (
    'image=$1; shift; for n; do echo "' + MARK + '$n"; '
    'ntfsinfo -f -v -i "$n" "$image" 2>/dev/null; done; :'
)

_ATTRIBUTE = re.compile(r"Dumping attribute \S+ \((0x[0-9a-f]+)\) from mft record (\d+) ")
_RUN = re.compile(r"\t\t\t(0x[0-9a-f]+)\t\t(0x[0-9a-f]+|<HOLE>)\t\t(0x[0-9a-f]+)$")
_FIELD = re.compile(r"\t(?!\t)([^:\t]+?):?\s*\t\s*(.*)$")
_NUMBER = re.compile(r"(-?\d+) \(0x")
_NAMESPACES = {"POSIX": 0, "Win32": 1, "DOS": 2, "Win32 & DOS": 3}


@dataclass
class Piece:
    """One attribute record as it is stored; sizes are meant only where ``lowest_vcn`` is 0."""

    attribute_type: int
    record: int
    name: str = ""
    resident: bool = True
    flags: int = 0
    lowest_vcn: int = 0
    highest_vcn: int = -1
    compression_unit: int = 0
    data_bytes: int = 0
    allocated_bytes: int = 0
    initialized_bytes: int = 0
    runs: list[tuple[int, int, int]] = field(default_factory=list)  # vcn, lcn or HOLE, clusters


@dataclass(frozen=True)
class FileName:
    """One $FILE_NAME attribute."""

    parent: int
    namespace: int
    name: str


@dataclass
class Inode:
    """One base record with everything that belongs to it."""

    record: int
    sequence: int = 0
    hard_links: int = 0
    is_directory: bool = False
    pieces: list[Piece] = field(default_factory=list)
    names: list[FileName] = field(default_factory=list)
    extensions: set[int] = field(default_factory=set)  # from its attribute list

    def streams(self) -> dict[tuple[int, str], list[Piece]]:
        """Pieces of attributes that can have runs, by type and name."""
        found: dict[tuple[int, str], list[Piece]] = {}
        for piece in self.pieces:
            found.setdefault((piece.attribute_type, piece.name), []).append(piece)
        return found


@dataclass(frozen=True)
class Geometry:
    """What ``ntfsinfo -m`` says of the volume."""

    cluster_bytes: int
    sector_bytes: int
    record_bytes: int
    clusters: int
    free_clusters: int


def geometry(image: Path) -> Geometry:
    text = output_of("ntfsinfo", "-f", "-m", image)

    def number(label: str) -> int:
        found = re.search(rf"^\t{label}: (\d+)", text, re.MULTILINE)
        assert found, f"ntfsinfo -m says nothing of {label}"
        return int(found.group(1))

    return Geometry(
        cluster_bytes=number("Cluster Size"),
        sector_bytes=number("Sector Size"),
        record_bytes=number("MFT Record Size"),
        clusters=number("Volume Size in Clusters"),
        free_clusters=number("Free Clusters"),
    )


def records_in_use(image: Path) -> list[int]:
    """Record numbers that $MFT's $BITMAP marks, by ntfscat."""
    bitmap = bytes_of("ntfscat", "-f", "-i", "0", "-a", "0xb0", image)
    return [8 * at + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1]


def dump(image: Path, records: Iterable[int]) -> str:
    """The tool's words on many records, one process a record, a marked line before each."""
    wanted = [str(record) for record in records]
    texts = []
    for at in range(0, len(wanted), BATCH):
        command = ["sh", "-c", BATCH_SCRIPT, "sh", str(image), *wanted[at : at + BATCH]]
        done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=True)
        texts.append(done.stdout.decode("utf-8", "surrogateescape"))
    return "".join(texts)


def parse(text: str) -> dict[int, Inode]:
    """Records of a ``dump``; those on which the tool said nothing are left out."""
    inodes: dict[int, Inode] = {}
    for section in text.split(MARK)[1:]:
        number, _, body = section.partition("\n")
        if body:
            inodes[int(number)] = _parse_inode(int(number), body)
    return inodes


def _parse_inode(record: int, body: str) -> Inode:
    inode = Inode(record)
    lines = iter(body.split("\n"))
    for line in lines:
        key, _, value = line.partition(":")
        if key == "MFT Record Seq. Numb.":
            inode.sequence = _leading(value)
        elif key == "Number of Hard Links":
            inode.hard_links = _leading(value)
        elif key == "MFT Record Flags":
            inode.is_directory = "DIRECTORY" in value.split()
        elif key == "MFT Padding":
            break
    _parse_attributes(inode, lines)
    return inode


def _parse_attributes(inode: Inode, lines: Iterator[str]) -> None:
    piece: Piece | None = None
    parent = namespace = 0
    for line in lines:
        if start := _ATTRIBUTE.match(line):
            piece = Piece(int(start.group(1), 16), int(start.group(2)))
            inode.pieces.append(piece)
        elif piece is None or not line.startswith("\t"):
            continue
        elif run := _RUN.match(line):
            lcn = HOLE if run.group(2) == "<HOLE>" else int(run.group(2), 16)
            piece.runs.append((int(run.group(1), 16), lcn, int(run.group(3), 16)))
        elif line.startswith("\t\tMFT reference:"):
            inode.extensions.add(_leading(line.partition(":")[2]))
        elif entry := _FIELD.match(line):
            label, value = entry.groups()
            if label == "Parent directory":
                parent = _leading(value)
            elif label == "Namespace":
                namespace = _NAMESPACES[value]
            elif label == "Filename":
                inode.names.append(FileName(parent, namespace, _quoted(value)))
            else:
                _take(piece, label, value)


def _take(piece: Piece, label: str, value: str) -> None:
    if label == "Resident":
        piece.resident = value == "Yes"
        if piece.resident:
            piece.highest_vcn = -1
    elif label == "Attribute name":
        piece.name = _quoted(value)
    elif label == "Attribute flags":
        piece.flags = int(value, 16)
    else:
        numbers = {
            "Lowest VCN": "lowest_vcn",
            "Highest VCN": "highest_vcn",
            "Compression unit": "compression_unit",
            "Data size": "data_bytes",
            "Allocated size": "allocated_bytes",
            "Initialized size": "initialized_bytes",
        }
        if label in numbers:
            setattr(piece, numbers[label], _leading(value))


def _leading(value: str) -> int:
    found = _NUMBER.search(value)
    assert found, f"no number in {value!r}"
    return int(found.group(1))


def _quoted(value: str) -> str:
    return value.removeprefix("'").removesuffix("'")
