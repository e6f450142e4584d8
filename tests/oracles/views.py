"""The same facts from our tables and from ntfsinfo in one form, made once a process and volume."""

from __future__ import annotations

import fcntl
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import sbtk
from sbtk.ntfs.tables import Tables
from tests.corpus import volume
from tests.oracles import ntfsinfo

# ``streams`` leaves out $STANDARD_INFORMATION (columns of ``files``) and $FILE_NAME (``names``).
IN_OTHER_TABLES = {0x10, 0x30}

Run = tuple[int, int, int]  # vcn, lcn (-1 a hole), clusters


@dataclass(frozen=True, order=True)
class Attribute:
    """One attribute of a file, its pieces joined; sizes and runs are empty where resident."""

    attribute_type: int
    name: str
    resident: bool
    flags: int
    data_bytes: int
    allocated_bytes: int
    initialized_bytes: int
    compression_unit: int
    runs: tuple[Run, ...]


@cache
def tables(name: str) -> Tables:
    """Our tables of a corpus volume."""
    with sbtk.open_volume(volume(name).image) as opened:
        return opened.tables


@cache
def inodes(name: str) -> dict[int, ntfsinfo.Inode]:
    """What ntfsinfo says of every base record that $MFT's bitmap marks.

    The words are kept beside the volume: other processes of the test run read them from there.
    """
    corpus = volume(name)
    kept = corpus.folder / "ntfsinfo.txt"
    with (corpus.folder / "ntfsinfo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            text = ntfsinfo.dump(corpus.image, ntfsinfo.records_in_use(corpus.image))
            unfinished = corpus.folder / "ntfsinfo.unfinished"
            unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")
            unfinished.rename(kept)
    return ntfsinfo.parse(kept.read_text(encoding="utf-8", errors="surrogateescape"))


def their_attributes(inode: ntfsinfo.Inode) -> list[Attribute]:
    """Every attribute of an inode that ``streams`` holds, sorted."""
    found: list[Attribute] = []
    pieces_of: dict[tuple[int, str], list[ntfsinfo.Piece]] = defaultdict(list)
    for piece in inode.pieces:
        if piece.attribute_type in IN_OTHER_TABLES:
            assert piece.resident
        elif piece.resident:
            found.append(_resident(piece.attribute_type, piece.name, piece.flags, piece.data_bytes))
        else:
            pieces_of[piece.attribute_type, piece.name].append(piece)
    for (attribute_type, name), pieces in pieces_of.items():
        pieces.sort(key=lambda piece: piece.lowest_vcn)
        first = pieces[0]
        assert first.lowest_vcn == 0
        found.append(
            Attribute(
                attribute_type,
                name,
                False,
                first.flags,
                first.data_bytes,
                first.allocated_bytes,
                first.initialized_bytes,
                first.compression_unit,
                tuple(run for piece in pieces for run in piece.runs),
            )
        )
    return sorted(found)


def _resident(attribute_type: int, name: str, flags: int, data_bytes: int) -> Attribute:
    return Attribute(attribute_type, name, True, flags, data_bytes, 0, 0, 0, ())


@cache
def our_runs(name: str) -> dict[int, tuple[Run, ...]]:
    """Runs of every stream of our tables, by stream number, in VCN order."""
    extents = tables(name).extents
    columns = [extents[column].to_numpy() for column in ("stream", "vcn", "lcn", "clusters")]
    order = np.lexsort((columns[1], columns[0]))
    found: dict[int, list[Run]] = defaultdict(list)
    for stream, *run in zip(*(column[order].tolist() for column in columns), strict=True):
        found[stream].append((run[0], run[1], run[2]))
    return {stream: tuple(runs) for stream, runs in found.items()}


@cache
def our_attributes(name: str) -> dict[int, list[Attribute]]:
    """Every attribute of every base record of our tables, sorted."""
    runs = our_runs(name)
    found: dict[int, list[Attribute]] = defaultdict(list)
    for row in tables(name).streams.to_pylist():
        found[row["record"]].append(_from_row(row, runs.get(row["stream"], ())))
    return {record: sorted(attributes) for record, attributes in found.items()}


def _from_row(row: dict[str, Any], runs: tuple[Run, ...]) -> Attribute:
    kind = (row["attribute_type"], row["attribute_name"])
    if row["resident"]:
        assert not runs, "a resident attribute has no runs"
        return _resident(*kind, row["flags"], row["data_bytes"])
    return Attribute(
        *kind, False, row["flags"], row["data_bytes"], row["allocated_bytes"],
        row["initialized_bytes"], row["compression_unit"], runs,
    )  # fmt: skip


@cache
def our_names(name: str) -> dict[int, list[dict[str, Any]]]:
    """Rows of our ``names`` by record."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in tables(name).names.to_pylist():
        found[row["record"]].append(row)
    return dict(found)
