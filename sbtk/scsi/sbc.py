"""Data of disk commands: READ CAPACITY (SBC-3 5.15, 5.16) and UNMAP (5.28)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sbtk.errors import RemoteScsiError
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt
from sbtk.scsi.sense_codes import PARAMETER_LIST_LENGTH_ERROR


@dataclass(frozen=True)
class Capacity10(Layout):
    """READ CAPACITY(10) data (SBC-3 5.15.2 table 69); FFFFFFFFh: ask READ CAPACITY(16)."""

    SIZE_BYTES = 8
    last_lba: Annotated[int, UInt(0, 4)] = 0
    block_bytes: Annotated[int, UInt(4, 4)] = 512


@dataclass(frozen=True)
class Capacity16(Layout):
    """READ CAPACITY(16) data (SBC-3 5.16.2 table 71)."""

    SIZE_BYTES = 32
    last_lba: Annotated[int, UInt(0, 8)] = 0
    block_bytes: Annotated[int, UInt(8, 4)] = 512
    protection_type: Annotated[int, Bits(12, 3, 1)] = 0
    protection_enabled: Annotated[bool, Flag(12, 0)] = False
    physical_exponent: Annotated[int, Bits(13, 3, 0)] = 0  # LBPPBE: log2 logical per physical
    provisioning_enabled: Annotated[bool, Flag(14, 7)] = False  # LBPME
    reads_zeros: Annotated[bool, Flag(14, 6)] = False  # LBPRZ
    lowest_aligned_lba: Annotated[int, Bits(14, 5, 0)] = 0  # its upper bits only


@dataclass(frozen=True)
class UnmapRange(Layout):
    """UNMAP block descriptor (SBC-3 5.28.2 table 107)."""

    SIZE_BYTES = 16
    lba: Annotated[int, UInt(0, 8)] = 0
    blocks: Annotated[int, UInt(8, 4)] = 0


_UNMAP_HEAD_BYTES = 8


def decode_unmap(data: ByteView) -> tuple[UnmapRange, ...]:
    """The ranges of an UNMAP parameter list (SBC-3 5.28.2 table 106).

    Raises:
        RemoteScsiError: a list that is shorter than it says, or than its header.
    """
    described_bytes = int.from_bytes(data[2:4], "big")
    end = _UNMAP_HEAD_BYTES + described_bytes - described_bytes % UnmapRange.SIZE_BYTES
    if len(data) < max(end, _UNMAP_HEAD_BYTES):
        raise RemoteScsiError(
            f"an UNMAP parameter list of {len(data)} bytes",
            code=PARAMETER_LIST_LENGTH_ERROR,
            byte_offset=len(data),
        )
    starts = range(_UNMAP_HEAD_BYTES, end, UnmapRange.SIZE_BYTES)
    return tuple(UnmapRange.decode(data[start:]) for start in starts)


def encode_unmap(ranges: Sequence[UnmapRange]) -> bytes:
    """The parameter list of UNMAP."""
    body = b"".join(item.encode() for item in ranges)
    return (len(body) + 6).to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes(4) + body
