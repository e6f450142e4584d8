"""A run's page, from its folder to a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sbtk.archive.manifest import Manifest
from sbtk.catalog.store import Catalog
from sbtk.errors import ArchiveError, CatalogError, DeviceWriteError, JobError
from sbtk.report.page import render
from sbtk.report.run_log import RunLog, read_run
from sbtk.whole_file import write_whole

REPORT_NAME = "report.html"


def write_report(folder: Path, out: Path | None = None) -> tuple[Path, RunLog]:
    """Make the page of a run.

    Args:
        folder: of the run.
        out: the file; ``report.html`` in the run's folder if None.

    Returns:
        The file, and the run's events.

    Raises:
        JobError: the folder is no run's, or an event lacks a field.
        DeviceWriteError: the file cannot be written.
    """
    log = read_run(folder)
    try:
        page = render(log, _manifest(log))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"{folder} holds no events of this version of sbtk ({error!r})") from error
    path = out if out is not None else folder / REPORT_NAME
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise DeviceWriteError(
            f"{path}: the report cannot be written ({error.strerror or error})",
            hint="Name another file with --out",
        ) from error
    return path, log


def _manifest(log: RunLog) -> dict[str, Any]:
    """Of the run's set; empty where the catalog does not know it: the page then says less."""
    set_id = log.stop["set_id"] if log.stop else ""
    if not set_id:
        return {}
    try:
        with Catalog.open() as catalog:
            values = dataclasses.asdict(Manifest.from_bytes(catalog.find_set(set_id).manifest))
    except (CatalogError, ArchiveError):
        return {}
    # It may have come from a medium of others.
    parts = {name: values[name] for name in ("volume", "quiet") if isinstance(values[name], dict)}
    return {**parts, "not_plain": values["not_plain"]}
