"""Command lists that a copy manager carries out at once, and what comes of each.

One thread sends them and asks after all of them in turn. Lists may end in any order. Where one
fails, no more are sent, those under way are waited for, and the first of the failed is told: all
lists in front of it have ended well then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sbtk.errors import CheckConditionError, CopyFailedError, SbtkError
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList, Running
from sbtk.scsi.sense import decode
from sbtk.scsi.sense_codes import INSUFFICIENT_RESOURCES

_FIRST_POLL_S, _LONGEST_POLL_S = 0.0005, 0.25


class InFlight:
    """The lists of one job that are under way; leaving it with an error aborts them."""

    def __init__(
        self, client: CopyClient, control: Control, ended: Callable[[int, bytes], None]
    ) -> None:
        """Send lists through ``client``.

        Args:
            client: of the copy manager.
            control: cancels.
            ended: told the number of each list that has ended well, and its held data.
        """
        self._client, self._control, self._told = client, control, ended
        self._running: dict[int, Running] = {}
        self._failed: dict[int, SbtkError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        for running in self._running.values():
            with contextlib.suppress(SbtkError):  # what went wrong first is what is told
                self._client.abort(running)
        self._running.clear()

    def start(self, command: int, copy: CopyList, most: int) -> None:
        """Send one list as soon as no more than ``most`` are under way with it.

        Raises:
            CopyFailedError: a list stopped.
            CancelledError: the user cancelled; what was under way has been aborted.
            TransportError: the path to the manager broke: nobody knows how far they came.
        """
        self._wait(max(most, 1) - 1)
        while True:
            try:
                self._running[command] = self._client.start(copy)
            except CopyFailedError as error:
                if self._running and _is_full(error):  # others copy there, too
                    self._wait(len(self._running) - 1)
                    continue
                self._failed[command] = error
                self._wait(0)
            return

    def drain(self) -> None:
        """Wait until none is under way; the same errors as ``start``."""
        self._wait(0)

    def _wait(self, most: int) -> None:
        pause_s = _FIRST_POLL_S
        aborted = False
        while len(self._running) > (0 if self._failed or self._control.cancelled else most):
            if self._control.cancelled and not aborted:
                aborted = True
                for running in self._running.values():
                    self._client.abort(running)
            if self._collect():
                pause_s = _FIRST_POLL_S
                continue
            self._control.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
        self._control.check()
        if self._failed:
            raise self._failed[min(self._failed)]

    def _collect(self) -> bool:
        """Take what has ended; whether anything has."""
        found = [item for item in self._running.items() if self._client.has_ended(item[1])]
        for command, running in found:
            del self._running[command]
            try:
                held = self._client.result(running)
            except CheckConditionError as error:
                self._failed[command] = error
            else:
                self._told(command, held)
        return bool(found)


def _is_full(error: CopyFailedError) -> bool:
    return len(error.sense) >= 3 and decode(error.sense).code == INSUFFICIENT_RESOURCES
