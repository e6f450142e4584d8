"""``sbtk extract``: files of a set to a local folder, through this host."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.job_options import FromOption, SetArgument
from sbtk.cli.jobs_text import carry_out
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.output import printable
from sbtk.events import Listener
from sbtk.jobs.extract import ExtractResult
from sbtk.jobs.extract import extract as bring_out
from sbtk.units import format_bytes, plural

app = verb_app("Extract files of a set to a local folder: their data come through this host.")


@app.command()
def extract(
    name: SetArgument,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Paths or globs.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="Folder, made if missing.")],
    *,
    location: FromOption = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Extract files. Nothing that exists in the folder is touched."""
    del debug  # app.main looks for it

    def job(emit: Listener) -> ExtractResult:
        return bring_out(name, paths, to=to, location=location, emit=emit)

    def told(result: ExtractResult) -> list[str]:
        through = format_bytes(result.stop.host_data_bytes)
        return [
            *(printable(path) for path in result.files),
            f"{plural(len(result.files), 'file')} in {to}; {through} of file data came "
            "through this host",
        ]

    return carry_out(job, told, progress=progress, as_json=as_json)
