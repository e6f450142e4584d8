"""Run other people's tools; a tool that is missing or refuses fails the test that needs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class OracleError(AssertionError):
    """A tool did not run; the message holds its own words."""


def output_of(*command: str | Path, ok: tuple[int, ...] = (0,)) -> str:
    """What the tool printed; bytes that are no UTF-8 come as surrogates."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, env=ENVIRONMENT, check=False
        )
    except FileNotFoundError as error:
        raise OracleError(f"{command[0]} is missing: see packages.debian.txt") from error
    if done.returncode not in ok:
        words = done.stderr.decode(errors="replace").strip()
        raise OracleError(f"{' '.join(map(str, command))} ended with {done.returncode}: {words}")
    return done.stdout.decode("utf-8", "surrogateescape")


def bytes_of(*command: str | Path) -> bytes:
    """What the tool wrote to its standard output, untouched."""
    return output_of(*command).encode("utf-8", "surrogateescape")
