"""The last cell of every notebook: what came out, as one line and as a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sbtk.errors import DeviceWriteError
from sbtk.whole_file import write_whole

MARK = "RESULT "
FILE_NAME = "result.json"


def folder(out_dir: str) -> Path:
    """The folder that a notebook writes into, made if missing.

    Raises:
        DeviceWriteError: it cannot be made.
    """
    path = Path(out_dir or ".")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceWriteError(
            f"{path} cannot be made: {error.strerror or error}",
            hint="Set out_dir to a folder that this user may write to",
        ) from error
    return path


def result(notebook: str, facts: dict[str, Any], out_dir: str) -> None:
    """Print ``RESULT {json}`` and write ``result.json``.

    Args:
        notebook: its name.
        facts: plain values, no secrets.
        out_dir: folder of ``result.json``.

    Raises:
        DeviceWriteError: the file cannot be written.
    """
    line = json.dumps({"notebook": notebook, **facts}, ensure_ascii=False, default=str)
    target = folder(out_dir) / FILE_NAME
    try:
        write_whole(target, f"{line}\n".encode())
    except OSError as error:
        raise DeviceWriteError(f"{target} cannot be written: {error.strerror or error}") from error
    sys.stdout.write(f"{MARK}{line}\n")
