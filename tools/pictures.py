"""Pictures of every notebook, light and dark, into a folder: ``python -m tools.pictures``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

import sbtk
from sbtk import samples
from tests.browser.lab import CHROMIUM, NOTEBOOKS, RUN_MS, Lab, running_lab

ROOT = Path(__file__).resolve().parents[1]
WIDTH_PX, MAX_HEIGHT_PX = 1240, 6000
_HEIGHT = """() => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  return Math.ceil(cells.reduce((sum, cell) => sum + cell.offsetHeight + 6, 0)) + 160;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="notebooks; all if none is named")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img" / "notebooks")
    chosen = parser.parse_args()
    names = chosen.names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sbtk-") as place, sync_playwright() as playwright:
        folder = Path(place)
        browser = playwright.chromium.launch(**CHROMIUM)
        with running_lab(folder, folder / "state") as lab:
            _use_copy_of_sample(lab.root)
            _make_history(lab.root, folder / "state")
            for name in names:
                for theme in ("light", "dark"):
                    target = chosen.out / f"{name}-{theme}.png"
                    shoot(browser, lab, name, target, dark=theme == "dark")
                    print(target)
        browser.close()


_HISTORY = """
from pathlib import Path
import sbtk
from sbtk.mover.cartridge import create_cartridge
for name in ("camera", "office"):
    tape = Path(f"runs/{name}.tape")
    create_cartridge(tape, capacity_bytes=1 << 30)
    made = sbtk.backup(f"{name}.img", to=f"tape:{tape}", snapshot="none", quiet_s=0.5,
                       timeout_s=60)
    sbtk.verify(made.set_id)
try:
    sbtk.restore("last", to="office.img")
except sbtk.SbtkError:
    pass  # refused, because it would be overwritten: the audit shows that, too
"""


def _make_history(root: Path, state_dir: Path) -> None:
    """Sets of two volumes, verified, and a run that was refused: what catalogs and audits show."""
    (root / "runs").mkdir(exist_ok=True)
    environment = {**os.environ, "SBTK_STATE_DIR": str(state_dir)}
    subprocess.run([sys.executable, "-c", _HISTORY], cwd=root, env=environment, check=True)


def _use_copy_of_sample(root: Path) -> None:
    """Let the notebooks work on a copy beside them: no picture shows where a checkout lies."""
    for name in ("office.ntfs", "camera.mbr"):
        shutil.copyfile(samples.unpack(name), root / f"{name.partition('.')[0]}.img")
    for path in root.glob("*.ipynb"):
        path.write_text(path.read_text().replace('\\"office.ntfs\\"', '\\"office.img\\"'))


def shoot(browser: Browser, lab: Lab, name: str, target: Path, *, dark: bool) -> None:
    """Run a notebook and take a picture of all of it."""
    page = browser.new_page(viewport={"width": WIDTH_PX, "height": 1000})
    lab.end_kernels()
    lab.open(page, name, dark=dark)
    lab.run_all(page)
    if name in _ACTS:
        _ACTS[name](page, lab)
    page.mouse.move(2, 2)
    height = min(int(page.evaluate(_HEIGHT)), MAX_HEIGHT_PX)
    page.set_viewport_size({"width": WIDTH_PX, "height": height})
    page.evaluate("() => document.querySelectorAll('.jp-Notebook, .jp-WindowedPanel-outer')"
                  ".forEach((node) => node.scrollTo(0, 0))")  # fmt: skip
    page.wait_for_timeout(1200)  # the map asks for cells that fit the new width
    page.screenshot(path=target)
    page.close()


def back_up(page: Page, lab: Lab) -> None:
    """Wait for quiet while somebody writes for two seconds, copy, and make the report."""
    page.locator("button.sbtk-job-start").click()
    expect(page.locator(".sbtk-job-picture svg").first).to_be_visible(timeout=RUN_MS)
    with (lab.root / "office.img").open("r+b") as source:
        first = source.read(1)
        for pause_s in (0.3, 0.3, 0.5, 0.2, 0.6):
            time.sleep(pause_s)
            os.pwrite(source.fileno(), first, 0)  # the same byte: a write all the same
    expect(page.locator(".sbtk-backup .sbtk-says")).to_contain_text("Ended well", timeout=RUN_MS)
    _run_from(page, "page.report(job)")


def verify_damaged(page: Page, lab: Lab) -> None:
    """Change one byte of a file in the newest set, verify, and show where that is."""
    with sbtk.open_volume(lab.root / "office.img") as volume:
        known = volume.open("Logs/server.log").read()[:4096]
    tape = lab.root / "runs" / "office.tape"
    content = bytearray(tape.read_bytes())
    content[content.index(known[200:]) - 100] = known[100] ^ 0xFF
    tape.write_bytes(content)
    choice = page.locator(".sbtk-restore-set select")
    option = choice.locator("option", has_text="office").last.text_content()
    choice.select_option(label=(option or "").strip())
    page.locator("button.sbtk-job-verify").click()
    says = page.locator(".sbtk-says", has_text="Ended with findings")
    expect(says).to_be_visible(timeout=RUN_MS)
    _run_from(page, "page.mismatch_map(job, interactive)")
    expect(page.locator(".sbtk-map-canvas")).to_be_visible(timeout=RUN_MS)


_ACTS = {"40_backup": back_up, "50_restore_verify": verify_damaged}
"""What is done in a notebook before its picture is taken: a form alone shows little."""


def _run_from(page: Page, source: str) -> None:
    """Run the cell with this source, and all below it."""
    before = page.locator(".jp-OutputArea-output", has_text="RESULT {").last.inner_text()
    page.evaluate(_RUN_FROM, source)
    expect(page.locator(".jp-OutputArea-output", has_text="RESULT {").last).not_to_have_text(
        before, timeout=RUN_MS
    )


_RUN_FROM = """(source) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.findIndex(
    (cell) => cell.model.sharedModel.getSource().trim() === source);
  return window.jupyterapp.commands.execute('notebook:run-all-below');
}"""


if __name__ == "__main__":
    main()
