"""Panels for looking: the disk map with its files, and the search box. They write nothing."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbtk.cli.output import printable
from sbtk.extents import runs
from sbtk.extents.owners import label
from sbtk.extents.runs import Runs
from sbtk.units import format_bytes, format_count, format_seconds, plural
from sbtk.view import html
from sbtk.view.callbacks import guarded, message_html
from sbtk.view.diskmap import DiskMap
from sbtk.view.search import find
from sbtk.view.source import Source

Int64Array = NDArray[np.int64]

LISTED_FILES = 200
_RESULT_COLUMNS = {
    "path": ("path", "mono"),
    "size_bytes": ("size", "bytes"),
    "allocated_bytes": ("allocated", "bytes"),
    "extents": ("extents", "count"),
    "modified": ("changed (UTC)", "time"),
}


class Shown:
    """A panel: something with a widget to display and a line for messages."""

    def __init__(self, css_class: str) -> None:
        """Make an empty panel that tests and style sheets find by its class."""
        self.message = widgets.HTML()
        self.widget = widgets.VBox()
        self.widget.add_class("sbtk-panel")
        self.widget.add_class(css_class)
        self.message.add_class("sbtk-says")

    def say(self, text: str, kind: str = "info") -> None:
        """Show a message where the user looks."""
        self.message.value = html.style() + message_html(text, kind)

    def _repr_mimebundle_(self, **named: Any) -> Any:
        return self.widget._repr_mimebundle_(**named)


def show_html(target: Any, found: html.Html) -> None:
    """Put HTML into an ``ipywidgets.HTML``."""
    target.value = html.page(found)


class MapPanel(Shown):
    """The disk map, a search box for files, and the list of files of the cell that was clicked."""

    def __init__(self, source: Source, *, mismatches: Runs | None = None) -> None:
        """Show the whole volume.

        Args:
            source: what to show.
            mismatches: clusters that a verify found changed: lit from the start.
        """
        super().__init__("sbtk-diskmap")
        self.source = source
        self._offering = False
        self.map = DiskMap(source.extents, on_pick=self._list_cell, on_error=self.say)
        self.search = widgets.Text(
            placeholder="part of a path, then Enter", description="Find", continuous_update=False,
            layout=widgets.Layout(width="380px"), style={"description_width": "initial"},
        )  # fmt: skip
        self.files = widgets.Select(
            options=[], rows=7, layout=widgets.Layout(width="100%"), description=""
        )
        self.clear = widgets.Button(description="Clear", tooltip="Light no file")
        self.details = widgets.HTML()
        for widget, name in ((self.search, "find"), (self.files, "files"), (self.clear, "clear"),
                             (self.details, "details")):  # fmt: skip
            widget.add_class(f"sbtk-map-{name}")
        self.files.layout.display = "none"
        self.search.observe(self._search, "value")
        self.files.observe(self._choose, "value")
        self.clear.on_click(self._clear)
        self.widget.children = [
            self.map,
            widgets.HBox([self.search, self.clear]),
            self.message,
            self.files,
            self.details,
        ]
        if mismatches is not None and len(mismatches):
            self.map.mark(mismatches, "mismatch")
            lit = plural(mismatches.total_clusters, "cluster")
            self.say(f"{lit} in pieces that do not match: lit on the map", "warning")
        else:
            self.say(
                "Click a cell to list its files; choose a file to light its extents. Keyboard: "
                "arrows, Enter, + and -, Page Up and Down, Home."
            )

    def list_files(self, first_lcn: int, last_lcn: int) -> int:
        """List the files between two clusters; returns how many there are."""
        found = self.source.extents.files_in(first_lcn, last_lcn)
        span = f"Clusters {format_count(first_lcn)} to {format_count(last_lcn)}"
        if found.empty:
            self._offer([])
            self.say(f"{span}: free, no file owns any of them")
            return 0
        begin = np.maximum(found["lcn"], first_lcn)
        end = np.minimum(found["lcn"] + found["clusters"], last_lcn + 1)
        found["inside"] = end - begin
        keys = ["record", "path", "stream_name"]
        each = found.groupby(keys, dropna=False)["inside"].sum().reset_index()
        each = each.sort_values(["inside", "path"], ascending=[False, True])
        cluster_bytes = self.source.tables.volume.cluster_bytes
        options = [
            (f"{label(path, stream)}   ({format_bytes(inside * cluster_bytes)} here)", int(record))
            for record, path, stream, inside in each.head(LISTED_FILES).itertuples(index=False)
        ]
        self._offer(options)
        more = f", the first {LISTED_FILES} listed" if len(each) > LISTED_FILES else ""
        self.say(f"{span}: {plural(len(each), 'stream')} here{more}; choose one to light it")
        return len(each)

    def light(self, record: int) -> int:
        """Light the extents of a file; returns how many there are."""
        extents = self.source.extents
        rows = extents.rows_of(record)
        if not rows.size:
            self.map.mark(None)
            self.details.value = ""
            self.say("This file owns no cluster: what it holds lies in its record of $MFT")
            return 0
        real = np.sort(rows[extents.lcn[rows] >= 0])
        held = runs.union(extents.lcn[real], extents.clusters[real])
        name = str(extents.owners.frame(extents.stream[rows[:1]], ["path"])["path"].iloc[0])
        self.map.mark(held, printable(name[-40:]))
        cluster_bytes = self.source.tables.volume.cluster_bytes
        self.say(
            f"{name}: {plural(real.size, 'extent')} in {plural(len(held), 'piece')}, "
            f"{format_bytes(held.total_clusters * cluster_bytes)}"
        )
        show_html(self.details, _extent_table(extents.lcn, extents.clusters, rows, cluster_bytes))
        return int(real.size)

    def _offer(self, options: list[tuple[str, int]]) -> None:
        self._offering = True
        self.files.options = [(printable(name), record) for name, record in options]
        self.files.layout.display = "" if options else "none"
        self.files.value = None
        self._offering = False

    @guarded
    def _list_cell(self, first_lcn: int, last_lcn: int) -> None:
        self.list_files(first_lcn, last_lcn)

    @guarded
    def _search(self, change: dict[str, Any]) -> None:
        text = change["new"].strip()
        if not text:
            return
        found = find(self.source.tables, text, LISTED_FILES)
        with_clusters = found.files[found.files["allocated_bytes"] > 0]
        rows = with_clusters if len(with_clusters) else found.files
        self._offer(
            [
                (f"{path}   ({format_bytes(size)})", int(record))
                for path, size, record in zip(
                    rows["path"], rows["size_bytes"], rows["record"], strict=True
                )
            ]
        )
        self.say(f"{plural(found.total, 'path')} with “{text}”; choose one to light it")

    @guarded
    def _choose(self, change: dict[str, Any]) -> None:
        if change["new"] is not None and not self._offering:
            self.light(int(change["new"]))

    @guarded
    def _clear(self, _: Any) -> None:
        self.map.mark(None)
        self._offer([])
        self.details.value = ""
        self.say("No file is lit")


def _extent_table(
    lcn: Int64Array, clusters: Int64Array, rows: Int64Array, cluster_bytes: int
) -> html.Html:
    frame = pd.DataFrame({"lcn": lcn[rows], "clusters": clusters[rows]})
    frame["place"] = [
        "hole" if first < 0 else f"{format_count(first)} to {format_count(first + length - 1)}"
        for first, length in frame.itertuples(index=False)
    ]
    frame["bytes"] = frame["clusters"] * cluster_bytes
    columns = {"place": ("clusters", "text"), "bytes": ("size", "bytes")}
    return html.table(frame, columns, rows=8, more="sbtk extents SRC PATH lists all")


class SearchPanel(Shown):
    """A box to type into; the largest files that match appear at once."""

    def __init__(self, source: Source) -> None:
        """Begin with the largest files of all."""
        super().__init__("sbtk-search")
        self.source = source
        self.text = widgets.Text(
            placeholder="any part of a path", description="Search",
            layout=widgets.Layout(width="480px"), style={"description_width": "initial"},
        )  # fmt: skip
        self.text.add_class("sbtk-search-text")
        self.results = widgets.HTML()
        self.results.add_class("sbtk-search-results")
        self.text.observe(self._typed, "value")
        self.widget.children = [self.text, self.message, self.results]
        self.search("")

    def search(self, text: str) -> int:
        """Show the files whose path holds ``text``; returns how many there are."""
        began_s = time.perf_counter()
        found = find(self.source.tables, text, html.TOP_ROWS)
        took_s = time.perf_counter() - began_s
        show_html(self.results, html.table(found.files, _RESULT_COLUMNS))
        total = self.source.tables.files.num_rows
        self.say(
            f"{format_count(found.total)} of {plural(total, 'path')}, "
            f"{format_bytes(found.size_bytes)}, found in {format_seconds(took_s)}"
            + (f"; the largest {html.TOP_ROWS} are shown" if found.total > html.TOP_ROWS else "")
        )
        return found.total

    @guarded
    def _typed(self, change: dict[str, Any]) -> None:
        self.search(change["new"].strip())
