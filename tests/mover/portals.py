"""Portals of this process for tests, and the sessions and wires to them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.target import Target
from sbtk.scsi.iscsi_login import Access
from sbtk.transport.iscsi import Endpoint, IscsiSession

IQN = "iqn.2026-11.test.sbtk:portal"


@dataclass(frozen=True)
class Served:
    """A portal in service.

    Attributes:
        target: its mover; LUNs 0, 1, ... are the units.
        portal: what listens.
        iqn: name of its target.
    """

    target: Target
    portal: Portal
    iqn: str = IQN

    @property
    def address(self) -> str:
        return self.portal.address

    def location(self, lun: int, port: int = 0) -> str:
        return f"iscsi://127.0.0.1:{port or self.portal.port}/{self.iqn}/{lun}"

    def session(self, name: str = "a", port: int = 0, **fields) -> IscsiSession:
        """A session of an initiator of its own."""
        endpoint = Endpoint(
            "127.0.0.1", port or self.portal.port, self.iqn, f"iqn.2026-11.test:{name}", **fields
        )
        return IscsiSession(endpoint)


@contextlib.contextmanager
def served(*units, access=lambda _initiator: Access(), **options) -> Iterator[Served]:
    """Serve units to everybody; at the end no thread of the portal is left."""
    target = Target(open_access=True)
    for lun, unit in enumerate(units):
        target.add(lun, unit)
    try:
        with Portal({IQN: PortalTarget(target, access)}, port=0, **options) as portal:
            yield Served(target, portal)
    finally:
        target.close()


class Wire:
    """A stretch of network before a port that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._whole = True
        self.carried_bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection and take no new one."""
        with self._lock:
            self._whole = False
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self, port: int = 0) -> None:
        """Take connections again, to another port where one is given."""
        with self._lock:
            self._whole, self._to = True, port or self._to

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                whole, to = self._whole, self._to
            try:
                far = socket.create_connection(("127.0.0.1", to)) if whole else None
            except OSError:
                far = None
            if far is None:
                near.close()
                continue
            with self._lock:
                self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
                with self._lock:
                    self.carried_bytes += len(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
