"""``sbtk lab``: JupyterLab on a copy of the notebooks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import DebugOption, JsonOption, print_json, verb_app
from sbtk.errors import DeviceWriteError, SbtkError, UsageError
from sbtk.runbooks import FOLDER

app = verb_app("Start JupyterLab on the notebooks.")

NOTEBOOKS = FOLDER.parent


@app.command()
def lab(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where your copies of the notebooks are.")
    ] = Path("sbtk-notebooks"),
    port: Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    start: Annotated[bool, typer.Option(help="Start it; --no-start only copies.")] = True,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Copy the notebooks that are not there yet; start JupyterLab on them, for this host only.

    Ctrl-C ends it at once, with the kernels that it started.
    """
    del debug
    if start:
        check_that_it_can_start(port)
    copied = copy_notebooks(folder)
    if as_json:
        print_json({"folder": str(folder.resolve()), "copied": copied, "port": port})
    else:
        sys.stdout.write(f"{len(copied)} notebooks copied to {folder}; none was overwritten\n")
    sys.stdout.flush()
    if not start:
        return
    words = [
        sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.answer_yes=True", "--log-level=WARN",
        f"--ServerApp.root_dir={folder.resolve()}", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    if not browser:
        words.append("--no-browser")
    if os.geteuid() == 0:
        words.append("--allow-root")
    os.execv(words[0], words)  # noqa: S606 - our own interpreter; Ctrl-C and signals are Jupyter's


def check_that_it_can_start(port: int) -> None:
    """Say in one line what JupyterLab would say in many.

    Raises:
        SbtkError: JupyterLab is not installed.
        UsageError: another program listens on the port.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise SbtkError("JupyterLab is not installed", hint="pip install jupyterlab")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"TCP port {port} of this host cannot be had ({error.strerror or error})",
                hint="Name another one with --port",
            ) from error


def copy_notebooks(folder: Path) -> list[str]:
    """Copy every notebook that ``folder`` does not have; changed ones are never overwritten.

    Raises:
        DeviceWriteError: the folder cannot be written.
    """
    copied = []
    for source in sorted(NOTEBOOKS.rglob("*.ipynb")):
        name = source.relative_to(NOTEBOOKS)
        if ".ipynb_checkpoints" in name.parts or (folder / name).exists():
            continue
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        except OSError as error:
            raise DeviceWriteError(
                f"{folder / name} cannot be written: {error.strerror or error}",
                hint="Name another folder with --dir",
            ) from error
        copied.append(str(name))
    return copied
