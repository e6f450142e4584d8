"""One run as a page: plain HTML with its style sheet and pictures in it, no script, no network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import Any

from sbtk.report import sections
from sbtk.report.run_log import RunLog
from sbtk.report.svg import safe

# Nothing in a file's name can make a browser fetch or run anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(log: RunLog, manifest: dict[str, Any] | None = None) -> str:
    """The page of a run.

    Args:
        log: its events.
        manifest: of the set that it wrote or read, where the catalog knows it.

    Returns:
        A whole HTML document that needs nothing beside it.
    """
    known = manifest or {}
    title = sections.title(log)
    parts = [
        f"<h1>{title}</h1>",
        *sections.outcome(log),
        *sections.figures(log),
        *_section("What it was", sections.what(log, known)),
        *_section("Which way the bytes went", sections.paths(log)),
        *_section("The wait for quiet", sections.quiet(log, known)),
        *_section("Time", sections.time(log)),
        *_section("Throughput", sections.throughput(log)),
        *_section("What was checked", sections.checked(log)),
        *_section("What was not checked", sections.not_checked(log, known)),
        *_section("Findings", sections.findings(log)),
        *_section("Asked for", sections.options(log)),
    ]
    style = (resources.files("sbtk.report") / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + f"\n</body>\n</html>\n<!-- run {safe(log.start['run_id']).replace('--', '- -')} -->\n"
    )


def _section(name: str, parts: Iterable[str]) -> list[str]:
    """A heading and what stands below it; nothing where nothing does."""
    body = list(parts)
    return [f"<section>\n<h2>{name}</h2>", *body, "</section>"] if body else []
