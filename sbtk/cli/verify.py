"""``sbtk verify``: a set against its digests, or a LUN against a set."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.jobs_text import Told, bytes_by_path, check_lines, finding_lines, print_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import parse_profile
from sbtk.cli.progress import reporter
from sbtk.jobs.verify import verify as hold_against

app = verb_app("Verify a set, or a LUN against it. Ends with 1 where something differs.")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="SET", help="Id of a set, or last.")],
    *,
    against: Annotated[
        str, typer.Option("--against", metavar="LOC", help="A LUN to hold against the set.")
    ] = "",
    location: Annotated[
        str, typer.Option("--from", metavar="LOC", help="Where the medium is now.")
    ] = "",
    through_host: Annotated[
        bool, typer.Option("--through-host", help="Read everything here, not by the mover.")
    ] = False,
    profile: Annotated[
        str, typer.Option(help="Limits of the embedded mover: spc, lio, scst, ctl, tcmu.")
    ] = "spc",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Verify by the mover's digests; through this host where the manager makes none."""
    del debug  # app.main looks for it
    with reporter(progress, as_json) as emit:
        told = Told(emit)
        result = hold_against(
            name,
            against=against,
            location=location,
            through_host=through_host,
            limits=parse_profile(profile),
            emit=told,
        )
    if not as_json:
        print_lines(
            [
                *finding_lines(told.findings),
                *check_lines(result.checks),
                *bytes_by_path(result.stop),
                f"run {result.run_id}",
            ]
        )
    return result.stop.exit_code
