"""``sbtk backup``: a volume to a tape or a disk, by EXTENDED COPY."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.jobs_text import Told, bytes_by_path, finding_lines, print_lines
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import Layout, parse_profile
from sbtk.cli.progress import reporter
from sbtk.jobs.backup import backup as back_up
from sbtk.jobs.policy import Health, OnError
from sbtk.units import parse_bytes

app = verb_app("Back up a volume to a tape or a disk. Waits for quiet, copies a snapshot of it.")


@app.command()
def backup(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Location of the volume.")],
    to: Annotated[str, typer.Option("--to", metavar="LOC", help="tape:PATH or a disk.")],
    *,
    layout: Annotated[Layout, typer.Option(help="Layout of the archive.")] = Layout.IMAGE,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only these files; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Not the data of these; repeatable.")
    ] = None,
    paging_files: Annotated[
        bool, typer.Option("--paging-files", help="Carry pagefile.sys and its like too.")
    ] = False,
    snapshot: Annotated[
        str, typer.Option(help="auto, overlay, reflink, lvm, command, vss, or none.")
    ] = "auto",
    quiet_s: Annotated[float, typer.Option("--quiet-s", help="Seconds without a write.")] = 3.0,
    timeout_s: Annotated[float, typer.Option("--timeout-s", help="Seconds to wait for it.")] = 80.0,
    store: Annotated[
        Path | None, typer.Option(help="Folder for what the snapshot has to keep.")
    ] = None,
    cap: Annotated[str, typer.Option(help="Most that it keeps, as 10GiB; 0 for its own.")] = "0",
    freeze: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Mount point to freeze meanwhile.")
    ] = None,
    activity: Annotated[
        str, typer.Option(help="Write counter: a path, lio:HBA/DEVICE, tgt:TID/LUN.")
    ] = "",
    health: Annotated[
        Health, typer.Option(help="A dirty volume or unequal $MFTMirr: warn, fail or allow.")
    ] = Health.WARN,
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="A block that cannot be read: stop, or skip it.")
    ] = OnError.STOP,
    record_bytes: Annotated[str, typer.Option(help="Tape record, such as 256KiB.")] = "0",
    profile: Annotated[
        str, typer.Option(help="Limits of the embedded mover: spc, lio, scst, ctl, tcmu.")
    ] = "spc",
    digests: Annotated[
        bool, typer.Option("--digests/--no-digests", help="Ask the mover for digests.")
    ] = True,
    yes: Annotated[
        str, typer.Option(metavar="NAME", help="Destroy what the target of this name holds.")
    ] = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Back up a volume. Data goes from its disk to the target; this host reads metadata only."""
    del debug  # app.main looks for it
    with reporter(progress, as_json) as emit:
        told = Told(emit)
        result = back_up(
            source,
            to=to,
            emit=told,
            layout=layout.value,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            paging_files=paging_files,
            snapshot=snapshot,
            quiet_s=quiet_s,
            timeout_s=timeout_s,
            store=store,
            cap_bytes=parse_bytes(cap),
            freeze=tuple(freeze or ()),
            activity=activity,
            health=health,
            on_error=on_error,
            record_bytes=parse_bytes(record_bytes),
            limits=parse_profile(profile),
            digests=None if digests else False,
            yes=yes,
        )
    if not as_json:
        state = "with flaws" if result.stop.exit_code else "whole"
        print_lines(
            [
                *finding_lines(told.findings),
                f"set {result.set_id} is on {to}, {state}",
                *bytes_by_path(result.stop),
                f"run {result.run_id}",
            ]
        )
    return result.stop.exit_code
