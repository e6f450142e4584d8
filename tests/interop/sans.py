"""Our SANs as their users run them: ``sbtk san`` in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sbtk.cli.san import app

_START_S = 30.0


@dataclass(frozen=True)
class San:
    """A SAN in service.

    Attributes:
        process: ``sbtk san serve``.
        address: ``host:port``.
        iqn: name of its target.
        locations: of its LUNs.
    """

    process: subprocess.Popen[str]
    address: str
    iqn: str
    locations: tuple[str, ...]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def san_command(*words: object) -> str:
    """Run ``sbtk san`` in this process and give what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        app(list(map(str, words)), prog_name="sbtk san", standalone_mode=False)
    return out.getvalue()


@contextlib.contextmanager
def serving(folder: Path, *options: object, prefix: tuple[str, ...] = ()) -> Iterator[San]:
    """Serve a SAN on a free port; ended by SIGTERM, which must end it cleanly.

    Args:
        folder: of the SAN.
        options: of ``sbtk san serve``.
        prefix: words before the command: ``ip netns exec NAME``.
    """
    words = [*prefix, sys.executable, "-m", "sbtk", "san", "serve", str(folder), "--json"]
    process = subprocess.Popen(
        [*words, "--port", "0", *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the SAN did not start: {process.communicate()[1]}")
        told = json.loads(line)
        yield San(process, told["address"], told["iqn"], tuple(told["locations"]))
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=_START_S)
            assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.communicate()
