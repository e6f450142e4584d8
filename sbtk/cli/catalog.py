"""``sbtk catalog``: the catalog made again from a medium."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

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
from sbtk.cli.sets import HEADS, WIDTHS, row, values
from sbtk.units import plural

app = verb_app("The catalog of sets: it can be made again from the media alone.")


@app.callback()
def catalog() -> None:
    """The catalog of sets: it can be made again from the media alone."""


@app.command()
def rebuild(
    location: Annotated[
        str, typer.Argument(metavar="LOC", help="tape:PATH or a disk; it is read, not written.")
    ],
    *,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Put the sets on a medium into the catalog, as if they had just been made."""
    del debug
    from sbtk.catalog.rebuild import rebuild as rebuild_from

    with Catalog.open() as store, reporter(progress) as emit:
        found = rebuild_from(location, store, emit)
    states = ["unfinished" if item.damage else "kept" if item.known else "new" for item in found]
    if as_json:
        print_json_rows(
            {"event": "set", **values(item.record), "damage": item.damage, "state": state}
            for item, state in zip(found, states, strict=True)
        )
        return
    if found:
        rows = (row(item.record, state) for item, state in zip(found, states, strict=True))
        print_columns(HEADS, rows, WIDTHS)
    for item in found:
        if item.damage:
            name = printable(item.record.set_id)
            sys.stdout.write(f"{name} is left out: {printable(item.damage)}\n")
    whole = plural(len(found) - states.count("unfinished"), "set")
    sys.stdout.write(
        f"In the catalog: {whole} of {printable(location)}, {states.count('new')} of them new\n"
    )
