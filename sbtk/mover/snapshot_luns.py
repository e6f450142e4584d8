"""Snapshots that initiators ask for: overlays of the mover's disks, served as LUNs of their own.

This is how a backup over the network gets its static view: writers and the backup's server come
through one mover, so the mover makes the overlay. A snapshot LUN is granted to the initiator that
asked and to nobody else, and only an initiator that may read the disk can ask. It ends when that
initiator deletes it, or has been gone for ``GRACE_S``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbtk.errors import RemoteScsiError, SnapshotError
from sbtk.mover.base import CheckCondition, LogicalUnit
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.mover.copy_operation import initiator_of
from sbtk.mover.device_server import check, refuse
from sbtk.mover.gate import WriteGate
from sbtk.mover.overlay_store import find_leftovers
from sbtk.mover.snapshot import OverlaySnapshot
from sbtk.scsi import cdb
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_snapshot import CreateSnapshot, DeleteSnapshot, ReportSnapshot, SnapshotState
from sbtk.scsi.luns import MAX_LUN
from sbtk.transport.base import CHECK_CONDITION, Response

if TYPE_CHECKING:
    from sbtk.mover.target import Target

FIRST_LUN = 0x1000  # far from those that people number
GRACE_S = 300.0  # for an initiator whose link is cut to come back, or a killed job to be resumed
_MOST, _MOST_OF_ONE = 64, 16  # of all initiators, of each
_MIB = 1 << 20


def can_be_snapshot(unit: LogicalUnit) -> bool:
    """Whether every write to a unit passes this mover, so that an overlay of it is whole."""
    return isinstance(unit, BlockLun)


class SnapshotLun(ReadOnlyLun):
    """An overlay as a disk. Closing it waits for the reads that are under way."""

    def __init__(self, overlay: OverlaySnapshot) -> None:
        super().__init__(overlay, designator=overlay.designator)
        self._gate = WriteGate()
        self._ended = False

    def read_blocks(self, lba: int, buffer: memoryview) -> None:
        """See ``BlockUnit.read_blocks``; a snapshot that has ended answers 5/2500h."""
        with self._gate.writing():
            if self._ended:
                raise check(codes.ILLEGAL_REQUEST, codes.LOGICAL_UNIT_NOT_SUPPORTED)
            super().read_blocks(lba, buffer)

    def close(self) -> None:
        """End the snapshot; safe to call twice."""
        with self._gate.closed():
            self._ended = True
            super().close()


@dataclass
class _Served:
    """A snapshot in service.

    Attributes:
        lun: its number.
        overlay: what it reads from.
        nexus: that it lives for.
        farewell: ends it, after that nexus was lost.
    """

    lun: int
    overlay: OverlaySnapshot
    nexus: str
    farewell: threading.Timer | None = None


class SnapshotLuns:
    """The snapshots of one target."""

    def __init__(self, target: Target, store: Path, *, grace_s: float = GRACE_S) -> None:
        """Keep overlays in ``store``; what a killed process left there is deleted.

        Raises:
            SnapshotError: the folder cannot be made.
        """
        self._target = target
        self._store = store
        self._grace_s = grace_s
        self._lock = threading.RLock()
        self._snapshots: dict[tuple[str, int], _Served] = {}
        try:
            store.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SnapshotError(
                f"{store} cannot hold snapshots: {error.strerror or error}",
                hint="Name a folder that can be written",
            ) from error
        for left in find_leftovers(store):
            left.remove()

    def execute(self, nexus: str, unit: LogicalUnit, raw: bytes, data_in_bytes: int) -> Response:
        """Run one of the snapshot commands of a nexus that may use ``unit``."""
        try:
            command = cdb.decode(raw, unit.peripheral_device_type)
            if not isinstance(unit, BlockLun):
                raise refuse(codes.INVALID_COMMAND_OPERATION_CODE, 0)
            with self._lock:
                data = self._execute(nexus, unit, command)
        except RemoteScsiError as error:
            code, byte = error.code or codes.INVALID_FIELD_IN_CDB, error.byte_offset or 0
            return Response(CHECK_CONDITION, b"", refuse(code, byte).sense)
        except CheckCondition as stopped:
            return Response(CHECK_CONDITION, b"", stopped.sense)
        return Response(data_in=data[: min(data_in_bytes, getattr(command, "allocation_bytes", 0))])

    def _execute(self, nexus: str, unit: BlockLun, command: cdb.Cdb) -> bytes:
        if isinstance(command, CreateSnapshot):
            self._create(nexus, unit, command)
        elif isinstance(command, DeleteSnapshot):
            self._end((initiator_of(nexus), command.identifier))
        elif isinstance(command, ReportSnapshot):
            return self._report(nexus, command)
        return b""

    def nexus_lost(self, nexus: str) -> None:
        """Its snapshots end, unless its initiator asks for them within the grace."""
        with self._lock:
            for key, item in self._snapshots.items():
                if item.nexus == nexus and item.farewell is None:
                    self._say_farewell(key, item)

    def close(self) -> None:
        """End them all; safe to call twice."""
        with self._lock:
            for key in list(self._snapshots):
                self._end(key)

    def _create(self, nexus: str, unit: BlockLun, command: CreateSnapshot) -> None:
        key = initiator_of(nexus), command.identifier
        if key in self._snapshots:
            raise refuse(codes.INVALID_FIELD_IN_CDB, CreateSnapshot.byte_of("identifier"))
        taken = {item.lun for item in self._snapshots.values()}
        lun = next(number for number in range(FIRST_LUN, MAX_LUN) if number not in taken)
        of_one = sum(initiator == key[0] for initiator, _ in self._snapshots)
        if len(taken) >= _MOST or of_one >= _MOST_OF_ONE:
            raise check(codes.ILLEGAL_REQUEST, codes.INSUFFICIENT_RESOURCES)
        try:
            overlay = unit.create_overlay(self._store, cap_bytes=command.cap_mib * _MIB or None)
        except (SnapshotError, OSError) as error:
            raise check(codes.HARDWARE_ERROR, codes.INTERNAL_TARGET_FAILURE) from error
        try:
            self._target.add(lun, SnapshotLun(overlay))
        except BaseException:
            overlay.close()
            raise
        self._target.grant(key[0], lun)
        self._snapshots[key] = _Served(lun, overlay, nexus)

    def _report(self, nexus: str, command: ReportSnapshot) -> bytes:
        item = self._snapshots.get((initiator_of(nexus), command.identifier))
        if item is None:
            raise refuse(codes.INVALID_FIELD_IN_CDB, ReportSnapshot.byte_of("identifier"))
        item.nexus = nexus
        if item.farewell is not None:
            item.farewell.cancel()
            item.farewell = None
        overlay = item.overlay
        lost = overlay.failure is not None
        return SnapshotState(item.lun, lost, overlay.stored_bytes, overlay.cap_bytes).encode()

    def _say_farewell(self, key: tuple[str, int], item: _Served) -> None:
        item.farewell = threading.Timer(self._grace_s, self._part, (key, item))
        item.farewell.daemon = True
        item.farewell.start()

    def _part(self, key: tuple[str, int], item: _Served) -> None:
        """The grace is over; a nexus that came back meanwhile has taken the timer away.

        A copy that still reads from it is what it is there for: the grace begins again.
        """
        with self._lock:
            if self._snapshots.get(key) is not item:
                return
            if item.farewell is threading.current_thread():
                if self._target.is_copied(item.lun):
                    self._say_farewell(key, item)
                else:
                    self._end(key)

    def _end(self, key: tuple[str, int]) -> None:
        item = self._snapshots.pop(key, None)
        if item is None:
            return
        if item.farewell is not None:
            item.farewell.cancel()
        self._target.remove(item.lun).close()
