"""Reservations on the wire: PERSISTENT RESERVE IN and OUT, RESERVE(6), RELEASE(6).

SPC-4 6.15, 6.16, 7.6.4; SPC-2 7.21 and 7.16 for the commands of old.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.layout import Bits, Flag, Layout, UInt

READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)  # of IN
# Service actions of OUT.
(REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE) = range(7)

WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS = 0x01, 0x03
WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS = 0x05, 0x06
WRITE_EXCLUSIVE_ALL, EXCLUSIVE_ACCESS_ALL = 0x07, 0x08
TYPES = frozenset((0x01, 0x03, 0x05, 0x06, 0x07, 0x08))
FOR_ALL_REGISTRANTS = frozenset((WRITE_EXCLUSIVE_ALL, EXCLUSIVE_ACCESS_ALL))
FOR_REGISTRANTS = FOR_ALL_REGISTRANTS | {WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS}
READABLE = frozenset((WRITE_EXCLUSIVE, WRITE_EXCLUSIVE_REGISTRANTS, WRITE_EXCLUSIVE_ALL))

_ISCSI_TRANSPORT_ID = 0x45  # format 01b (name and ISID), protocol 5 (SPC-4 7.6.4.6 table 519)
_LEAST_TRANSPORT_ID_BYTES = 24


@dataclass(frozen=True)
class PersistentReserveIn(Cdb):
    """SPC-4 6.15; READ KEYS, READ RESERVATION, REPORT CAPABILITIES, READ FULL STATUS."""

    OPCODE, NAME = 0x5E, "PERSISTENT RESERVE IN"
    action: Annotated[int, Bits(1, 4, 0)] = 0
    allocation_bytes: Annotated[int, UInt(7, 2)] = 0xFFFC


@dataclass(frozen=True)
class PersistentReserveOut(Cdb):
    """SPC-4 6.16."""

    OPCODE, NAME = 0x5F, "PERSISTENT RESERVE OUT"
    action: Annotated[int, Bits(1, 4, 0)] = 0
    scope: Annotated[int, Bits(2, 7, 4)] = 0
    type: Annotated[int, Bits(2, 3, 0)] = 0
    parameter_list_bytes: Annotated[int, UInt(5, 4)] = 24


@dataclass(frozen=True)
class Reserve6(Cdb):
    """SPC-2 7.21; the whole unit."""

    OPCODE, NAME = 0x16, "RESERVE(6)"


@dataclass(frozen=True)
class Release6(Cdb):
    """SPC-2 7.16."""

    OPCODE, NAME = 0x17, "RELEASE(6)"


@dataclass(frozen=True)
class ReserveParameters(Layout):
    """Parameter list of PERSISTENT RESERVE OUT (SPC-4 6.16.3 table 218)."""

    SIZE_BYTES = 24
    key: Annotated[int, UInt(0, 8)] = 0
    action_key: Annotated[int, UInt(8, 8)] = 0
    for_named_ports: Annotated[bool, Flag(20, 3)] = False  # SPEC_I_PT
    all_target_ports: Annotated[bool, Flag(20, 2)] = False
    through_power_loss: Annotated[bool, Flag(20, 0)] = False  # APTPL


@dataclass(frozen=True)
class Capabilities(Layout):
    """REPORT CAPABILITIES data (SPC-4 6.15.4 table 209): all types, kept in memory only."""

    SIZE_BYTES = 8
    # Length 8; TYPE MASK VALID; WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX; EX_AC_AR.
    CONSTANT = ((1, 8), (3, 0x80), (4, 0xEA), (5, 0x01))


@dataclass(frozen=True)
class ReservationDescriptor(Layout):
    """READ RESERVATION data behind its header (SPC-4 6.15.3.2 table 206)."""

    SIZE_BYTES = 16
    key: Annotated[int, UInt(0, 8)] = 0
    type: Annotated[int, Bits(13, 3, 0)] = 0


@dataclass(frozen=True)
class FullStatus(Layout):
    """Full status descriptor without its TransportID (SPC-4 6.15.5 table 211)."""

    SIZE_BYTES = 24
    key: Annotated[int, UInt(0, 8)] = 0
    holder: Annotated[bool, Flag(12, 0)] = False
    type: Annotated[int, Bits(13, 3, 0)] = 0
    target_port: Annotated[int, UInt(18, 2)] = 1
    transport_id_bytes: Annotated[int, UInt(20, 4)] = 0


def with_generation(generation: int, body: bytes) -> bytes:
    """PERSISTENT RESERVE IN data: PRGENERATION, ADDITIONAL LENGTH, and what follows."""
    return (generation & 0xFFFFFFFF).to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


def encode_keys(keys: Iterable[int]) -> bytes:
    """READ KEYS data behind its header."""
    return b"".join(key.to_bytes(8, "big") for key in keys)


def encode_full_status(rows: Sequence[tuple[str, FullStatus]]) -> bytes:
    """READ FULL STATUS data behind its header: (nexus, status) of each registrant."""
    parts = []
    for nexus, status in rows:
        name = transport_id(nexus)
        parts += [status.changed(transport_id_bytes=len(name)).encode(), name]
    return b"".join(parts)


def transport_id(nexus: str) -> bytes:
    """TransportID of the iSCSI initiator port ``iqn...,i,0x<ISID>`` (SPC-4 7.6.4.6 table 521)."""
    text = nexus.encode() + b"\0"
    length = max(_LEAST_TRANSPORT_ID_BYTES - 4, len(text) + -len(text) % 4)
    return bytes((_ISCSI_TRANSPORT_ID, 0)) + length.to_bytes(2, "big") + text.ljust(length, b"\0")
