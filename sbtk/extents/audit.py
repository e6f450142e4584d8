"""Does the volume agree with itself: the extent map against $Bitmap, itself and its sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sbtk.extents import runs
from sbtk.extents.map import ExtentMap
from sbtk.extents.runs import Runs
from sbtk.extents.sizes import size_contradictions
from sbtk.ntfs.tables import Tables
from sbtk.units import format_bytes, format_count, plural

Int64Array = NDArray[np.int64]

MAX_FILES = 8
"""Names in one finding; ``file_count`` tells how many there are."""
MAX_FINDINGS = 100
"""Findings of one code; one more then sums up the rest."""


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """One disagreement.

    Attributes:
        severity: ``"info"``, ``"warning"`` or ``"error"``.
        code: a stable word; docs/extents.md lists them.
        record: of the first file concerned; -1 where none is.
        lcn: first cluster concerned; -1 where none is.
        clusters: clusters from ``lcn`` on.
        files: paths (with the stream, if it is not the unnamed one), at most ``MAX_FILES``.
        file_count: streams concerned in all.
        message: one sentence.
    """

    severity: str
    code: str
    record: int = -1
    lcn: int = -1
    clusters: int = 0
    files: tuple[str, ...] = ()
    file_count: int = 0
    message: str


COLUMNS = ["severity", "code", "record", "lcn", "clusters", "files", "file_count", "message"]


def audit(tables: Tables, extent_map: ExtentMap | None = None) -> pd.DataFrame:
    """Everything in which a volume contradicts itself, the scan's own findings first.

    Args:
        tables: a scan; one of a volume that is written to meanwhile shows the writes as findings.
        extent_map: its map, if there is one already.

    Returns:
        One row a finding, the columns of ``AuditFinding``. At most ``MAX_FINDINGS`` of a code,
        and then one that sums up the rest.
    """
    extent_map = extent_map or ExtentMap.from_tables(tables)
    found = list(_of_scan(tables))
    reported = {item.record for item in found if item.severity == "error"}
    found += [*_against_bitmap(extent_map), *_shared(extent_map)]
    found += [*_past_end(extent_map), *_bad_clusters(extent_map)]
    for stream, code, message in size_contradictions(extent_map, MAX_FINDINGS, reported):
        found.append(_about_stream(extent_map, stream, code, message))
    return pd.DataFrame([asdict(item) for item in found], columns=COLUMNS)


def has_findings(findings: pd.DataFrame) -> bool:
    """Whether anything is wrong; remarks (``info``) are not."""
    return bool((findings["severity"] != "info").any())


def _of_scan(tables: Tables) -> Iterator[AuditFinding]:
    concerned = np.isin(tables.files["record"].to_numpy(), tables.findings["record"].to_numpy())
    named = tables.files.select(["record", "path"]).filter(pa.array(concerned))
    paths = dict(zip(*(named[name].to_pylist() for name in ("record", "path")), strict=True))
    for row in tables.findings.to_pylist():
        path = paths.get(row["record"])
        yield AuditFinding(**row, files=(path,) if path else (), file_count=int(bool(path)))


def _against_bitmap(extent_map: ExtentMap) -> Iterator[AuditFinding]:
    allocated, total = extent_map.allocated, extent_map.volume.total_clusters
    if allocated is None:
        message = "no $Bitmap was read, so the extents were not compared with it"
        yield AuditFinding(severity="info", code="no-bitmap", message=message)
        return
    owned = extent_map.owned
    free = runs.subtract(owned, allocated, total)
    text = "{range} in use by {files}, but free in $Bitmap: the next write may overwrite them"
    yield from _ranges(extent_map, free, "error", "owned-free", text)
    lost = runs.subtract(allocated, owned, total)
    text = "{range} in use in $Bitmap, but no file owns them: lost space"
    yield from _ranges(extent_map, lost, "warning", "allocated-unowned", text)


def _shared(extent_map: ExtentMap) -> Iterator[AuditFinding]:
    if extent_map.overlaps:
        real = slice(0, extent_map.real_rows)
        twice = runs.shared(extent_map.lcn[real], extent_map.clusters[real])
        text = "{range} owned more than once, by {files}"
        yield from _ranges(extent_map, twice, "error", "cluster-shared", text)


def _past_end(extent_map: ExtentMap) -> Iterator[AuditFinding]:
    total = extent_map.volume.total_clusters
    if extent_map.volume.bare_mft and total == 0:
        return
    real = slice(0, extent_map.real_rows)
    end_lcn = extent_map.lcn[real] + extent_map.clusters[real]
    rows = np.flatnonzero(end_lcn > total)
    text = f"{{range}} claimed by {{files}}, but the volume ends at cluster {total - 1}"
    found = Runs(extent_map.lcn[rows], extent_map.clusters[rows])
    yield from _ranges(extent_map, found, "error", "run-past-end", text, rows=rows)


def _bad_clusters(extent_map: ExtentMap) -> Iterator[AuditFinding]:
    bad = extent_map.owners.bad_clusters
    if bad.any():
        rows = np.flatnonzero(bad[extent_map.stream[: extent_map.real_rows]])
        found = Runs(extent_map.lcn[rows], extent_map.clusters[rows])
        text = "{range} marked bad in $BadClus: the disk could not read or write them"
        yield from _ranges(extent_map, found, "warning", "bad-clusters", text, rows=rows)


def _ranges(
    extent_map: ExtentMap,
    ranges: Runs,
    severity: str,
    code: str,
    text: str,
    *,
    rows: Int64Array | None = None,
) -> Iterator[AuditFinding]:
    """One finding a range, with the files in it (or of ``rows``, one a range), then the rest."""
    cluster_bytes = extent_map.volume.cluster_bytes
    for index in range(min(len(ranges), MAX_FINDINGS)):
        lcn, clusters = int(ranges.lcn[index]), int(ranges.clusters[index])
        inside = extent_map.rows_in(lcn, lcn + clusters - 1) if rows is None else rows[[index]]
        streams = np.unique(extent_map.stream[inside])
        names = tuple(extent_map.owners.labels(streams[:MAX_FILES]))
        where = f"{_span(lcn, clusters)} ({format_bytes(clusters * cluster_bytes)})"
        where += " is" if clusters == 1 else " are"
        yield AuditFinding(
            severity=severity,
            code=code,
            record=int(extent_map.owners.record[streams[0]]) if streams.size else -1,
            lcn=lcn,
            clusters=clusters,
            files=names,
            file_count=int(streams.size),
            message=text.format(range=where, files=named(names, streams.size)),
        )
    if len(ranges) > MAX_FINDINGS:
        rest = Runs(ranges.lcn[MAX_FINDINGS:], ranges.clusters[MAX_FINDINGS:])
        clusters = rest.total_clusters
        message = f"{plural(len(rest), 'more range')} of this kind, {plural(clusters, 'cluster')}"
        yield AuditFinding(
            severity=severity, code=code, lcn=int(rest.lcn[0]), clusters=clusters, message=message
        )


def _about_stream(extent_map: ExtentMap, stream: int, code: str, message: str) -> AuditFinding:
    if stream < 0:
        return AuditFinding(severity="error", code=code, message=message)
    name = extent_map.owners.labels(np.array([stream]))[0]
    lcn = int(extent_map.lcn_of(np.array([stream]), np.array([0]))[0])
    return AuditFinding(
        severity="error",
        code=code,
        record=int(extent_map.owners.record[stream]),
        lcn=lcn,
        files=(name,),
        file_count=1,
        message=f"{name}: {message}",
    )


def _span(lcn: int, clusters: int) -> str:
    if clusters == 1:
        return f"cluster {lcn}"
    return f"{format_count(clusters)} clusters {lcn}-{lcn + clusters - 1}"


def named(names: tuple[str, ...], count: int) -> str:
    """``"a, b"``, or ``"a, b and 7 more"`` where there are more names than are given."""
    text = ", ".join(names)
    return f"{text} and {count - len(names)} more" if count > len(names) else text
