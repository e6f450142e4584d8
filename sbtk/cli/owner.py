"""``sbtk owner``: which file owns a cluster, a block or a byte, or everything in a range."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json_rows,
    verb_app,
)
from sbtk.cli.output import print_columns, printable
from sbtk.cli.progress import reporter
from sbtk.errors import UsageError
from sbtk.extents.frames import plain_rows
from sbtk.extents.map import ExtentMap
from sbtk.extents.owners import label
from sbtk.units import format_count
from sbtk.volume import read_tables

if TYPE_CHECKING:
    import pandas as pd

app = verb_app("Tell which file owns clusters, blocks or bytes of a volume.")

OUTSIDE = "(outside the volume)"
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


class PlaceUnit(StrEnum):
    """What the places count."""

    LCN = "lcn"
    LBA = "lba"
    BYTE = "byte"


@dataclass(frozen=True)
class _Places:
    """What was asked: single places, and ranges with both ends included."""

    single: list[int]
    ranges: list[tuple[int, int]]


@app.command()
def owner(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Location, or a folder of --out.")],
    places: Annotated[
        list[str], typer.Argument(help="8123, a range 9000-9100, or - to read numbers from stdin.")
    ],
    *,
    unit: Annotated[
        PlaceUnit, typer.Option("--unit", help="Clusters; or blocks or bytes of the whole LUN.")
    ] = PlaceUnit.LCN,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Name the owner of each place, and all owners within each range."""
    del debug
    asked = _parse(places)
    with reporter(progress, as_json, events=sys.stderr) as emit:
        tables = read_tables(source, emit=emit)
    extent_map = ExtentMap.from_tables(tables)
    if asked.single:
        found = extent_map.owner_of(asked.single, unit.value)
        print_json_rows(plain_rows(found)) if as_json else _print_owners(extent_map, found, unit)
    for first, last in asked.ranges:
        inside = _in_range(extent_map, first, last, unit)
        if as_json:
            print_json_rows(plain_rows(inside))
        else:
            _print_range(inside, first, last, unit)


def _parse(words: list[str]) -> _Places:
    asked = _Places([], [])
    for word in _words(words):
        match = _RANGE.fullmatch(word)
        if match is None:
            raise UsageError(
                f"{word!r} is neither a number nor a range", hint="Write 8123, or 9000-9100"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"the range {word} ends before it begins")
        if match[2] is None:
            asked.single.append(first)
        else:
            asked.ranges.append((first, last))
    return asked


def _words(words: list[str]) -> Iterable[str]:
    for word in words:
        if word == "-":
            yield from sys.stdin.read().split()
        else:
            yield word


def _in_range(extent_map: ExtentMap, first: int, last: int, unit: PlaceUnit) -> pd.DataFrame:
    import numpy as np

    lcn, _ = extent_map.to_lcn(np.array([first, last]), unit.value)
    if (lcn < 0).any():
        raise UsageError(
            f"{unit} {first}-{last} is not within the volume",
            hint=f"It has {extent_map.volume.total_clusters} clusters; sbtk scan tells the rest",
        )
    return extent_map.files_in(int(lcn[0]), int(lcn[1]))


def _print_owners(extent_map: ExtentMap, found: pd.DataFrame, unit: PlaceUnit) -> None:
    places = ["lcn"] if unit == PlaceUnit.LCN else [unit.value, "lcn"]
    numbers = [*places, "vcn", "file_offset_bytes"]
    values = plain_rows(found)
    inside = (extent_map.to_lcn(found[unit.value].to_numpy("i8"), unit.value)[0] >= 0).tolist()
    names = (_name(row) if known else OUTSIDE for row, known in zip(values, inside, strict=True))
    rows = (
        (*(_number(row[name]) for name in numbers), name)
        for row, name in zip(values, names, strict=True)
    )
    heads = (*places, "vcn", "byte in file", "owner")
    print_columns(heads, rows, (*(14 for _ in places), 12, 15))


def _print_range(found: pd.DataFrame, first: int, last: int, unit: PlaceUnit) -> None:
    if found.empty:
        sys.stdout.write(f"{unit} {first}-{last}: owned by no file\n")
        return
    numbers = ("lcn", "clusters", "vcn")
    rows = ((*(_number(row[name]) for name in numbers), _name(row)) for row in plain_rows(found))
    print_columns((*numbers, f"owner within {unit} {first}-{last}"), rows, (14, 12, 12))


def _name(row: dict[str, Any]) -> str:
    if row["path"] is None:
        return {None: "(no file)", False: "(free)", True: "(no file, but in use in $Bitmap)"}[
            row.get("allocated")
        ]
    notes = ["  (behind its end)"] if row.get("slack") else []
    owners = row.get("owners", 1)
    notes += [f"  ({owners} owners: sbtk check)"] if owners > 1 else []
    return printable(label(row["path"], row["stream_name"])) + "".join(notes)


def _number(value: int | None) -> str:
    return "-" if value is None else format_count(value)
