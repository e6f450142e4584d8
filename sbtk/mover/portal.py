"""The mover as an iSCSI target: listens, logs initiators in, runs a session for each (RFC 7143).

A thread a connection: the bytes of reads and writes move in large blocking calls that hold no
lock of the interpreter, which an event loop would cut into pieces.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sbtk.errors import RemoteScsiError, TransportError
from sbtk.mover.portal_session import ScsiTarget, Session
from sbtk.scsi.iscsi import LoginRequest
from sbtk.scsi.iscsi_login import Access, TargetLogin
from sbtk.scsi.iscsi_text import Parameters
from sbtk.transport.iscsi_connection import Connection

DEFAULT_PORT = 3260
LOGIN_TIMEOUT_S = 15.0  # a connection that does not log in gives its place back
MAX_CONNECTIONS = 256
PREFERRED = Parameters(
    max_receive_bytes=1 << 20,
    initial_r2t=False,
    immediate_data=True,
    max_burst_bytes=(1 << 24) - 512,
    first_burst_bytes=1 << 20,
    max_outstanding_r2t=1,
)


@dataclass(frozen=True)
class PortalTarget:
    """One iSCSI target of the portal.

    Attributes:
        target: where its commands go.
        access: initiator name -> what it must prove; None where it is not let in.
    """

    target: ScsiTarget
    access: Callable[[str], Access | None] = field(repr=False)


class Portal:
    """Listens on one address and serves named targets until it is closed; a context manager."""

    def __init__(
        self,
        targets: Mapping[str, PortalTarget],
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        discovery: Callable[[str], Access | None] = lambda _initiator: Access(),
        preferred: Parameters = PREFERRED,
    ) -> None:
        """Begin to listen; port 0 takes a free one.

        Raises:
            TransportError: the address cannot be had.
        """
        self._targets = dict(targets)
        self._discovery = discovery
        self._preferred = preferred
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str, int], Session] = {}
        self._connections: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._last_tsih = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=64)
        except OSError as error:
            raise TransportError(
                f"the portal cannot listen on {host} port {port}: {error.strerror or error}",
                hint="Choose another address or port, or stop what listens there (ss -ltnp)",
            ) from error
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name="iscsi-portal", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        """``host:port`` as an initiator writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def close(self) -> None:
        """Stop listening, drop every session and wait for their threads. Safe to call twice."""
        with self._lock:
            self._closed = True
            connections, threads = list(self._connections), list(self._threads)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in connections:
            connection.close()
        for thread in (self._acceptor, *threads):
            thread.join()

    def __enter__(self) -> Portal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- connections --------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                if self._closed or len(self._connections) >= MAX_CONNECTIONS:
                    sock.close()
                    continue
                connection = Connection(sock, Parameters())
                thread = threading.Thread(
                    target=self._serve, args=(sock, connection), name="iscsi-session", daemon=True
                )
                self._connections.add(connection)
                self._threads.add(thread)
                thread.start()

    def _serve(self, sock: socket.socket, connection: Connection) -> None:
        try:
            sock.settimeout(LOGIN_TIMEOUT_S)
            session = self._log_in(connection)
            if session is not None:
                sock.settimeout(None)
                session.run()
                self._forget(session)
        except (TransportError, RemoteScsiError):
            pass  # the initiator went away or spoke no iSCSI: nothing is owed to it
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())

    def _log_in(self, connection: Connection) -> Session | None:
        login = TargetLogin(self._access, self._preferred, os.urandom)
        status_sn, tsih = 1, 0
        while True:
            request = connection.receive_header()
            if not isinstance(request, LoginRequest):
                return None
            data = bytes(connection.receive_data(request))
            response, text = login.receive(request, data)
            if login.complete:
                with self._lock:
                    self._last_tsih = tsih = self._last_tsih % 0xFFFF + 1
            numbered = replace(
                response,
                tsih=tsih or response.tsih,
                status_sn=status_sn,
                expected_command_sn=request.command_sn,
                max_command_sn=request.command_sn,
            )
            status_sn += 1
            if login.complete:
                session = self._session(connection, login, request.command_sn, status_sn)
                connection.send(numbered, text)
                connection.parameters = login.parameters
                return session
            connection.send(numbered, text)
            if response.status_class:
                return None

    def _access(self, initiator: str, target: str) -> Access | None:
        if not target:
            return self._discovery(initiator)
        known = self._targets.get(target)
        return known.access(initiator) if known else None

    def _session(
        self, connection: Connection, login: TargetLogin, command_sn: int, status_sn: int
    ) -> Session:
        nexus = f"{login.initiator},i,0x{login.isid:012x}"
        known = self._targets.get(login.target)
        session = Session(
            connection,
            known.target if known else None,
            nexus=nexus,
            first_command_sn=command_sn,
            first_status_sn=status_sn,
            listing=lambda: self._listing(login.initiator, connection),
        )
        key = (login.initiator, login.target, login.isid)
        with self._lock:
            previous = None if login.discovery else self._sessions.get(key)
            if not login.discovery:
                self._sessions[key] = session
        if previous is not None:
            # Session reinstatement, 6.3.5: the old one is over before the new one begins.
            previous.close()
            previous.ended.wait(LOGIN_TIMEOUT_S)
        return session

    def _forget(self, session: Session) -> None:
        with self._lock:
            self._sessions = {
                key: item for key, item in self._sessions.items() if item is not session
            }

    def _listing(self, initiator: str, connection: Connection) -> list[tuple[str, str]]:
        """The targets this initiator is let into, at the address it came to."""
        host, port = connection.local_address
        address = f"[{host}]:{port},1" if ":" in host else f"{host}:{port},1"
        return [
            (name, address)
            for name, known in sorted(self._targets.items())
            if known.access(initiator) is not None
        ]
