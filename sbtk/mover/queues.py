"""The two byte queues of a copy and what becomes of their rest (SPC-4 5.17.7.2; xcopy.md 4.3).

``source`` holds bytes that were read and not processed, ``destination`` bytes that were processed
and not written. Both live as long as the command; at the end of every segment CAT and the PAD bits
decide about what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sbtk.mover.copy_abort import abort
from sbtk.mover.sinks import Sink
from sbtk.scsi import sense_codes as codes


@dataclass
class Queues:
    """Residual data of one copy.

    Attributes:
        source: read and not yet processed.
        destination: processed and not yet written.
    """

    source: bytearray = field(default_factory=bytearray)
    destination: bytearray = field(default_factory=bytearray)

    def take_source(self, count_bytes: int) -> bytes:
        """Up to ``count_bytes`` of what was left by earlier segments, oldest first."""
        taken = bytes(memoryview(self.source)[:count_bytes])
        del self.source[: len(taken)]
        return taken

    def feed(self, piece: memoryview, sink: Sink) -> None:
        """Process bytes: write every whole transfer that there is now, keep the rest.

        Only what is kept is copied.
        """
        rest = self.destination
        if not rest:
            whole = _whole(len(piece), sink)
            if whole:
                sink.write(piece[:whole])
            if whole < len(piece):
                rest += piece[whole:]
            return
        whole = _whole(len(rest) + len(piece), sink)
        taken = max(0, whole - len(rest))
        if whole:
            with memoryview(rest) as view, view[:whole] as head:
                sink.write(piece[:taken], head)
            del rest[:whole]
        rest += piece[taken:]

    def end_segment(
        self, *, cat: bool, source_pad: bool, target_pad: bool, sink: Sink | None
    ) -> None:
        """Apply the table of CAT and PAD (SPC-4 tables 115, 116).

        Args:
            cat: keep both queues for the next segment.
            source_pad: PAD of the source; False where a type has none.
            target_pad: PAD of the destination; False where a type has none.
            sink: the destination, None where a type has none.

        Raises:
            CopyAbort: 26/0Ah, the segment does not come out even.
        """
        if cat or not (self.source or self.destination):
            return
        if target_pad and sink is not None:
            if self.destination:
                if sink.limit_bytes is not None:  # the designated range is already full
                    raise abort(codes.UNEXPECTED_INEXACT_SEGMENT)
                self.destination += bytes(-len(self.destination) % sink.transfer_bytes)
                with memoryview(self.destination) as view:
                    sink.write(view)
                self.destination.clear()
            if source_pad:
                self.source.clear()
        elif source_pad:
            self.source.clear()
            self.destination.clear()
        else:
            raise abort(codes.UNEXPECTED_INEXACT_SEGMENT)


def _whole(count_bytes: int, sink: Sink) -> int:
    """Bytes of whole transfers that may be written now."""
    whole = count_bytes - count_bytes % sink.transfer_bytes
    if sink.limit_bytes is None:
        return whole
    return min(whole, sink.limit_bytes - sink.written_bytes)
