"""The documentation's index names every page, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

from sbtk import samples

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text())


def test_the_index_names_every_page():
    named = {link for link in links(ROOT / "docs" / "README.md") if "#" not in link}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= named, f"docs/README.md does not name {sorted(pages - named)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_link_leads_nowhere(page):
    for link in links(page):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name} -> {link}"


def test_the_readme_says_what_runs(monkeypatch):
    """The five lines of Python run as they stand, on the sample that they name."""
    samples.unpack("office.ntfs")
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    values: dict = {}
    exec(code[1], values)
    assert values["vol"].extents.fragmentation().worst().shape[0] > 0
