"""What all segment descriptors share: header, type table, and the walk through a list of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi.layout import ByteView, Layout
from sbtk.scsi.sense_codes import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE,
)

HEADER_BYTES = 4  # type, flags, DESCRIPTOR LENGTH: the length of what follows (table 147)
LENGTH_BYTE, SOURCE_BYTE, DESTINATION_BYTE = 2, 4, 6

DIGEST_BASE = 0xC0
DIGEST_LAST = 0xDF
HOLD_TYPES = frozenset({0x0B, 0x0C, 0x0D, 0x0E, 0x0F})

NONE, BLOCK, STREAM = 0, 1, 2
"""What a segment type expects at its source or destination."""


def is_digest(type_code: int) -> bool:
    """Whether this is one of our own types C0h + n."""
    return DIGEST_BASE <= type_code <= DIGEST_LAST


def base_type(type_code: int) -> int:
    """The standard type that a type code does the work of."""
    return type_code - DIGEST_BASE if is_digest(type_code) else type_code


class Segment(Layout):
    """Base of all segment descriptors; every subclass has ``type_code`` as its first field.

    Attributes:
        TYPES: DESCRIPTOR TYPE CODE -> name, for all codes with this layout.
        SOURCE_KIND: BLOCK, STREAM or NONE.
        DESTINATION_KIND: BLOCK, STREAM or NONE.
    """

    TYPES: ClassVar[dict[int, str]] = {}
    SOURCE_KIND: ClassVar[int] = NONE
    DESTINATION_KIND: ClassVar[int] = NONE
    type_code: int

    def __init_subclass__(cls, **keywords: object) -> None:
        """Enter the layout's types into ``SEGMENTS``; write its DESCRIPTOR LENGTH."""
        super().__init_subclass__(**keywords)
        length = cls.SIZE_BYTES - HEADER_BYTES
        cls.CONSTANT = ((2, length >> 8), (3, length & 0xFF))
        for type_code in cls.TYPES:
            SEGMENTS[type_code] = cls

    @property
    def holds(self) -> bool:
        """Whether it adds to the held data."""
        return is_digest(self.type_code) or self.type_code in HOLD_TYPES

    @classmethod
    def check_length(cls, length_bytes: int, base: int) -> None:
        """A fixed layout has one DESCRIPTOR LENGTH.

        Raises:
            RemoteScsiError: it is another.
        """
        if length_bytes != cls.SIZE_BYTES:
            raise _bad_length(cls, length_bytes, base)


class VariableSegment(Segment):
    """A segment descriptor with bytes of its own at its end, padded to a multiple of 4.

    Attributes:
        COUNT_NAME: the field that counts them.
        MAX_TAIL_BYTES: most bytes of ``tail``.
        tail: the bytes behind the fixed part, with their padding.
    """

    COUNT_NAME: ClassVar[str]
    MAX_TAIL_BYTES: ClassVar[int]
    tail: bytes

    def encode(self) -> bytes:
        """Fixed part and tail, with the DESCRIPTOR LENGTH of both.

        Raises:
            LocalScsiError: a field does not fit, or the tail is too long or not padded.
        """
        tail = self.tail
        if len(tail) > self.MAX_TAIL_BYTES or len(tail) % 4:
            raise LocalScsiError(
                f"{type(self).__name__} cannot carry {len(tail)} bytes: "
                f"a multiple of 4 up to {self.MAX_TAIL_BYTES} is possible"
            )
        out = bytearray(super().encode()) + tail
        out[2:4] = (len(out) - HEADER_BYTES).to_bytes(2, "big")
        return bytes(out)

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """The descriptor that ``data`` is, to its last byte.

        Raises:
            RemoteScsiError: shorter than its fixed part, or its count says more than is there.
        """
        fixed: Any = super().decode(data, base)
        tail = bytes(data[cls.SIZE_BYTES :])
        count = getattr(fixed, cls.COUNT_NAME)
        if count > len(tail):
            raise RemoteScsiError(
                f"{cls.__name__} counts {count} bytes and carries {len(tail)}",
                code=INVALID_FIELD_IN_PARAMETER_LIST,
                byte_offset=base + cls.byte_of(cls.COUNT_NAME),
            )
        whole: Self = replace(fixed, tail=tail)
        return whole

    @classmethod
    def check_length(cls, length_bytes: int, base: int) -> None:
        """At least the fixed part, and a multiple of 4.

        Raises:
            RemoteScsiError: it is not.
        """
        if length_bytes < cls.SIZE_BYTES or length_bytes % 4:
            raise _bad_length(cls, length_bytes, base)


SEGMENTS: dict[int, type[Segment]] = {}
"""DESCRIPTOR TYPE CODE (standard types) -> layout."""


def _bad_length(cls: type[Segment], length_bytes: int, base: int) -> RemoteScsiError:
    return RemoteScsiError(
        f"{cls.__name__} with a DESCRIPTOR LENGTH of {length_bytes - HEADER_BYTES}",
        code=INVALID_FIELD_IN_PARAMETER_LIST,
        byte_offset=base + LENGTH_BYTE,
    )


def type_name(type_code: int) -> str:
    """A segment type's name for people."""
    kind = SEGMENTS.get(base_type(type_code))
    if kind is None:
        return f"segment type {type_code:02X}h"
    return kind.TYPES[base_type(type_code)] + (" with digest" if is_digest(type_code) else "")


def split_list(data: ByteView, base: int = 0) -> list[tuple[int, int]]:
    """(start, end) of every descriptor in a segment list, by DESCRIPTOR LENGTH alone.

    Raises:
        RemoteScsiError: a descriptor ends behind the list.
    """
    found: list[tuple[int, int]] = []
    position = 0
    while position < len(data):
        end = position + HEADER_BYTES + int.from_bytes(data[position + 2 : position + 4], "big")
        if position + HEADER_BYTES > len(data) or end > len(data):
            _check_lengths(data, found, base)  # a wrong length before this one is the cause
            raise RemoteScsiError(
                f"segment descriptor {len(found)} ends behind the segment list",
                code=INVALID_FIELD_IN_PARAMETER_LIST,
                byte_offset=base + position + LENGTH_BYTE,
            )
        found.append((position, end))
        position = end
    return found


def _check_lengths(data: ByteView, found: list[tuple[int, int]], base: int) -> None:
    for start, end in found:
        kind = SEGMENTS.get(base_type(data[start]))
        if kind is not None:
            kind.check_length(end - start, base + start)


def decode_segment(data: ByteView, base: int = 0) -> Segment:
    """One whole segment descriptor.

    Raises:
        RemoteScsiError: unknown type (26/09h), a DESCRIPTOR LENGTH that its type cannot have, a
            count that says more than is there.
    """
    kind = SEGMENTS.get(base_type(data[0]))
    if kind is None:
        raise RemoteScsiError(
            f"segment descriptor type {data[0]:02X}h",
            code=UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE,
            byte_offset=base,
        )
    kind.check_length(len(data), base)
    return kind.decode(data, base)
