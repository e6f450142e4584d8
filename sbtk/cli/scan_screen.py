"""What ``sbtk scan`` prints for people: a volume on one screen."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sbtk.cli.output import fit_path, printable
from sbtk.ntfs.summary import FileFigure, Summary
from sbtk.ntfs.tables import Tables, VolumeInfo
from sbtk.units import format_bytes, format_count, plural

FINDINGS_SHOWN = 8
_FIGURE_COLUMNS = 26  # of a line of Largest and Fragmented, before its path
_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_ORDER = {severity: place for place, severity in enumerate(_COLOURS)}


def volume_screen(summary: Summary, tables: Tables) -> RenderableType:
    """All lines, with colours where they are shown."""
    volume = summary.volume
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True, min_width=len("Fragmented"))
    grid.add_column(overflow="fold")
    for label, lines in (
        ("Source", [printable(volume.source)]),
        ("Geometry", _geometry(volume)),
        ("Space", _space(summary)),
        ("Health", [_health(volume)]),
        ("Contents", _contents(summary)),
        ("Largest", [_figure(item, format_bytes(item.size_bytes)) for item in summary.largest]),
        (
            "Fragmented",
            [_figure(item, f"{item.extents:,} extents") for item in summary.most_fragmented],
        ),
    ):
        if lines:
            grid.add_row(label, Text("\n".join(lines)))
    grid.add_row("Findings", _findings(summary, tables))
    return Group(_title(volume), Text(), grid)


def _title(volume: VolumeInfo) -> Text:
    if volume.bare_mft:
        return Text("Bare $MFT (no content, no bitmap)", style="bold")
    label = printable(volume.label) or "(no label)"
    size = format_bytes(volume.total_sectors * volume.sector_bytes)
    title = Text(label, style="bold")
    return title.append(f"   NTFS {volume.version}, {size}, serial {volume.serial}", style="dim")


def _geometry(volume: VolumeInfo) -> list[str]:
    if volume.bare_mft:
        return [f"records of {format_bytes(volume.record_bytes)}"]
    return [
        f"{plural(volume.total_clusters, 'cluster')} of {format_bytes(volume.cluster_bytes)}, "
        f"sectors of {format_bytes(volume.sector_bytes)}, "
        f"records of {format_bytes(volume.record_bytes)}",
        f"$MFT at cluster {format_count(volume.mft_lcn)}, starts at LBA "
        f"{format_count(volume.partition_start_lba)}",
    ]


def _space(summary: Summary) -> list[str]:
    if summary.used_clusters is None:
        return []
    volume = summary.volume
    free_clusters = volume.total_clusters - summary.used_clusters
    used = format_bytes(summary.used_clusters * volume.cluster_bytes)
    share = summary.used_clusters * 100 / volume.total_clusters
    free = format_bytes(free_clusters * volume.cluster_bytes)
    return [f"{used} used ({share:.0f} %), {free} free"]


def _health(volume: VolumeInfo) -> str:
    if volume.bare_mft:
        return "not known from $MFT alone"
    words = ["dirty (run chkdsk)" if volume.dirty else "not dirty"]
    words += [f"$MFTMirr {volume.mirror}", f"$LogFile {volume.log}"]
    words.append("HIBERNATED (shut Windows down fully)" if volume.hibernated else "not hibernated")
    return ", ".join(words)


def _contents(summary: Summary) -> list[str]:
    kinds = [
        (summary.resident_files, "resident"),
        (summary.compressed_files, "compressed"),
        (summary.sparse_files, "sparse"),
        (summary.encrypted_files, "encrypted"),
        (summary.linked_files, "with hard links"),
        (summary.fragmented_files, "fragmented"),
    ]
    counts = summary.volume.counts
    return [
        f"{plural(summary.files, 'file')} of {format_bytes(summary.data_bytes)}, "
        f"{plural(summary.folders, 'folder')}, {plural(summary.named_streams, 'named stream')}, "
        f"{plural(summary.extents, 'extent')}",
        ", ".join(f"{format_count(number)} {kind}" for number, kind in kinds if number)
        or "no special files",
        f"{plural(counts.get('records', 0), 'record')}: "
        f"{format_count(counts.get('records_base', 0))} in use "
        f"({summary.own_files} of NTFS itself), "
        f"{plural(counts.get('records_extension', 0), 'extension')}, "
        f"{format_count(counts.get('records_free', 0))} free",
    ]


def _figure(item: FileFigure, figure: str) -> str:
    return f"{figure:>12}  {fit_path(item.path, _FIGURE_COLUMNS)}"


def _findings(summary: Summary, tables: Tables) -> Text:
    total = sum(summary.findings.values())
    if not total:
        return Text("none", style="green")
    counted = ", ".join(
        plural(count, severity) if severity != "info" else f"{count:,} for information"
        for severity, count in summary.findings.items()
        if count
    )
    text = Text(counted)
    rows = tables.findings.to_pylist() if total < 100_000 else tables.findings[:1000].to_pylist()
    rows.sort(key=lambda row: _ORDER.get(row["severity"], len(_ORDER)))
    for row in rows[:FINDINGS_SHOWN]:
        place = f" record {row['record']}" if row["record"] >= 0 else ""
        text.append(f"\n{row['severity']:<7} ", style=_COLOURS.get(row["severity"], ""))
        text.append(f"{row['code']}{place}: {printable(row['message'])}")
    if total > FINDINGS_SHOWN:
        text.append(f"\nand {total - FINDINGS_SHOWN:,} more: --out DIR saves all of them")
    return text
