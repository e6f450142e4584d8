"""Facts and tables as HTML that needs no script, each with its plain text beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from sbtk.extents.frames import plain_rows
from sbtk.units import format_bytes, format_count, format_seconds

Format = Callable[[Any], str]
TOP_ROWS = 15

_NUMBERS = ("bytes", "count", "number", "seconds", "share", "percent")


@cache
def style() -> str:
    """The style sheet of all outputs, with Jupyter's colours where there are any."""
    return f"<style>{(Path(__file__).parent / 'style.css').read_text()}</style>"


def page(found: Html) -> str:
    """HTML with its style sheet; names such as $MFT are not taken for formulas."""
    return f'{style()}<div class="sbtk mathjax_ignore tex2jax_ignore">{found.body}</div>'


@dataclass(frozen=True)
class Html:
    """Something to display: HTML for a page, text for a terminal, a log or a screen reader.

    Attributes:
        body: HTML, escaped already.
        text: the same facts.
    """

    body: str
    text: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/html": page(self),
            "text/plain": self.text,
        }

    def __repr__(self) -> str:
        return self.text

    def __add__(self, other: Html) -> Html:
        return Html(self.body + other.body, f"{self.text}\n\n{other.text}")


def title(text: str) -> Html:
    """A heading above a table or picture."""
    return Html(f"<h4>{escape(text)}</h4>", text)


def facts(rows: Iterable[tuple[str, str]], heading: str = "") -> Html:
    """Two columns: what, and its value with a unit."""
    pairs = list(rows)
    cells = "".join(
        f'<tr><td class="what">{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in pairs
    )
    width = max((len(name) for name, _ in pairs), default=0)
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)
    found = Html(f"<table>{cells}</table>", text)
    return title(heading) + found if heading else found


def table(
    frame: pd.DataFrame,
    columns: Mapping[str, tuple[str, str]],
    *,
    rows: int = TOP_ROWS,
    heading: str = "",
    more: str = "",
) -> Html:
    """The first rows of a frame.

    Args:
        frame: any.
        columns: name in the frame -> (heading, kind); kinds: text, bytes, count, seconds, share
            (0 to 1), percent, time, mono, bar (share, drawn).
        rows: how many are shown.
        heading: above the table.
        more: where the rest is, said when there is more.
    """
    shown = plain_rows(frame[list(columns)].head(rows))
    heads = "".join(
        f'<th{_number_class(kind)} scope="col">{escape(head)}</th>'
        for head, kind in columns.values()
    )
    body = "".join(
        "<tr>" + "".join(_cell(row[name], kind) for name, (_, kind) in columns.items()) + "</tr>"
        for row in shown
    )
    rest = len(frame) - len(shown)
    note = f"and {format_count(rest)} more{f': {more}' if more else ''}" if rest > 0 else ""
    tail = f'<div class="more">{escape(note)}</div>' if note else ""
    if not shown:
        tail = '<div class="more">none</div>'
    html = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{tail}"
    lines = [[head for head, _ in columns.values()]]
    lines += [[say(row[name], kind) for name, (_, kind) in columns.items()] for row in shown]
    found = Html(
        html, "\n".join([*_aligned(lines, [k for _, k in columns.values()]), note]).strip()
    )
    return title(heading) + found if heading else found


def say(value: Any, kind: str) -> str:
    """A value with its unit."""
    if value is None:
        return ""
    words: dict[str, Format] = {
        "bytes": format_bytes,
        "count": format_count,
        "seconds": format_seconds,
        "number": lambda value: f"{value:.2f}",
        "share": lambda part: f"{part:.1%}",
        "bar": lambda part: f"{part:.1%}",
        "percent": lambda part: f"{part:.1f} %",
        "time": lambda moment: str(moment)[:16],
    }
    return words.get(kind, str)(value)


def _cell(value: Any, kind: str) -> str:
    text = escape(say(value, kind))
    if kind == "bar":
        width = round(160 * float(value or 0))
        return f'<td><span class="bar" style="width:{width}px"></span> {text}</td>'
    if kind == "mono":
        return f'<td class="mono">{text}</td>'
    return f"<td{_number_class(kind)}>{text}</td>"


def _number_class(kind: str) -> str:
    return ' class="number"' if kind in _NUMBERS else ""


def _aligned(lines: Sequence[Sequence[str]], kinds: Sequence[str]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(kinds))]
    return [
        "  ".join(
            cell.rjust(width) if kind in _NUMBERS else cell.ljust(width)
            for cell, width, kind in zip(line, widths, kinds, strict=True)
        ).rstrip()
        for line in lines
    ]
