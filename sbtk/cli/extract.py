"""``sbtk extract``: files of a set to a local folder, through this host."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.jobs_text import Told, finding_lines, print_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.output import printable
from sbtk.cli.progress import reporter
from sbtk.jobs.extract import extract as bring_out
from sbtk.units import format_bytes, plural

app = verb_app("Extract files of a set to a local folder: their data come through this host.")


@app.command()
def extract(
    name: Annotated[str, typer.Argument(metavar="SET", help="Id of a set, or last.")],
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Paths or globs.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="Folder, made if missing.")],
    *,
    location: Annotated[
        str, typer.Option("--from", metavar="LOC", help="Where the medium is now.")
    ] = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Extract files. Nothing that exists in the folder is touched."""
    del debug  # app.main looks for it
    with reporter(progress, as_json) as emit:
        told = Told(emit)
        result = bring_out(name, paths, to=to, location=location, emit=told)
    if not as_json:
        through = format_bytes(result.stop.host_data_bytes)
        print_lines(
            [
                *finding_lines(told.findings),
                *(printable(path) for path in result.files),
                f"{plural(len(result.files), 'file')} in {to}; {through} of file data came "
                "through this host",
            ]
        )
    return result.stop.exit_code
