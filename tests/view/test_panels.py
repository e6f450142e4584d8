"""Panels driven as a browser drives them: by messages, values and clicks."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sbtk.catalog.records import RunRecord, SetRecord
from sbtk.errors import UsageError
from sbtk.view import audit_page, callbacks, html, plots, treemap, volume_page
from sbtk.view.cells import CellMap
from sbtk.view.globs import globs, text_of
from sbtk.view.panels import MapPanel, SearchPanel
from sbtk.view.search import find
from tests.report.test_page import Page

NAMES = ["<script>alert(1)</script>", "\"' onload=x '\"", "a\u202etxt.exe", "\ud800half\udfff",
         "x" * 255, "<img src=x>&amp;\x00\x1b[2J", "]]>--><!--"]  # fmt: skip
UNSAFE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.fixture
def panel(office) -> MapPanel:
    return MapPanel(office)


def test_zooming_by_message_shows_the_range(panel):
    panel.map._receive(None, {"type": "show", "first": 800, "last": 1000, "mode": "age"}, [])
    frame = panel.map.frame
    assert (frame["first_lcn"], frame["last_lcn"], frame["mode"]) == (800, 1000, "age")
    assert len(frame["shade"]) == frame["cells"] == 201
    assert np.frombuffer(frame["used"], np.uint32).sum() == panel.source.extents.occupancy(
        800, 1000, 1
    )


def test_a_wider_page_gets_more_columns(panel):
    before = panel.map.frame["columns"]
    panel.map._receive(None, {"type": "width", "px": 1900}, [])
    assert panel.map.frame["columns"] > before


def test_a_click_lists_the_files_and_choosing_one_lights_its_extents(panel):
    extents = panel.source.extents
    record = int(extents.owners.record[extents.stream[extents.owner_rows(np.array([900]))[0]]])
    path = extents.owner_of([900])["path"].iloc[0]
    panel.map._receive(None, {"type": "pick", "first": 900, "last": 905}, [])
    options = dict(panel.files.options)
    assert record in options.values()
    assert any(label.startswith(path) for label in options)
    panel.files.value = record
    rows = extents.rows_of(record)
    clusters = int(extents.clusters[rows][extents.lcn[rows] >= 0].sum())
    marks = np.frombuffer(panel.map.marks, np.uint8)
    frame = panel.map.current
    lit = [set(range(*bounds)) for bounds in pairwise(frame.bounds_lcn.tolist())]
    held = set()
    for row in rows[extents.lcn[rows] >= 0]:
        held.update(range(extents.lcn[row], extents.lcn[row] + extents.clusters[row]))
    assert len(held) == clusters
    assert marks.tolist() == [int(bool(cell & held)) for cell in lit]
    assert path in panel.message.value
    panel.clear.click()
    assert panel.map.marks == b""


def test_a_click_on_free_space_says_so(panel):
    free = panel.source.extents.free_runs()
    at = int(free.lcn[-1])
    panel.map._receive(None, {"type": "pick", "first": at, "last": at}, [])
    assert "free, no file owns" in panel.message.value
    assert panel.files.options == ()


def test_finding_a_file_by_its_name_offers_it(panel):
    panel.search.value = "SERVER.log"
    assert [label.split("   ")[0] for label, _ in panel.files.options] == ["Logs/server.log"]


def test_an_error_in_a_callback_is_shown_and_raised(panel):
    with pytest.raises(UsageError):
        panel.map._receive(None, {"type": "show", "first": 5, "last": 1, "mode": "age"}, [])
    assert "sbtk-error" in panel.message.value
    assert "are no range of this volume" in panel.message.value


def test_without_the_switch_an_error_is_shown_only(panel, monkeypatch):
    monkeypatch.delenv(callbacks.RERAISE)
    panel.map._receive(None, {"type": "show", "first": 0, "last": 1, "mode": "<b>"}, [])
    assert "&lt;b&gt;" in panel.message.value


def test_mismatches_are_lit_from_the_start(office):
    from sbtk.extents.runs import Runs

    panel = MapPanel(office, mismatches=Runs(np.array([100]), np.array([3])))
    assert 1 <= np.frombuffer(panel.map.marks, np.uint8).sum() <= 3
    assert "3 clusters in pieces that do not match" in panel.message.value


# -- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "log", "LOG", ".txt", "größe", "no such file", "a"])
def test_search_equals_python(office, text):
    paths = office.tables.files["path"].to_pylist()
    sizes = office.tables.files["size_bytes"].to_pylist()
    expected = [(-s, p) for p, s in zip(paths, sizes, strict=True) if text.lower() in p.lower()]
    found = find(office.tables, text, limit=5)
    assert found.total == len(expected)
    assert found.size_bytes == -sum(size for size, _ in expected)
    shown = found.files[["size_bytes", "path"]].itertuples(index=False)
    assert [-size for size, _ in sorted(expected)[:5]] == [size for size, _ in shown]


def test_the_search_box_answers_to_typing(office):
    panel = SearchPanel(office)
    panel.text.value = "LETTER 001"
    assert "letter 001.txt" in panel.results.value
    assert "found in" in panel.message.value


def test_a_file_without_clusters_says_where_it_is(panel):
    panel.search.value = "letter 001"
    [(_, record)] = panel.files.options
    panel.files.value = record
    assert panel.map.marks == b""
    assert "lies in its record of $MFT" in panel.message.value


def test_what_is_found_is_not_more_than_what_is_shown(office):
    panel = SearchPanel(office)
    assert f"the largest {html.TOP_ROWS} are shown" in panel.message.value
    panel.text.value = "letter 001"
    assert "are shown" not in panel.message.value


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_and_not_obeyed(name):
    """Markup, quotes, control characters, marks that turn the writing, halves of surrogates."""
    frame = html.frame([{"path": name, "share": 0.5}], ["path", "share"])
    columns = {"path": (name, "mono"), "share": ("share", "bar")}
    for found in (
        html.facts([(name, name)], name),
        html.table(frame, columns, heading=name, more=name),
        html.table(frame, columns, rows=0, heading=name),
        html.note_line(name),
        html.folded(name, name),
        html.Html(callbacks.message_html(name, "error"), ""),
    ):
        page = Page(html.page(found))
        assert not set(page.tags) & {"script", "img", "b-", "a"}
        for text in (page.text, found.text):
            assert not UNSAFE.search(text)
            text.encode("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_an_audit_page_shows_any_name(name, tmp_path):
    item = SetRecord(
        "s1", "r1", "2026-11-18T10:43:20+00:00", "complete", f"/{name}", "image", "01", name,
        "tape", f"tape:/{name}", "", 0, 0, 1, 1, 1, True, b"{}",
    )  # fmt: skip
    run = RunRecord("r1", "backup", "failed", 1e9, 1e9, f"/{name}", f"tape:/{name}", "s1", 15,
                    name, str(tmp_path))  # fmt: skip
    found = audit_page.Audit([item], [run], {}, 90.0)
    audit_page.export(found, 8.0, str(tmp_path))
    page = Page((tmp_path / "audit.html").read_text(encoding="utf-8"))
    assert not set(page.tags) & {"script", "img", "a"}
    assert page.outside == []
    assert name.isprintable() == (name in page.text.replace("/ ", "/"))
    assert not UNSAFE.search(page.text)


def test_a_later_verify_that_differs_is_not_hidden_by_an_older_sound_one(tmp_path):
    def verify(set_id: str, status: str, at_s: float) -> RunRecord:
        return RunRecord(f"r{at_s}", "verify", status, at_s, at_s + 1, set_id, "", set_id, 0, "",
                         str(tmp_path))  # fmt: skip

    runs = [verify("a", "done", 1.0), verify("b", "flawed", 2.0), verify("a", "flawed", 3.0),
            verify("b", "done", 4.0), verify("c", "cancelled", 5.0)]  # fmt: skip
    found = audit_page.Audit([], runs, {}, 90.0)
    assert audit_page.differing(found) == ["a"]
    assert "Sets that differ  a" in audit_page.overview(found, 8.0).text


def test_globs_may_have_spaces_and_apostrophes():
    found = globs("""*.tmp "Archive 2019/*" Bob's.txt  C\\x #1""")
    assert found == ("*.tmp", "Archive 2019/*", "Bob's.txt", "C\\x", "#1")
    assert globs(text_of(found)) == found
    assert globs("  ") == ()
    with pytest.raises(UsageError, match="not closed"):
        globs('"a b')


