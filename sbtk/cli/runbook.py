"""``sbtk runbook``: list, show, run and schedule the notebooks that run unattended."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sbtk import runbooks
from sbtk.cli.options import DebugOption, JsonOption, print_json, print_json_rows, verb_app
from sbtk.cli.output import printable, show
from sbtk.errors import UsageError
from sbtk.schedule import schedule as schedule_texts

app = verb_app("List, show, run and schedule runbooks: notebooks that run unattended.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Runbook, or a .ipynb file.")]
ParametersOption = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Repeatable.")
]


@app.command("list")
def list_runbooks(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the runbooks, with what they do."""
    del debug
    rows = [
        {"name": name, "about": runbooks.about(runbooks.find(name))} for name in runbooks.names()
    ]
    if as_json:
        print_json_rows(rows)
        return
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(Text(row["name"], style="bold"), Text(row["about"]))
    show(table)


@app.command("show")
def show_runbook(
    name: NameArgument, as_json: JsonOption = False, debug: DebugOption = False
) -> None:
    """Show the parameters of a runbook."""
    del debug
    path = runbooks.find(name)
    known = runbooks.parameters(path)
    if as_json:
        print_json_rows(vars(item) for item in known)
        return
    show(Text(runbooks.about(path) + "\n"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("parameter", "type", "default", "what it is"):
        table.add_column(head)
    for item in known:
        table.add_row(item.name, item.kind, printable(repr(item.default)), item.help)
    show(table)


@app.command("run")
def run_runbook(
    name: NameArgument,
    parameter: ParametersOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where notebook and result go.")
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Run a runbook; returns the exit code of its job."""
    del debug

    def log(text: str) -> None:
        if not as_json and not text.startswith("RESULT "):
            sys.stdout.write(f"{printable(text)}\n")
            sys.stdout.flush()

    ended = runbooks.run(name, pairs(parameter or ()), folder=out, log=log)
    if as_json:
        print_json({**ended.result, "exit_code": ended.exit_code, "folder": str(ended.folder)})
    else:
        sys.stdout.write(f"RESULT {json.dumps(ended.result, ensure_ascii=False)}\n")
    if ended.exit_code:
        why = f": {printable(ended.message)}" if ended.message else ""
        sys.stderr.write(f"sbtk: {name} ended with exit code {ended.exit_code}{why}\n")
    sys.stderr.write(f"sbtk: {ended.folder / runbooks.PAGE_NAME}\n")
    return ended.exit_code


@app.command("schedule")
def schedule_runbook(
    name: NameArgument,
    parameter: ParametersOption = None,
    at: Annotated[str, typer.Option(metavar="HH:MM", help="Time of day.")] = "01:30",
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print a cron line, a systemd timer and an Airflow operator; changes nothing."""
    del debug
    given = pairs(parameter or ())
    runbooks.values(runbooks.parameters(runbooks.find(name)), given)
    texts = schedule_texts(name, given, at)
    if as_json:
        print_json(texts)
        return
    for way, text in texts.items():
        sys.stdout.write(f"# --- {way}\n{text.rstrip()}\n\n")


def pairs(words: Sequence[str]) -> dict[str, str]:
    """``["a=1"]`` -> ``{"a": "1"}``.

    Raises:
        UsageError: a word without ``=``, or a name twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise UsageError(f"{word!r} is no parameter", hint="Write -p KEY=VALUE")
        if key in found:
            raise UsageError(f"{key} is given twice")
        found[key] = value
    return found
