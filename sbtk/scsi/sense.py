"""Sense data: why a command ended with CHECK CONDITION (SPC-4 4.5).

One value, ``SenseData``, for both formats; ``fixed`` is the short way to build what a logical unit
of ours answers: ``fixed(ILLEGAL_REQUEST, *INVALID_FIELD_IN_CDB)``, with the keys and (ASC, ASCQ)
pairs of ``sense_codes``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi.layout import ByteView
from sbtk.scsi.sense_codes import (
    COPY_ABORTED,
    ILLEGAL_REQUEST,
    KEY_TEXT,
    NO_SENSE,
    TEXT,
)

FIXED_CURRENT = 0x70
FIXED_DEFERRED = 0x71
DESCRIPTOR_CURRENT = 0x72
DESCRIPTOR_DEFERRED = 0x73

MAX_SENSE_BYTES = 252  # SPC-4 4.5.1: ADDITIONAL SENSE LENGTH is at most 244

_FIXED_BYTES = 18
_INFORMATION, _COMMAND_SPECIFIC, _KEY_SPECIFIC = 0x00, 0x01, 0x02
_STREAM_COMMANDS, _BLOCK_COMMANDS, _FORWARDED = 0x04, 0x05, 0x0C
_LEAST_BYTES = {
    _INFORMATION: 12, _COMMAND_SPECIFIC: 12, _KEY_SPECIFIC: 7,
    _STREAM_COMMANDS: 4, _BLOCK_COMMANDS: 4, _FORWARDED: 4,
}  # fmt: skip


class Origin(IntEnum):
    """SOURCE field of a forwarded sense data descriptor (SPC-4 4.5.2.9 table 43)."""

    COPY_SOURCE = 1
    COPY_DESTINATION = 2


@dataclass(frozen=True)
class ForwardedSense:
    """Status and sense of the source or destination that made a copy stop (SPC-4 5.17.7.4).

    Attributes:
        origin: which of the two it came from.
        status: SCSI status byte.
        sense: raw sense data, empty where there was none.
    """

    origin: Origin
    status: int
    sense: bytes


@dataclass(frozen=True)
class KeySpecific:
    """SENSE-KEY SPECIFIC bytes (SPC-4 4.5.2.4), as a pointer to the field in error.

    Attributes:
        field_pointer: byte number of the first byte of the field.
        flag: bit 6 is C/D with ILLEGAL REQUEST (True: the CDB, False: the parameter list); bit 5
            is SD with COPY ABORTED (True: counted from the start of the segment descriptor).
        bit: most significant bit of the field, None where BPV is 0.
    """

    field_pointer: int
    flag: bool = False
    bit: int | None = None


@dataclass(frozen=True)
class SenseData:
    """Sense data of either format.

    Attributes:
        key: SENSE KEY.
        asc: ADDITIONAL SENSE CODE.
        ascq: ADDITIONAL SENSE CODE QUALIFIER.
        information: INFORMATION as an unsigned number, None where it is not valid.
        command_specific: COMMAND-SPECIFIC INFORMATION, 0 with COPY ABORTED.
        filemark: a filemark was met.
        eom: end of medium or early warning.
        ili: the record was not of the length asked for.
        key_specific: pointer to the field in error, None where SKSV is 0.
        segment_number: COPY ABORTED only: the segment in work, None where none is told.
        forwarded: COPY ABORTED only: what the source and the destination had answered.
        deferred: the error belongs to an earlier command.
        descriptor_format: True for response codes 72h and 73h.
    """

    key: int
    asc: int = 0
    ascq: int = 0
    information: int | None = None
    command_specific: int = 0
    filemark: bool = False
    eom: bool = False
    ili: bool = False
    key_specific: KeySpecific | None = None
    segment_number: int | None = None
    forwarded: tuple[ForwardedSense, ...] = ()
    deferred: bool = False
    descriptor_format: bool = False

    @property
    def code(self) -> tuple[int, int]:
        """(ASC, ASCQ)."""
        return self.asc, self.ascq

    @property
    def field_pointer(self) -> int | None:
        """Byte number of the field in error, None where none is told."""
        return None if self.key_specific is None else self.key_specific.field_pointer

    @property
    def residual(self) -> int:
        """INFORMATION as two's complement: requested minus done; 0 where it is not valid."""
        if self.information is None:
            return 0
        width = 64 if self.descriptor_format else 32
        return self.information - (1 << width) * (self.information >> (width - 1))

    @property
    def text(self) -> str:
        """``"COPY ABORTED: copy target device not reachable (0Ah/0D02h, segment 3, byte 16)"``."""
        name = KEY_TEXT[self.key]
        code = f"{self.key:02X}h/{self.asc:02X}{self.ascq:02X}h"
        said = TEXT.get(self.code, "no text for this code")
        places = [code]
        if self.segment_number is not None:
            places.append(f"segment {self.segment_number}")
        if self.key_specific is not None:
            places.append(f"byte {self.key_specific.field_pointer}")
        flags = [("filemark", self.filemark), ("end of medium", self.eom), ("length", self.ili)]
        places.extend(word for word, on in flags if on)
        line = f"{name}: {said} ({', '.join(places)})"
        for part in self.forwarded:
            said = describe(part.sense) if part.sense else f"status {part.status:02X}h"
            line += f"; {part.origin.name.lower().replace('_', ' ')}: {said}"
        return line


