"""The picture of a run's bytes: what the mover carried, what went through this server."""

from __future__ import annotations

from dataclasses import dataclass

from sbtk.report.run_log import Fields
from sbtk.report.svg import fitted, label, path, picture, rect
from sbtk.units import format_bytes

_WIDEST_PX, _THINNEST_PX = 40.0, 1.5
_BOX = 180


@dataclass(frozen=True)
class Ends:
    """What stands at the two ends of the picture.

    Attributes:
        source: heading and location of what is read.
        target: heading and location of what is written; None where nothing is.
    """

    source: tuple[str, str]
    target: tuple[str, str] | None


def rows(stop: Fields) -> list[tuple[str, int]]:
    """Each path and its bytes, as the table beside the picture has them."""
    return [
        ("Moved by the data mover", int(stop["moved_bytes"])),
        ("Metadata read by this server", int(stop["metadata_bytes"])),
        ("Command lists sent", int(stop["command_bytes"])),
        ("Headers and closing members sent", int(stop["inline_bytes"])),
        ("File data through this server", int(stop["host_data_bytes"])),
    ]


def bytes_by_path(stop: Fields, ends: Ends) -> str:
    """A line for each path; its width is its share, but never less than what can be seen."""
    moved, metadata, commands, inline, data = (count for _, count in rows(stop))
    sent = commands + inline
    most = max(moved, metadata, data, sent, 1)

    def width(count: int) -> float:
        return max(_WIDEST_PX * count / most, _THINNEST_PX)

    body: list[str] = []
    if moved:
        body.append(path("M190,66H290", "mover-line", width(moved)))
        if ends.target:
            body.append(path("M470,66H570", "mover-line", width(moved)))
        body.append(label(240, 36, format_bytes(moved), "strong", "middle"))
    if metadata:
        body.append(path("M160,112V200H290", "host-line", width(metadata)))
        text = f"{format_bytes(metadata)} of metadata"
        body.append(label(168 + width(metadata) / 2, 146, text, "strong"))
    if sent:
        body.append(path("M380,176V112", "host-line", width(sent)))
        text = f"{format_bytes(sent)} of commands and headers"
        body.append(label(388 + width(sent) / 2, 146, text, "strong"))
    if data:
        body.append(path("M50,112V242H290", "data-line", width(data)))
        if ends.target:
            body.append(path("M470,242H660V112", "data-line", width(data)))
        body.append(label(480, 212, f"{format_bytes(data)} of file data", "strong"))
    else:
        body.append(label(480, 226, "file data through this server: 0 B", "strong good"))
    body += _box(10, 20, *ends.source)
    body += _box(290, 20, "Data mover", "EXTENDED COPY", "mover-box")
    if ends.target:
        body += _box(570, 20, *ends.target)
    body += _box(290, 176, "This server", "metadata, commands" if not data else "file data, too")
    title = "Bytes by path: " + ", ".join(f"{name} {format_bytes(n)}" for name, n in rows(stop))
    return picture(760, 282, title, body)


def _box(x: float, y: float, head: str, text: str, style: str = "box") -> list[str]:
    return [
        rect(x, y, _BOX, 92, style),
        label(x + _BOX / 2, y + 40, head, "head", "middle"),
        label(x + _BOX / 2, y + 60, fitted(text, _BOX - 16), "axis", "middle"),
    ]
