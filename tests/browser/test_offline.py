"""Pages for others, opened in a browser without a network: whole, and asking for nothing."""

import json
from pathlib import Path

import pytest

from sbtk import runbooks
from sbtk.catalog.store import Catalog
from sbtk.jobs.verify import verify
from sbtk.report.build import write_report
from sbtk.units import format_bytes
from sbtk.view import audit_page
from tests.state import state_dir  # noqa: F401 - each test has a state folder of its own

pytestmark = pytest.mark.timeout(900)
_SEEN = """() => ({
  images: [...document.images].map((image) => image.naturalWidth),
  texts: [...document.images].map((image) => image.alt),
  drawn: [...document.querySelectorAll('svg')].map((svg) => svg.getBoundingClientRect().width),
  named: [...document.querySelectorAll('svg[role=img]')].map((svg) => svg.ariaLabel),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  text: document.body.innerText,
})"""


@pytest.fixture
def look(browser):
    """Opens a file with the network off; tells what is seen, and fails on any wish or error."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    page = context.new_page()
    asked, errors = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("request", lambda request: asked.append(request.url))

    def open_page(path):
        asked.clear()
        page.goto(path.as_uri(), wait_until="load")
        seen = page.evaluate(_SEEN)
        assert asked == [path.as_uri()]
        assert errors == []
        assert all(width > 0 for width in [*seen["images"], *seen["drawn"]])
        assert all(seen["texts"])
        assert all(seen["named"])
        return seen

    yield open_page
    context.close()


def facts_of(ended: runbooks.Ended, text: str) -> None:
    """The page holds the RESULT line, and that is what ``result.json`` says."""
    [line] = [line for line in text.splitlines() if line.startswith("RESULT {")]
    assert json.loads(line.removeprefix("RESULT ")) == ended.result
    assert ended.result == json.loads((ended.folder / runbooks.RESULT_NAME).read_text())


def test_every_page_is_whole_without_a_network(tmp_path, look):
    tape = f"tape:{tmp_path}/n.tape"
    run = runbooks.run
    night = run("nightly_backup", {"to": tape, "quiet_s": "0.2"}, folder=tmp_path / "night")
    seen = look(night.folder / runbooks.PAGE_NAME)
    facts_of(night, seen["text"])
    for name in ("moved_bytes", "metadata_bytes", "command_bytes", "inline_bytes"):
        assert format_bytes(night.result[name]) in seen["text"], name
    assert "The wait for quiet" in seen["text"]
    assert len(seen["named"]) >= 4  # quiet window, lists, throughput, bytes by path

    scratch = str(tmp_path / "scratch.img")
    drill = run("restore_drill", {"scratch": scratch}, folder=tmp_path / "drill")
    seen = look(drill.folder / runbooks.PAGE_NAME)
    facts_of(drill, seen["text"])
    assert "What was and was not checked" in seen["text"]
    assert len(seen["named"]) >= 4

    survey = run("volume_survey", {"source": "office.ntfs"}, folder=tmp_path / "survey")
    facts_of(survey, look(survey.folder / runbooks.PAGE_NAME)["text"])
    sample = run("verify_sample", {"count": "0"}, folder=tmp_path / "sample")
    seen = look(sample.folder / runbooks.PAGE_NAME)
    facts_of(sample, seen["text"])
    assert night.result["set_id"] in seen["text"]

    verify(night.result["set_id"])
    with Catalog.open() as catalog:
        known = catalog.runs()
    audit = audit_page.read(90.0)
    audit_page.export(audit, 8.0, str(tmp_path))
    seen = look(tmp_path / "audit.html")
    assert night.result["set_id"] in seen["text"]
    for name, count in audit_page.path_sums(audit).items():
        assert name in seen["text"]
        assert format_bytes(count) in seen["text"]
    assert seen["wide"] <= 0

    for record in known:
        page, log = write_report(Path(record.folder))
        seen = look(page)
        assert record.run_id in seen["text"]
        assert format_bytes(log.stop["moved_bytes"]) in seen["text"]
        assert len(seen["named"]) >= 2
        assert seen["wide"] <= 0
