"""Small pieces of SVG; their colours are those of the page's style sheet, light or dark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from sbtk.cli.output import printable

CHARACTER_PX = 6.6  # mean width of one at the pictures' 12 px


def safe(text: str) -> str:
    """``text`` for HTML and SVG: markup and control characters are shown, not obeyed."""
    return escape(printable(text))


def picture(width: int, height: int, title: str, body: list[str]) -> str:
    """A whole picture; ``title`` is what is read aloud in its place."""
    return (
        f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{safe(title)}">{"".join(body)}</svg>'
    )


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


def rect(x: float, y: float, width: float, height: float, style: str) -> str:
    """A rectangle of a class of the style sheet."""
    return (
        f'<rect class="{style}" x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" '
        f'height="{number(max(height, 0))}"/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return (
        f'<line class="{style}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" '
        f'y2="{number(y2)}"/>'
    )


def path(steps: str, style: str, width_px: float | None = None) -> str:
    """A path; its width may be a quantity."""
    width = "" if width_px is None else f' stroke-width="{number(width_px)}"'
    return f'<path class="{style}" d="{steps}"{width}/>'


def polyline(points: list[tuple[float, float]], style: str) -> str:
    """A line through points."""
    text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polyline class="{style}" points="{text}"/>'


def label(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    """Text that begins, ends or has its middle at ``x``."""
    return (
        f'<text class="{style}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
        f"{safe(text)}</text>"
    )


def fitted(text: str, width_px: float) -> str:
    """``text``, its middle left out where it is longer than ``width_px``."""
    most = max(int(width_px / CHARACTER_PX), 5)
    if len(text) <= most:
        return text
    head = most // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"


@dataclass(frozen=True)
class Scale:
    """From values, 0 to ``top``, to pixels."""

    top: float
    start_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        """Where ``value`` is drawn."""
        share = value / self.top if self.top else 0.0
        return self.start_px + (self.end_px - self.start_px) * share


def ticks(top: float, most: int = 6) -> list[float]:
    """Round values from 0 to ``top``: at most ``most`` (3 or more) steps of 1, 2, 5, 10, 20, ..."""
    if top <= 0 or not math.isfinite(top):
        return [0.0]
    power = 10.0 ** math.floor(math.log10(top / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * most >= top)
    return [step * index for index in range(int(top / step + 1e-9) + 1)]
