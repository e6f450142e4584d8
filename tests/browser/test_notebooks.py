"""Every notebook in JupyterLab: each widget is used once, and the page shows what it did."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from sbtk import samples
from sbtk.view.source import open_source

pytestmark = pytest.mark.timeout(900)  # every wait ends with an event; these are bounds only
LONG_MS = 180_000
HOLD = """
from pathlib import Path
from time import sleep
from sbtk.jobs.control import Control

between = Control.between_lists

def held(self):
    while not Path("go").exists() and not self.cancelled:
        sleep(0.02)
    between(self)

Control.between_lists = held
"""
"""Every job waits before its first command list until there is a file ``go``."""


@pytest.fixture(scope="module")
def office():
    return open_source("office.ntfs")


def enter(page, css_class: str, text: str) -> None:
    """Type into a text field and leave it."""
    field = page.locator(f".{css_class} input")
    field.fill(text)
    field.press("Enter")


def test_volume_search_answers_to_every_key(opened, office):
    page = opened("10_volume")
    box = page.locator(".sbtk-search-text input")
    box.press_sequentially("MAIL.l")
    expect(page.locator(".sbtk-search-results tbody tr")).to_have_count(1)
    expect(page.locator(".sbtk-search-results")).to_contain_text("Logs/mail.log")
    total = office.tables.files.num_rows
    expect(page.locator(".sbtk-search .sbtk-says")).to_contain_text(f"1 of {total} paths")
    expect(page.locator(".jp-OutputArea img")).to_have_count(2)


def test_disk_map_by_mouse_and_keyboard(opened, office):
    page = opened("20_fragmentation")
    canvas = page.locator(".sbtk-map-canvas")
    status, says = page.locator(".sbtk-map-status"), page.locator(".sbtk-diskmap .sbtk-says")
    total = office.tables.volume.total_clusters
    expect(canvas).to_have_attribute("data-last", str(total - 1))

    page.locator(".sbtk-map-mode").select_option("fragmentation")
    expect(page.locator(".sbtk-map-legend")).to_contain_text("fragments of the files in it")

    # Hover tells the range.
    canvas.hover(position={"x": 3, "y": 3})
    expect(status).to_contain_text("Cluster")
    expect(status).to_contain_text("in use")

    # Click tells the files: the first cell holds the boot sector.
    canvas.click(position={"x": 3, "y": 3})
    expect(says).to_contain_text("stream")
    expect(page.locator(".sbtk-map-files option").first).to_contain_text("$Boot")

    # Choosing a file lights its extents.
    enter(page, "sbtk-map-find", "server.log")
    expect(page.locator(".sbtk-map-files option")).to_have_text(re.compile("Logs/server.log"))
    page.locator(".sbtk-map-files select").select_option(index=0)
    expect(says).to_contain_text("21 extents in 21 pieces")
    expect(canvas).not_to_have_attribute("data-marked", "0")
    assert int(canvas.get_attribute("data-marked")) >= 21
    expect(page.locator(".sbtk-map-details tbody tr")).to_have_count(8)
    page.locator("button.sbtk-map-clear").click()
    expect(canvas).to_have_attribute("data-marked", "0")

    # Zoom and pan, by buttons and by keys.
    page.locator("button.sbtk-map-in").click()
    expect(canvas).not_to_have_attribute("data-last", str(total - 1))
    half = int(canvas.get_attribute("data-last")) - int(canvas.get_attribute("data-first")) + 1
    assert half == pytest.approx(total / 2, abs=2)
    before = canvas.get_attribute("data-first")
    page.locator("button.sbtk-map-right").click()
    expect(canvas).not_to_have_attribute("data-first", before)
    page.locator("button.sbtk-map-left").click()
    expect(canvas).to_have_attribute("data-first", before)
    page.locator("button.sbtk-map-out").click()
    expect(canvas).to_have_attribute("data-last", str(total - 1))
    canvas.focus()
    canvas.press("ArrowRight")
    first_status = status.inner_text()
    canvas.press("ArrowDown")
    expect(status).not_to_have_text(first_status, use_inner_text=True)
    canvas.press("+")
    expect(canvas).not_to_have_attribute("data-last", str(total - 1))
    expect(status).to_contain_text("Cluster")
    zoomed = canvas.get_attribute("data-first")
    canvas.press("PageDown")
    expect(canvas).not_to_have_attribute("data-first", zoomed)
    canvas.press("Home")
    expect(canvas).to_have_attribute("data-first", "0")
    canvas.press("ArrowUp")
    canvas.press("Enter")
    expect(page.locator(".sbtk-map-files option").first).to_be_visible()
    page.mouse.move(0, 0)
    canvas.focus()
    page.locator(".sbtk-map-strip").click(position={"x": 400, "y": 5})
    canvas.dblclick(position={"x": 300, "y": 200})
    expect(canvas).not_to_have_attribute("data-first", "0")
    canvas.hover(position={"x": 300, "y": 200})
    seen = canvas.get_attribute("data-first")
    page.mouse.wheel(0, -200)
    expect(canvas).not_to_have_attribute("data-first", seen)
    page.locator("button.sbtk-map-whole").click()
    expect(canvas).to_have_attribute("data-last", str(total - 1))


def test_the_map_draws_what_is_in_use(opened, office):
    """Pixels of the canvas: cells that are free have the free colour, the others do not."""
    page = opened("20_fragmentation")
    free = page.evaluate(
        """() => {
          const canvas = document.querySelector('.sbtk-map-canvas');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          let free = 0, all = 0;
          for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] < 255) continue;
            all += 1;
            if (data[at] === 0xec && data[at + 1] === 0xee && data[at + 2] === 0xf1) free += 1;
          }
          return free / all;
        }"""
    )
    used = office.extents.owned.total_clusters / office.tables.volume.total_clusters
    assert free == pytest.approx(1 - used, abs=0.03)


def test_plan_follows_every_limit_and_is_saved(opened, lab):
    page = opened("30_plan")
    shown, says = page.locator(".sbtk-plan-shown"), page.locator(".sbtk-plan .sbtk-says")
    expect(shown).to_contain_text("manager spc")
    page.locator(".sbtk-plan-profile select").select_option("ctl")
    expect(shown).to_contain_text("manager ctl")
    page.locator(".sbtk-plan-layout button", has_text="files").click()
    expect(shown).to_contain_text("layout files")
    before = shown.inner_text()
    page.locator(".sbtk-plan-segments .noUi-handle").press("ArrowLeft")
    expect(shown).not_to_have_text(before, use_inner_text=True)
    before = shown.inner_text()
    page.locator(".sbtk-plan-segment .noUi-handle").press("ArrowRight")
    expect(shown).not_to_have_text(before, use_inner_text=True)
    page.locator(".sbtk-plan-record .noUi-handle").press("ArrowLeft")
    expect(shown).to_contain_text("records of 128 KiB")
    enter(page, "sbtk-plan-exclude", "Logs/*")
    expect(shown).to_contain_text("data of 4 files")
    enter(page, "sbtk-plan-to", "")
    expect(says).to_contain_text("Error:")
    enter(page, "sbtk-plan-to", "tape:other.tape")
    expect(says).not_to_contain_text("Error:")
    enter(page, "sbtk-plan-out", "runs/mine.sbtkplan")
    page.locator("button.sbtk-plan-save").click()
    expect(says).to_contain_text("Saved in runs/mine.sbtkplan")
    assert (lab.root / "runs" / "mine.sbtkplan").stat().st_size > 1000


def test_backup_waits_copies_and_proves_it(opened, lab):
    page = opened("40_backup")
    says, picture = page.locator(".sbtk-backup .sbtk-says"), page.locator(".sbtk-job-picture")

    # Cancelled while it waits for quiet.
    enter(page, "sbtk-backup-quiet", "50")
    enter(page, "sbtk-backup-timeout", "70")
    page.locator("button.sbtk-job-start").click()
    expect(picture).to_contain_text("The wait for quiet")
    expect(picture.locator("svg")).to_contain_text("quiet: 50 s without a write")
    expect(picture.locator("svg")).to_contain_text("fails after 70 s")
    page.locator("button.sbtk-job-cancel").click()
    expect(says).to_contain_text("Cancelled", timeout=LONG_MS)

    # Paused before the first list, then to the end.
    enter(page, "sbtk-backup-quiet", "1")
    page.locator(".sbtk-backup-layout select").select_option("files")
    page.locator(".sbtk-backup-exclude textarea").fill("Logs/*")
    page.locator("button.sbtk-job-start").click()
    page.locator("button.sbtk-job-pause").click()
    expect(says).to_contain_text("Paused")
    page.locator("button.sbtk-job-pause", has_text="Go on").click()
    expect(says).to_contain_text("Ended well", timeout=LONG_MS)
    expect(picture).to_contain_text("Which way the bytes went")
    expect(picture).to_contain_text("backup done, exit code 0")
    expect(picture).to_contain_text("File data through this server")
    events = [path.read_text() for path in (lab.root.parent / "state" / "runs").rglob("*.jsonl")]
    last = [text for text in events if '"Logs/*"' in text and '"run_stop"' in text][-1]
    moved = json.loads(last.splitlines()[-1])["moved_bytes"]
    assert moved > 3_000_000

    # What goes wrong is shown where the user looks.
    start = page.locator("button.sbtk-job-start")
    for field, wrong, right in (
        ("sbtk-backup-source", "no-such.img", "office.ntfs"),
        ("sbtk-backup-snapshot", "polaroid", "none"),
        ("sbtk-backup-to", "no/such/folder/disk.img", "full.img"),
    ):
        enter(page, field, wrong)
        start.click()
        expect(says).to_contain_text(wrong, timeout=LONG_MS)
        expect(says).to_contain_text("Error:")
        enter(page, field, right)

    # Overwriting asks for the name.
    shutil.copyfile(samples.unpack("office.ntfs"), lab.root / "full.img")
    start.click()
    expect(says).to_contain_text("Type its name into", timeout=LONG_MS)
    enter(page, "sbtk-job-confirm", "full.img")
    start.click()
    expect(says).to_contain_text("Ended well", timeout=LONG_MS)


_SETS = """
import sys, sbtk
from pathlib import Path
from sbtk import samples
from sbtk.mover.cartridge import create_cartridge
for name in ("camera.mbr", "office.ntfs"):
    tape = Path(sys.argv[1]) / f"{name}.tape"
    create_cartridge(tape, capacity_bytes=1 << 30)
    made = sbtk.backup(samples.unpack(name), to=f"tape:{tape}", snapshot="none", quiet_s=0.1,
                       timeout_s=60)
    print(made.set_id)
