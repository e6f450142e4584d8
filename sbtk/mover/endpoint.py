"""From a CSCD id to the unit behind it, for the initiator that sent the list.

A designator is looked up among the units that the sender may use and among no others: to an
initiator, a unit it has no access to does not exist (CVE-2020-28374).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from sbtk.mover.base import BlockUnit, LogicalUnit, TapeUnit
from sbtk.mover.copy_abort import DEVICE_FAILURES, Pointer, abort, device_failed, reserved
from sbtk.scsi import cscd, inquiry
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cscd import Cscd, IdentificationCscd
from sbtk.scsi.designator import Designator
from sbtk.scsi.segments import BLOCK, NONE, STREAM
from sbtk.scsi.sense import Origin

# Peripheral device types that are block devices (SPC-4 table 136): disk, write once, CD,
# optical, simplified direct access.
_BLOCK_TYPES = frozenset({0x00, 0x04, 0x05, 0x07, 0x0E})

Find = Callable[[Designator], LogicalUnit | None]
"""The unit of a designator among those that the sender may use."""


@dataclass(frozen=True)
class Endpoint:
    """A source or destination, ready to be used.

    Attributes:
        unit: what is behind it; None for the null devices C000h and C001h.
        kind: BLOCK, STREAM or NONE (some other kind of device).
        pad: the CSCD's PAD bit.
        fixed: tapes: transfers count blocks.
        block_bytes: logical block length of a disk, STREAM BLOCK LENGTH of a tape (0: variable).
        pointer: where errors of this device point to.
    """

    unit: LogicalUnit | None
    kind: int
    pad: bool
    fixed: bool
    block_bytes: int
    pointer: Pointer

    @property
    def block(self) -> BlockUnit:
        """The disk; only after ``kind`` was checked."""
        return cast(BlockUnit, self.unit)

    @property
    def tape(self) -> TapeUnit:
        """The tape drive; only after ``kind`` was checked."""
        return cast(TapeUnit, self.unit)

    @property
    def record_unit_bytes(self) -> int:
        """Bytes that one unit of a tape's transfer length stands for (SPC-4 table 138)."""
        return self.block_bytes if self.fixed else 1


class Resolver:
    """Turns the CSCD ids of one parameter list into endpoints, each once."""

    def __init__(
        self,
        slots: tuple[Cscd | None, ...],
        slots_start: int,
        receiver: LogicalUnit,
        find: Find,
        accepted_ids: tuple[int, ...],
        nexus: str = "",
    ) -> None:
        """Prepare; nothing is looked up yet.

        Args:
            slots: the list's CSCD descriptors, one entry a slot.
            slots_start: byte of the first of them in the parameter list.
            receiver: the unit that the command was sent to, FFFFh.
            find: how a designator is looked up.
            accepted_ids: ids above 07FFh that this copy manager knows.
            nexus: that sent the list, for the units' reservations.
        """
        self._slots = slots
        self._start = slots_start
        self._receiver = receiver
        self._find = find
        self._accepted = accepted_ids
        self._nexus = nexus
        self._known: dict[int, Endpoint] = {}

    def resolve(self, cscd_id: int, field_byte: int, origin: Origin) -> Endpoint:
        """The endpoint of an id that the segment in work holds at ``field_byte``.

        Raises:
            CopyAbort: unreachable, another type of device, no such id, or reserved by others.
        """
        found = self._known.get(cscd_id)
        if found is None or found.pointer.in_segment:
            found = self._resolve(cscd_id, Pointer(field_byte, in_segment=True), origin)
            self._known[cscd_id] = found
        if found.unit is not None and found.unit.reservations.active:
            writes = origin is not Origin.COPY_SOURCE or found.kind == STREAM
            if found.unit.reservations.excludes(self._nexus, writes=writes):
                raise reserved(origin, found.pointer)
        return found

    def _resolve(self, cscd_id: int, field: Pointer, origin: Origin) -> Endpoint:
        if cscd_id <= cscd.LAST_SLOT_ID:
            if cscd_id >= len(self._slots):
                raise abort(codes.UNREACHABLE_COPY_TARGET, field)
            slot = self._slots[cscd_id]
            if not isinstance(slot, IdentificationCscd):
                raise abort(codes.INVALID_FIELD_IN_PARAMETER_LIST, field)
            return self._named(slot, self._start + cscd.SLOT_BYTES * cscd_id, origin)
        if cscd_id in (cscd.NULL_BLOCK_ID, cscd.NULL_STREAM_ID):
            kind = BLOCK if cscd_id == cscd.NULL_BLOCK_ID else STREAM
            return Endpoint(None, kind, pad=True, fixed=False, block_bytes=0, pointer=field)
        if cscd_id == cscd.RECEIVING_UNIT_ID and cscd_id in self._accepted:
            plain = IdentificationCscd(device_type=_type_of(self._receiver, field))
            return _endpoint(self._receiver, plain, field, field, origin)
        raise abort(codes.INVALID_FIELD_IN_PARAMETER_LIST, field)

    def _named(self, slot: IdentificationCscd, byte: int, origin: Origin) -> Endpoint:
        pointer = Pointer(byte)
        unit = self._find(slot.designator)
        if unit is None:
            raise abort(codes.UNREACHABLE_COPY_TARGET, pointer)
        if _type_of(unit, pointer) != slot.device_type:
            raise abort(codes.INCORRECT_COPY_TARGET_TYPE, pointer)
        length = Pointer(byte + cscd.BLOCK_BYTES_BYTE)
        return _endpoint(unit, slot, pointer, length, origin)


def _endpoint(
    unit: LogicalUnit, slot: Cscd, pointer: Pointer, length: Pointer, origin: Origin
) -> Endpoint:
    if slot.device_type == inquiry.TAPE:
        return Endpoint(unit, STREAM, slot.pad, slot.fixed, slot.block_bytes, pointer)
    if slot.device_type not in _BLOCK_TYPES:
        return Endpoint(unit, NONE, slot.pad, fixed=False, block_bytes=0, pointer=pointer)
    try:
        block_bytes = cast(BlockUnit, unit).block_bytes
    except DEVICE_FAILURES as error:
        raise device_failed(origin, error, pointer) from error
    if slot.block_bytes not in (0, block_bytes):
        raise abort(codes.INVALID_FIELD_IN_PARAMETER_LIST, length)
    return Endpoint(unit, BLOCK, slot.pad, fixed=False, block_bytes=block_bytes, pointer=pointer)


def _type_of(unit: LogicalUnit, pointer: Pointer) -> int:
    try:
        return unit.peripheral_device_type
    except DEVICE_FAILURES as error:
        raise abort(codes.COPY_TARGET_NOT_REACHABLE, pointer) from error
