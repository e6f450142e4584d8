"""Numbers with their units, for people: bytes, rates, durations, counts; and back again."""

from __future__ import annotations

import re

from sbtk.errors import UsageError

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_FACTORS = {
    "": 1, "b": 1,
    **{f"{p}ib": 1024 ** (i + 1) for i, p in enumerate("kmgtpe")},
    **{f"{p}": 1024 ** (i + 1) for i, p in enumerate("kmgtpe")},
    **{f"{p}b": 1000 ** (i + 1) for i, p in enumerate("kmgtpe")},
}  # fmt: skip


def format_bytes(value_bytes: float) -> str:
    """``1536`` -> ``"1.50 KiB"``: three significant digits, binary units, exact below 1 KiB."""
    value = float(value_bytes)
    sign = "-" if value < 0 else ""
    value = abs(value)
    if value < 1024:
        return f"{sign}{value:.0f} B"
    unit = 0
    while value >= 999.5 and unit < len(_BINARY) - 1:
        value /= 1024
        unit += 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{sign}{value:.{digits}f} {_BINARY[unit]}"


def parse_bytes(text: str) -> int:
    """``"64KiB"``, ``"64k"``, ``"1.5 GiB"``, ``"10MB"`` -> bytes; k, M, G alone are binary.

    Raises:
        UsageError: no number, an unknown unit, or a negative or fractional number of bytes.
    """
    match = re.fullmatch(r"\s*(\d{1,19}(?:\.\d{1,19})?)\s*([a-zA-Z]*)\s*", text)
    factor = _FACTORS.get(match.group(2).lower()) if match else None
    if match is None or factor is None:
        raise UsageError(f"{text!r} is no size", hint="Write for example 4096, 64KiB or 1.5GiB")
    value = float(match.group(1)) * factor
    if value != int(value):
        raise UsageError(f"{text!r} is no whole number of bytes", hint="Use a smaller unit")
    return int(value) if "." in match.group(1) else int(match.group(1)) * factor


def format_rate(bytes_per_s: float) -> str:
    """Bytes a second, as ``"1.20 GiB/s"``."""
    return f"{format_bytes(bytes_per_s)}/s"


def format_seconds(duration_s: float) -> str:
    """``0.0123`` -> ``"12 ms"``, ``75`` -> ``"1 min 15 s"``, ``7322`` -> ``"2 h 02 min"``."""
    if duration_s < 0:
        return f"-{format_seconds(-duration_s)}"
    if duration_s < 0.9995:
        ms = duration_s * 1000
        return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"
    if duration_s < 59.95:
        return f"{duration_s:.1f} s"
    total = round(duration_s)
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"


def format_count(value: float) -> str:
    """``1234567`` -> ``"1,234,567"``."""
    return f"{value:,.0f}"


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """``(1, "file")`` -> ``"1 file"``; ``(2, "file")`` -> ``"2 files"``."""
    word = noun if count == 1 else plural_noun or f"{noun}s"
    return f"{format_count(count)} {word}"
