"""``sbtk verify``: a set against its digests, or a LUN against a set."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.job_options import FromOption, ProfileOption, SetArgument
from sbtk.cli.jobs_text import bytes_by_path, carry_out, check_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import parse_profile
from sbtk.events import Listener
from sbtk.jobs.results import CheckedResult
from sbtk.jobs.verify import verify as hold_against

app = verb_app("Verify a set, or a LUN against it. Ends with 1 where something differs.")


@app.command()
def verify(
    name: SetArgument,
    *,
    against: Annotated[
        str, typer.Option("--against", metavar="LOC", help="A LUN to hold against the set.")
    ] = "",
    location: FromOption = "",
    through_host: Annotated[
        bool, typer.Option("--through-host", help="Read everything here, not by the mover.")
    ] = False,
    profile: ProfileOption = "spc",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Verify by the mover's digests; through this host where the manager makes none."""
    del debug  # app.main looks for it

    def job(emit: Listener) -> CheckedResult:
        return hold_against(
            name,
            against=against,
            location=location,
            through_host=through_host,
            limits=parse_profile(profile),
            emit=emit,
        )

    def told(result: CheckedResult) -> list[str]:
        return [
            *check_lines(result.checks), *bytes_by_path(result.stop), f"run {result.run_id}",
        ]  # fmt: skip

    return carry_out(job, told, progress=progress, as_json=as_json)
