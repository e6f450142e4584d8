"""Panels driven as a browser drives them: by messages, values and clicks."""

from itertools import pairwise

import numpy as np
import pytest

from sbtk.errors import UsageError
from sbtk.view import callbacks, html, plots, treemap, volume_page
from sbtk.view.cells import CellMap
from sbtk.view.panels import MapPanel, SearchPanel
from sbtk.view.search import find


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
    assert "3 clusters do not match" in panel.message.value


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


def test_names_cannot_write_markup(office):
    text = html.facts([("<script>", "a & b")]).body
    assert "<script>" not in text
    assert "a &amp; b" in text


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


def test_percentiles_are_values_that_occur():
    assert plots.percentiles(np.arange(1, 101)) == {
        "half up to": 50, "90% up to": 90, "99% up to": 99, "largest": 100,
    }  # fmt: skip
