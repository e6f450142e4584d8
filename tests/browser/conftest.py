"""One JupyterLab and one browser a session; a page whose errors fail the test."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.lab import CHROMIUM, RUN_MS, running_lab

expect.set_options(timeout=RUN_MS / 2)  # an event ends a wait; this only bounds it


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


def is_jupyterlabs_own(stack: str) -> bool:
    """Whether this is the one error that JupyterLab throws by itself.

    Its notebook layout sometimes removes a cell's node twice when a document is opened
    (jupyterlab#15415). All frames are in JupyterLab's own bundle then; whatever a widget of ours
    or its manager throws has frames elsewhere.
    """
    frames = [line for line in stack.splitlines() if line.lstrip().startswith("at ")]
    return (
        "NotFoundError: Failed to execute 'removeChild' on 'Node'" in stack
        and bool(frames)
        and all("/static/lab/" in line for line in frames)
    )


@pytest.fixture
def opened(lab, page):
    """Opens a notebook and runs it; any error of the page fails the test.

    JupyterLab's own error is allowed once, and only until the test itself touches the page.
    """
    errors: list[str] = []
    allowed: list[str] = []
    running = [True]

    def take(error) -> None:
        stack = error.stack or str(error)
        own = running[0] and not allowed and is_jupyterlabs_own(stack)
        (allowed if own else errors).append(stack)

    page.on("pageerror", take)
    page.set_default_timeout(RUN_MS / 2)
    page.set_viewport_size({"width": 1300, "height": 1000})

    def open_and_run(name: str):
        lab.open(page, name)
        lab.run_all(page)
        running[0] = False
        return page

    yield open_and_run
    page.close()
    lab.end_kernels()
    assert errors == []
