"""An iSCSI initiator in Python: one session, one connection, many commands in flight (RFC 7143).

A thread receives; each caller of ``execute`` sends its own data, so that neither side ever waits
for the other to read. Error recovery level 0: a broken connection fails what was under way, and
is built anew for the next command; only commands that change nothing are repeated.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sbtk.errors import RemoteScsiError, TransportError
from sbtk.scsi import iscsi
from sbtk.scsi.iscsi import SERIAL_MASK, serial_after
from sbtk.scsi.iscsi_login import Chap, InitiatorLogin
from sbtk.scsi.iscsi_text import Parameters
from sbtk.settings import settings
from sbtk.transport.base import ByteView, Response
from sbtk.transport.iscsi_connection import Connection
from sbtk.transport.lent import lend

DEFAULT_INITIATOR = "iqn.2026-11.sbtk:initiator"
CONNECT_TIMEOUT_S = 10.0
CLEAN_UP_TIMEOUT_S = 2.0  # for a logout or an abort, which are only polite
PREFERRED = Parameters(
    max_receive_bytes=1 << 20,
    initial_r2t=False,
    immediate_data=True,
    max_burst_bytes=(1 << 24) - 512,
    first_burst_bytes=1 << 20,
)
_PAUSES_S = (0.0, 0.2, 0.8)  # before each further try: a link that was cut may need a moment
# Operation codes that change nothing and may be sent again on a new session: TEST UNIT READY,
# REQUEST SENSE, INQUIRY, MODE SENSE, READ CAPACITY, READ(10/12/16) of disks, LOG SENSE, REPORT
# LUNS. READ(6) is not among them: on a tape it moves.
_REPEATABLE = frozenset(b"\x00\x03\x12\x1a\x25\x28\x37\x4d\x5a\x88\x9e\xa0\xa8")


@dataclass(frozen=True)
class Endpoint:
    """Where and as whom to log in.

    Attributes:
        host: name or address of the portal.
        port: its TCP port.
        target: iSCSI name of the target; empty for discovery.
        initiator: our iSCSI name.
        chap: who we prove to be when the target asks.
        mutual: whom the target must prove to be.
        preferred: what we would like to run under.
    """

    host: str
    port: int
    target: str
    initiator: str = DEFAULT_INITIATOR
    chap: Chap | None = None
    mutual: Chap | None = None
    preferred: Parameters = PREFERRED

    def __str__(self) -> str:
        """The location without its LUN and without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"iscsi://{host}:{self.port}/{self.target}"


@dataclass
class _Pending:
    """A request from its sending to its response.

    Attributes:
        connection: that it went out on.
        request: its PDU, numbered.
        data_out: what it writes.
        data_in: where Data-In goes.
        data_in_bytes: how far ``data_in`` is filled.
        inbox: R2Ts, and at last the response, or the error that ended the session.
    """

    connection: Connection
    request: iscsi.InitiatorPdu
    data_out: memoryview = field(default_factory=lambda: memoryview(b""), repr=False)
    data_in: memoryview = field(default=memoryview(b""), repr=False)
    data_in_bytes: int = 0
    inbox: queue.SimpleQueue[tuple[iscsi.TargetPdu, bytes] | Exception] = field(
        default_factory=queue.SimpleQueue
    )

    def send_data(
        self, start: int, end: int, lun: int, transfer_tag: int = iscsi.RESERVED_TAG
    ) -> None:
        """Send one sequence of Data-Out (11.7)."""
        most = self.connection.parameters.max_send_bytes
        for number, position in enumerate(range(start, end, most)):
            stop = min(position + most, end)
            pdu = iscsi.DataOut(
                initiator_task_tag=self.request.initiator_task_tag,
                final=stop == end,
                lun=lun,
                target_transfer_tag=transfer_tag,
                expected_status_sn=self.request.expected_status_sn,
                data_sn=number,
                buffer_offset_bytes=position,
            )
            self.connection.send(pdu, self.data_out[position:stop])


