"""One session of an initiator with the portal: one connection, many commands in flight.

The receiving thread reads PDUs and hands commands to workers; a slow copy never holds up the next
command. Commands for one tape unit run one after another, as they came. Error recovery level 0:
whatever breaks the protocol ends the session, and the initiator logs in again.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from sbtk.errors import RemoteScsiError, SbtkError, TransportError
from sbtk.mover.portal_task import Task, answers, first_data
from sbtk.mover.workers import Workers
from sbtk.scsi import iscsi
from sbtk.scsi.iscsi import SERIAL_MASK, Pdu, serial_after
from sbtk.scsi.iscsi_reads import PlainRead, decode_plain_read, encode_whole_answer
from sbtk.scsi.iscsi_text import decode_pairs, encode_pairs
from sbtk.transport.base import ByteView, Response
from sbtk.transport.iscsi_connection import Connection

QUEUE_DEPTH = 128  # commands that an initiator may have in flight (MaxCmdSN)
DISK_WORKERS = 4
MAX_WRITE_BYTES = 64 << 20  # of one command: more than any MAXIMUM TRANSFER LENGTH of ours
_WORTH_SENDING_BYTES = 32 << 10  # what need not wait for other answers: its client has work
_TOGETHER_BYTES = 1 << 20  # of an answer that are sent in one piece
WHOLE_RESPONSE_BYTES = MAX_WRITE_BYTES  # what a unit may answer; cut to what was asked for here


class ScsiTarget(Protocol):
    """What the portal serves: see ``sbtk.mover.target.Target``."""

    def execute(
        self, nexus: str, lun: int, cdb: bytes, data_out: ByteView, data_in_bytes: int
    ) -> Response:
        """Run one command of an I_T nexus."""

    def read_now(self, nexus: str, lun: int, lba: int, blocks: int) -> memoryview | None:
        """What a read answers if it waits for nothing; None where ``execute`` has to do it."""

    def is_sequential(self, lun: int) -> bool:
        """Whether commands for this LUN must run in the order they came."""

    def nexus_lost(self, nexus: str) -> None:
        """The I_T nexus is gone."""

    def abort(self, nexus: str, lun: int) -> None:
        """End the copies that this nexus has in the foreground on a LUN."""

    def reset(self, nexus: str, lun: int | None) -> None:
        """Logical unit reset; None resets every unit that the nexus may use."""


class Session:
    """The full feature phase of one session.

    Attributes:
        nexus: name of the I_T nexus: initiator, ISID and target.
        ended: set when ``run`` has cleaned up.
    """

    def __init__(
        self,
        connection: Connection,
        target: ScsiTarget | None,
        *,
        nexus: str,
        first_command_sn: int,
        first_status_sn: int,
        listing: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """Set up.

        Args:
            connection: logged in.
            target: None in a discovery session.
            nexus: name of the I_T nexus.
            first_command_sn: CmdSN that the next command carries.
            first_status_sn: StatSN that the next response carries.
            listing: (target name, address) of what this initiator may see, for SendTargets.
        """
        self.nexus = nexus
        self._connection = connection
        self._target = target
        self._listing = listing
        self._expected_command_sn = first_command_sn
        self._max_command_sn = (first_command_sn + QUEUE_DEPTH - 1) & SERIAL_MASK
        self._status_sn = first_status_sn
        self._tasks: dict[int, Task] = {}
        self._waiting: dict[int, Task] = {}  # by target transfer tag
        self._transfer_tags = itertools.cycle(range(1, iscsi.RESERVED_TAG))
        self._lock = threading.Lock()
        self._disks = Workers(DISK_WORKERS, "iscsi-disk")
        self._tapes: dict[int, Workers] = {}
        self._logged_out = False
        self.ended = threading.Event()

    def run(self) -> None:
        """Serve PDUs until logout or the end of the connection; then clean up."""
        try:
            while not self._logged_out:
                header = self._connection.receive_header_bytes()
                if header is None:
                    return
                read = decode_plain_read(header)
                if read is None or not self._read_now(read):
                    self._handle(iscsi.decode(header))
        except (TransportError, RemoteScsiError):
            return
        finally:
            self._end()

    def close(self) -> None:
        """Drop the connection; ``run`` returns soon after."""
        self._connection.close()

    def _end(self) -> None:
        with self._lock:
            for task in self._tasks.values():
                task.aborted = True
        self._connection.close()
        if self._target is not None:
            self._target.nexus_lost(self.nexus)
        for workers in (self._disks, *self._tapes.values()):
            workers.close()
        self.ended.set()

    # -- what comes in ------------------------------------------------------------------------

    def _handle(self, pdu: Pdu) -> None:
        if isinstance(pdu, iscsi.DataOut):
            self._data_out(pdu)
            return
        if isinstance(pdu, iscsi.ScsiCommand):
            self._command(pdu)
            return
        data = bytes(self._connection.receive_data(pdu))
        if isinstance(pdu, iscsi.SnackRequest):
            self._reject(pdu, iscsi.REJECT_SNACK)
        elif isinstance(pdu, iscsi.NopOut):
            if self._in_order(pdu) and pdu.initiator_task_tag != iscsi.RESERVED_TAG:
                self._send(iscsi.NopIn(initiator_task_tag=pdu.initiator_task_tag), data)
        elif isinstance(pdu, iscsi.TaskManagementRequest):
            if self._in_order(pdu):
                self._manage(pdu)
        elif isinstance(pdu, iscsi.TextRequest):
            if self._in_order(pdu):
                self._text(pdu, data)
        elif isinstance(pdu, iscsi.LogoutRequest):
            if self._in_order(pdu):
                self._logout(pdu)
        else:
            self._reject(pdu, iscsi.REJECT_PROTOCOL)

    def _read_now(self, read: PlainRead) -> bool:
        """Answer a read here and now if nothing has to be waited for; False where it has to be.

        Short answers go out together, before this thread waits for more.
        """
        if not self._connection.takes_now(read.expected_bytes):
            return False
        wrong = read.command_sn != self._expected_command_sn or read.task_tag in self._tasks
        if wrong or self._target is None or not read.expected_bytes:
            return False  # what is wrong is told elsewhere
        data = self._target.read_now(self.nexus, read.lun, read.lba, read.blocks)
        if data is None or len(data) != read.expected_bytes:
            return False
        with self._connection.send_lock:
            with self._lock:
                if serial_after(read.command_sn, self._max_command_sn):
                    return False
                self._expected_command_sn = (self._expected_command_sn + 1) & SERIAL_MASK
                self._max_command_sn = (self._max_command_sn + 1) & SERIAL_MASK
                answer = encode_whole_answer(
                    read,
                    self._connection.parameters,
                    status_sn=self._status_sn,
                    expected_command_sn=self._expected_command_sn,
                    max_command_sn=self._max_command_sn,
                )
                self._status_sn = (self._status_sn + 1) & SERIAL_MASK
            for header, start, end in answer:
                self._connection.queue_header_locked(header, data[start:end])
            if len(data) >= _WORTH_SENDING_BYTES:
                self._connection.flush_locked()
        return True

    def _in_order(self, pdu: iscsi.InitiatorPdu) -> bool:
        """Whether a request is to be served; those outside the window are dropped (4.2.2.1)."""
        if pdu.immediate:
            return True
        with self._lock:
            if pdu.command_sn != self._expected_command_sn or serial_after(
                pdu.command_sn, self._max_command_sn
            ):
                return False
            self._expected_command_sn = (self._expected_command_sn + 1) & SERIAL_MASK
            if not isinstance(pdu, iscsi.ScsiCommand):
                self._max_command_sn = (self._max_command_sn + 1) & SERIAL_MASK
        return True

    def _command(self, pdu: iscsi.ScsiCommand) -> None:
        if not self._in_order(pdu):
            self._connection.receive_data(pdu)
            return
        too_long = pdu.write and pdu.expected_transfer_bytes > MAX_WRITE_BYTES
        if self._target is None or too_long:
            self._connection.receive_data(pdu)
            self._reject(pdu, iscsi.REJECT_INVALID_FIELD)
            return
        task = Task(pdu, iscsi.decode_lun(pdu.lun))
        self._connection.flush()
        first_data(task, self._connection.parameters)
        self._connection.receive_data(pdu, task.buffer)
        with self._lock:
            if pdu.initiator_task_tag in self._tasks:
                raise RemoteScsiError("a task tag that is in use")
            self._tasks[pdu.initiator_task_tag] = task
        self._go_on(task)

    def _data_out(self, pdu: iscsi.DataOut) -> None:
        with self._lock:
            solicited = pdu.target_transfer_tag != iscsi.RESERVED_TAG
            owners = self._waiting if solicited else self._tasks
            tag = pdu.target_transfer_tag if solicited else pdu.initiator_task_tag
            task = owners.get(tag)
        if task is None:  # aborted while its data were on the way
            self._connection.receive_data(pdu)
            return
        self._connection.receive_data(pdu, task.destination(pdu))
        task.took(pdu)
        self._go_on(task, pdu.target_transfer_tag)

    def _go_on(self, task: Task, transfer_tag: int = iscsi.RESERVED_TAG) -> None:
        """Ask for more data, or run the command when all of them are there."""
        if task.complete and not task.unsolicited_open:
            with self._lock:
                self._waiting.pop(transfer_tag, None)
            self._workers(task.lun).submit(self._run, task)
            return
        if transfer_tag == iscsi.RESERVED_TAG:
            transfer_tag = next(self._transfer_tags)
        request = task.next_request(self._connection.parameters, transfer_tag)
        if request is not None:
            with self._lock:
                self._waiting[transfer_tag] = task
            self._send(request)

    def _workers(self, lun: int) -> Workers:
        if self._target is None or not self._target.is_sequential(lun):
            return self._disks
        if lun not in self._tapes:
            self._tapes[lun] = Workers(1, "iscsi-tape")
        return self._tapes[lun]

    # -- what goes out ------------------------------------------------------------------------

    def _run(self, task: Task) -> None:
        """Execute a command and answer it, in a worker."""
        try:
            self._execute(task)
        except SbtkError:
            self._connection.close()  # the receiving thread sees it and ends the session
        except BaseException:
            self._connection.close()  # better than an initiator that waits for ever
            raise

    def _execute(self, task: Task) -> None:
        if task.aborted or self._target is None:
            return
        command = task.command
        most_bytes = WHOLE_RESPONSE_BYTES if command.read else 0
        response = self._target.execute(self.nexus, task.lun, command.cdb, task.buffer, most_bytes)
        with self._lock:
            self._tasks.pop(task.tag, None)
            if not command.immediate:
                self._max_command_sn = (self._max_command_sn + 1) & SERIAL_MASK
        pdus = answers(task, response, self._connection.parameters)
        while not task.aborted and self._send_together(pdus):
            pass

    def _send_together(self, pdus: Iterator[tuple[iscsi.TargetPdu, ByteView]]) -> bool:
        """Send some of the PDUs of an answer in one piece; whether there may be more.

        Others send between the pieces: a long answer holds up neither theirs nor our requests.
        """
        together_bytes = 0
        with self._connection.send_lock:
            for pdu, data in pdus:
                self._connection.queue_locked(self._numbered(pdu, len(data)), data)
                together_bytes += len(data)
                if together_bytes >= _TOGETHER_BYTES:
                    break
            else:
                together_bytes = 0
            self._connection.flush_locked()
        return together_bytes > 0

    def _send(self, pdu: iscsi.TargetPdu, data: ByteView = b"") -> None:
        with self._connection.send_lock:
            self._connection.send_locked(self._numbered(pdu, len(data)), data)

    def _numbered(self, pdu: iscsi.TargetPdu, data_bytes: int) -> iscsi.TargetPdu:
        """A PDU with the sequence numbers of this moment (11.4.8-11.4.10); sent before others."""
        carries_status = not isinstance(pdu, iscsi.ReadyToTransfer) and (
            not isinstance(pdu, iscsi.DataIn) or pdu.has_status
        )
        with self._lock:
            numbered = pdu.changed(
                data_bytes=data_bytes,
                status_sn=self._status_sn,
                expected_command_sn=self._expected_command_sn,
                max_command_sn=self._max_command_sn,
            )
            if carries_status:
                self._status_sn = (self._status_sn + 1) & SERIAL_MASK
        return numbered

    def _reject(self, pdu: Pdu, reason: int) -> None:
        self._send(iscsi.Reject(reason=reason), pdu.encode())

    def _manage(self, pdu: iscsi.TaskManagementRequest) -> None:
        """Task management (11.5): what is ended is silent from then on."""
        lun = iscsi.decode_lun(pdu.lun)
        ended: list[Task] = []
        answer = iscsi.FUNCTION_COMPLETE
        with self._lock:
            if pdu.function == iscsi.ABORT_TASK:
                task = self._tasks.get(pdu.referenced_task_tag)
                answer = iscsi.FUNCTION_NO_TASK if task is None else answer
                ended = [task] if task else []
            elif pdu.function in (iscsi.TARGET_WARM_RESET, iscsi.TARGET_COLD_RESET):
                ended = list(self._tasks.values())
            elif pdu.function in _UNIT_FUNCTIONS:
                ended = [task for task in self._tasks.values() if task.lun == lun]
            else:
                answer = iscsi.FUNCTION_NOT_SUPPORTED
            for task in ended:
                task.aborted = True
                self._tasks.pop(task.tag, None)
        if self._target is not None:
            for unit in {task.lun for task in ended}:
                self._target.abort(self.nexus, unit)
            if pdu.function == iscsi.LOGICAL_UNIT_RESET:
                self._target.reset(self.nexus, lun)
            elif pdu.function in (iscsi.TARGET_WARM_RESET, iscsi.TARGET_COLD_RESET):
                self._target.reset(self.nexus, None)
        self._send(
            iscsi.TaskManagementResponse(initiator_task_tag=pdu.initiator_task_tag, response=answer)
        )

    def _text(self, pdu: iscsi.TextRequest, data: bytes) -> None:
        """SendTargets, the only text of the full feature phase (RFC 7143 appendix C)."""
        offered = dict(decode_pairs(data))
        wanted = offered.get("SendTargets")
        pairs: list[tuple[str, str]] = []
        if wanted is not None:
            for name, address in self._listing():
                if wanted in ("All", name, ""):
                    pairs += [("TargetName", name), ("TargetAddress", address)]
        self._send(
            iscsi.TextResponse(initiator_task_tag=pdu.initiator_task_tag), encode_pairs(pairs)
        )

    def _logout(self, pdu: iscsi.LogoutRequest) -> None:
        self._send(iscsi.LogoutResponse(initiator_task_tag=pdu.initiator_task_tag))
        self._logged_out = True


_UNIT_FUNCTIONS = (iscsi.ABORT_TASK_SET, iscsi.CLEAR_TASK_SET, iscsi.LOGICAL_UNIT_RESET)