"""


@pytest.fixture(scope="module")
def two_sets(lab) -> tuple[str, str]:
    """A set of the camera's card and, newer, one of the office volume."""
    environment = {**os.environ, "SBTK_STATE_DIR": str(lab.root.parent / "state")}
    made = subprocess.run([sys.executable, "-c", _SETS, str(lab.root.parent)], check=True,
                          capture_output=True, text=True, env=environment)  # fmt: skip
    camera, office = made.stdout.split()
    return camera, office


def test_another_set_is_browsed_and_a_job_is_held_gone_on_with_and_cancelled(opened, lab, two_sets):
    page = opened(lab.with_cell("50_restore_verify", HOLD))
    says = page.locator(".sbtk-restore > * > .sbtk-says, .sbtk-restore > .sbtk-says").last
    browser, chosen = (
        page.locator(".sbtk-restore-browser"),
        page.locator(".sbtk-restore-set select"),
    )
    expect(browser).to_contain_text("Logs/server.log")
    chosen.select_option(label=_label(chosen, two_sets[0]))
    expect(browser).not_to_contain_text("Logs/server.log")
    expect(browser).to_contain_text("DCIM/")
    chosen.select_option(label=_label(chosen, two_sets[1]))
    expect(browser).to_contain_text("Logs/server.log")

    verify, pause = page.locator("button.sbtk-job-verify"), page.locator("button.sbtk-job-pause")
    expect(pause).to_be_disabled()
    verify.click()
    pause.click()
    expect(says).to_contain_text("Paused")
    expect(verify).to_be_disabled()
    expect(pause).to_have_text("Go on")
    pause.click()
    expect(says).to_contain_text("Running")
    page.locator("button.sbtk-job-cancel").click()
    expect(says).to_contain_text("Cancelled", timeout=LONG_MS)
    expect(verify).to_be_enabled()
    (lab.root / "go").touch()
    verify.click()
    expect(says).to_contain_text("Ended well", timeout=LONG_MS)


