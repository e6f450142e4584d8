"""The target: logical units by number, who may use them, and where each command goes.

It knows no network: ``transport.loopback`` calls it in-process, the portal serves it over iSCSI.
To an initiator, a unit that it has not been granted does not exist: not in REPORT LUNS, not to
INQUIRY, and not as a source or destination of a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from threading import Lock

from sbtk.errors import RemoteScsiError, UsageError
from sbtk.mover.base import LogicalUnit
from sbtk.mover.block_lun import ReadOnlyLun
from sbtk.mover.copy_manager import OPCODES, CopyManager
from sbtk.mover.copy_operation import initiator_of
from sbtk.mover.reservations import ALWAYS_ALLOWED
from sbtk.mover.snapshot_luns import SnapshotLuns, can_be_snapshot
from sbtk.scsi import cdb as cdbs
from sbtk.scsi import inquiry, luns, sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_reserve import PREEMPT_AND_ABORT
from sbtk.scsi.cdb_snapshot import OPCODE as SNAPSHOT_OPCODE
from sbtk.scsi.cdb_snapshot import SNAPSHOT_COMMANDS
from sbtk.scsi.limits import Limits, limits
from sbtk.transport.base import (
    BUSY,
    CHECK_CONDITION,
    GOOD,
    RESERVATION_CONFLICT,
    ByteView,
    Response,
)

_THIRD_PARTY = [item for key, item in cdbs.COMMANDS.items() if key[0] in OPCODES]
_PREEMPT_AND_ABORT = bytes((cdbs.PersistentReserveOut.OPCODE, PREEMPT_AND_ABORT))


class Target:
    """Logical units, access to them, and one copy manager for all of them.

    Attributes:
        limits: of the copy manager.
    """

    def __init__(
        self,
        profile: Limits | None = None,
        *,
        open_access: bool = False,
        snapshots: Path | None = None,
    ) -> None:
        """A target without units.

        Args:
            profile: the copy manager's limits; everything it can do if None.
            open_access: every initiator may use every unit; meant for the embedded mover.
            snapshots: folder for the snapshots that initiators ask for; None: they cannot.

        Raises:
            SnapshotError: that folder cannot be made.
        """
        self.limits = profile or limits("spc")
        self._open = open_access
        self._lock = Lock()
        self._units: dict[int, LogicalUnit] = {}
        self._granted: dict[str, frozenset[int]] = {}
        self._manager = CopyManager(self.limits, self._reachable)
        self._snapshots = SnapshotLuns(self, snapshots) if snapshots else None

    # -- units and access ------------------------------------------------------------------------

    def add(self, lun: int, unit: LogicalUnit) -> None:
        """Serve ``unit`` as ``lun``; closing the target closes it.

        Raises:
            UsageError: the number is taken, or another unit has the same designator.
        """
        with self._lock:
            if lun in self._units or not 0 <= lun <= luns.MAX_LUN:
                raise UsageError(f"LUN {lun} cannot be given to {unit.name}", hint="Take another")
            same = [
                item.name for item in self._units.values() if item.designator == unit.designator
            ]
            if same:
                raise UsageError(
                    f"{unit.name} and {same[0]} have the same designator",
                    hint="Every unit needs a name of its own",
                )
            self._units[lun] = unit
        page = partial(self.limits.vpd_page().encode, unit.peripheral_device_type)
        commands = [item for item in _THIRD_PARTY if self.limits.has(item)]
        if self._snapshots is not None and can_be_snapshot(unit):
            commands += SNAPSHOT_COMMANDS
        unit.announce({inquiry.THIRD_PARTY_COPY: page}, commands)

    def remove(self, lun: int) -> LogicalUnit:
        """Stop serving a LUN and hand its unit back, open; grants of the number are gone.

        Raises:
            UsageError: there is no such LUN.
        """
        with self._lock:
            unit = self._units.pop(lun, None)
            self._granted = {name: held - {lun} for name, held in self._granted.items()}
        if unit is None:
            raise UsageError(f"LUN {lun} does not exist")
        return unit

    def grant(self, initiator: str, lun: int) -> None:
        """Let an initiator use a LUN.

        Raises:
            UsageError: there is no such LUN.
        """
        with self._lock:
            if lun not in self._units:
                raise UsageError(f"LUN {lun} does not exist", hint="Add it before granting it")
            self._granted[initiator] = self._granted.get(initiator, frozenset()) | {lun}

    def revoke(self, initiator: str, lun: int) -> None:
        """Take a LUN from an initiator; no more than that happens if it had none."""
        with self._lock:
            self._granted[initiator] = self._granted.get(initiator, frozenset()) - {lun}

    def luns(self, initiator: str) -> tuple[int, ...]:
        """LUNs that an initiator may use, ascending."""
        with self._lock:
            if self._open:
                return tuple(sorted(self._units))
            return tuple(sorted(self._granted.get(initiator, frozenset()) & self._units.keys()))

    def unit(self, lun: int) -> LogicalUnit:
        """The unit behind a LUN, whoever may use it.

        Raises:
            UsageError: there is no such LUN.
        """
        with self._lock:
            if lun not in self._units:
                raise UsageError(f"LUN {lun} does not exist")
            return self._units[lun]

    # -- commands --------------------------------------------------------------------------------

    def execute(
        self,
        nexus: str,
        lun: int,
        cdb: bytes,
        data_out: ByteView = b"",
        data_in_bytes: int = 0,
    ) -> Response:
        """Run one command of one nexus.

        Args:
            nexus: name of the I_T nexus that sends it; its initiator's name comes first, then
                a comma and what tells its sessions apart.
            lun: the LUN it is sent to.
            cdb: the command descriptor block.
            data_out: what came with it.
            data_in_bytes: most bytes that may go back.
        """
        if not cdb:
            return _illegal(codes.INVALID_COMMAND_OPERATION_CODE)
        initiator = initiator_of(nexus)
        if cdb[0] == cdbs.ReportLuns.OPCODE:
            return _report_luns(cdb, self.luns(initiator), data_in_bytes)
        with self._lock:
            granted = self._open or lun in self._granted.get(initiator, frozenset())
            unit = self._units.get(lun) if granted else None
        if unit is None:
            return _no_unit(cdb, data_in_bytes)
        if cdb[0] in OPCODES or (cdb[0] == SNAPSHOT_OPCODE and self._snapshots is not None):
            return self._own_command(nexus, unit, cdb, data_out, data_in_bytes)
        if (
            unit.peripheral_device_type == inquiry.TAPE
            and cdb[0] not in ALWAYS_ALLOWED
            and self._manager.occupied(unit, nexus)
        ):
            return Response(BUSY)
        answer = unit.execute(cdb, data_out, data_in_bytes, initiator=nexus)
        if answer.status == GOOD and cdb[:2] == _PREEMPT_AND_ABORT:
            self._manager.abort_excluded(unit)
        return answer

    def _own_command(
        self, nexus: str, unit: LogicalUnit, cdb: bytes, data_out: ByteView, data_in_bytes: int
    ) -> Response:
        """A command that the target itself executes, not the unit it was sent to."""
        if unit.reservations.active and unit.reservations.conflicts(nexus, cdb[0]):
            return Response(RESERVATION_CONFLICT)
        if self._snapshots is not None and cdb[0] == SNAPSHOT_OPCODE:
            return self._snapshots.execute(nexus, unit, cdb, data_in_bytes)
        return self._manager.execute(nexus, unit, cdb, data_out, data_in_bytes)

    def read_now(self, nexus: str, lun: int, lba: int, blocks: int) -> memoryview | None:
        """What a read of blocks that lie in memory answers; None: ``execute`` it."""
        with self._lock:
            granted = self._open or lun in self._granted.get(initiator_of(nexus), frozenset())
            unit = self._units.get(lun) if granted else None
        return unit.read_now(lba, blocks) if isinstance(unit, ReadOnlyLun) else None

    def nexus_lost(self, nexus: str) -> None:
        """A session ended: results kept for it are dropped, its copies go on."""
        self._manager.nexus_lost(nexus)
        for unit in self._reachable(initiator_of(nexus)):
            unit.reservations.nexus_lost(nexus)
        if self._snapshots is not None:
            self._snapshots.nexus_lost(nexus)

    def is_sequential(self, lun: int) -> bool:
        """Whether commands for this LUN must run in the order they came: tapes."""
        with self._lock:
            unit = self._units.get(lun)
        return unit is not None and unit.peripheral_device_type == inquiry.TAPE

    def is_copied(self, lun: int) -> bool:
        """Whether a copy is under way that names this LUN."""
        return self._manager.occupied(self.unit(lun))

    def abort(self, nexus: str, lun: int) -> None:
        """End the copies that this nexus has in the foreground on a LUN."""
        with self._lock:
            unit = self._units.get(lun)
        if unit is not None and lun in self.luns(initiator_of(nexus)):
            self._manager.abort(unit, nexus)

    def reset(self, nexus: str, lun: int | None) -> None:
        """Logical unit reset: all copies that were sent to this LUN end, and its RESERVE(6).

        Args:
            nexus: that asks for it.
            lun: the unit; None: all that this nexus may use (target reset).
        """
        for number in self.luns(initiator_of(nexus)):
            if lun in (None, number):
                unit = self.unit(number)
                self._manager.abort(unit)
                unit.reservations.reset()

    def close(self) -> None:
        """Stop all copies and close all units; safe to call twice."""
        self._manager.close()
        if self._snapshots is not None:
            self._snapshots.close()
        with self._lock:
            units, self._units = list(self._units.values()), {}
        for unit in units:
            unit.close()

    def _reachable(self, initiator: str) -> Iterable[LogicalUnit]:
        granted = self.luns(initiator)
        with self._lock:
            return [self._units[lun] for lun in granted if lun in self._units]


def _report_luns(cdb: bytes, granted: tuple[int, ...], data_in_bytes: int) -> Response:
    try:
        command = cdbs.ReportLuns.decode(cdb)
    except RemoteScsiError:
        return _illegal(codes.INVALID_FIELD_IN_CDB)
    if command.select_report not in (0x00, 0x01, 0x02):
        pointed = sense.invalid_field(codes.INVALID_FIELD_IN_CDB, 2, in_cdb=True)
        return Response(CHECK_CONDITION, b"", pointed)
    # 01h asks for well known units only, of which there are none (SPC-4 table 289).
    data = luns.encode_report(() if command.select_report == 0x01 else granted)
    return Response(data_in=data[: min(data_in_bytes, command.allocation_bytes)])


def _no_unit(cdb: bytes, data_in_bytes: int) -> Response:
    """What a LUN without a unit answers (SPC-4 6.6.1, 6.39.1; SAM-5 5.13)."""
    missing = sense.fixed(codes.ILLEGAL_REQUEST, *codes.LOGICAL_UNIT_NOT_SUPPORTED)
    if cdb[0] == cdbs.Inquiry.OPCODE and len(cdb) >= cdbs.Inquiry.SIZE_BYTES:
        command = cdbs.Inquiry.decode(cdb)
        if not command.evpd:
            data = inquiry.StandardInquiry(
                device_type=inquiry.UNKNOWN_DEVICE, qualifier=inquiry.NO_LOGICAL_UNIT
            ).encode()
            return Response(data_in=data[: min(data_in_bytes, command.allocation_bytes)])
    if cdb[0] == cdbs.RequestSense.OPCODE and len(cdb) >= cdbs.RequestSense.SIZE_BYTES:
        most = min(data_in_bytes, cdbs.RequestSense.decode(cdb).allocation_bytes)
        return Response(data_in=missing[:most])
    return Response(CHECK_CONDITION, b"", missing)


def _illegal(code: tuple[int, int]) -> Response:
    return Response(CHECK_CONDITION, b"", sense.fixed(codes.ILLEGAL_REQUEST, *code))
