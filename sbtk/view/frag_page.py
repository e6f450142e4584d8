"""What 20_fragmentation shows: the disk map, histograms, groups, the worst files."""

from __future__ import annotations

import pandas as pd

from sbtk.units import format_bytes, format_count, format_seconds, plural
from sbtk.view import html, plots
from sbtk.view.cells import CellMap, Mode
from sbtk.view.html import Html
from sbtk.view.panels import MapPanel
from sbtk.view.plots import Picture
from sbtk.view.source import Source
from sbtk.view.treemap import ROOT

_GROUP_COLUMNS = {
    "files": ("files", "count"),
    "fragmented_files": ("fragmented", "count"),
    "on_disk_bytes": ("on disk", "bytes"),
    "fragments_per_file": ("fragments a file", "number"),
    "seek_share": ("of all seeks", "bar"),
}


def summary(source: Source) -> Html:
    """The volume in one score and what is behind it."""
    found = source.fragmentation.summary()
    rows = [
        (
            "Score",
            f"{found['score']:.1f} of 100, 0 is best: reading every file takes "
            f"{format_seconds(float(found['read_s']))}, jumping between fragments "
            f"{format_seconds(float(found['jump_s']))} more",
        ),
        (
            "Files",
            f"{format_count(float(found['files']))} with clusters, "
            f"{format_count(float(found['fragmented_files']))} of them fragmented",
        ),
        (
            "Fragments",
            f"half of the files up to {found['fragments_p50']}, 90% up to "
            f"{found['fragments_p90']}, 99% up to {found['fragments_p99']}, most "
            f"{format_count(float(found['fragments_p100']))}",
        ),
        (
            "$MFT",
            f"{plural(int(found['mft_fragments']), 'fragment')}, "
            f"{format_bytes(float(found['mft_bytes']))}",
        ),
        (
            "Free space",
            f"{format_bytes(float(found['free_bytes']))} in "
            f"{plural(int(found['free_runs']), 'run')}, the largest "
            f"{format_bytes(float(found['free_largest_bytes']))}",
        ),
    ]
    return html.facts(rows) + html.note_line(f"Score: {found['score_definition']}.")


def disk_map(source: Source, interactive: bool, mode: Mode = "occupancy") -> MapPanel | Picture:
    """The map to explore; without widgets, its picture."""
    if interactive:
        panel = MapPanel(source)
        panel.map.show(0, panel.map.total_clusters - 1, mode)
        return panel
    cells = CellMap(source.extents)
    frame = cells.frame(0, cells.total_clusters - 1, mode)
    return plots.disk_map(frame, source.tables.volume.cluster_bytes)


def fragments_histogram(source: Source) -> Picture:
    """Files by the number of their fragments."""
    found = source.fragmentation.histogram()
    return _histogram(found, "fragments", "files", "Files by number of fragments")


def free_histogram(source: Source) -> Picture:
    """Free space by the size of its runs."""
    found = source.fragmentation.free_histogram()
    return _histogram(found, "size", "runs", "Free runs by size", colour=plots.GREEN)


def _histogram(
    frame: pd.DataFrame, key: str, counted: str, heading: str, colour: str = plots.BLUE
) -> Picture:
    labels = [
        f"{plural(int(count), counted[:-1])}, {share:.1%} of the bytes"
        for count, share in zip(frame[counted], frame["bytes_share"], strict=True)
    ]
    names = [str(name) for name in frame[key]]
    return plots.bars(
        names, frame[f"{counted}_share"].tolist(), labels, heading=heading, colour=colour
    )


def worst(source: Source, rows: int) -> Html:
    """The files that cost the most jumps."""
    columns = {
        "label": ("file", "mono"),
        "fragments": ("fragments", "count"),
        "on_disk_bytes": ("on disk", "bytes"),
        "largest_piece_bytes": ("largest piece", "bytes"),
        "seek_share": ("of all seeks", "bar"),
    }
    return html.table(source.fragmentation.worst(rows), columns, rows=rows, heading="Worst files")


def groups(source: Source) -> Html:
    """Where the fragments are: by folder and by age."""
    found = source.fragmentation
    by_folder, by_age = found.by_folder().replace({"folder": {".": ROOT}}), found.by_age()
    return html.table(
        by_folder, {"folder": ("folder", "mono"), **_GROUP_COLUMNS}, rows=8, heading="By folder"
    ) + html.table(
        by_age, {"age": ("changed within", "text"), **_GROUP_COLUMNS}, rows=8, heading="By age"
    )


def outcome(source: Source) -> dict[str, object]:
    """The facts of ``RESULT``."""
    found = source.fragmentation.summary()
    worst_files = source.fragmentation.worst(1)
    names = ("score", "files", "fragmented_files", "fragments", "seeks", "free_bytes", "free_runs",
             "free_largest_bytes", "mft_fragments")  # fmt: skip
    return {
        "source": source.location,
        **{name: found[name] for name in names},
        "worst": str(worst_files["label"].iloc[0]) if len(worst_files) else "",
    }
