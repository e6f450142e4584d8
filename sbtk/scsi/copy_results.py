"""What a copy manager tells about itself and its copies (SPC-4 6.20-6.26; xcopy.md 6, 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from sbtk.errors import RemoteScsiError
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt

# COPY COMMAND STATUS of LID1 (SPC-4 6.25 table 254).
LID1_IN_PROGRESS, LID1_DONE, LID1_ERROR = 0x00, 0x01, 0x02

# COPY OPERATION STATUS of LID4 (SPC-4 6.24 table 249).
LID4_DONE = 0x01
LID4_ERROR = 0x02
LID4_DONE_WITH_RESIDUAL = 0x04
LID4_IN_PROGRESS = 0x10
LID4_FOREGROUND = 0x11
LID4_BACKGROUND = 0x12
LID4_TERMINATED = 0x60
LID4_RUNNING = frozenset({LID4_IN_PROGRESS, LID4_FOREGROUND, LID4_BACKGROUND})

DELAY_FINISHED = 0xFFFFFFFE
DELAY_UNKNOWN = 0xFFFFFFFF

UNITS_BLOCKS = 0xF1
_EXPONENTS = range(7)  # TRANSFER COUNT UNITS 0 B, 1 KiB, 2 MiB ... 6 EiB (SPC-4 table 255)


def scale_count(count_bytes: int, width_bytes: int) -> tuple[int, int]:
    """(units, count) that hold ``count_bytes`` in a TRANSFER COUNT field, rounded down."""
    units = next(u for u in _EXPONENTS if count_bytes >> 10 * u < 1 << 8 * width_bytes)
    return units, count_bytes >> 10 * units


def unscale_count(units: int, count: int) -> int | None:
    """Bytes of a TRANSFER COUNT; None where it counts blocks or something unknown."""
    return count << 10 * units if units in _EXPONENTS else None


@dataclass(frozen=True)
class StatusLid1(Layout):
    """RECEIVE COPY STATUS(LID1) data (SPC-4 6.25 table 253)."""

    SIZE_BYTES = 12
    CONSTANT = ((3, 8),)  # AVAILABLE DATA
    held_data_discarded: Annotated[bool, Flag(4, 7)] = False
    status: Annotated[int, Bits(4, 6, 0)] = LID1_IN_PROGRESS
    segments_processed: Annotated[int, UInt(5, 2)] = 0
    transfer_units: Annotated[int, UInt(7, 1)] = 0
    transfer_count: Annotated[int, UInt(8, 4)] = 0

    @property
    def transferred_bytes(self) -> int | None:
        """Bytes written so far, None where the manager counts blocks."""
        return unscale_count(self.transfer_units, self.transfer_count)


def encode_held_lid1(held: ByteView) -> bytes:
    """RECEIVE COPY DATA(LID1) data (SPC-4 6.20 table 241)."""
    return len(held).to_bytes(4, "big") + held


def decode_held_lid1(data: ByteView) -> bytes:
    """The held data, as much of it as came.

    Raises:
        RemoteScsiError: no AVAILABLE DATA field.
    """
    return bytes(data[4 : 4 + _available(data)])


@dataclass(frozen=True)
class FailureDetails:
    """RECEIVE COPY FAILURE DETAILS(LID1) data (SPC-4 6.22 table 243).

    Attributes:
        status: SCSI status that the copy command ended with.
        sense: its sense data.
    """

    status: int
    sense: bytes
    _HEAD_BYTES: ClassVar[int] = 60

    def encode(self) -> bytes:
        """60 bytes and the sense data."""
        out = bytearray(self._HEAD_BYTES)
        out[0:4] = (self._HEAD_BYTES - 4 + len(self.sense)).to_bytes(4, "big")
        out[56] = self.status
        out[58:60] = len(self.sense).to_bytes(2, "big")
        return bytes(out) + self.sense

    @classmethod
    def decode(cls, data: ByteView) -> FailureDetails | None:
        """The details, None where the manager holds none.

        Raises:
            RemoteScsiError: AVAILABLE DATA is not 0 and the fields are not there.
        """
        if not _available(data):
            return None
        if len(data) < cls._HEAD_BYTES:
            raise RemoteScsiError("failure details are cut off", byte_offset=len(data))
        end = cls._HEAD_BYTES + int.from_bytes(data[58:60], "big")
        return cls(data[56], bytes(data[cls._HEAD_BYTES : end]))


@dataclass(frozen=True)
class StatusLid4(Layout):
    """RECEIVE COPY STATUS(LID4) data (SPC-4 6.24 table 248); sense data behind 32 bytes.

    ``sense`` is at most 252 bytes and padded to a multiple of 4 on the wire.
    """

    SIZE_BYTES = 32
    response_to: Annotated[int, Bits(4, 4, 0)] = 1
    held_data_discarded: Annotated[bool, Flag(5, 7)] = False
    status: Annotated[int, Bits(5, 6, 0)] = LID4_IN_PROGRESS
    operation_counter: Annotated[int, UInt(6, 2)] = 0
    update_delay_ms: Annotated[int, UInt(8, 4)] = DELAY_UNKNOWN
    completion_status: Annotated[int, UInt(12, 1)] = 0
    transfer_units: Annotated[int, UInt(15, 1)] = 0
    transfer_count: Annotated[int, UInt(16, 8)] = 0
    segments_processed: Annotated[int, UInt(24, 2)] = 0
    sense: bytes = b""

    @property
    def transferred_bytes(self) -> int | None:
        """Bytes written so far, None where the manager counts blocks."""
        return unscale_count(self.transfer_units, self.transfer_count)

    def encode(self) -> bytes:
        """Header and sense field."""
        return self.encode_with(b"")

    def encode_with(self, tail: bytes) -> bytes:
        """Header, sense field and what RECEIVE COPY DATA or ROD TOKEN INFORMATION append."""
        field = self.sense + bytes(-len(self.sense) % 4)
        out = bytearray(super().encode())
        out[13], out[14] = len(field), len(self.sense)
        out += field + tail
        out[0:4] = (len(out) - 4).to_bytes(4, "big")
        return bytes(out)

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """The status, with as much of its sense data as came."""
        fixed: Any = super().decode(data, base)
        whole: Self = replace(fixed, sense=bytes(data[32 : 32 + min(data[13], data[14])]))
        return whole

    @classmethod
    def split(cls, data: ByteView) -> tuple[Self, bytes]:
        """The status and the bytes behind its sense field."""
        status = cls.decode(data)
        return status, bytes(data[32 + data[13] :])


def encode_held_lid4(status: StatusLid4, held: ByteView) -> bytes:
    """RECEIVE COPY DATA(LID4) data (SPC-4 6.21 table 242)."""
    return status.encode_with(len(held).to_bytes(4, "big") + bytes(held))


def decode_held_lid4(data: ByteView) -> tuple[StatusLid4, bytes]:
    """Status and held data, as much of it as came.

    Raises:
        RemoteScsiError: shorter than its fixed parts.
    """
    status, tail = StatusLid4.split(data)
    if len(tail) < 4:
        raise RemoteScsiError("HELD DATA LENGTH is cut off", byte_offset=len(data))
    return status, tail[4 : 4 + int.from_bytes(tail[:4], "big")]


_TOKEN_BYTES = 512


def encode_rod_tokens(status: StatusLid4, tokens: Iterable[tuple[int, bytes]]) -> bytes:
    """RECEIVE ROD TOKEN INFORMATION data (SPC-4 6.26): (CSCD id, 512-byte token) pairs."""
    body = b"".join(
        cscd_id.to_bytes(2, "big") + token.ljust(_TOKEN_BYTES, b"\0") for cscd_id, token in tokens
    )
    return status.encode_with(len(body).to_bytes(4, "big") + body)


def decode_rod_tokens(data: ByteView) -> tuple[StatusLid4, list[tuple[int, bytes]]]:
    """Status and (CSCD id, token) pairs that came whole.

    Raises:
        RemoteScsiError: shorter than its fixed parts.
    """
    status, body = decode_held_lid4(data)
    step = 2 + _TOKEN_BYTES
    whole = len(body) // step * step
    return status, [
        (int.from_bytes(body[at : at + 2], "big"), body[at + 2 : at + step])
        for at in range(0, whole, step)
    ]


@dataclass(frozen=True)
class OperatingParameters(Layout):
    """RECEIVE COPY OPERATING PARAMETERS data (SPC-4 6.23 table 245).

    ``types`` are the segment and CSCD type codes that the manager implements.
    """

    SIZE_BYTES = 44
    supports_no_list_id: Annotated[bool, Flag(4, 0)] = False
    max_cscds: Annotated[int, UInt(8, 2)] = 0
    max_segments: Annotated[int, UInt(10, 2)] = 0
    max_list_bytes: Annotated[int, UInt(12, 4)] = 0
    max_segment_bytes: Annotated[int, UInt(16, 4)] = 0
    max_inline_bytes: Annotated[int, UInt(20, 4)] = 0
    held_data_bytes: Annotated[int, UInt(24, 4)] = 0
    max_stream_transfer_bytes: Annotated[int, UInt(28, 4)] = 0
    total_concurrent: Annotated[int, UInt(34, 2)] = 0
    max_concurrent: Annotated[int, UInt(36, 1)] = 0
    data_granularity: Annotated[int, UInt(37, 1)] = 0  # log2, as the two below
    inline_granularity: Annotated[int, UInt(38, 1)] = 0
    held_granularity: Annotated[int, UInt(39, 1)] = 0
    types: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """44 bytes and the implemented descriptor list, ascending."""
        out = bytearray(super().encode()) + bytes(sorted(self.types))
        out[0:4] = (len(out) - 4).to_bytes(4, "big")
        out[43] = len(self.types)
        return bytes(out)

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """The parameters.

        Raises:
            RemoteScsiError: shorter than 44 bytes, or the descriptor list is cut off.
        """
        fixed: Any = super().decode(data, base)
        types = tuple(data[44 : 44 + data[43]])
        if len(types) < data[43]:
            raise RemoteScsiError("the implemented descriptor list is cut off", byte_offset=43)
        whole: Self = replace(fixed, types=types)
        return whole


def _available(data: ByteView) -> int:
    if len(data) < 4:
        raise RemoteScsiError(f"{len(data)} bytes without AVAILABLE DATA", byte_offset=len(data))
    return int.from_bytes(data[:4], "big")
