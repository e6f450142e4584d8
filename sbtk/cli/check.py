"""``sbtk check``: does a volume agree with itself; exit code 1 if it does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.output import printable, show
from sbtk.cli.progress import reporter
from sbtk.extents.audit import audit, has_findings
from sbtk.extents.frames import plain_rows
from sbtk.extents.map import ExtentMap
from sbtk.units import format_bytes, plural
from sbtk.volume import read_tables

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}

app = verb_app("Check extents against $Bitmap, each other and the sizes of their files.")


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Location, or a folder of --out.")],
    *,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """List everything in which the volume contradicts itself, with the files concerned."""
    del debug
    with reporter(progress, as_json, events=sys.stderr) as emit:
        tables = read_tables(source, emit=emit)
    extent_map = ExtentMap.from_tables(tables)
    findings = audit(tables, extent_map)
    if as_json:
        for row in plain_rows(findings):
            print_json({"event": "finding", **row})
        print_json({"event": "check", "source": source, **_totals(findings, extent_map)})
    else:
        show(_screen(findings, extent_map))
    return int(has_findings(findings))


def _totals(findings: pd.DataFrame, extent_map: ExtentMap) -> dict[str, int | bool]:
    count = findings["severity"].value_counts()
    return {
        **{f"{name}s": int(count.get(name, 0)) for name in ("error", "warning")},
        "remarks": int(count.get("info", 0)),
        "compared_with_bitmap": extent_map.allocated is not None,
        "total_clusters": extent_map.volume.total_clusters,
        "owned_clusters": extent_map.owned.total_clusters,
        "extents": extent_map.real_rows,
    }


def _screen(findings: pd.DataFrame, extent_map: ExtentMap) -> RenderableType:
    totals = _totals(findings, extent_map)
    head = Text(printable(extent_map.volume.source), style="bold")
    parts: list[RenderableType] = [head, Text(_checked(extent_map)), Text()]
    if len(findings):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=len("warning"))
        grid.add_column(overflow="fold")
        for row in sorted(
            plain_rows(findings), key=lambda row: list(_COLOURS).index(row["severity"])
        ):
            record = "" if row["record"] < 0 else f", record {row['record']}"
            message = Text(f"{row['code']}{record}\n", style="bold")
            message.append(printable(row["message"]), style="not bold")
            grid.add_row(Text(row["severity"], style=_COLOURS[row["severity"]]), message)
        parts += [grid, Text()]
    clean = not totals["errors"] and not totals["warnings"]
    return Group(*parts, Text(_verdict(totals), style="green" if clean else "bold"))


def _checked(extent_map: ExtentMap) -> str:
    volume = extent_map.volume
    if extent_map.allocated is None:
        return f"{plural(extent_map.real_rows, 'extent')}, not compared with $Bitmap"
    owned_bytes = extent_map.owned.total_clusters * volume.cluster_bytes
    return (
        f"{plural(volume.total_clusters, 'cluster')} compared with $Bitmap; "
        f"{plural(extent_map.real_rows, 'extent')} own {format_bytes(owned_bytes)}"
    )


def _verdict(totals: dict[str, int | bool]) -> str:
    errors, warnings = int(totals["errors"]), int(totals["warnings"])
    remarks = f"; {plural(totals['remarks'], 'remark')}" if totals["remarks"] else ""
    if not errors and not warnings:
        return f"no contradiction found{remarks}"
    return f"{plural(errors, 'error')}, {plural(warnings, 'warning')}{remarks}"
