"""The copy manager: takes EXTENDED COPY, runs copies, answers questions about them.

SPC-4 5.17; xcopy.md 1-2 and 6-7. List identifiers belong to an I_T nexus and are compared as
32-bit numbers. Results of finished copies are kept until they are fetched, their id is used again,
the nexus goes, or newer results need the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread
from typing import Any

from sbtk.errors import RemoteScsiError
from sbtk.mover.base import CheckCondition, LogicalUnit
from sbtk.mover.copy_check import check_list, header_bytes
from sbtk.mover.copy_operation import CopyOperation, initiator_of, keeps_results
from sbtk.mover.endpoint import Resolver
from sbtk.mover.engine import CopyResources, Engine
from sbtk.mover.held_data import HeldData
from sbtk.scsi import cdb, sense
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import copy_results as results
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.designator import BINARY, LOGICAL_UNIT, NAA, Designator
from sbtk.scsi.inquiry import TAPE
from sbtk.scsi.limits import Limits
from sbtk.transport.base import BUSY, CHECK_CONDITION, ByteView, Response

OPCODES = frozenset({c.THIRD_PARTY_COPY_OUT, c.THIRD_PARTY_COPY_IN})

_MOST_RESULTS = 64
_LIST_ID_BYTE = 2  # of the RECEIVE and ABORT CDBs
_WORKERS = 4

Reachable = Callable[[str], Iterable[LogicalUnit]]
"""The units that an initiator may use."""

_Key = tuple[str, int]


class CopyManager:
    """Third-party copy commands of one target."""

    def __init__(self, limits: Limits, reachable: Reachable) -> None:
        """Serve copies between units that ``reachable`` gives for the sender."""
        self.limits = limits
        self._reachable = reachable
        self._lock = Lock()
        self._operations: dict[_Key, CopyOperation] = {}
        self._nameless: list[CopyOperation] = []
        self._resources = CopyResources(ThreadPoolExecutor(_WORKERS, "sbtk-mover"))

    def execute(
        self,
        nexus: str,
        receiver: LogicalUnit,
        raw: bytes,
        data_out: ByteView,
        data_in_bytes: int,
    ) -> Response:
        """Run one third-party copy command that was sent to ``receiver``."""
        try:
            command = self._decode(raw)
            if isinstance(command, c.ExtendedCopyLid1 | c.ExtendedCopyLid4):
                return self._copy(nexus, receiver, command, data_out)
            answer = _ANSWERS[type(command)](self, nexus, command)
        except CheckCondition as stopped:
            return Response(CHECK_CONDITION, b"", stopped.sense)
        most = min(data_in_bytes, getattr(command, "allocation_bytes", 0))
        return Response(data_in=answer[:most])

    def nexus_lost(self, nexus: str) -> None:
        """Drop the results of a nexus; copies that run go on (SPC-4 5.17.4.6)."""
        with self._lock:
            for key in [key for key in self._operations if key[0] == nexus]:
                operation = self._operations.pop(key)
                if operation.running:
                    self._nameless.append(operation)

    def abort(self, receiver: LogicalUnit | None, nexus: str | None = None) -> None:
        """Stop copies and wait until none of them has a command under way (SPC-4 5.17.4.5).

        Args:
            receiver: stop what was sent to this unit; everything if None.
            nexus: only what this nexus has in the foreground; of all nexuses if None.
        """
        with self._lock:
            chosen = [
                item
                for item in self._all()
                if item.running
                and (receiver is None or receiver is item.receiver)
                and (nexus is None or (item.nexus == nexus and not item.command.immediate))
            ]
        _stop(chosen)

    def occupied(self, unit: LogicalUnit, nexus: str = "") -> bool:
        """Whether a copy of a nexus other than this one is at work on a unit."""
        with self._lock:
            return any(
                item.running and item.nexus != nexus and _names(item, unit) for item in self._all()
            )

    def abort_excluded(self, unit: LogicalUnit) -> None:
        """Stop the copies to and from a unit whose nexuses its reservation keeps out by now."""
        with self._lock:
            chosen = [
                item
                for item in self._all()
                if item.running
                and unit.reservations.excludes(item.nexus, writes=True)
                and _names(item, unit)
            ]
        _stop(chosen)

    def close(self) -> None:
        """Stop every copy and release the threads."""
        self.abort(None)
        self._resources.workers.shutdown()

    # -- EXTENDED COPY ---------------------------------------------------------------------------

    def _decode(self, raw: bytes) -> cdb.Cdb:
        try:
            command = cdb.decode(raw)
        except RemoteScsiError as error:
            code, byte = error.code or codes.INVALID_FIELD_IN_CDB, error.byte_offset or 0
            raise _refuse_cdb(byte, code) from error
        if not self.limits.has(type(command)):
            raise _refuse_cdb(1)
        return command

    def _copy(
        self,
        nexus: str,
        receiver: LogicalUnit,
        command: c.ExtendedCopyLid1 | c.ExtendedCopyLid4,
        data_out: ByteView,
    ) -> Response:
        if not command.parameter_list_bytes:
            return Response()
        lid4 = isinstance(command, c.ExtendedCopyLid4)
        items = check_list(data_out, command.parameter_list_bytes, self.limits, lid4=lid4)
        operation = CopyOperation(nexus, receiver, items, HeldData(self.limits.held_data_bytes))
        if self._wants_a_busy_tape(operation):
            return Response(BUSY)
        self._register(operation)
        engine = self._engine(operation)
        if not items.immediate:
            return operation.run(engine)
        background = Thread(target=operation.run, args=(engine,), name="sbtk-copy", daemon=True)
        try:
            background.start()
        except RuntimeError as error:  # no more threads
            operation.finished.set()
            raise _illegal(codes.INSUFFICIENT_RESOURCES) from error
        return Response()

    def _engine(self, operation: CopyOperation) -> Engine:
        items = operation.command
        initiator = initiator_of(operation.nexus)

        def find(wanted: Designator) -> LogicalUnit | None:
            if (wanted.code_set, wanted.association, wanted.kind) != (BINARY, LOGICAL_UNIT, NAA):
                return None
            units = self._reachable(initiator)
            return next((unit for unit in units if unit.designator == wanted.identifier), None)

        start = header_bytes(lid4=items.lid4)
        return Engine(
            items,
            Resolver(
                items.cscds, start, operation.receiver, find, self.limits.cscd_ids, operation.nexus
            ),
            self.limits,
            self._resources,
            held=operation.held,
            progress=operation.progress,
            cancel=operation.cancel,
        )

    def _wants_a_busy_tape(self, wanted: CopyOperation) -> bool:
        """Whether a copy of another nexus is at work on a tape that a copy names, or is sent to."""
        tapes, receiver = _tapes(wanted), wanted.receiver.designator
        with self._lock:
            return any(
                tapes & (_tapes(item) | {item.receiver.designator}) or receiver in _tapes(item)
                for item in self._all()
                if item.running and item.nexus != wanted.nexus
            )

    def _register(self, operation: CopyOperation) -> None:
        """Enter a copy under its id, if there is room for one more."""
        named = keeps_results(operation.command)
        key = operation.nexus, operation.command.list_id
        with self._lock:
            self._nameless = [item for item in self._nameless if item.running]
            before = self._operations.get(key)
            if named and before is not None and before.running:
                raise _illegal(codes.OPERATION_IN_PROGRESS)
            running = sum(item.running for item in self._operations.values())
            most = self.limits.max_concurrent
            if (named and running >= most) or (
                running + len(self._nameless) >= max(most, self.limits.total_concurrent)
            ):
                raise _illegal(codes.INSUFFICIENT_RESOURCES)
            if named:
                self._operations.pop(key, None)
                self._operations[key] = operation
                self._make_room()
            else:
                self._nameless.append(operation)

    def _make_room(self) -> None:
        """Forget the oldest results where there are too many."""
        finished = [key for key, item in self._operations.items() if not item.running]
        for key in finished[: max(0, len(self._operations) - _MOST_RESULTS)]:
            del self._operations[key]

    def _all(self) -> list[CopyOperation]:
        return [*self._operations.values(), *self._nameless]

    # -- questions -------------------------------------------------------------------------------

    def _find(self, nexus: str, list_id: int) -> CopyOperation:
        with self._lock:
            operation = self._operations.get((nexus, list_id))
        if operation is None:
            raise _refuse_cdb(_LIST_ID_BYTE)
        return operation

    def _abort(self, nexus: str, command: c.CopyOperationAbort) -> bytes:
        operation = self._find(nexus, command.list_id)
        operation.cancel.set()
        operation.finished.wait()
        return b""

    def _parameters(self, _nexus: str, _command: c.ReceiveCopyOperatingParameters) -> bytes:
        return self.limits.operating_parameters().encode()

    def _status_lid1(self, nexus: str, command: c.ReceiveCopyStatusLid1) -> bytes:
        operation = self._untold(nexus, command.list_id, "status", finished=False)
        answer = operation.status_lid1()
        if answer[4] & 0x7F != results.LID1_IN_PROGRESS:
            self._tell(operation, "status")
        return answer

    def _data_lid1(self, nexus: str, command: c.ReceiveCopyDataLid1) -> bytes:
        operation = self._untold(nexus, command.list_id, "data")
        answer = results.encode_held_lid1(operation.held.data)
        if not command.allocation_bytes or command.allocation_bytes >= len(answer):
            self._tell(operation, "data")
        return answer

    def _failure_lid1(self, nexus: str, command: c.ReceiveCopyFailureDetailsLid1) -> bytes:
        operation = self._untold(nexus, command.list_id, "failure")
        self._tell(operation, "failure")
        return operation.failure_details()

    def _status_lid4(self, nexus: str, command: c.ReceiveCopyStatusLid4) -> bytes:
        return self._find(nexus, command.list_id).status_lid4(with_held=False)

    def _data_lid4(self, nexus: str, command: c.ReceiveCopyDataLid4) -> bytes:
        return self._find(nexus, command.list_id).status_lid4(with_held=True)

    def _untold(
        self, nexus: str, list_id: int, result: str, *, finished: bool = True
    ) -> CopyOperation:
        """The copy, if this result of it can still be fetched with a LID1 command."""
        operation = self._find(nexus, list_id)
        if result in operation.told or (finished and operation.running):
            raise _refuse_cdb(_LIST_ID_BYTE)
        return operation

    def _tell(self, operation: CopyOperation, result: str) -> None:
        """A LID1 result was fetched: it is gone now (SPC-4 6.20, 6.22, 6.25)."""
        if not operation.command.lid4:
            operation.told.add(result)


def _names(operation: CopyOperation, unit: LogicalUnit) -> bool:
    """Whether a copy was sent to a unit, or its CSCD descriptors name it."""
    return operation.receiver is unit or any(
        isinstance(item, IdentificationCscd) and item.designator.identifier == unit.designator
        for item in operation.command.cscds
    )


def _tapes(operation: CopyOperation) -> set[bytes]:
    """Designators of the tapes that a copy's CSCD descriptors name."""
    return {
        item.designator.identifier
        for item in operation.command.cscds
        if isinstance(item, IdentificationCscd) and item.device_type == TAPE
    }


def _stop(operations: list[CopyOperation]) -> None:
    """Cancel copies and wait until none of them has a command under way."""
    for operation in operations:
        operation.cancel.set()
    for operation in operations:
        operation.finished.wait()


def _illegal(code: tuple[int, int]) -> CheckCondition:
    return CheckCondition(sense.fixed(codes.ILLEGAL_REQUEST, *code))


def _refuse_cdb(byte: int, code: tuple[int, int] = codes.INVALID_FIELD_IN_CDB) -> CheckCondition:
    return CheckCondition(sense.invalid_field(code, byte, in_cdb=True))


_ANSWERS: dict[type[cdb.Cdb], Callable[[CopyManager, str, Any], bytes]] = {
    c.CopyOperationAbort: CopyManager._abort,
    c.ReceiveCopyOperatingParameters: CopyManager._parameters,
    c.ReceiveCopyStatusLid1: CopyManager._status_lid1,
    c.ReceiveCopyDataLid1: CopyManager._data_lid1,
    c.ReceiveCopyFailureDetailsLid1: CopyManager._failure_lid1,
    c.ReceiveCopyStatusLid4: CopyManager._status_lid4,
    c.ReceiveCopyDataLid4: CopyManager._data_lid4,
}
