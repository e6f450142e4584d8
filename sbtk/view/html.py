"""Facts and tables as HTML that needs no script, each with its plain text beside it.

Names come from volumes of others: markup, control characters and marks that turn the direction of
writing are shown, not obeyed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from sbtk.cli.output import printable
from sbtk.extents.frames import plain_rows
from sbtk.report.svg import safe
from sbtk.units import format_bytes, format_count, format_seconds

Format = Callable[[Any], str]
TOP_ROWS = 15

_NUMBERS = ("bytes", "count", "number", "seconds")


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
    return Html(f"<h4>{safe(text)}</h4>", printable(text))


def facts(rows: Iterable[tuple[str, str]], heading: str = "") -> Html:
    """Two columns: what, and its value with a unit."""
    pairs = [(printable(name), printable(value)) for name, value in rows]
    cells = "".join(
        f'<tr><th class="what" scope="row">{safe(name)}</th><td>{safe(value)}</td></tr>'
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
        columns: name in the frame -> (heading, kind); kinds: text, bytes, count, number, seconds,
            time, id (never wrapped), mono (wrapped behind a slash), bar (share of 1, drawn).
        rows: how many are shown.
        heading: above the table.
        more: where the rest is, said when there is more.
    """
    shown = plain_rows(frame[list(columns)].head(rows))
    heads = "".join(
        f'<th{_class(kind)} scope="col">{safe(head)}</th>' for head, kind in columns.values()
    )
    body = "".join(
        "<tr>" + "".join(_cell(row[name], kind) for name, (_, kind) in columns.items()) + "</tr>"
        for row in shown
    )
    rest = len(frame) - len(shown)
    note = f"and {format_count(rest)} more{f': {more}' if more else ''}" if rest > 0 else ""
    note = printable(note)
    tail = f'<div class="more">{safe(note)}</div>' if note else ""
    html = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{tail}"
    lines = [[printable(head) for head, _ in columns.values()]]
    lines += [[say(row[name], kind) for name, (_, kind) in columns.items()] for row in shown]
    kinds = [kind for _, kind in columns.values()]
    found = Html(html, "\n".join([*_aligned(lines, kinds), note]).strip())
    found = found if shown else note_line("none")
    return title(heading) + found if heading else found


def frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Rows as a frame; what a location holds and pandas' texts cannot is written as an escape."""
    shown = [
        {name: printable(v) if isinstance(v, str) else v for name, v in row.items()} for row in rows
    ]
    return pd.DataFrame(shown, columns=list(columns))


def note_line(text: str) -> Html:
    """A line of its own, less loud than a fact."""
    return Html(f'<div class="more">{safe(text)}</div>', printable(text))


def folded(head: str, text: str) -> Html:
    """Text that opens on a click, a key, or a word to a screen reader."""
    lines = [printable(line) for line in text.split("\n")]
    body = f"<summary>{safe(head)}</summary><pre>{safe_lines(lines)}</pre>"
    return Html(f'<details class="more">{body}</details>', "\n".join(lines))


def safe_lines(lines: Iterable[str]) -> str:
    """Lines for a ``<pre>``."""
    return "\n".join(safe(line) for line in lines)


def say(value: Any, kind: str) -> str:
    """A value with its unit."""
    if value is None:
        return ""
    words: dict[str, Format] = {
        "bytes": format_bytes,
        "count": format_count,
        "seconds": format_seconds,
        "number": lambda value: f"{value:.2f}",
        "bar": share_text,
        "time": lambda moment: str(moment)[:16],
    }
    return printable(words.get(kind, str)(value))


def share_text(part: float) -> str:
    """``0.125`` -> ``"12.5%"``; what is there, but rounds to nothing, is not called nothing."""
    return "under 0.1%" if 0 < part < 0.0005 else f"{part:.1%}"


def _cell(value: Any, kind: str) -> str:
    text = safe(say(value, kind))
    if kind == "bar":
        width = round(160 * float(value or 0))
        drawn = f'<span class="bar" style="width:{width}px"></span> ' if value else ""
        return f"<td>{drawn}{text}</td>"
    if kind == "mono":
        text = text.replace("/", "/<wbr>")  # a long path is broken behind a slash, if anywhere
    return f"<td{_class(kind)}>{text}</td>"


def _class(kind: str) -> str:
    name = "number" if kind in _NUMBERS else kind if kind in ("mono", "id", "time") else ""
    return f' class="{name}"' if name else ""


def _aligned(lines: Sequence[Sequence[str]], kinds: Sequence[str]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(kinds))]
    return [
        "  ".join(
            cell.rjust(width) if kind in _NUMBERS else cell.ljust(width)
            for cell, width, kind in zip(line, widths, kinds, strict=True)
        ).rstrip()
        for line in lines
    ]
