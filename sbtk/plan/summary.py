"""A plan for people and programs: what it carries, what it costs, what each limit costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sbtk.plan.cost import Calibration, Cost, WhatIf, price, what_if
from sbtk.plan.model import Plan
from sbtk.units import format_bytes, format_count, format_seconds, plural

_LIMIT_TEXT = {
    "max_segments": ("segment a list", "segments a list"),
    "max_segment_bytes": ("a segment", "a segment"),
    "max_inline_bytes": ("inline a list", "inline a list"),
}


def to_dict(plan: Plan, calibration: Calibration) -> dict[str, Any]:
    """Everything that ``sbtk plan --json`` tells."""
    return {
        "event": "plan",
        "kind": plan.kind,
        "layout": plan.layout,
        "medium": plan.target.medium,
        "record_bytes": plan.target.record_bytes,
        "profile": plan.limits.name,
        "lid4": plan.lid4,
        "digests": plan.digests,
        "archive_bytes": plan.archive_bytes,
        "selected_bytes": plan.selected.total_bytes,
        "selected_runs": len(plan.selected),
        **asdict(price(plan, calibration)),
        "notes": plan.notes,
        "what_if": [
            {"limit": item.limit, "value": item.value, **asdict(item.cost)}
            for item in what_if(plan, calibration)
        ],
    }


def rows(plan: Plan, cost: Cost) -> list[tuple[str, str]]:
    """(what, value with its unit), the most wanted first."""
    medium: str = plan.target.medium
    if medium == "tape":
        medium += f", records of {format_bytes(plan.target.record_bytes)}"
    found = [
        ("Plan", f"{plan.kind}, layout {plan.layout}, to {medium}, manager {plan.limits.name}"),
        (
            "Selected",
            f"{format_bytes(plan.selected.total_bytes)} in {format_count(len(plan.selected))} runs",
        ),
        ("Commands", f"{format_count(cost.commands)} EXTENDED COPY{_host(cost)}"),
        ("Segments", format_count(cost.segments)),
        ("By the mover", format_bytes(cost.moved_bytes)),
        ("By the host", _by_host(cost)),
        ("Lists", f"{format_bytes(cost.list_bytes)} of parameter lists"),
        ("Archive", format_bytes(plan.archive_bytes)),
        ("Digests", "made by the mover" if plan.digests else "none: the manager makes none"),
        ("Predicted", format_seconds(cost.seconds)),
    ]
    if cost.records:
        found.insert(4, ("Records", format_count(cost.records)))
    if plan.notes.get("left_out_files"):
        found.append(("Left out", f"data of {plural(plan.notes['left_out_files'], 'file')}"))
    if plan.notes.get("not_plain"):
        found.append(("Not plain", f"{plural(plan.notes['not_plain'], 'stream')} (manifest)"))
    found.extend(("Finding", item["message"]) for item in plan.notes.get("findings", []))
    return found


def _host(cost: Cost) -> str:
    return f", {format_count(cost.host_commands)} writes of the host" if cost.host_commands else ""


def _by_host(cost: Cost) -> str:
    text = f"{format_bytes(cost.inline_bytes)} sent"
    if cost.fetched_bytes:
        text += f", of them {format_bytes(cost.fetched_bytes)} of file data that it has to read"
    return text


def what_if_rows(own: Cost, others: list[WhatIf]) -> list[str]:
    """One sentence for each other limit that would change something."""
    lines = []
    for item in others:
        cost = item.cost
        if (cost.commands, cost.segments) == (own.commands, own.segments):
            continue
        one, many = _LIMIT_TEXT[item.limit]
        value = (
            format_count(item.value) if item.limit == "max_segments" else format_bytes(item.value)
        )
        lines.append(
            f"with {value} {one if item.value == 1 else many}: "
            f"{format_count(cost.commands)} commands, {format_count(cost.segments)} segments, "
            f"{format_seconds(cost.seconds)}"
        )
    return lines
