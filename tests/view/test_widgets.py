"""Every widget of every panel: found by a class of its own, and used by a browser test."""

import re
from pathlib import Path

import ipywidgets as widgets
import pytest

from sbtk.view import backup_page, diskmap, plan_page, restore_page, tour_page
from sbtk.view.diskmap import DiskMap
from sbtk.view.panels import MapPanel, SearchPanel

BROWSER_TESTS = Path(__file__).parents[1] / "browser" / "test_notebooks.py"
PATH = "Logs/server.log"


@pytest.fixture
def panels(office, tmp_path):
    """One of each; the set that is browsed is made of the sample."""
    restore_page.ready("last", str(tmp_path))
    wish = plan_page.Wish("tape:a.tape", "spc", "image")
    return [
        tour_page.record_panel(office, PATH, True), tour_page.run_list_panel(office, PATH, True),
        tour_page.list_panel(True), tour_page.queue_panel(True), SearchPanel(office),
        MapPanel(office), plan_page.PlanPanel(office, wish, "a.sbtkplan"),
        backup_page.panel(
            backup_page.Order("office.ntfs", "tape:a.tape", "image", "none", 3.0, 80.0), True
        ),
        restore_page.panel(restore_page.Order("last", "verify", "back.img"), True),
    ]  # fmt: skip


def every(widget):
    """A widget and all that is in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def used_by_hand(widget) -> bool:
    shown_only = (widgets.HTML, widgets.Label)
    by_hand = (widgets.Button, widgets.ValueWidget)
    return isinstance(widget, by_hand) and not isinstance(widget, shown_only)


def test_the_browser_tests_use_every_widget(panels):
    names = set()
    for panel in panels:
        for widget in filter(used_by_hand, every(panel.widget)):
            [name] = [name for name in widget._dom_classes if name.startswith("sbtk-")]
            names.add(name)
            has_name = widget.description or isinstance(widget, widgets.Select)
            assert has_name, f"{name} has no words that can be read aloud"
    script = Path(diskmap.__file__).with_suffix(".js").read_text()
    names |= {f"sbtk-map-{name}" for name in re.findall(r'button\(".*?", ".*?", "(\w+)"', script)}
    names |= set(re.findall(r'"(?:select|canvas|input)", "([\w-]+)"', script))
    assert len(names) > 45
    assert any(isinstance(part, DiskMap) for part in every(panels[5].widget))
    tests = BROWSER_TESTS.read_text()
    assert [name for name in sorted(names) if not re.search(rf"{name}\b", tests)] == []