class IscsiSession:
    """One session with one target. Thread-safe; ``lun`` gives a transport to each unit."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connect and log in.

        Raises:
            TransportError: no connection, or the login is refused.
        """
        self.endpoint = endpoint
        # A random ISID (type 10b, 11.12.5), kept for the life of this object: to the target, a
        # session that is built anew is the same I_T nexus.
        self._isid = int.from_bytes(b"\x80" + os.urandom(3) + b"\0\0", "big")
        self._lock = threading.Condition()
        self._order = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._connection: Connection | None = None
        self._failure: Exception | None = None
        self._closed = False
        self._task_tag = 0
        self._command_sn = self._max_command_sn = self._expected_status_sn = 0
        with self._lock:
            self._connect_locked()

    # -- the session --------------------------------------------------------------------------

    def _connect_locked(self) -> None:
        endpoint = self.endpoint
        try:
            sock = socket.create_connection(
                (endpoint.host, endpoint.port),
                timeout=min(CONNECT_TIMEOUT_S, settings().iscsi_silence_s),
            )
        except OSError as error:
            raise TransportError(
                f"{endpoint} does not answer: {error.strerror or error}",
                hint="Check host, port and network, and that the target is served",
            ) from error
        connection = Connection(sock, Parameters(max_receive_bytes=1 << 18))
        try:
            login, last = self._log_in(connection)
        except (TransportError, RemoteScsiError) as error:
            connection.close()
            hint = getattr(error, "hint", "")
            raise TransportError(f"{endpoint}: {error}", hint=hint) from error
        sock.settimeout(None)
        connection.parameters = login.parameters
        self._connection, self._failure = connection, None
        self._command_sn = last.expected_command_sn
        self._max_command_sn = last.max_command_sn
        self._expected_status_sn = (last.status_sn + 1) & SERIAL_MASK
        threading.Thread(
            target=self._receive, args=(connection,), name="iscsi-receive", daemon=True
        ).start()

    def _log_in(self, connection: Connection) -> tuple[InitiatorLogin, iscsi.LoginResponse]:
        endpoint = self.endpoint
        login = InitiatorLogin(
            initiator=endpoint.initiator,
            target=endpoint.target,
            own=endpoint.preferred,
            isid=self._isid,
            random_bytes=os.urandom,
            chap=endpoint.chap,
            mutual=endpoint.mutual,
        )
        request, text = login.first()
        expected_status_sn = 0
        while True:
            connection.send(replace(request, expected_status_sn=expected_status_sn), text)
            response = connection.receive_header()
            if not isinstance(response, iscsi.LoginResponse):
                raise RemoteScsiError("the target broke off the login")
            expected_status_sn = (response.status_sn + 1) & SERIAL_MASK
            step = login.receive(response, bytes(connection.receive_data(response)))
            if step is None:
                return login, response
            request, text = step

    def close(self) -> None:
        """Log out and close; safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            connection = self._connection
        if connection is not None:
            with contextlib.suppress(TransportError, RemoteScsiError):
                self._exchange(iscsi.LogoutRequest(), timeout_s=CLEAN_UP_TIMEOUT_S)
            connection.close()

    def __enter__(self) -> IscsiSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def lun(self, lun: int) -> IscsiTransport:
        """The transport to one logical unit; closing it leaves the session open."""
        return IscsiTransport(self, lun)

    # -- commands -----------------------------------------------------------------------------

    def execute(
        self, lun: int, cdb: bytes, data_out: ByteView, data_in_bytes: int, timeout_s: float
    ) -> Response:
        """Run one command on one unit; see ``Transport.execute``."""
        for pause_s in _PAUSES_S:
            try:
                return self._execute_once(lun, cdb, data_out, data_in_bytes, timeout_s)
            except TransportError:
                with self._lock:
                    broken = self._failure is not None and not self._closed
                if not broken or cdb[0] not in _REPEATABLE:
                    raise
            time.sleep(pause_s)
        return self._execute_once(lun, cdb, data_out, data_in_bytes, timeout_s)

    def _execute_once(
        self, lun: int, cdb: bytes, data_out: ByteView, data_in_bytes: int, timeout_s: float
    ) -> Response:
        view = memoryview(data_out)
        connection = self._ready()
        agreed = connection.parameters
        unsolicited = min(len(view), agreed.first_burst_bytes)
        immediate = min(unsolicited, agreed.max_send_bytes) if agreed.immediate_data else 0
        if agreed.initial_r2t:
            unsolicited = immediate
        command = iscsi.ScsiCommand(
            final=unsolicited == immediate,
            read=data_in_bytes > 0,
            write=len(view) > 0,
            lun=iscsi.encode_lun(lun),
            expected_transfer_bytes=len(view) or data_in_bytes,
            cdb=cdb,
        )
        task = _Pending(connection, command, view, lend(data_in_bytes))
        with self._submitted(task, view[:immediate]):
            if unsolicited > immediate:
                self._send_data(task, immediate, unsolicited, command.lun)
            return self._finish(task, command, timeout_s)

    def _finish(self, task: _Pending, command: iscsi.ScsiCommand, timeout_s: float) -> Response:
        """Send what the target asks for until it gives the status."""
        while True:
            try:
                pdu, data = self._next(task, timeout_s)
            except TimeoutError:
                self._abort(task, command)
                raise TransportError(
                    f"{self.endpoint}: no answer within {timeout_s:g} s; the command was aborted",
                    hint="Check the target, or allow more time",
                ) from None
            if isinstance(pdu, iscsi.ReadyToTransfer):
                start, end = pdu.buffer_offset_bytes, pdu.buffer_offset_bytes + pdu.desired_bytes
                if end > len(task.data_out):
                    raise TransportError(f"{self.endpoint} asks for more data than the command has")
                self._send_data(task, start, end, command.lun, pdu.target_transfer_tag)
                continue
            filled = task.data_in[: task.data_in_bytes]
            if isinstance(pdu, iscsi.DataIn):
                return Response(status=pdu.status, data_in=filled)
            if isinstance(pdu, iscsi.ScsiResponse) and pdu.response == 0:
                sense = data[2 : 2 + int.from_bytes(data[:2], "big")]
                return Response(status=pdu.status, data_in=filled, sense=sense)
            raise TransportError(f"{self.endpoint} refused the command ({type(pdu).__name__})")

    def _abort(self, task: _Pending, command: iscsi.ScsiCommand) -> None:
        abort = iscsi.TaskManagementRequest(
            immediate=True,
            function=iscsi.ABORT_TASK,
            lun=command.lun,
            referenced_task_tag=task.request.initiator_task_tag,
        )
        with contextlib.suppress(TransportError, RemoteScsiError):
            self._exchange(abort, timeout_s=CLEAN_UP_TIMEOUT_S)

    def _next(self, task: _Pending, timeout_s: float) -> tuple[iscsi.TargetPdu, bytes]:
        try:
            item = task.inbox.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(item, Exception):
            raise TransportError(f"{self.endpoint}: {item}", hint=getattr(item, "hint", ""))
        return item

    def _exchange(
        self, request: iscsi.InitiatorPdu, data: bytes = b"", *, timeout_s: float
    ) -> tuple[iscsi.TargetPdu, bytes]:
        """Send a request that is no SCSI command and wait for its response."""
        task = _Pending(self._ready(reconnect=False), request)
        with self._submitted(task, data):
            try:
                return self._next(task, timeout_s)
            except TimeoutError:
                raise TransportError(f"{self.endpoint}: no answer within {timeout_s:g} s") from None

    def _ready(self, *, reconnect: bool = True) -> Connection:
        """A connection that is up, built anew where the last one broke."""
        with self._lock:
            if reconnect and self._closed:
                raise TransportError(f"{self.endpoint}: the session is closed")
            if reconnect and self._failure is not None:
                self._connect_locked()
            if self._connection is None or self._failure is not None:
                raise TransportError(f"{self.endpoint}: {self._failure}")
            return self._connection

    @contextlib.contextmanager
    def _submitted(self, task: _Pending, data: ByteView) -> Iterator[None]:
        """Number a request, send it, and keep it among the pending ones meanwhile."""
        while not self._sent_in_order(task, data):
            self._wait_for_window()
        try:
            yield
        finally:
            with self._lock:
                self._pending.pop(task.request.initiator_task_tag, None)

    def _sent_in_order(self, task: _Pending, data: ByteView) -> bool:
        """Number a request and send it; False while the target takes no more commands.

        Commands must leave in the order of their numbers. Only those that send wait for that: the
        thread that receives must not, or we and the target would wait for each other to receive.
        """
        with self._order:
            with self._lock:
                request = task.request
                if not request.immediate and serial_after(self._command_sn, self._max_command_sn):
                    return False
                if self._failure is None and self._connection is not None:
                    task.connection = self._connection  # built anew since this one was made ready
                self._task_tag = tag = (self._task_tag + 1) % iscsi.RESERVED_TAG
                task.request = request.changed(
                    initiator_task_tag=tag,
                    command_sn=self._command_sn,
                    expected_status_sn=self._expected_status_sn,
                )
                if not request.immediate:
                    self._command_sn = (self._command_sn + 1) & SERIAL_MASK
                self._pending[tag] = task
            try:
                task.connection.send(task.request, data)
            except TransportError as error:
                self._broke(task.connection, error)
                with self._lock:
                    self._pending.pop(tag, None)
                raise
        return True

    def _wait_for_window(self) -> None:
        with self._lock:
            while serial_after(self._command_sn, self._max_command_sn):
                if self._failure is not None:
                    raise TransportError(f"{self.endpoint}: {self._failure}")
                self._lock.wait()

    # -- what comes in ------------------------------------------------------------------------

    def _receive(self, connection: Connection) -> None:
        try:
            while True:
                pdu = connection.receive_header()
                if pdu is None:
                    raise TransportError("the target closed the connection")
                if not isinstance(pdu, iscsi.TargetPdu):
                    raise RemoteScsiError("the target sent a PDU that only initiators send")
                self._take(connection, pdu)
        except (TransportError, RemoteScsiError) as error:
            self._broke(connection, error)

    def _broke(self, connection: Connection, error: Exception) -> None:
        """The connection is of no use any more: what waits on it fails."""
        connection.close()
        with self._lock:
            if self._connection is connection and self._failure is None:
                self._failure = error
                for pending in self._pending.values():
                    pending.inbox.put(error)
                self._lock.notify_all()

    def _send_data(
        self, task: _Pending, start: int, end: int, lun: int, tag: int = iscsi.RESERVED_TAG
    ) -> None:
        try:
            task.send_data(start, end, lun, tag)
        except TransportError as error:
            self._broke(task.connection, error)
            raise

    def _take(self, connection: Connection, pdu: iscsi.TargetPdu) -> None:
        with self._lock:
            pending = self._pending.get(pdu.initiator_task_tag)
            if serial_after(pdu.max_command_sn, self._max_command_sn):
                self._max_command_sn = pdu.max_command_sn
                self._lock.notify_all()
        if isinstance(pdu, iscsi.DataIn):
            self._take_data(connection, pdu, pending)
        else:
            data = bytes(connection.receive_data(pdu))
            if isinstance(pdu, iscsi.Reject):
                self._take_reject(pdu, data)
            elif isinstance(pdu, iscsi.NopIn) and pending is None:
                self._answer_ping(connection, pdu)
            elif isinstance(pdu, iscsi.AsyncMessage):
                if pdu.event in (1, 2, 3):  # logout requested, connection or session dropped
                    raise TransportError("the target ends the session")
            elif pending is not None:
                pending.inbox.put((pdu, data))
        if not isinstance(pdu, iscsi.ReadyToTransfer) and not (
            isinstance(pdu, iscsi.DataIn) and not pdu.has_status
        ):
            self._expected_status_sn = (pdu.status_sn + 1) & SERIAL_MASK

    def _take_data(
        self, connection: Connection, pdu: iscsi.DataIn, pending: _Pending | None
    ) -> None:
        end = pdu.buffer_offset_bytes + pdu.data_bytes
        if pending is None:  # given up meanwhile
            connection.receive_data(pdu)
            return
        if pdu.buffer_offset_bytes != pending.data_in_bytes or end > len(pending.data_in):
            raise RemoteScsiError("Data-In that does not follow what came before")
        connection.receive_data(pdu, pending.data_in[pdu.buffer_offset_bytes : end])
        pending.data_in_bytes = end
        if pdu.has_status:
            pending.inbox.put((pdu, b""))

    def _take_reject(self, pdu: iscsi.Reject, header: bytes) -> None:
        with self._lock:
            tag = iscsi.decode(header).initiator_task_tag
            pending = self._pending.get(tag)
        if pending is not None:
            pending.inbox.put((pdu, header))

    def _answer_ping(self, connection: Connection, pdu: iscsi.NopIn) -> None:
        if pdu.target_transfer_tag == iscsi.RESERVED_TAG:
            return
        connection.send(
            iscsi.NopOut(
                immediate=True,
                lun=pdu.lun,
                target_transfer_tag=pdu.target_transfer_tag,
                command_sn=self._command_sn,
                expected_status_sn=self._expected_status_sn,
            )
        )


class IscsiTransport:
    """A ``Transport`` to one logical unit of a session."""

    def __init__(self, session: IscsiSession, lun: int, *, owns_session: bool = False) -> None:
        self._session = session
        self._lun = lun
        self._owns_session = owns_session

    @property
    def name(self) -> str:
        """The location, without secrets."""
        return f"{self._session.endpoint}/{self._lun}"

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
        timeout_s: float = 60.0,
    ) -> Response:
        """Send one command and wait for its end; see ``Transport.execute``."""
        return self._session.execute(self._lun, cdb, data_out, data_in_bytes, timeout_s)

    def close(self) -> None:
        """Log out if the session is this transport's own."""
        if self._owns_session:
            self._session.close()
