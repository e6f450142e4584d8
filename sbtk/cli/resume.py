"""``sbtk resume``: go on with a job that was killed, at its first unfinished command list."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.jobs_text import Told, bytes_by_path, finding_lines, print_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.progress import reporter
from sbtk.jobs.resume import resume as go_on

app = verb_app("Go on with a job that was killed, at its first unfinished command list.")


@app.command()
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or last.")],
    *,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Resume a backup or a restore; fails with the reason where that cannot be done."""
    del debug  # app.main looks for it
    with reporter(progress, as_json) as emit:
        told = Told(emit)
        result = go_on(run, emit=told)
    if not as_json:
        print_lines(
            [
                *finding_lines(told.findings),
                f"run {result.run_id} went on to its end; set {result.set_id}",
                *bytes_by_path(result.stop),
            ]
        )
    return result.stop.exit_code
