"""CSCD descriptors: how an EXTENDED COPY names its sources and destinations (SPC-4 6.4.5).

Only E4h is what copy managers in the field accept; the other layouts are here so that a list that
holds them can be read and answered. Offsets tagged C in the reference are marked so: they were
never compared with a device, and sbtk neither sends nor announces those types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from sbtk.errors import RemoteScsiError
from sbtk.scsi.designator import MAX_CSCD_DESIGNATOR_BYTES, Designator
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, Raw, UInt
from sbtk.scsi.sense_codes import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    UNSUPPORTED_TARGET_DESCRIPTOR_TYPE,
)

SLOT_BYTES = 32
IDENTIFICATION = 0xE4
EXTENSION = 0xFF

# CSCD ids that name no slot (SPC-4 6.4.5.2 table 137).
LAST_SLOT_ID = 0x07FF
NULL_BLOCK_ID = 0xC000
NULL_STREAM_ID = 0xC001
ROD_TOKEN_ID = 0xF800
RECEIVING_UNIT_ID = 0xFFFF

DEVICE_SPECIFIC_BYTE = 28
BLOCK_BYTES_BYTE = 29


@dataclass(frozen=True)
class Cscd(Layout):
    """What all CSCD descriptors share (SPC-4 6.4.5.1 table 134; tables 135, 136 for bytes 28-31).

    Attributes:
        TYPE: DESCRIPTOR TYPE CODE.
        lu_id_type: 0 a LUN, 1 a proxy token; ignored for E4h, EBh and FEh.
        null: obsolete since SPC-4: a device that is not there.
        device_type: peripheral device type that the unit has to have.
        relative_port: RELATIVE INITIATOR PORT IDENTIFIER, 0 any.
        pad: what happens to residual data at the end of a segment, with CAT (SPC-4 5.17.7.2).
        fixed: tapes: transfers count blocks of ``block_bytes``.
        block_bytes: DISK BLOCK LENGTH (0: ask the disk) or STREAM BLOCK LENGTH.
    """

    TYPE: ClassVar[int] = 0
    SIZE_BYTES = SLOT_BYTES
    lu_id_type: Annotated[int, Bits(1, 7, 6)] = 0
    null: Annotated[bool, Flag(1, 5)] = False
    device_type: Annotated[int, Bits(1, 4, 0)] = 0
    relative_port: Annotated[int, UInt(2, 2)] = 0
    pad: Annotated[bool, Flag(28, 2)] = False
    fixed: Annotated[bool, Flag(28, 0)] = False
    block_bytes: Annotated[int, UInt(29, 3)] = 0

    def __init_subclass__(cls, **keywords: object) -> None:
        """Enter the type into ``CSCDS`` and put its code at byte 0, FFh at a second slot's."""
        super().__init_subclass__(**keywords)
        second = ((SLOT_BYTES, EXTENSION),) if cls.SIZE_BYTES > SLOT_BYTES else ()
        cls.CONSTANT = ((0, cls.TYPE), *second)
        CSCDS[cls.TYPE] = cls


CSCDS: dict[int, type[Cscd]] = {}
"""DESCRIPTOR TYPE CODE -> layout."""


@dataclass(frozen=True)
class IdentificationCscd(Cscd):
    """E4h, a unit by its designator (SPC-4 6.4.5.6 table 140)."""

    TYPE = IDENTIFICATION
    code_set: Annotated[int, Bits(4, 3, 0)] = 1
    association: Annotated[int, Bits(5, 5, 4)] = 0
    designator_type: Annotated[int, Bits(5, 3, 0)] = 3
    designator_bytes: Annotated[int, UInt(7, 1)] = 16
    designator_padded: Annotated[bytes, Raw(8, 20)] = bytes(20)

    @classmethod
    def of(
        cls,
        designator: Designator,
        *,
        device_type: int = 0,
        block_bytes: int = 0,
        pad: bool = False,
        fixed: bool = False,
    ) -> Self:
        """The descriptor that names a unit by ``designator``."""
        return cls(
            device_type=device_type,
            pad=pad,
            fixed=fixed,
            block_bytes=block_bytes,
            code_set=designator.code_set,
            association=designator.association,
            designator_type=designator.kind,
            designator_bytes=len(designator.identifier),
            designator_padded=designator.identifier.ljust(MAX_CSCD_DESIGNATOR_BYTES, b"\0"),
        )

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """As every layout, and no designator longer than its field.

        Raises:
            RemoteScsiError: too short, or DESIGNATOR LENGTH over 20.
        """
        value = super().decode(data, base)
        if value.designator_bytes > MAX_CSCD_DESIGNATOR_BYTES:
            raise RemoteScsiError(
                f"a designator of {value.designator_bytes} bytes, {MAX_CSCD_DESIGNATOR_BYTES} fit",
                code=INVALID_FIELD_IN_PARAMETER_LIST,
                byte_offset=base + cls.byte_of("designator_bytes"),
            )
        return value

    @property
    def designator(self) -> Designator:
        """The name, as VPD page 83h of the unit has it."""
        return Designator(
            self.designator_padded[: self.designator_bytes],
            self.designator_type,
            self.code_set,
            self.association,
        )


@dataclass(frozen=True)
class FibreChannelNameCscd(Cscd):
    """E0h, N_Port_Name (SPC-4 6.4.5.3)."""

    TYPE = 0xE0
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    port_name: Annotated[int, UInt(12, 8)] = 0


@dataclass(frozen=True)
class FibreChannelIdCscd(Cscd):
    """E1h, N_Port_ID (SPC-4 6.4.5.4; bytes 21-23 tagged C)."""

    TYPE = 0xE1
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    port_id: Annotated[int, UInt(21, 3)] = 0


