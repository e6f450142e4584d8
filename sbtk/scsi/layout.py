"""Fixed layouts as frozen dataclasses whose annotations say where each field lies.

A field is ``name: Annotated[int, UInt(byte, width)] = 0``; byte 0 is the first of the layout, bit 7
the most significant, all numbers big-endian. Bytes that no field covers are reserved: written as 0
(or as ``CONSTANT`` says), ignored when read. This is the one codec behind every CDB, descriptor
and parameter page of ``sbtk.scsi``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, NoReturn, Self, get_type_hints

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
            head = codec.pack(self)
        except struct.error:
            _say_which(self)
            raise
        if not codec.putters:
            return head
        out = bytearray(head)
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
        codec.unpack(data, fields)
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


_LETTERS = {1: "B", 2: "H", 3: "BH", 4: "I", 8: "Q"}  # struct's by width; small ones are signed


@dataclass
class _Cell:
    """Bytes that one or two letters of ``struct`` stand for.

    Attributes:
        letters: of ``struct``.
        packs: expressions of ``value``, one for each letter; those of bits are put together.
        unpacks: (field, expression of what the letters give, ``{0}`` and ``{1}``).
    """

    letters: str
    packs: list[str]
    unpacks: list[tuple[str, str]] = field(default_factory=list)


class _Program:
    """The Python that reads and writes a class: one call of ``struct``, one expression a field.

    Compiled as ``dataclasses`` compiles its methods: a call for each field takes three times
    as long, and headers and CDBs are read by the ten thousand a second.
    """

    def __init__(self, size_bytes: int, constant: tuple[tuple[int, int], ...]) -> None:
        self._size_bytes = size_bytes
        self._constant = dict.fromkeys((byte for byte, _ in constant), 0)
        for byte, value in constant:
            self._constant[byte] |= value
        self._cells: dict[int, _Cell] = {}
        self._taken: set[int] = set(self._constant)

    def add(self, name: str, place: _Place) -> bool:
        """Read and write a field; False where its width is odd or its bytes are another's too."""
        value = f"value.{name}"
        if isinstance(place, Flag):
            one = 1 << place.bit
            return self._add_bits(
                place.byte, f"({one} if {value} else 0)", name, f"{{0}} & {one} != 0"
            )
        if isinstance(place, Bits):
            most = (1 << (place.high - place.low + 1)) - 1
            pack = f"({value} << {place.low} if 0 <= {value} <= {most} else fail())"
            return self._add_bits(place.byte, pack, name, f"{{0}} >> {place.low} & {most}")
        if isinstance(place, Raw):
            pack = f"fit({value}, {place.width}, {bytes((place.fill,))!r})"
            cell = _Cell(f"{place.width}s", [pack], [(name, "{0}")])
        elif place.width == 3 and not place.signed:
            cell = _Cell("BH", [f"{value} >> 16", f"{value} & 65535"], [(name, "{0} << 16 | {1}")])
        elif place.width in (1, 2, 4, 8):
            letter = _LETTERS[place.width]
            letter = letter.lower() if place.signed else letter
            cell = _Cell(letter, [value], [(name, "{0}")])
        else:
            return False
        covered = set(range(place.byte, place.byte + place.width))
        if covered & self._taken:
            return False
        self._taken |= covered
        self._cells[place.byte] = cell
        return True

    def _add_bits(self, byte: int, pack: str, name: str, unpack: str) -> bool:
        cell = self._cells.get(byte)
        if cell is None and (byte not in self._taken or byte in self._constant):
            self._taken.add(byte)
            cell = self._cells[byte] = _Cell("B", [f"{self._constant.pop(byte, 0)}"])
        elif cell is None or len(cell.letters) > 1 or " if " not in cell.packs[0]:
            return False
        cell.packs[0] += f" | {pack}"
        cell.unpacks.append((name, unpack))
        return True

    def compile(self) -> tuple[Callable[[Any], bytes], Callable[[ByteView, dict[str, Any]], None]]:
        """The two functions; ``pack`` raises ``struct.error`` where a value does not fit."""
        cells = self._cells | {
            byte: _Cell("B", [str(value)]) for byte, value in self._constant.items()
        }
        form, end, packs, names, unpacks = ">", 0, [], [], []
        for byte, cell in sorted(cells.items()):
            form += f"{byte - end}x{cell.letters}"
            end = byte + struct.calcsize(f">{cell.letters}")
            packs += cell.packs
            found = [f"{letter}{byte}" for letter in cell.letters[-len(cell.packs) :]]
            names += found
            unpacks += [
                f"\n    fields[{name!r}] = {unpack.format(*found)}" for name, unpack in cell.unpacks
            ]
        layout = struct.Struct(f"{form}{self._size_bytes - end}x")
        source = (
            f"def pack(value):\n    return to_bytes({', '.join(packs)})\n"
            f"def unpack(data, fields):\n    [{', '.join(names)}] = of_bytes(data)"
            f"{''.join(unpacks)}"
        )
        made: dict[str, Any] = {
            "to_bytes": layout.pack, "of_bytes": layout.unpack_from, "fit": _fit, "fail": _fail
        }  # fmt: skip
        exec(source, made)  # noqa: S102 - of the names and places of a class, nothing else
        return made["pack"], made["unpack"]


def _fail() -> NoReturn:
    raise struct.error


def _fit(value: ByteView, width: int, fill: bytes) -> bytes:
    return bytes(value).ljust(width, fill) if len(value) <= width else _fail()


class _Codec(NamedTuple):
    """How a class is read and written: most fields at once, the others one by one."""

    pack: Callable[[Any], bytes]
    unpack: Callable[[ByteView, dict[str, Any]], None]
    getters: tuple[tuple[str, _Getter], ...]
    putters: tuple[tuple[str, _Putter], ...]


_codecs: dict[type[Layout], _Codec] = {}


def _codec_of(cls: type[Layout]) -> _Codec:
    """Made once a class."""
    if cls not in _codecs:
        program = _Program(cls.SIZE_BYTES, cls.CONSTANT)
        others = [
            (name, place)
            for name, place in sorted(_places(cls), key=lambda item: item[1].byte)
            if not program.add(name, place)
        ]
        _codecs[cls] = _Codec(
            *program.compile(),
            tuple((name, _getter(place)) for name, place in others),
            tuple((name, _putter(place, f"{cls.__name__}.{name}")) for name, place in others),
        )
    return _codecs[cls]


def _say_which(value: Layout) -> None:
    """Raise for the field of ``value`` that does not fit its place."""
    for name, place in _places(type(value)):
        put = _putter(place, f"{type(value).__name__}.{name}")
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
