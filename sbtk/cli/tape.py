"""``sbtk tape``: make cartridges, list what is on them, stream a tape file to a program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    print_json_rows,
    verb_app,
)
from sbtk.cli.output import printable
from sbtk.cli.progress import reporter
from sbtk.events import Event, Finding, Listener, Progress
from sbtk.mover.cartridge import Cartridge, create_cartridge
from sbtk.mover.tape_file import read_tape_file, tape_file_count, tape_files
from sbtk.units import format_bytes, format_count, parse_bytes, plural

app = verb_app("Cartridges: files that a tape drive reads and writes.")

PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="The cartridge's file.")]


@app.command()
def create(
    path: PathArgument,
    capacity: Annotated[
        str, typer.Option(help="How much it holds, 48 bytes a record included.")
    ] = "100GiB",
    barcode: Annotated[str, typer.Option(help="Up to 20 letters; from the name if empty.")] = "",
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make an empty cartridge; its file grows as it is written."""
    del debug
    place = _path(path)
    create_cartridge(place, capacity_bytes=parse_bytes(capacity), barcode=barcode)
    with Cartridge(place, writable=False) as cartridge:
        memory = cartridge.memory
        if as_json:
            print_json(_head(cartridge))
        else:
            sys.stdout.write(
                f"{place}: cartridge {memory.barcode}, {format_bytes(memory.capacity_bytes)}\n"
            )


@app.command("list")
def list_files(
    path: PathArgument,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """List the tape files of a cartridge: records, bytes, filemarks, and what they hold."""
    del debug
    with reporter(progress, as_json) as emit:
        listener = emit if as_json else _telling(emit)
        cartridge = Cartridge(_path(path), writable=False, listener=listener)
        with cartridge:
            if as_json:
                print_json(_head(cartridge))
                print_json_rows(asdict(item) for item in tape_files(cartridge))
            else:
                _print_files(cartridge)


@app.command()
def cat(
    path: PathArgument,
    file: Annotated[int, typer.Option("--file", min=0, help="Tape file, counted from 0.")] = 0,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Write the data of one tape file to standard output: `sbtk tape cat F | tar -tf -`."""
    del debug
    with (
        reporter(progress) as emit,
        Cartridge(_path(path), writable=False, listener=_telling(emit)) as cartridge,
    ):
        done = 0
        for record in read_tape_file(cartridge, file):
            sys.stdout.buffer.write(record)
            done += len(record)
            emit(Progress(stage="read the tape", done=done, total=0))
        sys.stdout.buffer.flush()


def _path(text: str) -> Path:
    """A cartridge's path, with or without the ``tape:`` that locations begin with."""
    return Path(text.removeprefix("tape:"))


def _telling(emit: Listener) -> Callable[[Event], None]:
    """Findings go to standard error as they are, all else where progress goes."""

    def listener(event: Event) -> None:
        if isinstance(event, Finding):
            sys.stderr.write(f"sbtk: {event.severity}: {printable(event.message)}\n")
        else:
            emit(event)

    return listener


def _head(cartridge: Cartridge) -> dict[str, object]:
    return {
        "path": str(cartridge.path),
        "barcode": cartridge.memory.barcode,
        "capacity_bytes": cartridge.memory.capacity_bytes,
        "used_bytes": cartridge.used_bytes,
        "objects": len(cartridge),
        "tape_files": tape_file_count(cartridge),
    }


def _print_files(cartridge: Cartridge) -> None:
    capacity_bytes = cartridge.memory.capacity_bytes
    count = tape_file_count(cartridge)
    sys.stdout.write(
        f"{cartridge.path}: cartridge {cartridge.memory.barcode}, "
        f"{format_bytes(cartridge.used_bytes)} of {format_bytes(capacity_bytes)} used, "
        f"{plural(count, 'tape file')}\n"
    )
    if count:
        sys.stdout.write(
            f"{'file':>5} {'object':>10} {'records':>11} {'size':>10} {'marks':>5}  content\n"
        )
    for item in tape_files(cartridge):
        sys.stdout.write(
            f"{item.number:>5} {item.first_object:>10} {format_count(item.records):>11} "
            f"{format_bytes(item.data_bytes):>10} {item.filemarks:>5}  {item.content}\n"
        )
