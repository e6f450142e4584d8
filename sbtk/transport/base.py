"""The face of every transport: a command goes out, a response comes back.

A transport is one I_T_L nexus: one initiator's path to one logical unit. List identifiers of
EXTENDED COPY live on the I_T nexus (SPC-4 6.4.1), so a job keeps one transport from its copy
command to the last status query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sbtk.scsi.layout import ByteView

__all__ = [
    "ACA_ACTIVE", "BUSY", "CHECK_CONDITION", "CONDITION_MET", "GOOD", "RESERVATION_CONFLICT",
    "TASK_ABORTED", "TASK_SET_FULL", "ByteView", "Response", "Transport",
]  # fmt: skip

GOOD = 0x00
CHECK_CONDITION = 0x02
CONDITION_MET = 0x04
BUSY = 0x08
RESERVATION_CONFLICT = 0x18
TASK_SET_FULL = 0x28
ACA_ACTIVE = 0x30
TASK_ABORTED = 0x40


@dataclass(frozen=True)
class Response:
    """What came back for one command.

    Attributes:
        status: SCSI status byte (SAM-5 5.3.1).
        data_in: bytes the device returned, never more than were asked for.
        sense: raw sense data, empty unless status is CHECK CONDITION.
        wanted_out_bytes: what the command takes by its CDB, where that may differ from what was
            sent; None elsewhere. A target's own: it makes residual counts of it.
    """

    status: int = GOOD
    data_in: ByteView = b""
    sense: bytes = b""
    wanted_out_bytes: int | None = None


class Transport(Protocol):
    """Carries commands to one logical unit."""

    @property
    def name(self) -> str:
        """The location this transport leads to, free of secrets, for messages and journals."""

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
        timeout_s: float = 60.0,
    ) -> Response:
        """Send one command and wait for its end.

        A CHECK CONDITION is a response, not an exception: only the caller knows what it means.

        Args:
            cdb: the command descriptor block, 6, 10, 12, 16 or 32 bytes.
            data_out: bytes to send with it.
            data_in_bytes: most bytes that may come back.
            timeout_s: seconds after which the command is given up.

        Raises:
            TransportError: the command could not be carried, or no response came in time.
        """

    def close(self) -> None:
        """Give up the path; safe to call twice."""
