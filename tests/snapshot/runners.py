"""A runner that expects exactly these commands, in this order, and answers them."""

from __future__ import annotations

from collections.abc import Sequence

from sbtk.errors import SnapshotError


class ExpectedCommands:
    """Fails on a wrong, missing or left-over command.

    Each expectation is (command line, answer); an answer that is an exception is raised.
    """

    def __init__(self, *expected: tuple[str, str | SnapshotError]) -> None:
        self.expected = list(expected)

    def __call__(self, arguments: Sequence[str], timeout_s: float) -> str:
        assert timeout_s > 0
        line = " ".join(arguments)
        assert self.expected, f"unexpected: {line}"
        wanted, answer = self.expected.pop(0)
        assert line == wanted
        if isinstance(answer, SnapshotError):
            raise answer
        return answer

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, traceback):
        assert exc_type is not None or not self.expected, f"left over: {self.expected}"
