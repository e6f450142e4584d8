"""``sbtk diff``: what changed between two scans of one volume, or a source and its restore."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.output import print_columns, printable
from sbtk.cli.progress import reporter
from sbtk.extents.difference import CHANGES, Difference, difference
from sbtk.extents.frames import plain_rows
from sbtk.units import format_bytes, format_count, plural
from sbtk.volume import read_tables

if TYPE_CHECKING:
    from sbtk.ntfs.tables import Tables

app = verb_app("Compare two scans of a volume: files and extents that changed.")


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="SRC1", help="Location, or a folder of --out.")],
    after: Annotated[str, typer.Argument(metavar="SRC2", help="The same volume later, or a copy.")],
    *,
    limit: Annotated[int, typer.Option("--limit", help="Files to list; 0 lists all.", min=0)] = 40,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Return 1 if anything changed.")
    ] = False,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """List files added, removed, renamed, moved, grown, shrunk and rewritten in place."""
    del debug
    with reporter(progress, as_json, events=sys.stderr) as emit:
        sides = read_tables(before, emit=emit), read_tables(after, emit=emit)
    found = difference(*sides)
    if as_json:
        _print_json(found)
    else:
        _print(sides, found, limit)
    return int(exit_code and found.differs)


def _print_json(found: Difference) -> None:
    """One line a file, one an extent, and the sums."""
    for kind, frame in (("file", found.files), ("extent", found.extents)):
        for row in plain_rows(frame):
            print_json({"event": f"{kind}_changed", **row})
    print_json({"event": "diff", **found.summary()})


def _print(sides: tuple[Tables, Tables], found: Difference, limit: int) -> None:
    before, after = (tables.volume for tables in sides)
    lines = [f"before  {printable(before.source)}", f"after   {printable(after.source)}"]
    if before.serial != after.serial:
        lines.append(f"note    their serial numbers differ: {before.serial}, {after.serial}")
    sys.stdout.write("\n".join([*lines, "", *_sums(found, after.cluster_bytes)]) + "\n")
    if found.files.empty:
        return
    shown = found.files.head(limit) if limit else found.files
    sys.stdout.write("\n")
    print_columns(("size", "change", "file"), map(_cells, plain_rows(shown)), (9, 20))
    if len(shown) < len(found.files):
        hidden = plural(len(found.files) - len(shown), "more file")
        sys.stdout.write(f"... and {hidden}: --limit 0 lists all\n")


def _sums(found: Difference, cluster_bytes: int) -> list[str]:
    if not found.differs:
        return ["no file and no extent differs"]
    summary = found.summary()
    counts = [f"{format_count(summary[name])} {_words(name)}" for name in CHANGES if summary[name]]
    new_bytes = summary["new_clusters"] * cluster_bytes
    return [
        f"{plural(summary['files'], 'file')} changed: {', '.join(counts)}",
        f"{plural(summary['extents'], 'stretch', 'stretches')} of extents changed, "
        f"{format_bytes(new_bytes)} at new places",
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    change = ", ".join(_words(name) for name in CHANGES if row[name])
    name = f"{row['path_before']} -> {row['path']}" if row["renamed"] else row["path"]
    size = row["size_before_bytes"] if row["removed"] else row["size_bytes"]
    return format_bytes(size), change, printable(name)


def _words(change: str) -> str:
    return change.replace("_", " ")
