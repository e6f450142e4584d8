"""A transport that counts: how many commands of which kind, and how many bytes they carried.

A job reports from these figures what went through the host; the mover's own counters say what it
moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from sbtk.scsi.cdb import COMMANDS
from sbtk.scsi.cdb_copy import THIRD_PARTY_COPY_IN, THIRD_PARTY_COPY_OUT
from sbtk.transport.base import GOOD, ByteView, Response, Transport

_WITH_ACTION = frozenset(opcode for opcode, action, _ in COMMANDS if action is not None)


@dataclass(frozen=True)
class CommandCount:
    """What one kind of command has carried.

    Attributes:
        commands: how many were sent.
        failed: how many did not end with GOOD.
        data_out_bytes: bytes sent with them.
        data_in_bytes: bytes that came back.
    """

    commands: int = 0
    failed: int = 0
    data_out_bytes: int = 0
    data_in_bytes: int = 0

    def __add__(self, other: CommandCount) -> CommandCount:
        return CommandCount(
            self.commands + other.commands,
            self.failed + other.failed,
            self.data_out_bytes + other.data_out_bytes,
            self.data_in_bytes + other.data_in_bytes,
        )


class CountingTransport:
    """Passes every command on and counts it."""

    def __init__(self, inner: Transport) -> None:
        """Count what goes through ``inner``."""
        self._inner = inner
        self._lock = Lock()
        self._counts: dict[tuple[int, int | None], CommandCount] = {}

    @property
    def name(self) -> str:
        """Location of the inner transport."""
        return self._inner.name

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
        timeout_s: float = 60.0,
    ) -> Response:
        """See ``Transport.execute``; a command that could not be carried counts as failed."""
        status, received = -1, 0
        try:
            response = self._inner.execute(
                cdb, data_out=data_out, data_in_bytes=data_in_bytes, timeout_s=timeout_s
            )
            status, received = response.status, len(response.data_in)
            return response
        finally:
            self._count(cdb, CommandCount(1, int(status != GOOD), len(data_out), received))

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    @property
    def counts(self) -> dict[tuple[int, int | None], CommandCount]:
        """(operation code, service action or None) -> what it carried so far."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> CommandCount:
        """All commands together."""
        return sum(self.counts.values(), CommandCount())

    @property
    def copy_commands(self) -> CommandCount:
        """EXTENDED COPY and the questions about it; ``data_out_bytes`` holds inline data too."""
        third_party = (THIRD_PARTY_COPY_OUT, THIRD_PARTY_COPY_IN)
        chosen = (item for key, item in self.counts.items() if key[0] in third_party)
        return sum(chosen, CommandCount())

    def _count(self, cdb: bytes, one: CommandCount) -> None:
        opcode = cdb[0] if cdb else 0
        key = opcode, cdb[1] & 0x1F if opcode in _WITH_ACTION and len(cdb) > 1 else None
        with self._lock:
            self._counts[key] = self._counts.get(key, CommandCount()) + one
