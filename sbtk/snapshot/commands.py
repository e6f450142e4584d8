"""Runs the commands of providers and hooks: argument lists, a time-out, one-line errors."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from sbtk.errors import SnapshotError, UsageError
from sbtk.units import format_seconds

Runner = Callable[[Sequence[str], float], str]
"""Runs an argument list within so many seconds and returns what it printed."""

_SHOWN_CHARACTERS = 300


def run_command(arguments: Sequence[str], timeout_s: float) -> str:
    """Run a command and return its standard output.

    Ctrl-C reaches this process and not the command: an lvcreate that is killed half-way leaves a
    suspended device. The interrupt is raised when the command has ended.

    Raises:
        SnapshotError: it cannot be started, failed, or did not end in time (it is killed then).
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SnapshotError(
            f"{arguments[0]} cannot be run: {error.strerror}",
            hint="Install it, or correct the command",
        ) from error
    with process:
        try:
            output, complaint = _finish(process, timeout_s)
        except subprocess.TimeoutExpired as error:
            raise SnapshotError(
                f"{arguments[0]} did not end within {format_seconds(timeout_s)} and was killed",
                hint="Run it by hand to see why",
            ) from error
        if process.returncode != 0:
            last = (complaint.strip() or output.strip()).splitlines()[-1:] or ["it says nothing"]
            raise SnapshotError(
                f"{arguments[0]} ended with status {process.returncode}: "
                f"{last[0].strip()[:_SHOWN_CHARACTERS]}"
            )
        return output


def _finish(process: subprocess.Popen[str], timeout_s: float) -> tuple[str, str]:
    try:
        try:
            return process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise
        except BaseException:
            process.communicate(timeout=timeout_s)
            raise
    except subprocess.TimeoutExpired:
        # It leads a process group of its own: its children must not keep the pipes open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise


def split_words(text: str, what: str) -> list[str]:
    """A command line as an argument list, split like shell words; no shell is involved.

    Raises:
        UsageError: a quotation mark is not closed; ``what`` names the text.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{what} cannot be split into words: {error}") from error


def fill(template: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Fill the ``{placeholders}`` of an argument list; each argument stays one argument.

    Raises:
        UsageError: a placeholder that does not exist.
    """
    try:
        return [word.format_map(values) for word in template]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{name}}}" for name in values)
        raise UsageError(
            f"the command {' '.join(template)!r} holds a placeholder that does not exist: {error}",
            hint=f"There are {known}; write {{{{ and }}}} for braces",
        ) from error