def test_verify_restore_and_extract(opened, lab, two_sets):
    page = opened("50_restore_verify")
    picture = page.locator(".sbtk-job-picture")
    search = page.locator(".sbtk-restore-browser .sbtk-search-text input")
    search.press_sequentially("server.log")
    expect(page.locator(".sbtk-restore-browser")).to_contain_text("Logs/server.log")

    page.locator("button.sbtk-job-verify").click()
    expect(picture).to_contain_text("everything checked is equal", timeout=LONG_MS)
    expect(picture).to_contain_text("the mover")

    page.locator("button.sbtk-job-extract").click()
    expect(page.locator(".sbtk-says", has_text="nothing to extract is named")).to_be_visible()
    enter(page, "sbtk-restore-files", "Logs/*.log")
    enter(page, "sbtk-restore-to", "got")
    page.locator("button.sbtk-job-extract").click()
    expect(picture).to_contain_text("extract done", timeout=LONG_MS)
    assert (lab.root / "got" / "Logs" / "server.log").stat().st_size > 100_000

    # Overwriting asks for the name.
    enter(page, "sbtk-restore-files", "")
    enter(page, "sbtk-restore-to", "back.img")
    page.locator("button.sbtk-job-restore").click()
    expect(picture).to_contain_text("restore done", timeout=LONG_MS)
    page.locator("button.sbtk-job-restore").click()
    asked = page.locator(".sbtk-says", has_text="Type its name into")
    expect(asked).to_be_visible(timeout=LONG_MS)
    enter(page, "sbtk-job-confirm", "back.img")
    page.locator("button.sbtk-job-restore").click()
    expect(asked).to_have_count(0)
    expect(picture).to_contain_text("restore done", timeout=LONG_MS)

    enter(page, "sbtk-restore-against", "back.img")
    page.locator("button.sbtk-job-verify").click()
    expect(picture).to_contain_text("of the LUN against the set's digests", timeout=LONG_MS)
    page.locator(".sbtk-restore-host input").check()
    page.locator("button.sbtk-job-verify").click()
    expect(picture).to_contain_text("this host", timeout=LONG_MS)


