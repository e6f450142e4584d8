"""``sbtk demo``: the whole story on a sample volume."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.output import printable
from sbtk.cli.progress import reporter
from sbtk.units import format_seconds

app = verb_app(
    "Tell the whole story on a sample volume: quiet, snapshot, backup to tape, restore, verify."
)

_INDENT = 18  # of a step's further lines on a terminal: below its text


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="A new folder, kept; else a temporary one."),
    ] = None,
    *,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Back up, restore and verify a sample while a workstation writes; about ten seconds."""
    del debug
    from sbtk.demo.story import Step, tell

    def say(step: Step) -> None:
        if as_json:
            print_json({"event": "demo_step", **dataclasses.asdict(step)})
            return
        proved = f" => {step.proved}" if step.proved else ""
        text = printable(f"{step.name:<8} {format_seconds(step.took_s):>7}  {step.did}{proved}")
        if sys.stdout.isatty():
            columns = shutil.get_terminal_size().columns
            text = textwrap.fill(text, columns, subsequent_indent=" " * _INDENT)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    with reporter(progress, as_json) as emit:
        page = tell(folder, say=say, emit=emit)
    if as_json:
        print_json({"event": "demo", "report": str(page)})
    else:
        sys.stdout.write(f"\nOpen {printable(str(page))} in a browser; it needs no network.\n")
