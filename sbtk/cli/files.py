"""``sbtk files``: one line a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    SourceArgument,
    print_json_rows,
    verb_app,
)
from sbtk.cli.output import print_columns, printable
from sbtk.cli.progress import reporter
from sbtk.ntfs import globs
from sbtk.units import format_bytes, format_count
from sbtk.volume import read_tables

_BATCH_ROWS = 4096
_HEADS = ("record", "size", "allocated", "extents", "flags", "modified (UTC)", "path")
_WIDTHS = (9, 9, 9, 8, 5, 19)
_FLAGS = (
    ("is_directory", "d"),
    ("resident", "r"),
    ("compressed", "c"),
    ("sparse", "s"),
    ("encrypted", "e"),
)
_LIST_COLUMNS = [
    "record", "size_bytes", "allocated_bytes", "extents", *(name for name, _ in _FLAGS),
    "modified", "path",
]  # fmt: skip

app = verb_app("List a volume's files and folders, in the order of their records.")


@app.command()
def files(
    source: SourceArgument,
    pattern: Annotated[
        str,
        typer.Argument(metavar="[GLOB]", help="'*.docx' compares names, 'docs/**' whole paths."),
    ] = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """List files and folders. Flags: d folder, r resident, c compressed, s sparse, e encrypted."""
    del debug  # app.main looks for it
    expression = globs.to_regex(pattern) if pattern else ""  # a wrong one is told before the scan
    with reporter(progress, as_json, events=sys.stderr) as emit:
        table = read_tables(source, emit=emit).files
    if expression:
        table = table.filter(globs.match(table["path"], pattern))
    if as_json:
        print_json_rows(_rows(table, table.column_names))
    else:
        print_columns(_HEADS, map(_cells, _rows(table, _LIST_COLUMNS)), _WIDTHS)


def _rows(table: pa.Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows as values, a batch at a time; times as text, to the second or finer as they are."""
    for batch in table.select(columns).to_batches(max_chunksize=_BATCH_ROWS):
        yield from _with_times_as_text(batch).to_pylist()


def _with_times_as_text(batch: pa.RecordBatch) -> pa.Table:
    table = pa.table(batch)
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text = pc.strftime(table[place], format="%Y-%m-%dT%H:%M:%SZ")
            table = table.set_column(place, field.name, text)
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    flags = "".join(letter if row[name] else "-" for name, letter in _FLAGS)
    modified = (row["modified"] or "-")[:19].replace("T", " ")
    return (
        str(row["record"]),
        format_bytes(row["size_bytes"]),
        format_bytes(row["allocated_bytes"]),
        format_count(row["extents"]),
        flags,
        modified,
        printable(row["path"]),
    )
