"""Threads that run calls in the order in which they were given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Workers:
    """Up to ``count`` threads, begun one with each call. Nothing is kept of a call that is done.

    Much cheaper a call than ``concurrent.futures``, whose futures a portal has no use for.
    """

    def __init__(self, count: int, name: str) -> None:
        """No thread runs yet; ``name`` is theirs, for whoever looks at them."""
        self._count = count
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = (
            SimpleQueue()
        )
        self._threads: list[threading.Thread] = []

    def submit(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have a thread run ``call``, which raises nothing. For one thread, that also closes."""
        self._calls.put((call, arguments))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Wait until all calls are done and the threads have ended."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, arguments = item
            call(*arguments)
            del item, call, arguments  # a call that is done keeps nothing while the next is awaited