def test_audit_has_no_widgets_and_every_section(opened, lab):
    page = opened("60_audit")
    expect(page.locator(".jupyter-widgets")).to_have_count(0)
    for heading in ("Coverage", "Runs", "Verifies and checks", "Which way the bytes went"):
        expect(page.locator("h2", has_text=heading).first).to_be_visible()
    assert lab.result(page)["notebook"] == "60_audit"
    text = (lab.root / "runs" / "60_audit" / "audit.html").read_text()
    assert "In short" in text


def test_tour_decodes_what_is_changed(opened):
    page = opened("00_tour")
    record = page.locator(".sbtk-hex-record")
    meaning = record.locator(".sbtk-hex-meaning")
    expect(meaning).to_contain_text("in use")
    field = record.locator(".sbtk-hex-field select")
    field.select_option(label=_label(field, "flags (1 in use"))
    expect(record.locator(".sbtk-hex-bytes .lit")).to_have_count(2)
    value = record.locator(".sbtk-hex-value input")
    value.fill("00 00")
    value.press("Enter")
    expect(meaning).to_contain_text("free")
    expect(record.locator(".sbtk-says")).to_contain_text("1 byte changed")
    value.fill("zz")
    value.press("Enter")
    expect(record.locator(".sbtk-says")).to_contain_text("is no hexadecimal")
    record.locator("button.sbtk-hex-reset").click()
    expect(meaning).to_contain_text("in use")

    runs = page.locator(".sbtk-hex-runs")
    box = runs.locator(".sbtk-hex-field select")
    box.select_option(label=_label(box, "run 0: length"))
    expect(runs.locator(".sbtk-hex-value input")).to_have_value("02")
    before = runs.locator(".sbtk-hex-meaning").inner_text()
    runs.locator(".sbtk-hex-value input").fill("05")
    runs.locator(".sbtk-hex-value input").press("Enter")
    expect(runs.locator(".sbtk-hex-meaning")).not_to_have_text(before, use_inner_text=True)
    expect(runs.locator(".sbtk-hex-meaning")).to_contain_text("5 clusters at LCN")
    runs.locator("button.sbtk-hex-reset").click()
    expect(runs.locator(".sbtk-hex-meaning")).to_have_text(before, use_inner_text=True)

    listed = page.locator(".sbtk-hex-list")
    box = listed.locator(".sbtk-hex-field select")
    box.select_option(label=_label(box, "segment 0 (block to stream): lba"))
    expect(listed.locator(".sbtk-hex-value input")).to_have_value("00 00 00 00 00 00 08 00")
    listed.locator(".sbtk-hex-value input").fill("00 00 00 00 00 00 00 01")
    listed.locator(".sbtk-hex-value input").press("Enter")
    expect(listed.locator(".sbtk-hex-meaning")).to_contain_text("from LBA 1,")
    listed.locator("button.sbtk-hex-reset").click()
    expect(listed.locator(".sbtk-hex-meaning")).to_contain_text("from LBA 2,048,")

    queues = page.locator(".sbtk-queues")
    shown = queues.locator(".sbtk-queues-shown")
    expect(shown).to_contain_text("filled up with zeros (PAD)")
    queues.locator(".sbtk-queues-pad input").uncheck()
    expect(shown).to_contain_text("the copy ends here")
    queues.locator(".sbtk-queues-cat2 input").check()
    expect(shown).not_to_contain_text("the copy ends here")
    for slider in (".sbtk-queues-blocks0", ".sbtk-queues-blocks1", ".sbtk-queues-blocks2"):
        before = shown.inner_text()
        queues.locator(f"{slider} .noUi-handle").press("ArrowRight")
        expect(shown).not_to_have_text(before, use_inner_text=True)
    for box in (".sbtk-queues-cat0", ".sbtk-queues-cat1"):
        before = shown.inner_text()
        queues.locator(f"{box} input").uncheck()
        expect(shown).not_to_have_text(before, use_inner_text=True)
        queues.locator(f"{box} input").check()
        expect(shown).to_have_text(before, use_inner_text=True)
    before = shown.inner_text()
    queues.locator(".sbtk-queues-record .noUi-handle").press("ArrowLeft")
    expect(shown).not_to_have_text(before, use_inner_text=True)
    expect(page.locator(".jp-OutputArea", has_text="Which way the bytes went").last).to_be_visible()


def _label(select, beginning: str) -> str:
    """The whole label of the option that begins so."""
    option = select.locator("option", has_text=beginning).first
    option.wait_for(state="attached")
    return option.text_content().strip()