# -- pictures ----------------------------------------------------------------------------------


def test_tiles_fill_the_picture_and_are_as_large_as_their_folders(office):
    tiles = treemap.tiles(office.tables)
    total = sum(tile.size_bytes for tile in tiles)
    real = office.tables.extents["lcn"].to_numpy() >= 0
    clusters = int(office.tables.extents["clusters"].to_numpy()[real].sum())
    assert total == clusters * office.tables.volume.cluster_bytes
    for tile in tiles:
        assert tile.width * tile.height == pytest.approx(tile.size_bytes / total, abs=1e-9)
        assert 0 <= tile.x <= tile.x + tile.width <= 1 + 1e-9
        assert 0 <= tile.y <= tile.y + tile.height <= 1 + 1e-9


def test_every_picture_is_a_png_with_its_words(office):
    cells = CellMap(office.extents)
    frame = cells.frame(0, cells.total_clusters - 1, "occupancy")
    for picture in (
        volume_page.sizes(office),
        volume_page.folders(office),
        plots.disk_map(frame, 4096, np.eye(1, frame.grid.cells, 5, np.uint8)[0]),
    ):
        bundle, about = picture._repr_mimebundle_()
        assert bundle["image/png"].startswith(b"\x89PNG")
        assert len(bundle["text/plain"]) > 20
        assert about["image/png"]["alt"] == bundle["text/plain"]


