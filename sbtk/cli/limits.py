"""``sbtk limits``: what the copy manager at a location can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import DebugOption, JsonOption, print_json, verb_app
from sbtk.device.location import Location, open_transport, parse
from sbtk.errors import LocationNotFoundError, UsageError
from sbtk.scsi.limits import PROFILES, Limits
from sbtk.scsi.limits import limits as limits_of
from sbtk.transport.ask_limits import ask_limits

app = verb_app("Print the limits of a copy manager: what plans for it are cut to.")

_EMBEDDED = "embedded mover"


@app.command()
def limits(
    location: Annotated[
        str, typer.Argument(metavar="[LOC]", help="A LUN, or a path for the embedded mover.")
    ] = "",
    profile: Annotated[
        str, typer.Option(help=f"A known manager instead: {', '.join(PROFILES)}.")
    ] = "",
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask the copy manager at LOC (operating parameters, VPD page 8Fh), or show a profile."""
    del debug  # app.main looks for it
    if bool(location) == bool(profile):
        raise UsageError("Name a location or a profile", hint="For example: sbtk limits disk.img")
    manager, found = _of(parse(location)) if location else (profile, limits_of(profile))
    if as_json:
        print_json({"location": location, "manager": manager, **found.to_dict()})
        return
    lines = [("copy manager", manager), *found.describe()]
    width = max(len(what) for what, _ in lines)
    for what, value in lines:
        typer.echo(f"{what:<{width}}  {value}")


def _of(location: Location) -> tuple[str, Limits]:
    if location.kind in ("path", "tape"):
        if not Path(location.path).exists():
            raise LocationNotFoundError(
                f"{location.path} does not exist", hint="Name a file or device that is there"
            )
        return _EMBEDDED, limits_of("spc")
    transport = open_transport(location)
    try:
        found = ask_limits(transport)
    finally:
        transport.close()
    return found.name, found