def fixed(
    key: int,
    asc: int,
    ascq: int,
    *,
    information: int | None = None,
    filemark: bool = False,
    eom: bool = False,
    ili: bool = False,
    command_specific: int = 0,
    sense_key_specific: KeySpecific | None = None,
) -> bytes:
    """Sense data in fixed format, 18 bytes.

    A negative ``information`` is encoded as two's complement; one that needs more than 32 bits
    is left out (VALID 0), as SPC-4 4.5.3 asks.
    """
    if information is not None and not -(1 << 31) <= information < (1 << 32):
        information = None
    masked = None if information is None else information & 0xFFFFFFFF
    return encode(
        SenseData(
            key,
            asc,
            ascq,
            information=masked,
            command_specific=command_specific,
            filemark=filemark,
            eom=eom,
            ili=ili,
            key_specific=sense_key_specific,
        )
    )


def invalid_field(
    code: tuple[int, int], byte: int, *, in_cdb: bool, bit: int | None = None
) -> bytes:
    """ILLEGAL REQUEST whose field pointer says which byte (and bit) is wrong."""
    pointer = KeySpecific(min(byte, 0xFFFF), flag=in_cdb, bit=bit)
    return fixed(ILLEGAL_REQUEST, *code, sense_key_specific=pointer)


def encode(sense: SenseData) -> bytes:
    """Sense data in the format that ``sense.descriptor_format`` names.

    Raises:
        LocalScsiError: a field does not fit, or forwarded sense makes it longer than 252 bytes.
    """
    try:
        data = _encode_descriptors(sense) if sense.descriptor_format else _encode_fixed(sense)
    except (OverflowError, ValueError) as error:
        raise LocalScsiError(f"sense data cannot hold its fields: {error}") from error
    if len(data) > MAX_SENSE_BYTES:
        raise LocalScsiError(
            f"sense data would be {len(data)} bytes, {MAX_SENSE_BYTES} is the most"
        )
    return data


def decode(data: ByteView) -> SenseData:
    """Sense data of either format; fields behind a truncated end are taken as absent.

    Raises:
        RemoteScsiError: shorter than its key and code, or a response code other than 70h-73h.
    """
    raw = bytes(data)
    response = raw[0] & 0x7F if raw else 0
    if response in (FIXED_CURRENT, FIXED_DEFERRED) and len(raw) >= 3:
        return _decode_fixed(raw)
    if response in (DESCRIPTOR_CURRENT, DESCRIPTOR_DEFERRED) and len(raw) >= 4:
        return _decode_descriptors(raw)
    raise RemoteScsiError(f"{len(raw)} bytes that are no sense data: {raw[:32].hex(' ')}")


