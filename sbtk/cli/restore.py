"""``sbtk restore``: a set back to a LUN, whole, in chosen files, or in place."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.job_options import FromOption, ProfileOption, SetArgument, YesOption
from sbtk.cli.jobs_text import bytes_by_path, carry_out, check_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import parse_profile
from sbtk.events import Listener
from sbtk.jobs.restore import restore as bring_back
from sbtk.jobs.results import CheckedResult

app = verb_app("Restore a set to a LUN, and check what came of it.")


@app.command()
def restore(
    name: SetArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="LOC", help="A disk; LOC#N for one partition.")
    ],
    *,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="GLOB", help="Only these files, as a volume that mounts."),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Put the files' blocks back on the live volume.")
    ] = False,
    location: FromOption = "",
    profile: ProfileOption = "spc",
    check_digests: Annotated[
        bool, typer.Option("--verify", help="Hold all of it against the set's digests.")
    ] = False,
    yes: YesOption = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Restore a set. Data goes from the medium to the LUN; this host reads metadata only."""
    del debug  # app.main looks for it

    def job(emit: Listener) -> CheckedResult:
        return bring_back(
            name,
            to=to,
            files=files or (),
            in_place=in_place,
            location=location,
            limits=parse_profile(profile),
            check_digests=check_digests,
            yes=yes,
            emit=emit,
        )

    def told(result: CheckedResult) -> list[str]:
        return [
            f"set {result.set_id} is restored to {to}",
            *check_lines(result.checks),
            *bytes_by_path(result.stop),
            f"run {result.run_id}",
        ]

    return carry_out(job, told, progress=progress, as_json=as_json)
