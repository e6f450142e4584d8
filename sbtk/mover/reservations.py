"""Reservations of one unit: who has registered, who holds it, and whose commands conflict.

SPC-4 5.13 (persistent reservations, kept in memory: PTPL_C is 0) and SPC-2 5.5.1 (RESERVE(6)). A
registrant is an I_T nexus; it stays one when its session ends.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

from sbtk.mover.attentions import UnitAttentions
from sbtk.mover.base import CheckCondition
from sbtk.scsi import cdb_reserve as pr
from sbtk.scsi import sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_base import Cdb
from sbtk.transport.base import RESERVATION_CONFLICT, ByteView, Response

RESERVING = (pr.PersistentReserveIn, pr.PersistentReserveOut, pr.Reserve6, pr.Release6)
_MOST_REGISTRANTS = 128
_CONFLICT = Response(RESERVATION_CONFLICT)
_GOOD = Response()

# What every initiator may send whatever is reserved (SPC-4 table 66, SBC-3 table 13, SSC-4 table
# 17): TEST UNIT READY, REQUEST SENSE, READ BLOCK LIMITS, INQUIRY, RELEASE(6), READ CAPACITY(10/16),
# READ POSITION, LOG SENSE, PERSISTENT RESERVE IN and OUT, REPORT LUNS, REPORT SUPPORTED OPERATION
# CODES. OUT decides for itself.
ALWAYS_ALLOWED = frozenset(b"\x00\x03\x05\x12\x17\x25\x34\x4d\x5e\x5f\x9e\xa0\xa3")
# What a unit that is reserved for writing lets others do: READ(6/10/12/16), MODE SENSE(6/10),
# VERIFY(10/12/16), PRE-FETCH(10/16).
_READS = frozenset(b"\x08\x1a\x28\x2f\x34\x5a\x88\x8f\x90\xa8\xaf")
# What RESERVE(6) of somebody else lets one do: REQUEST SENSE, INQUIRY, RELEASE(6), REPORT LUNS.
_BESIDE_RESERVE6 = frozenset(b"\x03\x12\x17\xa0")


class Reservations:
    """Registrations, the persistent reservation and the RESERVE(6) of one unit. Thread-safe.

    Attributes:
        active: something is reserved; False lets every command pass without a closer look.
    """

    def __init__(self, attentions: UnitAttentions) -> None:
        """Nobody has reserved anything; ``attentions`` are the unit's."""
        self.active = False
        self._attentions = attentions
        self._lock = RLock()
        self._keys: dict[str, int] = {}
        self._holder = ""
        self._type = 0
        self._generation = 0
        self._reserved_by = ""  # RESERVE(6)

    # -- whose commands conflict -----------------------------------------------------------------

    def conflicts(self, nexus: str, opcode: int) -> bool:
        """Whether a command of a nexus has to end with RESERVATION CONFLICT."""
        with self._lock:
            if self._reserved_by and self._reserved_by != nexus:
                return opcode not in _BESIDE_RESERVE6
            return opcode not in ALWAYS_ALLOWED and not self._may(
                nexus, writes=opcode not in _READS
            )

    def excludes(self, nexus: str, *, writes: bool) -> bool:
        """Whether a copy of a nexus may not read, or write, the unit."""
        with self._lock:
            other = bool(self._reserved_by) and self._reserved_by != nexus
            return other or not self._may(nexus, writes=writes)

    def _may(self, nexus: str, *, writes: bool) -> bool:
        if not self._type or self._holds(nexus):
            return True
        if self._type in pr.FOR_REGISTRANTS and nexus in self._keys:
            return True
        return self._type in pr.READABLE and not writes

    def _holds(self, nexus: str) -> bool:
        if self._type in pr.FOR_ALL_REGISTRANTS:
            return nexus in self._keys
        return bool(self._type) and self._holder == nexus

    # -- commands --------------------------------------------------------------------------------

    def execute(self, command: Cdb, data: ByteView, nexus: str) -> bytes | Response:
        """Run one of the commands of ``cdb_reserve``; gives the data-in or the status.

        Raises:
            CheckCondition: what it asks for is wrong.
        """
        with self._lock:
            if isinstance(command, pr.PersistentReserveIn):
                return self._in(command)
            if isinstance(command, pr.PersistentReserveOut):
                answer = self._out(command, data, nexus)
            else:
                answer = self._old(nexus, reserve=isinstance(command, pr.Reserve6))
            self.active = bool(self._type or self._reserved_by)
            return answer

    def nexus_lost(self, nexus: str) -> None:
        """A session ended: what it reserved by RESERVE(6) is free."""
        with self._lock:
            if self._reserved_by == nexus:
                self.reset()

    def reset(self) -> None:
        """The unit was reset: RESERVE(6) ends, persistent reservations stay (SPC-4 5.13.5)."""
        with self._lock:
            self._reserved_by = ""
            self.active = bool(self._type)

    def _old(self, nexus: str, *, reserve: bool) -> Response:
        if self._keys and reserve:  # CRH is 0: SPC-4 5.13.3
            return _CONFLICT
        if reserve or self._reserved_by == nexus:
            self._reserved_by = nexus if reserve else ""
        return _GOOD

    def _in(self, command: pr.PersistentReserveIn) -> bytes:
        if command.action == pr.REPORT_CAPABILITIES:
            return pr.Capabilities().encode()
        if command.action == pr.READ_KEYS:
            body = pr.encode_keys(self._keys.values())
        elif command.action == pr.READ_RESERVATION:
            body = b""
            if self._type:
                key = 0 if self._type in pr.FOR_ALL_REGISTRANTS else self._keys[self._holder]
                body = pr.ReservationDescriptor(key, self._type).encode()
        elif command.action == pr.READ_FULL_STATUS:
            body = pr.encode_full_status(
                [
                    (nexus, pr.FullStatus(key, held, self._type if held else 0))
                    for nexus, key in self._keys.items()
                    for held in (self._holds(nexus),)
                ]
            )
        else:
            raise _wrong(codes.INVALID_FIELD_IN_CDB, 1)
        return pr.with_generation(self._generation, body)

    def _out(self, command: pr.PersistentReserveOut, data: ByteView, nexus: str) -> Response:
        action = _ACTIONS.get(command.action)
        if action is None:
            raise _wrong(codes.INVALID_FIELD_IN_CDB, 1)
        if command.action in _TYPED and (command.scope or command.type not in pr.TYPES):
            raise _wrong(codes.INVALID_FIELD_IN_CDB, 2)
        size = pr.ReserveParameters.SIZE_BYTES
        if command.parameter_list_bytes != size or len(data) < size:
            raise _wrong(codes.PARAMETER_LIST_LENGTH_ERROR, 5)
        given = pr.ReserveParameters.decode(data)
        if given.for_named_ports or given.through_power_loss:
            raise _wrong(codes.INVALID_FIELD_IN_PARAMETER_LIST, 20, in_cdb=False)
        if command.action == pr.REGISTER_AND_IGNORE:
            given = given.changed(key=self._keys.get(nexus, 0))
        if self._keys.get(nexus, 0) != given.key or (
            command.action not in _REGISTERING and nexus not in self._keys
        ):
            return _CONFLICT
        return action(self, command, given.action_key, nexus)

    def _register(self, _command: pr.PersistentReserveOut, key: int, nexus: str) -> Response:
        if key and nexus not in self._keys and len(self._keys) >= _MOST_REGISTRANTS:
            raise _wrong(codes.INSUFFICIENT_REGISTRATION_RESOURCES, 8, in_cdb=False)
        self._generation += 1
        if key:
            self._keys[nexus] = key
        elif nexus in self._keys:
            held = self._holds(nexus)
            del self._keys[nexus]
            if held and (self._type not in pr.FOR_ALL_REGISTRANTS or not self._keys):
                self._free(nexus)
        return _GOOD

    def _reserve(self, command: pr.PersistentReserveOut, _key: int, nexus: str) -> Response:
        if not self._type:
            self._holder, self._type = nexus, command.type
        elif not self._holds(nexus) or self._type != command.type:
            return _CONFLICT
        return _GOOD

    def _release(self, command: pr.PersistentReserveOut, _key: int, nexus: str) -> Response:
        if self._holds(nexus):
            if self._type != command.type:
                raise _wrong(codes.INVALID_RELEASE_OF_PERSISTENT_RESERVATION, 2)
            self._free(nexus)
        return _GOOD

    def _clear(self, _command: pr.PersistentReserveOut, _key: int, nexus: str) -> Response:
        self._generation += 1
        self._tell(codes.RESERVATIONS_PREEMPTED, self._keys.keys() - {nexus})
        self._keys.clear()
        self._holder, self._type = "", 0
        return _GOOD

    def _preempt(self, command: pr.PersistentReserveOut, key: int, nexus: str) -> Response:
        """SPC-4 5.13.11.4, figure 9: registrations go by their key, the reservation with them."""
        for_all = self._type in pr.FOR_ALL_REGISTRANTS
        takes = bool(self._type) and (
            not key if for_all else key == self._keys.get(self._holder, 0)
        )
        if not key and not takes:
            raise _wrong(codes.INVALID_FIELD_IN_PARAMETER_LIST, 8, in_cdb=False)
        gone = {item for item, held in self._keys.items() if held == key or (takes and for_all)}
        if not gone:
            return _CONFLICT
        self._generation += 1
        before = self._type
        for item in gone - {nexus} if takes else gone:
            del self._keys[item]
        self._tell(codes.REGISTRATIONS_PREEMPTED, gone - {nexus})
        if takes:
            self._holder, self._type = nexus, command.type
            if before != command.type:
                self._tell(codes.RESERVATIONS_RELEASED, self._keys.keys() - {nexus})
        elif for_all and not self._keys:
            self._holder, self._type = "", 0
        return _GOOD

    def _free(self, nexus: str) -> None:
        """The reservation ends; those that could work under it are told (SPC-4 5.13.11.2)."""
        if self._type in pr.FOR_REGISTRANTS:
            self._tell(codes.RESERVATIONS_RELEASED, self._keys.keys() - {nexus})
        self._holder, self._type = "", 0

    def _tell(self, code: tuple[int, int], nexuses: set[str]) -> None:
        for nexus in nexuses:
            self._attentions.tell(nexus, code)


def _wrong(code: tuple[int, int], byte: int, *, in_cdb: bool = True) -> CheckCondition:
    return CheckCondition(sense.invalid_field(code, byte, in_cdb=in_cdb))


_REGISTERING = (pr.REGISTER, pr.REGISTER_AND_IGNORE)
_TYPED = (pr.RESERVE, pr.RELEASE, pr.PREEMPT, pr.PREEMPT_AND_ABORT)
_ACTIONS: dict[
    int, Callable[[Reservations, pr.PersistentReserveOut, int, str], Response]
] = {
    pr.REGISTER: Reservations._register,
    pr.REGISTER_AND_IGNORE: Reservations._register,
    pr.RESERVE: Reservations._reserve,
    pr.RELEASE: Reservations._release,
    pr.CLEAR: Reservations._clear,
    pr.PREEMPT: Reservations._preempt,
    pr.PREEMPT_AND_ABORT: Reservations._preempt,
}  # fmt: skip
