"""A gate that writers pass: closed for the moment in which a snapshot begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Condition


class WriteGate:
    """Many writers at once, or one that waits until none is inside and keeps them out."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._closed = False
        self._waiters = 0  # for the last writer to leave; waking somebody costs more than a write

    def writing(self) -> AbstractContextManager[object]:
        """Hold the gate for one write, from before it is looked at until it is on the medium."""
        return self

    def __enter__(self) -> None:
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            if self._waiters and not self._inside:
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """No write is under way inside this block; those that come meanwhile wait."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            self._waiters += 1
            while self._inside:
                self._changed.wait()
            self._waiters -= 1
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
