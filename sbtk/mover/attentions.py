"""Unit attentions: what happened to a unit that an initiator is told before its next command."""

from __future__ import annotations

from threading import Lock

_MOST_INITIATORS = 1024
_MOST_PENDING = 8  # of one nexus

Code = tuple[int, int]


class UnitAttentions:
    """Additional sense codes that wait for I_T nexuses. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of_all: Code | None = None
        self._told: set[str] = set()
        self._of_one: dict[str, list[Code]] = {}

    def tell_all(self, code: Code) -> None:
        """Every nexus is told once, those that come later too."""
        with self._lock:
            self._of_all = code
            self._told.clear()

    def tell(self, nexus: str, code: Code) -> None:
        """One nexus is told once."""
        with self._lock:
            if nexus in self._of_one or len(self._of_one) < _MOST_INITIATORS:
                waiting = self._of_one.setdefault(nexus, [])
                if code not in waiting and len(waiting) < _MOST_PENDING:
                    waiting.append(code)

    @property
    def waiting(self) -> bool:
        """Whether any nexus may have to be told something; nearly never, and costs no lock."""
        return self._of_all is not None or bool(self._of_one)

    def take(self, nexus: str) -> Code | None:
        """What a nexus has to be told next; it is told by that."""
        if not self.waiting:
            return None
        with self._lock:
            waiting = self._of_one.get(nexus)
            if waiting:
                code = waiting.pop(0)
                if not waiting:
                    del self._of_one[nexus]
                return code
            if self._of_all is None or nexus in self._told:
                return None
            if len(self._told) >= _MOST_INITIATORS:
                self._told.clear()
            self._told.add(nexus)
            return self._of_all