def describe(data: ByteView) -> str:
    """Sense data as one line for people, whatever it holds."""
    try:
        return decode(data).text
    except RemoteScsiError as error:
        return error.line


# -- fixed format (SPC-4 4.5.3 table 48) -------------------------------------------------------


def _encode_fixed(sense: SenseData) -> bytes:
    head = bytearray(_FIXED_BYTES)
    head[0] = (FIXED_DEFERRED if sense.deferred else FIXED_CURRENT) | (
        0x80 if sense.information is not None else 0
    )
    head[2] = _flags(sense) | sense.key
    head[3:7] = (sense.information or 0).to_bytes(4, "big")
    head[8:12] = sense.command_specific.to_bytes(4, "big")
    head[12], head[13] = sense.asc, sense.ascq
    if sense.key_specific is not None:
        head[15:18] = _encode_key_specific(sense.key, sense.key_specific)
    if sense.key == COPY_ABORTED:
        head[10:12] = (sense.segment_number or 0).to_bytes(2, "big")
        for part in sense.forwarded:
            # SPC-4 5.17.7.4: the offset of a status byte followed by its sense data.
            head[8 if part.origin is Origin.COPY_SOURCE else 9] = len(head)
            head += bytes([part.status]) + part.sense
    head[7] = len(head) - 8
    return bytes(head)


def _decode_fixed(raw: bytes) -> SenseData:
    data = raw[: 8 + raw[7]] if len(raw) > 7 else raw
    padded = data + bytes(max(0, _FIXED_BYTES - len(data)))
    key = padded[2] & 0x0F
    copying = key == COPY_ABORTED
    return SenseData(
        key,
        padded[12],
        padded[13],
        information=int.from_bytes(padded[3:7], "big") if padded[0] & 0x80 else None,
        command_specific=0 if copying else int.from_bytes(padded[8:12], "big"),
        filemark=bool(padded[2] & 0x80),
        eom=bool(padded[2] & 0x40),
        ili=bool(padded[2] & 0x20),
        key_specific=_decode_key_specific(key, padded[15:18]),
        segment_number=int.from_bytes(padded[10:12], "big") if copying else None,
        forwarded=_forwarded_of_fixed(data) if copying else (),
        deferred=padded[0] & 0x7F == FIXED_DEFERRED,
    )


def _forwarded_of_fixed(data: bytes) -> tuple[ForwardedSense, ...]:
    starts = {}
    for position, origin in ((8, Origin.COPY_SOURCE), (9, Origin.COPY_DESTINATION)):
        start = data[position] if len(data) > position else 0
        if _FIXED_BYTES <= start < len(data):
            starts[origin] = start
    found = []
    for origin, start in starts.items():
        ends = [other for other in starts.values() if other > start]
        inner = data[start + 1 : min(ends, default=len(data))]
        found.append(ForwardedSense(origin, data[start], inner))
    return tuple(found)


# -- descriptor format (SPC-4 4.5.2) -----------------------------------------------------------


def _encode_descriptors(sense: SenseData) -> bytes:
    parts = []
    if sense.segment_number is not None or sense.command_specific:
        value = sense.command_specific.to_bytes(8, "big")
        if sense.key == COPY_ABORTED:  # SPC-4 5.17.7.4: in its third and fourth byte
            value = bytes(2) + (sense.segment_number or 0).to_bytes(2, "big") + bytes(4)
        parts.append(bytes([_COMMAND_SPECIFIC, 0x0A, 0, 0]) + value)
    if sense.information is not None:
        parts.append(bytes([_INFORMATION, 0x0A, 0x80, 0]) + sense.information.to_bytes(8, "big"))
    if sense.key_specific is not None:
        specific = _encode_key_specific(sense.key, sense.key_specific)
        parts.append(bytes([_KEY_SPECIFIC, 0x06, 0, 0]) + specific + b"\0")
    if _flags(sense):
        parts.append(bytes([_STREAM_COMMANDS, 0x02, 0, _flags(sense)]))
    for part in sense.forwarded:
        inner = bytes([part.origin, part.status]) + part.sense
        parts.append(bytes([_FORWARDED, len(inner)]) + inner)
    body = b"".join(parts)
    code = DESCRIPTOR_DEFERRED if sense.deferred else DESCRIPTOR_CURRENT
    if len(body) > MAX_SENSE_BYTES - 8:
        raise ValueError(f"{len(body)} bytes of descriptors")
    return bytes([code, sense.key, sense.asc, sense.ascq, 0, 0, 0, len(body)]) + body


