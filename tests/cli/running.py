"""Run the command line: in this process, at the end of a pipe, or on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass

import pytest

from sbtk.cli import app

SBTK = (sys.executable, "-m", "sbtk")


@dataclass(frozen=True)
class Ended:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """Run ``sbtk WORDS`` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        app.main([str(word) for word in words])
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return Ended(stop.value.code, captured.out, captured.err)


def run_on_terminal(*words: object, columns: int) -> tuple[int, str]:
    """Run ``sbtk WORDS`` on a new terminal; its exit code, and what the screen was sent."""
    main_end, other_end = pty.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "CI"}}
    process = subprocess.Popen(
        [*SBTK, *map(str, words)], stdin=other_end, stdout=other_end, stderr=other_end,
        env={**environment, "TERM": "xterm-256color"}, close_fds=True,
    )  # fmt: skip
    os.close(other_end)
    sent = bytearray()
    while True:
        try:
            piece = os.read(main_end, 65536)
        except OSError:  # EIO: the terminal was closed by its last user
            break
        if not piece:
            break
        sent += piece
    os.close(main_end)
    return process.wait(), sent.decode()
