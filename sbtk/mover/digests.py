"""BLAKE3 digests of what segments move, computed beside the copy and held in order.

Large pieces are digested by a thread while the copy writes them and reads what follows: hashing
takes about as long as reading and writing together. Small ones are digested where they are.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread

from blake3 import blake3

from sbtk.mover.held_data import HeldData

_LARGE_BYTES = 128 << 10
"""Below this, handing a piece over costs more than it saves."""

_Work = tuple[blake3, memoryview]


class SegmentDigests:
    """The digests of one copy. At most one piece is being digested at a time.

    A piece given to ``update`` is used until the next call of ``update`` or ``settle`` returns.
    """

    def __init__(self, held: HeldData) -> None:
        """Digests go to ``held``."""
        self._held = held
        self._running: blake3 | None = None
        self._ended: blake3 | None = None
        self._busy = False
        self._thread: Thread | None = None
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()

    def begin(self, *, wanted: bool) -> None:
        """A segment begins, and its digest is wanted or not."""
        self._running = blake3() if wanted else None

    def update(self, piece: memoryview) -> None:
        """Take the next piece of the segment; if it is large, it is digested beside the copy."""
        if self._busy or self._ended is not None:
            self.settle()
        if self._running is None:
            return
        if len(piece) < _LARGE_BYTES:
            self._running.update(piece)
            return
        if self._thread is None:
            arguments = self._work, self._done
            self._thread = Thread(
                target=_digest_all, args=arguments, name="sbtk-digest", daemon=True
            )
            self._thread.start()
        self._work.put((self._running, piece))
        self._busy = True

    def end(self) -> None:
        """The segment came to its end: its digest, if wanted, will be held."""
        if self._running is None:
            return
        if self._ended is not None:
            self.settle()
        self._ended, self._running = self._running, None

    def settle(self) -> None:
        """Wait for what is being digested, and hold the digest of the segment that has ended."""
        if self._busy:
            self._busy = False
            error = self._done.get()
            if error is not None:
                raise error
        if self._ended is not None:
            self._held.append(self._ended.digest())
            self._ended = None

    def close(self) -> None:
        """Settle, and end the thread."""
        try:
            self.settle()
        finally:
            if self._thread is not None:
                self._work.put(None)
                self._thread.join()
                self._thread = None


def _digest_all(work: SimpleQueue[_Work | None], done: SimpleQueue[BaseException | None]) -> None:
    """Digest piece after piece until None comes."""
    while (item := work.get()) is not None:
        digest, piece = item
        error: BaseException | None = None
        try:
            digest.update(piece)
        except BaseException as raised:  # it belongs to the copy, and is raised there
            error = raised
        done.put(error)