@dataclass(frozen=True)
class FibreChannelBothCscd(Cscd):
    """E2h, N_Port_ID with N_Port_Name checking (SPC-4 6.4.5.5)."""

    TYPE = 0xE2
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    port_name: Annotated[int, UInt(12, 8)] = 0
    port_id: Annotated[int, UInt(21, 3)] = 0


@dataclass(frozen=True)
class ParallelCscd(Cscd):
    """E3h, parallel bus T_L (SPC-3 6.3.6.5)."""

    TYPE = 0xE3
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    vendor_specific: Annotated[int, UInt(12, 1)] = 0
    target_id: Annotated[int, UInt(13, 1)] = 0


@dataclass(frozen=True)
class Ipv4Cscd(Cscd):
    """E5h, iSCSI IPv4 (SPC-4 6.4.5.8; bytes 22-27 tagged C); names no target, only an address."""

    TYPE = 0xE5
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    address: Annotated[bytes, Raw(12, 4)] = bytes(4)
    tcp_port: Annotated[int, UInt(22, 2)] = 0
    protocol: Annotated[int, UInt(26, 2)] = 6


@dataclass(frozen=True)
class AliasCscd(Cscd):
    """E6h, an alias (SPC-4 6.4.5.7)."""

    TYPE = 0xE6
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    alias: Annotated[int, UInt(12, 8)] = 0


@dataclass(frozen=True)
class RdmaCscd(Cscd):
    """E7h, RDMA target port (SPC-4 6.4.5.9)."""

    TYPE = 0xE7
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    port_identifier: Annotated[bytes, Raw(12, 16)] = bytes(16)


@dataclass(frozen=True)
class FirewireCscd(Cscd):
    """E8h, IEEE 1394 (SPC-4 6.4.5.10)."""

    TYPE = 0xE8
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    eui64: Annotated[int, UInt(12, 8)] = 0
    directory_id: Annotated[int, UInt(20, 3)] = 0


@dataclass(frozen=True)
class SasCscd(Cscd):
    """E9h, SAS address (SPC-4 6.4.5.11; tagged C)."""

    TYPE = 0xE9
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    sas_address: Annotated[int, UInt(12, 8)] = 0


@dataclass(frozen=True)
class Ipv6Cscd(Cscd):
    """EAh, iSCSI IPv6, two slots (SPC-4 6.4.5.12; bytes 36-39 tagged C)."""

    TYPE = 0xEA
    SIZE_BYTES = 2 * SLOT_BYTES
    lun: Annotated[bytes, Raw(4, 8)] = bytes(8)
    address: Annotated[bytes, Raw(12, 16)] = bytes(16)
    tcp_port: Annotated[int, UInt(34, 2)] = 0
    protocol: Annotated[int, UInt(38, 2)] = 6


@dataclass(frozen=True)
class IpCopyServiceCscd(Cscd):
    """EBh, IP copy service, two slots (SPC-4 6.4.5.13; second slot tagged C)."""

    TYPE = 0xEB
    SIZE_BYTES = 2 * SLOT_BYTES
    address: Annotated[bytes, Raw(12, 16)] = bytes(16)
    port: Annotated[int, UInt(34, 2)] = 0
    protocol: Annotated[int, UInt(38, 2)] = 0
    code_set: Annotated[int, Bits(40, 3, 0)] = 1
    association: Annotated[int, Bits(41, 5, 4)] = 0
    designator_type: Annotated[int, Bits(41, 3, 0)] = 3
    designator_bytes: Annotated[int, UInt(43, 1)] = 16
    designator_padded: Annotated[bytes, Raw(44, 20)] = bytes(20)


@dataclass(frozen=True)
class RodCscd(Cscd):
    """FEh, a representation of data (SPC-4 6.4.5.14 table 146; flag bits tagged C)."""

    TYPE = 0xFE
    producer_id: Annotated[int, UInt(4, 2)] = 0
    rod_type: Annotated[int, UInt(8, 4)] = 0
    lifetime_s: Annotated[int, UInt(12, 4)] = 0
    inactivity_timeout_s: Annotated[int, UInt(16, 4)] = 0
    create_token: Annotated[bool, Flag(23, 1)] = False
    delete_token: Annotated[bool, Flag(23, 0)] = False
    token_offset_bytes: Annotated[int, UInt(24, 4)] = 0


def decode_list(data: ByteView, base: int = 0) -> tuple[Cscd | None, ...]:
    """One entry a 32-byte slot; the second slot of a 64-byte descriptor is None.

    Args:
        data: the CSCD descriptor list alone.
        base: where it begins in the parameter list, for the offset in errors.

    Raises:
        RemoteScsiError: a length that is no multiple of 32, an unknown type (26/07h), a 64-byte
            descriptor without its second half.
    """
    slots: list[Cscd | None] = []
    position = 0
    while position < len(data):
        kind = CSCDS.get(data[position])
        if kind is None:
            raise RemoteScsiError(
                f"CSCD descriptor type {data[position]:02X}h",
                code=UNSUPPORTED_TARGET_DESCRIPTOR_TYPE,
                byte_offset=base + position,
            )
        value = kind.decode(data[position : position + kind.SIZE_BYTES], base + position)
        if kind.SIZE_BYTES > SLOT_BYTES and data[position + SLOT_BYTES] != EXTENSION:
            raise RemoteScsiError(
                f"the second half of CSCD descriptor {data[position]:02X}h is not FFh",
                code=INVALID_FIELD_IN_PARAMETER_LIST,
                byte_offset=base + position + SLOT_BYTES,
            )
        slots += [value] + [None] * (kind.SIZE_BYTES // SLOT_BYTES - 1)
        position += kind.SIZE_BYTES
    return tuple(slots)
