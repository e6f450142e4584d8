"""``sbtk restore``: a set back to a LUN, whole, in chosen files, or in place."""

from __future__ import annotations

from typing import Annotated

import typer

from sbtk.cli.jobs_text import Told, bytes_by_path, check_lines, finding_lines, print_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import parse_profile
from sbtk.cli.progress import reporter
from sbtk.jobs.restore import restore as bring_back

app = verb_app("Restore a set to a LUN, and check what came of it.")


@app.command()
def restore(
    name: Annotated[str, typer.Argument(metavar="SET", help="Id of a set, or last.")],
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
    location: Annotated[
        str, typer.Option("--from", metavar="LOC", help="Where the medium is now.")
    ] = "",
    profile: Annotated[
        str, typer.Option(help="Limits of the embedded mover: spc, lio, scst, ctl, tcmu.")
    ] = "spc",
    check_digests: Annotated[
        bool, typer.Option("--verify", help="Hold all of it against the set's digests.")
    ] = False,
    yes: Annotated[
        str, typer.Option(metavar="NAME", help="Destroy what the target of this name holds.")
    ] = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Restore a set. Data goes from the medium to the LUN; this host reads metadata only."""
    del debug  # app.main looks for it
    with reporter(progress, as_json) as emit:
        told = Told(emit)
        result = bring_back(
            name,
            to=to,
            files=files or (),
            in_place=in_place,
            location=location,
            limits=parse_profile(profile),
            check_digests=check_digests,
            yes=yes,
            emit=told,
        )
    if not as_json:
        print_lines(
            [
                *finding_lines(told.findings),
                f"set {result.set_id} is restored to {to}",
                *check_lines(result.checks),
                *bytes_by_path(result.stop),
                f"run {result.run_id}",
            ]
        )
    return result.stop.exit_code
