"""Fixed layouts as frozen dataclasses whose annotations say where each field lies.

A field is ``name: Annotated[int, UInt(byte, width)] = 0``; byte 0 is the first of the layout, bit 7
the most significant, all numbers big-endian. Bytes that no field covers are reserved: written as 0
(or as ``CONSTANT`` says), ignored when read. This is the one codec behind every CDB, descriptor
and parameter page of ``sbtk.scsi``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

from sbtk.errors import LocalScsiError, RemoteScsiError

ByteView = bytes | bytearray | memoryview
"""Anything that holds bytes and can be sliced without being an array of something else."""


@dataclass(frozen=True)
class UInt:
    """``width`` whole bytes as an unsigned number (two's complement where ``signed``)."""

    byte: int
    width: int
    signed: bool = False


@dataclass(frozen=True)
class Bits:
    """Bits ``high`` to ``low`` of one byte."""

    byte: int
    high: int
    low: int


@dataclass(frozen=True)
class Flag:
    """One bit, as a bool."""

    byte: int
    bit: int


@dataclass(frozen=True)
class Raw:
    """``width`` bytes as they are; shorter values are padded with ``fill``."""

    byte: int
    width: int
    fill: int = 0


_Place = UInt | Bits | Flag | Raw


class Layout:
    """Base of a fixed layout.

    Attributes:
        SIZE_BYTES: bytes of the encoded form.
        CONSTANT: (byte number, value) of what is always written there.
    """

    SIZE_BYTES: ClassVar[int] = 0
    CONSTANT: ClassVar[tuple[tuple[int, int], ...]] = ()

    def encode(self) -> bytes:
        """The layout's bytes.

        Raises:
            LocalScsiError: a value does not fit its field.
        """
        out = bytearray(self.SIZE_BYTES)
        for byte, value in self.CONSTANT:
            out[byte] |= value
        for name, place in _places(type(self)):
            _put(out, place, getattr(self, name), f"{type(self).__name__}.{name}")
        return bytes(out)

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """The value whose bytes ``data`` begins with; bytes behind the layout are ignored.

        Args:
            data: at least ``SIZE_BYTES`` bytes.
            base: where ``data`` lies in what was received, for the offset in errors.

        Raises:
            RemoteScsiError: ``data`` is too short.
        """
        if len(data) < cls.SIZE_BYTES:
            raise RemoteScsiError(
                f"{cls.__name__} needs {cls.SIZE_BYTES} bytes, {len(data)} are there",
                byte_offset=base + len(data),
            )
        return cls(**{name: _get(data, place) for name, place in _places(cls)})

    @classmethod
    def byte_of(cls, name: str) -> int:
        """First byte of a field, for field pointers."""
        return _bytes_of(cls)[name]


_known: dict[type[Layout], tuple[tuple[str, _Place], ...]] = {}
_first_bytes: dict[type[Layout], dict[str, int]] = {}


def _places(cls: type[Layout]) -> tuple[tuple[str, _Place], ...]:
    """Name and place of every field; read from the annotations once a class."""
    if cls not in _known:
        found: list[tuple[str, _Place]] = []
        for name, hint in get_type_hints(cls, include_extras=True).items():
            marks = getattr(hint, "__metadata__", ())
            found.extend((name, mark) for mark in marks if isinstance(mark, _Place))
        _known[cls] = tuple(found)
    return _known[cls]


def _bytes_of(cls: type[Layout]) -> dict[str, int]:
    """Name -> first byte; made once a class."""
    if cls not in _first_bytes:
        _first_bytes[cls] = {name: place.byte for name, place in _places(cls)}
    return _first_bytes[cls]


def _put(out: bytearray, place: _Place, value: Any, name: str) -> None:
    if isinstance(place, Raw):
        if len(value) > place.width:
            raise LocalScsiError(f"{name}: {len(value)} bytes, {place.width} is the most")
        padded = bytes(value).ljust(place.width, bytes([place.fill]))
        out[place.byte : place.byte + place.width] = padded
    elif isinstance(place, UInt):
        try:
            encoded = int(value).to_bytes(place.width, "big", signed=place.signed)
        except OverflowError as error:
            raise LocalScsiError(f"{name}: {value} does not fit {place.width} bytes") from error
        out[place.byte : place.byte + place.width] = encoded
    elif isinstance(place, Flag):
        out[place.byte] |= bool(value) << place.bit
    else:
        if not 0 <= value < 1 << (place.high - place.low + 1):
            raise LocalScsiError(f"{name}: {value} does not fit bits {place.high}-{place.low}")
        out[place.byte] |= value << place.low


def _get(data: ByteView, place: _Place) -> Any:
    if isinstance(place, UInt):
        span = data[place.byte : place.byte + place.width]
        return int.from_bytes(span, "big", signed=place.signed)
    if isinstance(place, Flag):
        return bool(data[place.byte] >> place.bit & 1)
    if isinstance(place, Bits):
        return data[place.byte] >> place.low & ((1 << (place.high - place.low + 1)) - 1)
    return bytes(data[place.byte : place.byte + place.width])