def _decode_descriptors(raw: bytes) -> SenseData:
    key = raw[1] & 0x0F
    sense = SenseData(
        key,
        raw[2],
        raw[3],
        deferred=raw[0] & 0x7F == DESCRIPTOR_DEFERRED,
        descriptor_format=True,
    )
    end = min(len(raw), 8 + (raw[7] if len(raw) > 7 else 0))
    position = 8
    while position + 2 <= end:
        item = raw[position : min(end, position + 2 + raw[position + 1])]
        sense = _with_descriptor(sense, item)
        position += 2 + raw[position + 1]
    return sense


def _with_descriptor(sense: SenseData, item: bytes) -> SenseData:
    kind, whole = item[0], len(item) >= _LEAST_BYTES.get(item[0], MAX_SENSE_BYTES)
    if not whole:
        return sense
    if kind == _INFORMATION and item[2] & 0x80:
        sense = replace(sense, information=int.from_bytes(item[4:12], "big"))
    elif kind == _COMMAND_SPECIFIC and sense.key == COPY_ABORTED:
        sense = replace(sense, segment_number=int.from_bytes(item[6:8], "big"))
    elif kind == _COMMAND_SPECIFIC:
        sense = replace(sense, command_specific=int.from_bytes(item[4:12], "big"))
    elif kind == _KEY_SPECIFIC:
        sense = replace(sense, key_specific=_decode_key_specific(sense.key, item[4:7]))
    elif kind in (_STREAM_COMMANDS, _BLOCK_COMMANDS):
        mark, eom, ili = (bool(item[3] & bit) for bit in (0x80, 0x40, 0x20))
        sense = replace(sense, filemark=mark, eom=eom, ili=ili)
    elif kind == _FORWARDED and item[2] & 0x0F in (1, 2):
        part = ForwardedSense(Origin(item[2] & 0x0F), item[3], item[4:])
        sense = replace(sense, forwarded=(*sense.forwarded, part))
    return sense


# -- parts that both share ---------------------------------------------------------------------


def _flags(sense: SenseData) -> int:
    return 0x80 * sense.filemark | 0x40 * sense.eom | 0x20 * sense.ili


def _encode_key_specific(key: int, specific: KeySpecific) -> bytes:
    # SPC-4 table 45 (ILLEGAL REQUEST: C/D is bit 6) and table 49 (COPY ABORTED: SD is bit 5).
    flag = 0x20 if key == COPY_ABORTED else 0x40
    first = 0x80 | (flag if specific.flag else 0)
    if specific.bit is not None:
        first |= 0x08 | specific.bit
    return bytes([first]) + specific.field_pointer.to_bytes(2, "big")


def _decode_key_specific(key: int, data: bytes) -> KeySpecific | None:
    if not data[0] & 0x80 or key not in (ILLEGAL_REQUEST, COPY_ABORTED):
        return None
    flag = bool(data[0] & (0x20 if key == COPY_ABORTED else 0x40))
    bit = data[0] & 0x07 if data[0] & 0x08 else None
    return KeySpecific(int.from_bytes(data[1:3], "big"), flag=flag, bit=bit)


NONE = fixed(NO_SENSE, 0, 0)
"""NO SENSE: what REQUEST SENSE returns when there is nothing to tell."""
