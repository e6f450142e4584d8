"""``sbtk quiet``: try the quiet window and a snapshot on a live source; copies nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.progress import reporter
from sbtk.quiesce.activity import activity_named
from sbtk.quiesce.report import QuietReport
from sbtk.quiesce.static_view import static_view
from sbtk.snapshot.commands import split_words
from sbtk.snapshot.registry import AUTO
from sbtk.units import format_seconds, parse_bytes, plural

app = verb_app("Wait until a source is quiet, take a snapshot, check it, drop it; copies nothing.")


@app.command()
def quiet(
    source: Annotated[str, typer.Argument(help="Image file, block device or other location.")],
    *,
    quiet_s: Annotated[float, typer.Option("--quiet-s", help="Seconds without a write.")] = 3.0,
    timeout_s: Annotated[float, typer.Option("--timeout-s", help="Seconds to wait.")] = 80.0,
    provider: Annotated[
        str,
        typer.Option("--snapshot", help="auto, overlay, san, reflink, lvm, command, vss, none."),
    ] = AUTO,
    store: Annotated[
        Path | None, typer.Option("--store", help="Folder for what the snapshot keeps.")
    ] = None,
    cap: Annotated[str, typer.Option("--cap", help="Most that it keeps, as 10GiB.")] = "0",
    activity: Annotated[
        str, typer.Option("--activity", help="Write counter: a path, lio:HBA/DEVICE, tgt:TID/LUN.")
    ] = "",
    hook: Annotated[
        str, typer.Option("--hook", help="Command that flushes, run once before the wait.")
    ] = "",
    freeze: Annotated[
        list[str] | None, typer.Option("--freeze", help="Mount point to freeze meanwhile.")
    ] = None,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Wait for quiet as a backup would, and tell what was seen."""
    del debug
    with (
        reporter(progress, as_json) as emit,
        static_view(
            source,
            provider=provider,
            quiet_s=quiet_s,
            timeout_s=timeout_s,
            activity=activity_named(activity) if activity else None,
            hook=split_words(hook, "--hook"),
            freeze=freeze or (),
            store=store,
            cap_bytes=parse_bytes(cap),
            emit=emit,
        ) as view,
    ):
        report = view.report
    if as_json:
        print_json({"event": "quiet_report", **report.to_dict()})
    else:
        sys.stdout.write(_text(report))


def _text(report: QuietReport) -> str:
    torn = f", {plural(report.torn, 'torn snapshot')} dropped" if report.torn else ""
    return (
        f"{report.source} was quiet for {format_seconds(report.calm_s)}, "
        f"{format_seconds(report.waited_s)} after the wait began "
        f"({plural(report.samples, 'look')}{torn})\n"
        f"  snapshot   {report.provider}, {report.location}, dropped again\n"
        f"  watched    {report.activity}\n"
        f"  shows      {report.granularity}\n"
        f"  blind to   {report.blind_to}\n"
        f"  flushed    {', '.join(report.flushes) or 'nothing'}\n"
    )
