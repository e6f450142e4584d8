"""``sbtk report``: the runs, and one of them as a page."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sbtk.catalog.records import LAST, RunRecord
from sbtk.catalog.store import Catalog
from sbtk.cli.options import DebugOption, JsonOption, print_json, print_json_rows, verb_app
from sbtk.cli.output import print_columns, printable
from sbtk.units import format_bytes, format_seconds

app = verb_app("List the runs, or write one of them as a page that opens without a network.")


@app.command()
def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="[RUN]", help=f"Id of a run, its beginning, {LAST}, or a run's folder."
        ),
    ] = "",
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page; report.html in the run's folder."),
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the report of a run; without RUN list the runs."""
    del debug
    if not run:
        _list(as_json=as_json)
        return
    from sbtk.report.build import write_report

    path, log = write_report(_folder(run), out)
    if as_json:
        print_json({"event": "report", "run_id": log.start["run_id"], "path": str(path),
                    "run_stop": log.stop})  # fmt: skip
        return
    sys.stdout.write(f"{printable(str(path))}\n")
    if log.stop:
        sys.stdout.write(_summary(log.stop) + "\n")


def _folder(run: str) -> Path:
    if Path(run).is_dir():
        return Path(run)
    with Catalog.open() as catalog:
        return Path(catalog.find_run(run).folder)


def _summary(stop: dict[str, Any]) -> str:
    sent = stop["command_bytes"] + stop["inline_bytes"]
    return (
        f"{stop['verb']} {stop['status']} in {format_seconds(stop['took_s'])}: "
        f"{format_bytes(stop['moved_bytes'])} moved by the mover, "
        f"{format_bytes(stop['metadata_bytes'])} of metadata read, "
        f"{format_bytes(sent)} of commands and headers sent, "
        f"{format_bytes(stop['host_data_bytes'])} of file data through this server"
    )


def _list(*, as_json: bool) -> None:
    with Catalog.open() as catalog:
        runs = catalog.runs()
    if as_json:
        print_json_rows({"event": "run", **dataclasses.asdict(run)} for run in runs)
        return
    if not runs:
        sys.stdout.write("No runs yet\n")
        return
    heads = ("run", "verb", "status", "began (UTC)", "took", "what")
    print_columns(heads, map(_row, runs), (22, 8, 9, 19, 12))


def _row(run: RunRecord) -> tuple[str, ...]:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(run.started_s))
    took = format_seconds(run.ended_s - run.started_s) if run.ended_s else ""
    what = f"{run.source} -> {run.target}" if run.target else run.source
    return run.run_id, run.verb, run.status, began, took, printable(what)
