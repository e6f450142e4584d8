"""Where an archive's bytes come from: a callback for any place, or a stream that only goes on."""

from __future__ import annotations

from collections.abc import Callable

from sbtk.errors import ArchiveError

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset_bytes, length_bytes)``: bytes of the archive, fewer only at its end."""

ReadNext = Callable[[], bytes]
"""The next bytes of a stream (one tape record, one read of a pipe); none at its end."""


class SequentialSource:
    """A stream as a ``ReadAt`` for a reader that only goes forward, such as a tape's records.

    Going forward over data drops it. Going back works within the last ``keep_bytes``.
    """

    def __init__(self, read_next: ReadNext, *, keep_bytes: int = 1 << 20) -> None:
        self._read_next = read_next
        self._keep_bytes = keep_bytes
        self._start_bytes = 0  # address of the first byte that is held
        self._held = bytearray()
        self._ended = False

    @property
    def position_bytes(self) -> int:
        """Bytes taken from the stream so far."""
        return self._start_bytes + len(self._held)

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes from ``offset_bytes`` on; fewer at the end of the stream.

        Raises:
            ArchiveError: these bytes have gone by.
        """
        if offset_bytes < self._start_bytes:
            raise ArchiveError(
                f"byte {offset_bytes} of the stream has gone by",
                hint="Rewind the medium and read it from the beginning",
            )
        while self.position_bytes < offset_bytes + length_bytes and not self._ended:
            self._drop_before(min(offset_bytes, self.position_bytes - self._keep_bytes))
            data = self._read_next()
            self._ended = not data
            self._held += data
        at = offset_bytes - self._start_bytes
        return bytes(self._held[at : at + length_bytes])

    def _drop_before(self, offset_bytes: int) -> None:
        count = min(offset_bytes - self._start_bytes, len(self._held))
        if count > 0:
            del self._held[:count]
            self._start_bytes += count
