"""Options and output that every verb shares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer


class ProgressStyle(StrEnum):
    """How progress is shown: ``auto`` is a bar on a terminal and lines in a pipe."""

    AUTO = "auto"
    LINES = "lines"
    NONE = "none"


SourceArgument = Annotated[
    str, typer.Argument(metavar="SRC", help="Location of a volume, or a folder of scan --out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
ProgressOption = Annotated[
    ProgressStyle, typer.Option("--progress", help="auto (bar or lines), lines, or none.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def verb_app(help_text: str) -> typer.Typer:
    """A Typer app for one verb, set up alike for all of them."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Print one value as one line of JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_json_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a row, one a line."""
    for row in rows:
        print_json(row)
