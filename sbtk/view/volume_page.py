"""What 10_volume shows: health, sizes, folders, search, top lists, export."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv

from sbtk.extents.audit import audit
from sbtk.ntfs.summary import Summary, summarise
from sbtk.units import format_bytes, format_count, plural
from sbtk.view import html, plots, result, treemap
from sbtk.view.html import Html
from sbtk.view.panels import SearchPanel
from sbtk.view.plots import Picture
from sbtk.view.source import Source

_FILE_COLUMNS = {
    "path": ("path", "mono"),
    "size_bytes": ("size", "bytes"),
    "on_disk_bytes": ("on disk", "bytes"),
    "extents": ("extents", "count"),
    "modified": ("changed (UTC)", "time"),
}


def health(source: Source) -> Html:
    """What the volume is, whether it is fit to be backed up, and every finding."""
    found = summarise(source.tables)
    volume = found.volume
    state = [
        ("Dirty flag", "set: Windows wants to check it" if volume.dirty else "not set"),
        ("$MFTMirr", volume.mirror),
        ("$LogFile", volume.log),
        ("Hibernated", "yes: Windows has more of it in memory" if volume.hibernated else "no"),
    ]
    findings = audit(source.tables, source.extents)
    columns = {
        "severity": ("severity", "text"),
        "code": ("code", "mono"),
        "message": ("what", "text"),
    }
    return (
        html.facts(_identity(found), volume.label or "(no label)")
        + html.facts(state, "Health")
        + html.table(findings, columns, heading="Findings", more="sbtk check lists all")
    )


def _identity(found: Summary) -> list[tuple[str, str]]:
    volume = found.volume
    total_bytes = volume.total_clusters * volume.cluster_bytes
    used = ""
    if found.used_clusters is not None and volume.total_clusters:
        used_bytes = found.used_clusters * volume.cluster_bytes
        used = f", {format_bytes(used_bytes)} used ({used_bytes / total_bytes:.1%})"
    return [
        ("Volume", f"NTFS {volume.version}, serial {volume.serial}"),
        ("Place", volume.source),
        ("Size", f"{format_bytes(total_bytes)}{used}"),
        (
            "Geometry",
            f"{plural(volume.total_clusters, 'cluster')} of {format_bytes(volume.cluster_bytes)}, "
            f"records of {format_bytes(volume.record_bytes)}",
        ),
        (
            "Contents",
            f"{plural(found.files, 'file')} of {format_bytes(found.data_bytes)}, "
            f"{plural(found.folders, 'folder')}, {plural(found.extents, 'extent')}",
        ),
        (
            "Among them",
            f"{format_count(found.resident_files)} resident, "
            f"{format_count(found.compressed_files)} compressed, "
            f"{format_count(found.sparse_files)} sparse, "
            f"{format_count(found.encrypted_files)} encrypted, "
            f"{format_count(found.fragmented_files)} in more than one extent",
        ),
    ]


def sizes(source: Source) -> Picture:
    """How many files are how large."""
    files = source.tables.files
    plain = ~files["is_directory"].to_numpy()
    return plots.size_histogram(files["size_bytes"].to_numpy()[plain])


def folders(source: Source) -> Picture:
    """Where the space is: two levels of folders."""
    return plots.treemap(treemap.tiles(source.tables), "Folders by space on disk")


def folder_list(source: Source, rows: int = 12) -> Html:
    """The same as numbers."""
    columns = {
        "folder": ("folder", "mono"),
        "files": ("files", "count"),
        "size_bytes": ("size", "bytes"),
        "on_disk_bytes": ("on disk", "bytes"),
        "share": ("of all", "bar"),
    }
    found = treemap.folder_sizes(source.tables).replace({"folder": {".": treemap.ROOT}})
    return html.table(found, columns, rows=rows)


def search(source: Source, interactive: bool) -> SearchPanel | Html:
    """The search box; without widgets, how to search by a verb."""
    if interactive:
        return SearchPanel(source)
    text = "Search box: only with interactive = True. In a shell: sbtk files SRC '**/*part*'"
    return html.note_line(text)


def top_lists(source: Source, rows: int) -> Html:
    """The largest, the most fragmented and the latest files."""
    frame = source.tables.files.to_pandas()
    frame["on_disk_bytes"] = treemap.on_disk_bytes(source.tables)
    frame = frame[~frame["is_directory"]]
    found = Html("", "")
    for heading, key in (
        ("Largest files", "size_bytes"), ("Most extents", "extents"), ("Latest changes", "modified")
    ):  # fmt: skip
        order = frame.sort_values([key, "path"], ascending=[False, True]).head(rows)
        found += html.table(order, _FILE_COLUMNS, rows=rows, heading=heading)
    return found


def export(source: Source, out_dir: str, wanted: bool) -> Html:
    """Write all tables as Parquet and the list of files as CSV, if wanted; tells where.

    Raises:
        DeviceWriteError: the folder cannot be made.
    """
    if not wanted:
        return Html("Nothing was exported: set <code>export = True</code>.", "Nothing was exported")
    folder = result.folder(out_dir)
    source.tables.save(folder / "tables")
    pa.csv.write_csv(source.tables.files, folder / "files.csv")
    paths = [folder / "files.csv", *sorted((folder / "tables").iterdir())]
    rows = [
        (path.relative_to(folder).as_posix(), format_bytes(path.stat().st_size)) for path in paths
    ]
    return html.facts(rows, f"Written to {folder}")


def outcome(source: Source) -> dict[str, object]:
    """The facts of ``RESULT``."""
    found = summarise(source.tables)
    return {
        "source": source.location,
        "label": found.volume.label,
        "serial": found.volume.serial,
        "dirty": found.volume.dirty,
        "files": found.files,
        "folders": found.folders,
        "data_bytes": found.data_bytes,
        "used_clusters": found.used_clusters,
        "extents": found.extents,
        "findings": len(audit(source.tables, source.extents)),
    }
