"""``sbtk lab``: copies that are never overwritten, a server on them, errors of one line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from sbtk.cli import lab
from sbtk.errors import SbtkError, UsageError

NOTEBOOKS = Path(lab.NOTEBOOKS)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def started(folder: Path, *words: str):
    """The verb in a process of its own, at home in ``folder``."""
    places = {name: str(folder / name.lower()) for name in (
        "HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
    )}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "sbtk", "lab", "--dir", str(folder / "books"), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **places},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def fetched(address: str, process: subprocess.Popen) -> bytes:
    """What is there; the address is told a moment before the server listens."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=180) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)


def test_it_serves_a_copy_of_the_tour_and_ends_on_ctrl_c(tmp_path):
    port = free_port()
    with started(tmp_path, "--port", str(port), "--no-browser") as process:
        assert "11 notebooks copied" in process.stdout.readline()
        told = ""
        while not (found := re.search(rf"http://127\.0\.0\.1:{port}/lab\?token=(\w+)", told)):
            line = process.stderr.readline()
            assert line, told  # it ended without an address
            told += line
        address = f"http://127.0.0.1:{port}/api/contents/00_tour.ipynb?token={found[1]}"
        served = json.loads(fetched(address, process))["content"]
        assert served["cells"][0]["source"].startswith("# A tour")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.partition("?")[0], timeout=60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))  # nothing listens there any more


def test_a_changed_copy_is_kept_and_the_committed_one_is_not_touched(tmp_path):
    assert len(lab.copy_notebooks(tmp_path)) == 11
    tour = tmp_path / "00_tour.ipynb"
    committed = (NOTEBOOKS / "00_tour.ipynb").read_bytes()
    assert tour.read_bytes() == committed
    tour.write_text("mine")
    (tmp_path / "10_volume.ipynb").unlink()
    assert lab.copy_notebooks(tmp_path) == ["10_volume.ipynb"]
    assert tour.read_text() == "mine"
    assert (NOTEBOOKS / "00_tour.ipynb").read_bytes() == committed


def test_a_port_in_use_is_one_line_and_nothing_is_copied(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with started(tmp_path, "--port", str(port), "--no-browser") as process:
            out, errors = process.communicate(timeout=180)
    assert process.returncode == UsageError.exit_code
    assert out == ""
    assert errors.count("\n") == 1
    assert f"TCP port {port} of this host cannot be had" in errors
    assert "--port" in errors
    assert not (tmp_path / "books").exists()


def test_no_jupyterlab_is_one_line(monkeypatch):
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SbtkError) as caught:
        lab.check_that_it_can_start(free_port())
    assert caught.value.line == "JupyterLab is not installed. pip install jupyterlab"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "books").write_text("a file")
    with started(tmp_path, "--no-start") as process:
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 15
    assert "cannot be written" in errors
    assert errors.count("\n") == 1
