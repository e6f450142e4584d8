"""``sbtk backup``: a volume to a tape or a disk, by EXTENDED COPY."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.job_options import (
    ExcludeOption,
    IncludeOption,
    Layout,
    LayoutOption,
    PagingFilesOption,
    ProfileOption,
    RecordBytesOption,
    YesOption,
)
from sbtk.cli.jobs_text import bytes_by_path, carry_out
from sbtk.cli.options import DebugOption, JsonOption, ProgressOption, ProgressStyle, verb_app
from sbtk.cli.plan import parse_profile
from sbtk.events import Listener
from sbtk.jobs.backup import backup as back_up
from sbtk.jobs.policy import Health, OnError
from sbtk.jobs.results import JobResult
from sbtk.units import parse_bytes

app = verb_app("Back up a volume to a tape or a disk. Waits for quiet, copies a snapshot of it.")


@app.command()
def backup(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Location of the volume.")],
    to: Annotated[str, typer.Option("--to", metavar="LOC", help="tape:PATH or a disk.")],
    *,
    layout: LayoutOption = Layout.IMAGE,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    paging_files: PagingFilesOption = False,
    snapshot: Annotated[
        str, typer.Option(help="auto, overlay, san, reflink, lvm, command, vss, or none.")
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
    record_bytes: RecordBytesOption = "0",
    profile: ProfileOption = "spc",
    digests: Annotated[
        bool, typer.Option("--digests/--no-digests", help="Ask the mover for digests.")
    ] = True,
    yes: YesOption = "",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> int:
    """Back up a volume. Data goes from its disk to the target; this host reads metadata only."""
    del debug  # app.main looks for it

    def job(emit: Listener) -> JobResult:
        return back_up(
            source,
            to=to,
            emit=emit,
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

    def told(result: JobResult) -> list[str]:
        state = "with flaws" if result.stop.exit_code else "whole"
        return [
            f"set {result.set_id} is on {to}, {state}",
            *bytes_by_path(result.stop),
            f"run {result.run_id}",
        ]

    return carry_out(job, told, progress=progress, as_json=as_json)
