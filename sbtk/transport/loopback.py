"""A transport to a unit of a mover in this process: no network, no copy of the data."""

from __future__ import annotations

from typing import Protocol

from sbtk.errors import TransportError
from sbtk.transport.base import ByteView, Response


class Executor(Protocol):
    """What commands are given to: ``sbtk.mover.target.Target``."""

    def execute(
        self, nexus: str, lun: int, cdb: bytes, data_out: ByteView, data_in_bytes: int
    ) -> Response:
        """Run one command of one nexus."""


class Loopback:
    """One nexus to one LUN of a target."""

    def __init__(self, target: Executor, lun: int, nexus: str, *, name: str) -> None:
        """Lead to ``lun``; several transports may share a nexus, and with it its list ids.

        Args:
            target: the mover.
            lun: the unit.
            nexus: as whom commands are sent: the initiator's name, and a comma and more where
                it has several sessions.
            name: the location, for messages and journals.
        """
        self._target = target
        self._lun = lun
        self._nexus = nexus
        self._open = True
        self.name = name

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
        timeout_s: float = 60.0,  # noqa: ARG002 - a call in this process ends when it ends
    ) -> Response:
        """See ``Transport.execute``; the command runs in the calling thread.

        Raises:
            TransportError: the transport is closed.
        """
        if not self._open:
            raise TransportError(f"the path to {self.name} is closed")
        return self._target.execute(self._nexus, self._lun, cdb, data_out, data_in_bytes)

    def close(self) -> None:
        """Give up the path; the nexus stays for other transports on it."""
        self._open = False
