"""``sbtk scan``: a volume's tables, and on one screen what it is like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    SourceArgument,
    print_json,
    verb_app,
)
from sbtk.cli.output import printable, show
from sbtk.cli.progress import reporter
from sbtk.errors import VolumeDamagedError
from sbtk.ntfs.tables import Tables
from sbtk.volume import read_tables

TRUNCATED = "volume-truncated"  # the finding of sbtk.ntfs.scan

app = verb_app("Read a volume's tables, and print what it is, how healthy, and what is on it.")


@app.command()
def scan(
    source: SourceArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Save all tables there (Parquet).")
    ] = None,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Read a volume's metadata. The volume is opened read-only; no file's content is read."""
    del debug  # app.main looks for it
    told: list[Callable[[], None]] = []
    with reporter(progress, as_json) as emit:
        tables = read_tables(
            source, out=out, emit=emit, look=lambda tables: told.append(_told(tables, out, as_json))
        )
    for tell in told:
        tell()
    _refuse_truncated(tables)


def _told(tables: Tables, out: Path | None, as_json: bool) -> Callable[[], None]:
    """What prints the result, worked out; its modules are imported while tables are written."""
    from sbtk.ntfs.summary import summarise

    summary = summarise(tables)
    if as_json:
        saved = {} if out is None else {"out": str(out)}
        return partial(print_json, {"event": "scan", **summary.to_dict(), **saved})
    from rich.console import Group
    from rich.text import Text

    from sbtk.cli.scan_screen import volume_screen

    parts = [volume_screen(summary, tables)]
    if out is not None:
        parts.append(Text(f"\nTables saved in {printable(str(out))}"))
    return partial(show, Group(*parts))


def _refuse_truncated(tables: Tables) -> None:
    """End with an error where the volume is cut off, after what was there has been shown."""
    findings = tables.findings
    codes = findings["code"].to_pylist()
    if TRUNCATED in codes:
        raise VolumeDamagedError(
            f"{tables.volume.source} is cut off: {findings['message'][codes.index(TRUNCATED)]}",
            hint="Copy the volume again, whole",
        )
