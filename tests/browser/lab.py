"""JupyterLab in headless Chromium: a server of its own, and a page with one notebook."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHROMIUM = {
    "executable_path": "/usr/bin/chromium",
    "args": [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
}  # fmt: skip
START_S = 180.0
RUN_MS = 240_000


@dataclass(frozen=True)
class Lab:
    """A running server.

    Attributes:
        url: its address.
        token: what lets one in.
        root: folder with a copy of the notebooks.
    """

    url: str
    token: str
    root: Path

    def open(self, page: Page, name: str, *, dark: bool = False) -> None:
        """Open one notebook and wait for its kernel; nothing is run yet."""
        page.goto(f"{self.url}/doc/tree/{name}.ipynb?token={self.token}&reset")
        page.wait_for_function("window.jupyterapp?.restored !== undefined", timeout=RUN_MS)
        page.evaluate("() => window.jupyterapp.restored")
        theme = "JupyterLab Dark" if dark else "JupyterLab Light"
        page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        is_light = str(not dark).lower()
        page.wait_for_selector(f"body[data-jp-theme-light={is_light}]", state="attached")
        page.wait_for_function(_KERNEL_IS_IDLE, timeout=RUN_MS)

    def run_all(self, page: Page) -> None:
        """Run every cell and wait for the last one; fails on an error in a cell."""
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".jp-OutputArea-output", has_text="RESULT {").last.wait_for(timeout=RUN_MS)
        errors = page.locator(
            '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]'
        )
        assert errors.count() == 0, errors.all_inner_texts()

    def end_kernels(self) -> None:
        """End every kernel: none of an earlier test takes memory, or counts its cells on."""
        for session in json.loads(self._ask("sessions")):
            self._ask(f"sessions/{session['id']}", "DELETE")

    def _ask(self, what: str, method: str = "GET") -> bytes:
        address = f"{self.url}/api/{what}?token={self.token}"
        with urllib.request.urlopen(
            urllib.request.Request(address, method=method), timeout=60
        ) as answer:
            return answer.read()

    def with_cell(self, name: str, code: str) -> str:
        """A copy of a notebook with a cell of the test's before all others; its name."""
        notebook = json.loads((self.root / f"{name}.ipynb").read_text())
        cell = {"cell_type": "code", "id": "test", "metadata": {}, "source": code, "outputs": [],
                "execution_count": None}  # fmt: skip
        notebook["cells"].insert(0, cell)
        (self.root / f"{name}-test.ipynb").write_text(json.dumps(notebook))
        return f"{name}-test"

    def result(self, page: Page) -> dict:
        """The line that the last cell printed, as the page shows it."""
        text = page.locator(".jp-OutputArea-output", has_text="RESULT {").last.inner_text()
        return json.loads(text.split("RESULT ", 1)[1])


# No news pop-up over the page, and every cell in it whether it is in view or not.
_SETTINGS = {
    "apputils-extension/notification":
        '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}  # fmt: skip
_KERNEL_IS_IDLE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  return panel?.sessionContext?.session?.kernel?.status === 'idle';
}"""


@contextmanager
def running_lab(folder: Path, state_dir: Path) -> Iterator[Lab]:
    """Start JupyterLab on a copy of the notebooks; everything it writes lies in ``folder``."""
    root = folder / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs"))
    for name, text in _SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", "--allow-root",
        f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    places = {
        name: str(folder / place)
        for name, place in (
            ("HOME", "home"), ("JUPYTER_CONFIG_DIR", "config"), ("JUPYTER_DATA_DIR", "data"),
            ("JUPYTER_RUNTIME_DIR", "runtime"), ("IPYTHONDIR", "ipython"),
            ("JUPYTERLAB_SETTINGS_DIR", "settings"), ("JUPYTERLAB_WORKSPACES_DIR", "workspaces"),
        )
    }  # fmt: skip
    environment = {**os.environ, **places, "SBTK_STATE_DIR": str(state_dir)}
    environment["SBTK_RERAISE_CALLBACKS"] = ""
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            lab = Lab(f"http://127.0.0.1:{port}", token, root)
            _wait(lab, server, folder / "lab.log")
            yield lab
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start in {START_S:.0f} s: {log.read_text()[-2000:]}")
