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
_FLAGS = {
    "is_directory": "d",
    "resident": "r",
    "compressed": "c",
    "sparse": "s",
    "encrypted": "e",
}

app = verb_app("List a volume's files and folders, in the order of their records.")


@app.command()
def files(
    source: SourceArgument,
    pattern: Annotated[
        str,
        typer.Argument(metavar="GLOB", help="'*.docx' compares names, 'docs/**' whole paths."),
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
        print_json_rows(_values(table))
    else:
        print_columns(_HEADS, _cells(table), _WIDTHS)


def _values(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as values, a batch at a time; times as ISO 8601, as fine as NTFS keeps them."""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = {
            field.name: _time_text(column, "%Y-%m-%dT%H:%M:%SZ")
            if pa.types.is_timestamp(field.type)
            else column
            for field, column in zip(batch.schema, batch.columns, strict=True)
        }
        yield from pa.table(columns).to_pylist()


def _cells(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """The rows as cells, a batch at a time and column by column: millions take seconds."""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        seconds = batch["modified"].cast(pa.timestamp("s", tz="UTC"), safe=False)
        modified = pc.fill_null(_time_text(seconds, "%Y-%m-%d %H:%M:%S"), "-")
        yield from zip(
            map(str, batch["record"].to_pylist()),
            map(format_bytes, batch["size_bytes"].to_pylist()),
            map(format_bytes, batch["allocated_bytes"].to_pylist()),
            map(format_count, batch["extents"].to_pylist()),
            _flags(batch),
            modified.to_pylist(),
            map(printable, batch["path"].to_pylist()),
            strict=True,
        )


def _flags(batch: pa.RecordBatch) -> list[str]:
    letters = [pc.if_else(batch[name], letter, "-") for name, letter in _FLAGS.items()]
    joined: list[str] = pc.binary_join_element_wise(*letters, "").to_pylist()
    return joined


def _time_text(times: pa.Array, layout: str) -> pa.Array:
    return pc.strftime(times, format=layout)
