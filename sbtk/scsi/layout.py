"""Fixed layouts as frozen dataclasses whose annotations say where each field lies.

A field is ``name: Annotated[int, UInt(byte, width)] = 0``; byte 0 is the first of the layout, bit 7
the most significant, all numbers big-endian. Bytes that no field covers are reserved: written as 0
(or as ``CONSTANT`` says), ignored when read. This is the one codec behind every CDB, descriptor
and parameter page of ``sbtk.scsi``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, Self, get_type_hints

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
        codec = _codec_of(type(self))
        try:
            out = bytearray(codec.numbers.pack(*[getattr(self, name) for name in codec.names]))
        except struct.error:
            _say_which(self, codec)
            raise
        for byte, value in self.CONSTANT:
            out[byte] |= value
        for name, put in codec.putters:
            put(out, getattr(self, name))
        return bytes(out)

    def changed(self, **fields: Any) -> Self:
        """The same with other values in these fields; quicker than ``dataclasses.replace``."""
        value = object.__new__(type(self))
        value.__dict__.update(self.__dict__, **fields)
        return value

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
        value = object.__new__(cls)
        codec = _codec_of(cls)
        # Straight into the instance: a frozen dataclass sets field by field, ten times slower.
        fields = value.__dict__
        fields.update(zip(codec.names, codec.numbers.unpack_from(data), strict=True))
        for name, get in codec.getters:
            fields[name] = get(data)
        return value

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


_Putter = Callable[[bytearray, Any], None]
_Getter = Callable[[ByteView], Any]
_NUMBERS = {1: "B", 2: "H", 4: "I", 8: "Q"}  # struct's letters by width; small ones are signed


class _Codec(NamedTuple):
    """How a class is read and written: most numbers at once, the other fields one by one."""

    numbers: struct.Struct
    names: tuple[str, ...]
    getters: tuple[tuple[str, _Getter], ...]
    putters: tuple[tuple[str, _Putter], ...]


_codecs: dict[type[Layout], _Codec] = {}


def _codec_of(cls: type[Layout]) -> _Codec:
    """Made once a class."""
    if cls not in _codecs:
        _codecs[cls] = _codec(cls)
    return _codecs[cls]


def _codec(cls: type[Layout]) -> _Codec:
    form, end, numbers, others = ">", 0, [], []
    for name, place in sorted(_places(cls), key=lambda item: item[1].byte):
        letter = _NUMBERS.get(place.width, "") if isinstance(place, UInt) else ""
        if letter and place.byte >= end:
            signed = isinstance(place, UInt) and place.signed
            form += f"{place.byte - end}x{letter.lower() if signed else letter}"
            end = place.byte + struct.calcsize(letter)
            numbers.append(name)
        else:
            others.append((name, place))
    return _Codec(
        struct.Struct(f"{form}{cls.SIZE_BYTES - end}x"),
        tuple(numbers),
        tuple((name, _getter(place)) for name, place in others),
        tuple((name, _putter(place, f"{cls.__name__}.{name}")) for name, place in others),
    )


def _say_which(value: Layout, codec: _Codec) -> None:
    """Raise for the number of ``value`` that does not fit its field."""
    for name, place in _places(type(value)):
        if name in codec.names and isinstance(place, UInt):
            put = _number_putter(place, f"{type(value).__name__}.{name}")
            put(bytearray(value.SIZE_BYTES), getattr(value, name))


def _putter(place: _Place, name: str) -> _Putter:
    if isinstance(place, Raw):
        return _raw_putter(place, name)
    if isinstance(place, UInt):
        return _number_putter(place, name)
    byte = place.byte
    if isinstance(place, Flag):
        one = 1 << place.bit

        def put_flag(out: bytearray, value: Any) -> None:
            if value:
                out[byte] |= one

        return put_flag
    low, high, most = place.low, place.high, (1 << (place.high - place.low + 1)) - 1

    def put_bits(out: bytearray, value: Any) -> None:
        if not 0 <= value <= most:
            raise LocalScsiError(f"{name}: {value} does not fit bits {high}-{low}")
        out[byte] |= value << low

    return put_bits


def _raw_putter(place: Raw, name: str) -> _Putter:
    byte, width, fill = place.byte, place.width, bytes([place.fill])

    def put(out: bytearray, value: Any) -> None:
        if len(value) > width:
            raise LocalScsiError(f"{name}: {len(value)} bytes, {width} is the most")
        out[byte : byte + width] = bytes(value).ljust(width, fill)

    return put


def _number_putter(place: UInt, name: str) -> _Putter:
    byte, width, signed = place.byte, place.width, place.signed

    def put(out: bytearray, value: Any) -> None:
        try:
            out[byte : byte + width] = int(value).to_bytes(width, "big", signed=signed)
        except OverflowError as error:
            raise LocalScsiError(f"{name}: {value} does not fit {width} bytes") from error

    return put


def _getter(place: _Place) -> Callable[[ByteView], Any]:
    byte = place.byte
    if isinstance(place, UInt):
        end, signed = byte + place.width, place.signed
        if place.width == 1 and not signed:
            return itemgetter(byte)
        return lambda data: int.from_bytes(data[byte:end], "big", signed=signed)
    if isinstance(place, Flag):
        one = 1 << place.bit
        return lambda data: bool(data[byte] & one)
    if isinstance(place, Bits):
        low, mask = place.low, (1 << (place.high - place.low + 1)) - 1
        return lambda data: data[byte] >> low & mask
    end = byte + place.width
    return lambda data: bytes(data[byte:end])
