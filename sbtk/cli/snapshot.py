"""``sbtk snapshot``: what killed runs left behind, and its removal."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from sbtk.cli.options import DebugOption, JsonOption, print_json_rows, verb_app
from sbtk.cli.output import printable
from sbtk.errors import SnapshotError, UsageError
from sbtk.snapshot import records
from sbtk.snapshot.records import Record
from sbtk.snapshot.registry import clean as clean_records
from sbtk.units import plural

app = verb_app("Snapshots on record: those in use, and those that killed runs left behind.")


@app.command("list")
def list_snapshots(*, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the snapshots on record, with the state of each: in use, left over, other machine."""
    del debug
    found = records.records()
    if as_json:
        print_json_rows(_row(record) for record in found)
        return
    for record in found:
        row = _row(record)
        sys.stdout.write(
            f"{record.id}  {row['state']:<13}  {record.provider:<8}  {row['created']}  "
            f"{record.source}\n"
        )
    left = sum(record.is_left_over for record in found)
    sys.stdout.write(f"{plural(len(found), 'snapshot')}, {left} left over\n")
    if left:
        sys.stdout.write("`sbtk snapshot clean --all` removes what was left over\n")


@app.command()
def clean(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids, from `sbtk snapshot list`.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that were left over.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Only forget them: they were removed by hand.")
    ] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove snapshots that killed runs left behind; those in use are never touched."""
    del debug
    chosen = _chosen(ids or [], everything=everything)
    failures: list[SnapshotError] = []
    for record in chosen:
        try:
            if forget and record.is_left_over:
                records.forget(record)
            else:
                clean_records([record])
        except SnapshotError as error:
            failures.append(error)
            sys.stderr.write(f"sbtk: {printable(error.line)}\n")
            continue
        if as_json:
            print_json_rows([_row(record) | {"state": "forgotten" if forget else "removed"}])
        else:
            sys.stdout.write(f"{record.id}  {'forgotten' if forget else 'removed'}\n")
    if failures:
        raise SnapshotError(
            f"{plural(len(failures), 'snapshot')} of {len(chosen)} could not be removed",
            hint="Remove what is left by hand, then `sbtk snapshot clean --forget ID`",
        )


def _chosen(ids: list[str], *, everything: bool) -> list[Record]:
    if bool(ids) == everything:
        raise UsageError("name the snapshots to clean, or --all", hint="`sbtk snapshot list`")
    found = {record.id: record for record in records.records()}
    if everything:
        return [record for record in found.values() if record.is_left_over]
    unknown = [name for name in ids if name not in found]
    if unknown:
        raise UsageError(f"no snapshot {unknown[0]} is on record", hint="`sbtk snapshot list`")
    return [found[name] for name in ids]


def _row(record: Record) -> dict[str, Any]:
    if record.is_in_use:
        state = "in use"
    else:
        state = "left over" if record.is_left_over else "other machine"
    return {
        "id": record.id,
        "state": state,
        "provider": record.provider,
        "source": record.source,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created_s)),
        "host": record.host,
        "pid": record.pid,
        "details": record.details,
    }
