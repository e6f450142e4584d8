"""``sbtk extents``: where one stream's clusters lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    SourceArgument,
    print_json,
    print_json_rows,
    verb_app,
)
from sbtk.cli.output import print_columns, printable
from sbtk.cli.progress import reporter
from sbtk.errors import StreamNotFoundError
from sbtk.ntfs.lookup import Stream, find_stream
from sbtk.ntfs.tables import Tables, VolumeInfo
from sbtk.units import format_bytes, format_count, plural
from sbtk.volume import read_tables

_HEADS = ("vcn", "lcn", "clusters", "size", "lba on the LUN")
_WIDTHS = (11, 13, 11, 9)

app = verb_app("List where a file's clusters lie, in the order of the file.")


@app.command()
def extents(
    source: SourceArgument,
    path: Annotated[
        str,
        typer.Argument(metavar="PATH[:STREAM]", help="A path, or a record number."),
    ],
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """List the extents of a file's content, of a named stream, or of PATH:NAME:$TYPE."""
    del debug  # app.main looks for it
    with reporter(progress, as_json, events=sys.stderr) as emit:
        tables = read_tables(source, emit=emit)
    stream = _find(tables, path)
    rows = _rows_of(tables, stream)
    if as_json:
        print_json({"event": "stream", **_facts(stream), "extents": len(rows)})
        print_json_rows(_values(rows, tables.volume))
        return
    sys.stdout.write(_headline(stream, rows) + "\n")
    if not stream.resident:
        lines = (_cells(value) for value in _values(rows, tables.volume))
        print_columns(_HEADS, lines, _WIDTHS)


def _find(tables: Tables, path: str) -> Stream:
    """The stream of a path or, where no file is called so, of a record number."""
    try:
        return find_stream(tables, path)
    except StreamNotFoundError:
        if not path.isdecimal():
            raise
        return find_stream(tables, int(path))


def _rows_of(tables: Tables, stream: Stream) -> pa.Table:
    mine = np.flatnonzero(tables.extents["stream"].to_numpy() == stream.row)
    return tables.extents.take(pa.array(mine)).sort_by("vcn")


def _values(rows: pa.Table, volume: VolumeInfo) -> Iterator[dict[str, Any]]:
    """Each extent with its place on the LUN; None for a hole, and where only an $MFT is known."""
    known = volume.sector_bytes > 0
    sectors = volume.cluster_bytes // volume.sector_bytes if known else 0
    for batch in rows.select(["vcn", "lcn", "clusters"]).to_batches():
        for row in batch.to_pylist():
            placed = known and row["lcn"] >= 0
            yield {
                **row,
                "size_bytes": row["clusters"] * volume.cluster_bytes if known else None,
                "lba": volume.partition_start_lba + row["lcn"] * sectors if placed else None,
            }


def _cells(value: dict[str, Any]) -> tuple[str, ...]:
    size_bytes, lba = value["size_bytes"], value["lba"]
    return (
        format_count(value["vcn"]),
        "hole" if value["lcn"] < 0 else format_count(value["lcn"]),
        format_count(value["clusters"]),
        "-" if size_bytes is None else format_bytes(size_bytes),
        ("-" if lba is None else format_count(lba)).rjust(len(_HEADS[-1])),
    )


def _facts(stream: Stream) -> dict[str, Any]:
    return {
        "path": stream.path,
        "record": stream.record,
        "attribute_type": stream.attribute_type,
        "attribute_name": stream.attribute_name,
        "resident": stream.resident,
        "data_bytes": stream.data_bytes,
        "initialized_bytes": stream.initialized_bytes,
    }


def _headline(stream: Stream, rows: pa.Table) -> str:
    size = format_bytes(stream.data_bytes)
    start = f"{printable(stream.path)}: record {stream.record}, {size}"
    if stream.resident:
        return f"{start}, resident (its bytes lie in the record, it owns no clusters)"
    real = int(np.count_nonzero(rows["lcn"].to_numpy() >= 0))
    holes = len(rows) - real
    text = f"{start} in {plural(real, 'extent')}"
    if holes:
        text += f" and {plural(holes, 'hole')}"
    if stream.initialized_bytes < stream.data_bytes:
        text += f", zeros from byte {format_count(stream.initialized_bytes)} on"
    return text
