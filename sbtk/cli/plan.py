"""``sbtk plan``: what a backup would copy, in which commands, and what that costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sbtk.cli.job_options import (
    ExcludeOption,
    IncludeOption,
    Layout,
    LayoutOption,
    PagingFilesOption,
    ProfileOption,
    RecordBytesOption,
)
from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.output import printable, show
from sbtk.cli.progress import reporter
from sbtk.device.location import parse
from sbtk.errors import DeviceWriteError, LocationError, PlanError, UsageError
from sbtk.events import Listener
from sbtk.plan import summary
from sbtk.plan.api import plan_backup
from sbtk.plan.archive_check import find_archive_faults
from sbtk.plan.check import check_plan
from sbtk.plan.cost import Calibration, price, what_if
from sbtk.plan.model import Plan
from sbtk.plan.store import HEAD_NAME, from_bytes, to_bytes
from sbtk.scsi.limits import Limits
from sbtk.scsi.limits import limits as profile_limits
from sbtk.units import parse_bytes
from sbtk.volume import open_volume
from sbtk.whole_file import write_whole

app = verb_app(
    "Show what a backup would copy, in which commands, and what it costs. Reads metadata only."
)


_CALIBRATION_HINT = "Name a file of JSON; docs/plan.md shows one"


@app.command()
def plan(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Location of a volume, or a saved plan.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="LOC", help="tape:PATH or a disk.")] = "",
    layout: LayoutOption = Layout.IMAGE,
    profile: ProfileOption = "spc",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    paging_files: PagingFilesOption = False,
    record_bytes: RecordBytesOption = "256KiB",
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measured costs (JSON).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save the plan there.")
    ] = None,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Plan a backup, or show a saved plan again. Nothing is written but --out."""
    del debug  # app.main looks for it
    costs = _calibration(calibration)
    with reporter(progress, as_json) as emit:
        made = _saved(source)
        if made is None:
            _check_target(to)
            made = _new(
                source, to, layout, profile, include or [], exclude or [],
                paging_files=paging_files, record_bytes=parse_bytes(record_bytes), emit=emit,
            )  # fmt: skip
    check_plan(made)
    faults = find_archive_faults(made)
    if faults:
        raise PlanError(f"the plan's headers are wrong: {faults[0].message}")
    if out is not None:
        _save(made, out)
    if as_json:
        print_json(summary.to_dict(made, costs) | ({"out": str(out)} if out else {}))
        return
    _show(made, costs)
    if out is not None:
        show(Text(f"\nPlan saved in {printable(str(out))}"))


def _check_target(to: str) -> None:
    """A plan can be made for a target that is not there yet, but for none that is no target."""
    if not to:
        raise UsageError("a plan needs a target", hint="Add --to tape:PATH or --to DISK")
    place = parse(to)
    path = Path(place.path)
    if place.kind == "path" and path.exists() and not (path.is_file() or path.is_block_device()):
        raise LocationError(f"{to} is no disk", hint="Name an image file or a block device")


def _new(
    source: str,
    to: str,
    layout: Layout,
    profile: str,
    include: list[str],
    exclude: list[str],
    *,
    paging_files: bool,
    record_bytes: int,
    emit: Listener,
) -> Plan:
    with open_volume(source, emit=emit) as volume:
        return plan_backup(
            volume,
            to=to,
            limits=parse_profile(profile),
            layout=layout.value,
            include=include,
            exclude=exclude,
            paging_files=paging_files,
            record_bytes=record_bytes,
        )


def parse_profile(text: str) -> Limits:
    """``"lio"``, or ``"spc,max_segments=8,max_inline_bytes=4096"``.

    Raises:
        UsageError: no such profile or limit, or a value that is no number.
    """
    name, *pairs = text.split(",")
    numbers = {}
    for pair in pairs:
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d{1,19})\s*", pair)
        if match is None:
            raise UsageError(f"{pair!r} is no limit", hint="Write for example spc,max_segments=8")
        numbers[match[1]] = int(match[2])
    return profile_limits(name, **numbers)


def _saved(source: str) -> Plan | None:
    """The plan in a file, None where the file is something else."""
    path = Path(source)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(512)
            if head[: len(HEAD_NAME) + 1] != HEAD_NAME.encode() + b"\0":
                return None
            return from_bytes(head + file.read())
    except OSError:
        return None  # what is wrong with it, opening it as a volume tells


def _save(made: Plan, out: Path) -> None:
    try:
        write_whole(out, to_bytes(made))
    except OSError as error:
        raise DeviceWriteError(
            f"{out}: the plan cannot be written ({error.strerror or error})",
            hint="Name a file in a folder that this user may write to",
        ) from error


def _calibration(path: Path | None) -> Calibration:
    if path is None:
        return Calibration()
    try:
        if not path.is_file():  # a pipe would keep us waiting
            raise PlanError(f"{path}: the calibration is no file", hint=_CALIBRATION_HINT)
        return Calibration.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(
            f"{path}: the calibration cannot be read: {error}", hint=_CALIBRATION_HINT
        ) from error


def _show(made: Plan, costs: Calibration) -> None:
    cost = price(made, costs)
    table = Table.grid(padding=(0, 2))
    for name, value in summary.rows(made, cost):
        table.add_row(Text(name, style="bold"), Text(printable(value)))
    show(table)
    lines = summary.what_if_rows(cost, what_if(made, costs))
    if lines:
        show(Text("\nWhat each limit costs", style="bold"))
        for line in lines:
            show(Text(f"  {line}"))
