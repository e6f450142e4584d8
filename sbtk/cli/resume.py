"""``sbtk resume``: go on with a job that was killed, at its first unfinished command list."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.jobs_text import bytes_by_path, carry_out
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.events import Listener
from sbtk.jobs.results import JobResult
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

    def job(emit: Listener) -> JobResult:
        return go_on(run, emit=emit)

    def told(result: JobResult) -> list[str]:
        return [
            f"run {result.run_id} went on to its end; set {result.set_id}",
            *bytes_by_path(result.stop),
        ]

    return carry_out(job, told, progress=progress, as_json=as_json)
