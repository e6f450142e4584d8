"""``sbtk sets``: what the catalog knows, or what lies on one medium."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbtk.catalog.rebuild import OnMedium
from sbtk.catalog.records import SetRecord
from sbtk.catalog.store import Catalog
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
from sbtk.units import format_bytes, plural

if TYPE_CHECKING:
    from sbtk.catalog.rebuild import OnMedium

app = verb_app("List sets: all that the catalog knows, or those that lie on a medium.")

HEADS = ("set", "state", "layout", "archive", "volume", "medium")
WIDTHS = (23, 10, 6, 8, 16)


@app.command()
def sets(
    location: Annotated[
        str, typer.Argument(metavar="[LOC]", help="tape:PATH or a disk; it is read, not written.")
    ] = "",
    *,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """List the catalog's sets, the newest last; with LOC those on that medium, in its order."""
    del debug
    with Catalog.open() as catalog:
        if location:
            from sbtk.catalog.rebuild import read_medium

            with reporter(progress) as emit:
                found = read_medium(location, catalog, emit)
            _show_medium(location, found, as_json=as_json)
            return
        records = catalog.sets()
    if as_json:
        print_json_rows({"event": "set", **values(record)} for record in records)
    elif records:
        print_columns(HEADS, (row(record, record.status) for record in records), WIDTHS)
    else:
        sys.stdout.write("No sets yet. `sbtk backup SRC --to LOC` makes one\n")


def _show_medium(location: str, found: list[OnMedium], *, as_json: bool) -> None:
    if as_json:
        print_json_rows(
            {
                "event": "set", **values(item.record), "status": _state(item),
                "damage": item.damage, "known": item.known,
            }
            for item in found
        )  # fmt: skip
        return
    if found:
        print_columns(HEADS, (row(item.record, _state(item)) for item in found), WIDTHS)
    for item in found:
        if item.damage:
            sys.stdout.write(f"{printable(item.record.set_id)}: {printable(item.damage)}\n")
    unknown = sum(not (item.known or item.damage) for item in found)
    more = f", {unknown} not in the catalog: `sbtk catalog rebuild {location}`" if unknown else ""
    sys.stdout.write(f"{plural(len(found), 'set')} on {printable(location)}{printable(more)}\n")


def _state(item: OnMedium) -> str:
    """What a set on a medium is: one that cannot be restored from is not complete."""
    return "unfinished" if item.damage else item.record.status


def row(record: SetRecord, state: str) -> tuple[str, ...]:
    """A set as cells of a line."""
    volume = record.volume_label or record.volume_serial
    place = f" file {record.file_number}" if record.medium == "tape" else ""
    return (
        printable(record.set_id),
        state,
        record.layout,
        format_bytes(record.archive_bytes),
        printable(volume),
        printable(record.location) + place,
    )


def values(record: SetRecord) -> dict[str, Any]:
    """A set as plain values, without its manifest."""
    found = dataclasses.asdict(record)
    del found["manifest"]
    return found
