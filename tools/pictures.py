"""Pictures of every notebook, light and dark, into a folder: ``python -m tools.pictures``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from sbtk import samples
from tests.browser.lab import CHROMIUM, NOTEBOOKS, Lab, running_lab

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
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        browser = playwright.chromium.launch(**CHROMIUM)
        with running_lab(folder, folder / "state") as lab:
            _use_copy_of_sample(lab.root)
            for name in names:
                for theme in ("light", "dark"):
                    target = chosen.out / f"{name}-{theme}.png"
                    shoot(browser, lab, name, target, dark=theme == "dark")
                    print(target)
        browser.close()


def _use_copy_of_sample(root: Path) -> None:
    """Let the notebooks work on a copy beside them: no picture shows where a checkout lies."""
    shutil.copyfile(samples.unpack("office.ntfs"), root / "office.img")
    for path in root.glob("*.ipynb"):
        path.write_text(path.read_text().replace('\\"office.ntfs\\"', '\\"office.img\\"'))


def shoot(browser: Browser, lab: Lab, name: str, target: Path, *, dark: bool) -> None:
    """Run a notebook and take a picture of all of it."""
    page = browser.new_page(viewport={"width": WIDTH_PX, "height": 1000})
    lab.open(page, name, dark=dark)
    lab.run_all(page)
    page.mouse.move(2, 2)
    height = min(int(page.evaluate(_HEIGHT)), MAX_HEIGHT_PX)
    page.set_viewport_size({"width": WIDTH_PX, "height": height})
    page.evaluate("() => document.querySelectorAll('.jp-Notebook, .jp-WindowedPanel-outer')"
                  ".forEach((node) => node.scrollTo(0, 0))")  # fmt: skip
    page.wait_for_timeout(1200)  # the map asks for cells that fit the new width
    page.screenshot(path=target)
    page.close()


if __name__ == "__main__":
    main()
