"""``sbtk frag``: how fragmented a volume is, on one screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sbtk.cli.options import (
    DebugOption,
    JsonOption,
    ProgressOption,
    ProgressStyle,
    print_json,
    verb_app,
)
from sbtk.cli.output import fit_path, printable, show
from sbtk.cli.progress import reporter
from sbtk.extents.fragmentation import Fragmentation, measure
from sbtk.extents.frames import plain_rows
from sbtk.extents.map import ExtentMap
from sbtk.units import format_bytes, format_count, format_seconds, parse_bytes, plural
from sbtk.volume import read_tables

if TYPE_CHECKING:
    import pandas as pd

    from sbtk.ntfs.tables import VolumeInfo

app = verb_app("Show how fragmented the files and the free space of a volume are.")

_GROUP_ROWS = 30
_WORST_COLUMNS = 44  # what stands before the name of a file


class GroupBy(StrEnum):
    """What files are put together by."""

    FOLDER = "folder"
    EXTENSION = "extension"
    AGE = "age"
    SIZE = "size"


@app.command()
def frag(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Location, or a folder of --out.")],
    *,
    by: Annotated[
        GroupBy | None, typer.Option("--by", help="Show the files by this instead.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Folders of a path for --by folder.", min=1)] = 1,
    worst: Annotated[int, typer.Option(help="How many of the worst files.", min=0)] = 5,
    seek_ms: Annotated[
        float, typer.Option(help="What a seek costs (SSD: 0.1).", min=0, max=60_000)
    ] = 8.0,
    rate: Annotated[str, typer.Option(help="What is read in a second.")] = "200MB",
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    debug: DebugOption = False,
) -> None:
    """Score, fragments, seeks by distance, $MFT, free space, and the worst files."""
    del debug
    bytes_per_s = max(parse_bytes(rate), 1)
    with reporter(progress, as_json, events=sys.stderr) as emit:
        tables = read_tables(source, emit=emit)
    extent_map = ExtentMap.from_tables(tables)
    found = measure(extent_map, seek_s=seek_ms / 1000, bytes_per_s=bytes_per_s)
    groups = None if by is None else _grouped(found, by, depth)
    if as_json:
        print_json(_document(found, worst, groups))
    elif groups is None:
        show(_screen(tables.volume, found, worst))
    else:
        show(_group_table(groups))


def _grouped(found: Fragmentation, by: GroupBy, depth: int) -> pd.DataFrame:
    if by is GroupBy.FOLDER:
        return found.by_folder(depth)
    frame: pd.DataFrame = getattr(found, f"by_{by}")()
    return frame


def _document(found: Fragmentation, worst: int, groups: pd.DataFrame | None) -> dict[str, Any]:
    frames = {
        "histogram": found.histogram(),
        "free_histogram": found.free_histogram(),
        "worst": found.worst(worst).drop(columns=["is_directory"]),
    }
    if groups is not None:
        frames["groups"] = groups
    rows = {name: plain_rows(frame) for name, frame in frames.items()}
    return {"event": "fragmentation", **found.summary(), **rows}


def _screen(volume: VolumeInfo, found: Fragmentation, worst: int) -> RenderableType:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(found.summary()):
        facts.add_row(name, text)
    tables = Table.grid(padding=(0, 6))
    tables.add_row(_histogram(found), _free_histogram(found))
    parts: list[RenderableType] = [_title(volume), facts, Text(), tables]
    broken = found.worst(worst)
    if len(broken):
        parts += [Text(), _worst_table(broken)]
    return Group(*parts)


def _title(volume: VolumeInfo) -> Text:
    name = printable(volume.label) or "(no label)"
    title = Text(name, style="bold", no_wrap=True, overflow="ellipsis")
    if volume.bare_mft:
        return title.append("   bare $MFT: clusters taken as 4 KiB", style="dim")
    size_bytes = volume.total_clusters * volume.cluster_bytes
    geometry = f"NTFS {volume.version}, {format_bytes(size_bytes)}"
    cluster = f"clusters of {format_bytes(volume.cluster_bytes)}"
    return title.append(f"   {geometry}, {cluster}, {printable(volume.source)}", style="dim")


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    read, jumps = format_seconds(summary["read_s"]), format_seconds(summary["jump_s"])
    share = _share(summary["fragmented_bytes"], summary["on_disk_bytes"])
    points = ", ".join(
        f"{name} {format_count(summary[f'fragments_p{point}'])}"
        for name, point in (("half up to", 50), ("90%", 90), ("99%", 99), ("most", 100))
    )
    seeks = ", ".join(
        f"{format_count(summary[f'seeks_{key}'])} {words}"
        for key, words in (
            ("to_1_mib", "to 1 MiB"), ("to_64_mib", "to 64 MiB"), ("to_1_gib", "to 1 GiB"),
            ("over_1_gib", "beyond"),
        )
    )  # fmt: skip
    return [
        ("Score", f"{summary['score']:.1f} of 100: reading all takes {read}, jumps {jumps} more"),
        (
            "Files",
            f"{format_count(summary['files'])} with clusters, "
            f"{format_bytes(summary['on_disk_bytes'])}; "
            f"{format_count(summary['fragmented_files'])} fragmented, {share} of the data",
        ),
        ("Fragments", f"{summary['fragments_per_file']:.2f} a file; {points}"),
        ("Seeks", f"{format_count(summary['seeks'])}: {seeks}"),
        (
            "$MFT",
            f"{plural(summary['mft_fragments'], 'fragment')}, {format_bytes(summary['mft_bytes'])},"
            f" largest piece {format_bytes(summary['mft_largest_piece_bytes'])}",
        ),
        (
            "Free",
            f"{format_bytes(summary['free_bytes'])} in {plural(summary['free_runs'], 'run')}, "
            f"largest {format_bytes(summary['free_largest_bytes'])}, "
            f"half up to {format_bytes(summary['free_median_bytes'])}",
        ),
    ]


def _histogram(found: Fragmentation) -> Table:
    rows = [
        (str(row["fragments"]), format_count(row["files"]), f"{row['bytes_share']:.1%}")
        for row in plain_rows(found.histogram())
    ]
    return _table(("fragments", "files", "of data"), rows)


def _free_histogram(found: Fragmentation) -> Table:
    rows = [
        (str(row["size"]), format_count(row["runs"]), f"{row['bytes_share']:.1%}")
        for row in plain_rows(found.free_histogram())
    ]
    return _table(("free runs", "runs", "of free"), rows)


def _worst_table(broken: pd.DataFrame) -> Table:
    table = _table(("fragments", "of seeks", "on disk", "largest", "worst files"), [])
    for row in plain_rows(broken):
        table.add_row(
            format_count(row["fragments"]),
            f"{row['seek_share']:.1%}",
            format_bytes(row["on_disk_bytes"]),
            format_bytes(row["largest_piece_bytes"]),
            fit_path(row["label"], _WORST_COLUMNS),
        )
    return table


def _group_table(groups: pd.DataFrame) -> RenderableType:
    heads = ("files", "fragmented", "on disk", "per file", "of seeks", "score", groups.columns[0])
    rows = [
        (
            format_count(row["files"]),
            format_count(row["fragmented_files"]),
            format_bytes(row["on_disk_bytes"]),
            f"{row['fragments_per_file']:.2f}",
            f"{row['seek_share']:.1%}",
            f"{row['score']:.1f}",
            printable(str(row[groups.columns[0]])),
        )
        for row in plain_rows(groups.head(_GROUP_ROWS))
    ]
    table = _table(heads, rows)
    hidden = len(groups) - len(rows)
    return Group(table, Text(f"and {hidden:,} more: --json has them")) if hidden > 0 else table


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Numbers to the right; a name first, or last and then cut where the screen ends."""
    name_first = len(heads) == 3
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, head in enumerate(heads):
        is_name = index == (0 if name_first else len(heads) - 1)
        table.add_column(
            head, justify="left" if is_name else "right", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*row)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"
