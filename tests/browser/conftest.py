"""One JupyterLab and one browser a session; a page whose errors fail the test."""

from __future__ import annotations

import pytest

from tests.browser.lab import CHROMIUM, RUN_MS, running_lab


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict:
    """Debian's Chromium."""
    return CHROMIUM


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab of our own."""
    folder = tmp_path_factory.mktemp("lab")
    with running_lab(folder, folder / "state") as running:
        yield running


def ours(error) -> list[str]:
    """The error's stack, unless it is JupyterLab's own.

    JupyterLab's notebook layout sometimes removes a cell's node twice when a document is opened
    (jupyterlab#15415). That error's frames are all in JupyterLab's bundle; anything that a widget
    of ours throws has frames elsewhere.
    """
    stack = error.stack or str(error)
    frames = [line for line in stack.splitlines() if line.lstrip().startswith("at ")]
    removed_twice = "Failed to execute 'removeChild'" in stack
    if removed_twice and frames and all("/static/lab/" in line for line in frames):
        return []
    return [stack]


@pytest.fixture
def opened(lab, page):
    """Opens a notebook and runs it; any error of the page fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.extend(ours(error)))
    page.set_default_timeout(RUN_MS / 4)
    page.set_viewport_size({"width": 1300, "height": 1000})

    def open_and_run(name: str):
        lab.open(page, name)
        lab.run_all(page)
        return page

    yield open_and_run
    assert errors == []