def test_the_scale_rises_in_lightness_so_that_grey_tells_it():
    from sbtk.view.diskmap import colour_table

    table = colour_table().astype(float)
    grey = table @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) > -0.6).all()
    assert grey[-1] - grey[0] > 150


def test_a_tile_has_as_much_of_its_name_as_fits():
    name = "Documents/Letters"
    found = [plots._fitting(name, width_pt) for width_pt in (200.0, 50.0, 3.0)]
    assert found == [name, "…/Letters", ""]
    cut = plots._fitting("Archive 2019 (compressed)", 60.0)
    assert cut.startswith("Arc")
    assert "…" in cut
    assert 6 <= len(cut) < 16


def test_a_file_of_a_limit_counts_below_it():
    shown = plots.size_histogram(np.array([0, 1, 512, 513, 4096, 4097], np.int64)).text
    assert shown.splitlines()[1:] == ["empty: 1", "to 512 B: 2", "to 4.00 KiB: 2", "to 32.0 KiB: 1"]
    assert plots.size_histogram(np.array([], np.int64)).text.splitlines()[1] == "empty: 0"


def test_a_share_that_rounds_to_nothing_is_not_nothing():
    assert [html.say(part, "bar") for part in (0.0, 1e-9, 0.125)] == ["0.0%", "under 0.1%", "12.5%"]
    frame = pd.DataFrame({"share": [0.0]})
    assert '"bar"' not in html.table(frame, {"share": ("share", "bar")}).body


def test_percentiles_are_values_that_occur():
    assert plots.percentiles(np.arange(1, 101)) == {
        "half up to": 50, "90% up to": 90, "99% up to": 99, "largest": 100,
    }  # fmt: skip
