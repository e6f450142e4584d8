"""Held data of one copy: what hold and digest segments leave for the initiator to fetch."""

from __future__ import annotations

from sbtk.transport.base import ByteView


class HeldData:
    """The most recent bytes, up to the copy manager's limit (SPC-4 6.20; xcopy.md 6).

    Attributes:
        discarded: HDD: older bytes had to go.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._data = bytearray()
        self.discarded = False

    def append(self, data: ByteView) -> None:
        """Add bytes; the oldest go where the limit is passed."""
        self.discarded |= len(self._data) + len(data) > self._limit
        self._data += data[max(0, len(data) - self._limit) :]
        excess = len(self._data) - self._limit
        if excess > 0:
            del self._data[:excess]

    @property
    def data(self) -> bytes:
        """What is held."""
        return bytes(self._data)
