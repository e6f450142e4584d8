"""Text for people: safe whatever a file is called, whole in a pipe, fitted on a terminal."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

_PIPE_COLUMNS = 1_000_000  # nothing is wrapped or cut in a pipe

# Control characters (a name may try to steer the terminal), line separators, marks that turn the
# writing direction, and what UTF-8 cannot hold.
_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` with everything that is no ordinary character written as an escape."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def fit_path(path: str, taken_columns: int) -> str:
    """``path``, printable; on a terminal its middle gives way until it fits beside other columns.

    Args:
        path: as in the tables.
        taken_columns: of the line that it stands in.
    """
    text = printable(path)
    if not sys.stdout.isatty():
        return text
    from rich.cells import cell_len

    room = max(20, shutil.get_terminal_size().columns - taken_columns)
    if cell_len(text) <= room:
        return text
    head, tail = text[: room // 4], text[-room:]
    while cell_len(head) > room // 4:
        head = head[:-1]
    while cell_len(head) + 1 + cell_len(tail) > room:
        tail = tail[1:]
    return f"{head}…{tail}"


def show(renderable: RenderableType) -> None:
    """Print something of rich: with colours on a terminal, as plain whole lines elsewhere."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(renderable)
        return
    lines = io.StringIO()
    Console(file=lines, width=_PIPE_COLUMNS, color_system=None, highlight=False).print(renderable)
    for line in lines.getvalue().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def print_columns(
    heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], widths: tuple[int, ...]
) -> None:
    """Print rows as they come, so that millions cost no memory; all but the last right-aligned.

    Args:
        heads: names of the columns.
        rows: cells, as many as ``heads``; the last one (a path) is printed whole.
        widths: characters of every column but the last; a longer cell pushes the rest to the right.
    """
    sys.stdout.write(_line(heads, widths))
    for cells in rows:
        sys.stdout.write(_line(cells, widths))


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells[:-1], widths, strict=True)]
    return "  ".join([*padded, cells[-1]]).rstrip() + "\n"
