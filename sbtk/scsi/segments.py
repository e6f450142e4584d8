"""Segment descriptors: what one EXTENDED COPY step does (SPC-4 6.4.6; xcopy.md 4).

One class a layout. Types that differ only in what happens to the bytes share it: 0Bh-0Fh also keep
them as held data, C0h + n (vendor-specific, ours) does what type n does and appends the BLAKE3
digest of the bytes it moved to the held data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from sbtk.scsi.layout import Flag, Layout, UInt
from sbtk.scsi.segment_base import (
    BLOCK,
    DIGEST_BASE,
    NONE,
    SEGMENTS,
    STREAM,
    Segment,
    VariableSegment,
    base_type,
    is_digest,
    type_name,
)

__all__ = [
    "BLOCK", "DIGEST_BASE", "NONE", "SEGMENTS", "STREAM", "Segment", "VariableSegment",
    "base_type", "is_digest", "type_name",
]  # fmt: skip


@dataclass(frozen=True)
class BlockToStream(Segment):
    """00h, with 0Bh also hold (SPC-4 6.4.6.2 table 149)."""

    TYPES: ClassVar = {0x00: "block to stream", 0x0B: "block to stream and hold"}
    SOURCE_KIND, DESTINATION_KIND = BLOCK, STREAM
    SIZE_BYTES = 24
    type_code: Annotated[int, UInt(0, 1)] = 0x00
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    blocks: Annotated[int, UInt(14, 2)] = 0
    lba: Annotated[int, UInt(16, 8)] = 0


@dataclass(frozen=True)
class StreamToBlock(Segment):
    """01h, with 0Ch also hold (SPC-4 6.4.6.3 table 150)."""

    TYPES: ClassVar = {0x01: "stream to block", 0x0C: "stream to block and hold"}
    SOURCE_KIND, DESTINATION_KIND = STREAM, BLOCK
    SIZE_BYTES = 24
    type_code: Annotated[int, UInt(0, 1)] = 0x01
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    blocks: Annotated[int, UInt(14, 2)] = 0
    lba: Annotated[int, UInt(16, 8)] = 0


@dataclass(frozen=True)
class BlockToBlock(Segment):
    """02h, with 0Dh also hold (SPC-4 6.4.6.4 table 151); DC: blocks count the destination's."""

    TYPES: ClassVar = {0x02: "block to block", 0x0D: "block to block and hold"}
    SOURCE_KIND, DESTINATION_KIND = BLOCK, BLOCK
    SIZE_BYTES = 28
    type_code: Annotated[int, UInt(0, 1)] = 0x02
    cat: Annotated[bool, Flag(1, 0)] = False
    destination_count: Annotated[bool, Flag(1, 1)] = False
    fast_copy_only: Annotated[bool, Flag(1, 2)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    blocks: Annotated[int, UInt(10, 2)] = 0
    source_lba: Annotated[int, UInt(12, 8)] = 0
    destination_lba: Annotated[int, UInt(20, 8)] = 0


@dataclass(frozen=True)
class StreamToStream(Segment):
    """03h, with 0Eh also hold (SPC-4 6.4.6.5 table 152)."""

    TYPES: ClassVar = {0x03: "stream to stream", 0x0E: "stream to stream and hold"}
    SOURCE_KIND, DESTINATION_KIND = STREAM, STREAM
    SIZE_BYTES = 20
    type_code: Annotated[int, UInt(0, 1)] = 0x03
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    source_transfer: Annotated[int, UInt(9, 3)] = 0
    destination_transfer: Annotated[int, UInt(13, 3)] = 0
    count_bytes: Annotated[int, UInt(16, 4)] = 0


@dataclass(frozen=True)
class InlineToStream(Segment):
    """04h: part of the list's inline data (SPC-4 6.4.6.6 table 153)."""

    TYPES: ClassVar = {0x04: "inline data to stream"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 20
    type_code: Annotated[int, UInt(0, 1)] = 0x04
    cat: Annotated[bool, Flag(1, 0)] = False
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    inline_offset_bytes: Annotated[int, UInt(12, 4)] = 0
    count_bytes: Annotated[int, UInt(16, 4)] = 0


@dataclass(frozen=True)
class EmbeddedToStream(VariableSegment):
    """05h: data inside the descriptor, padded to 4 bytes (SPC-4 6.4.6.7 table 154)."""

    TYPES: ClassVar = {0x05: "embedded data to stream"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 16
    COUNT_NAME = "count_bytes"
    MAX_TAIL_BYTES = 0xFFFF - 15
    type_code: Annotated[int, UInt(0, 1)] = 0x05
    cat: Annotated[bool, Flag(1, 0)] = False
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    count_bytes: Annotated[int, UInt(12, 2)] = 0
    tail: bytes = b""

    @property
    def data(self) -> bytes:
        """The bytes to write, without their padding."""
        return self.tail[: self.count_bytes]

    @classmethod
    def of(
        cls,
        data: bytes,
        destination: int,
        stream_transfer: int,
        *,
        cat: bool = False,
        type_code: int = 0x05,
    ) -> EmbeddedToStream:
        """The descriptor that carries ``data``, at most 65,520 bytes."""
        tail = data + bytes(-len(data) % 4)
        return cls(type_code, cat, destination, stream_transfer, len(data), tail)


@dataclass(frozen=True)
class StreamToNothing(Segment):
    """06h discard, 0Fh hold (SPC-4 6.4.6.8 table 155)."""

    TYPES: ClassVar = {0x06: "stream to discard", 0x0F: "stream to hold"}
    SOURCE_KIND = STREAM
    SIZE_BYTES = 16
    type_code: Annotated[int, UInt(0, 1)] = 0x06
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    count_bytes: Annotated[int, UInt(12, 4)] = 0


@dataclass(frozen=True)
class VerifyDevice(Segment):
    """07h (SPC-4 6.4.6.9 table 156)."""

    TYPES: ClassVar = {0x07: "verify CSCD"}
    SIZE_BYTES = 12
    type_code: Annotated[int, UInt(0, 1)] = 0x07
    source: Annotated[int, UInt(4, 2)] = 0
    test_unit_ready: Annotated[bool, Flag(8, 0)] = False


@dataclass(frozen=True)
class BlockBytesToStream(Segment):
    """08h: a byte range of a disk (SPC-4 6.4.6.10 table 157)."""

    TYPES: ClassVar = {0x08: "block with offset to stream"}
    SOURCE_KIND, DESTINATION_KIND = BLOCK, STREAM
    SIZE_BYTES = 28
    type_code: Annotated[int, UInt(0, 1)] = 0x08
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    count_bytes: Annotated[int, UInt(12, 4)] = 0
    lba: Annotated[int, UInt(16, 8)] = 0
    offset_bytes: Annotated[int, UInt(26, 2)] = 0


@dataclass(frozen=True)
class StreamToBlockBytes(Segment):
    """09h: a byte range of a disk is written (SPC-4 6.4.6.11 table 158)."""

    TYPES: ClassVar = {0x09: "stream to block with offset"}
    SOURCE_KIND, DESTINATION_KIND = STREAM, BLOCK
    SIZE_BYTES = 28
    type_code: Annotated[int, UInt(0, 1)] = 0x09
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    stream_transfer: Annotated[int, UInt(9, 3)] = 0
    count_bytes: Annotated[int, UInt(12, 4)] = 0
    lba: Annotated[int, UInt(16, 8)] = 0
    offset_bytes: Annotated[int, UInt(26, 2)] = 0


@dataclass(frozen=True)
class BlockBytesToBlockBytes(Segment):
    """0Ah: up to 4 GiB - 1 from any byte to any byte (SPC-4 6.4.6.12 table 159)."""

    TYPES: ClassVar = {0x0A: "block with offset to block with offset"}
    SOURCE_KIND, DESTINATION_KIND = BLOCK, BLOCK
    SIZE_BYTES = 32
    type_code: Annotated[int, UInt(0, 1)] = 0x0A
    cat: Annotated[bool, Flag(1, 0)] = False
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    count_bytes: Annotated[int, UInt(8, 4)] = 0
    source_lba: Annotated[int, UInt(12, 8)] = 0
    destination_lba: Annotated[int, UInt(20, 8)] = 0
    source_offset_bytes: Annotated[int, UInt(28, 2)] = 0
    destination_offset_bytes: Annotated[int, UInt(30, 2)] = 0


@dataclass(frozen=True)
class WriteFilemarks(Segment):
    """10h (SPC-4 6.4.6.13 table 160)."""

    TYPES: ClassVar = {0x10: "write filemarks"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 12
    type_code: Annotated[int, UInt(0, 1)] = 0x10
    destination: Annotated[int, UInt(6, 2)] = 0
    immediate: Annotated[bool, Flag(8, 0)] = False
    count: Annotated[int, UInt(9, 3)] = 0


@dataclass(frozen=True)
class Space(Segment):
    """11h (SPC-4 6.4.6.14 table 161); the width of CODE is tagged C, all four bits are used."""

    TYPES: ClassVar = {0x11: "space"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 12
    type_code: Annotated[int, UInt(0, 1)] = 0x11
    destination: Annotated[int, UInt(6, 2)] = 0
    code: Annotated[int, UInt(8, 1)] = 0
    count: Annotated[int, UInt(9, 3, signed=True)] = 0


@dataclass(frozen=True)
class Locate(Segment):
    """12h (SPC-4 6.4.6.15 table 162)."""

    TYPES: ClassVar = {0x12: "locate"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 12
    type_code: Annotated[int, UInt(0, 1)] = 0x12
    destination: Annotated[int, UInt(6, 2)] = 0
    logical_object: Annotated[int, UInt(8, 4)] = 0


@dataclass(frozen=True)
class TapeImageCopy(Segment):
    """13h: records and filemarks as they are (SPC-4 6.4.6.16 table 163)."""

    TYPES: ClassVar = {0x13: "tape image copy"}
    SOURCE_KIND, DESTINATION_KIND = STREAM, STREAM
    SIZE_BYTES = 12
    type_code: Annotated[int, UInt(0, 1)] = 0x13
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    count: Annotated[int, UInt(8, 4)] = 0


@dataclass(frozen=True)
class RegisterKey(Segment):
    """14h (SPC-4 6.4.6.17 table 164)."""

    TYPES: ClassVar = {0x14: "register persistent reservation key"}
    SIZE_BYTES = 28
    type_code: Annotated[int, UInt(0, 1)] = 0x14
    destination: Annotated[int, UInt(6, 2)] = 0
    key: Annotated[int, UInt(8, 8)] = 0
    service_action_key: Annotated[int, UInt(16, 8)] = 0


@dataclass(frozen=True)
class ThirdPartyReservation(VariableSegment):
    """15h, with a TransportID at its end (SPC-4 6.4.6.18 table 165)."""

    TYPES: ClassVar = {0x15: "third party persistent reservations source I_T nexus"}
    DESTINATION_KIND = STREAM
    SIZE_BYTES = 32
    COUNT_NAME = "transport_id_bytes"
    MAX_TAIL_BYTES = 0xFFFF - 31
    type_code: Annotated[int, UInt(0, 1)] = 0x15
    destination: Annotated[int, UInt(6, 2)] = 0
    key: Annotated[int, UInt(8, 8)] = 0
    service_action_key: Annotated[int, UInt(16, 8)] = 0
    unregister: Annotated[bool, Flag(25, 1)] = False
    activate_through_power_loss: Annotated[bool, Flag(25, 0)] = False
    relative_port: Annotated[int, UInt(26, 2)] = 0
    transport_id_bytes: Annotated[int, UInt(28, 4)] = 0
    tail: bytes = b""


@dataclass(frozen=True)
class BlockImageCopy(Segment):
    """16h (SPC-4 6.4.6.19 table 166); its count is tagged C."""

    TYPES: ClassVar = {0x16: "block device image copy"}
    SOURCE_KIND, DESTINATION_KIND = BLOCK, BLOCK
    SIZE_BYTES = 28
    type_code: Annotated[int, UInt(0, 1)] = 0x16
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    source_lba: Annotated[int, UInt(8, 8)] = 0
    destination_lba: Annotated[int, UInt(16, 8)] = 0
    blocks: Annotated[int, UInt(24, 4)] = 0


@dataclass(frozen=True)
class BlockRange(Layout):
    """One range of a populate-ROD descriptor (SPC-4 6.4.6.20 table 168)."""

    SIZE_BYTES = 16
    lba: Annotated[int, UInt(0, 8)] = 0
    blocks: Annotated[int, UInt(8, 4)] = 0


@dataclass(frozen=True)
class PopulateRod(VariableSegment):
    """BEh: several ranges (SPC-4 6.4.6.20 table 167)."""

    TYPES: ClassVar = {0xBE: "populate ROD from block ranges"}
    SIZE_BYTES = 16
    COUNT_NAME = "ranges_bytes"
    MAX_TAIL_BYTES = 0xFFF0
    type_code: Annotated[int, UInt(0, 1)] = 0xBE
    source: Annotated[int, UInt(4, 2)] = 0xFFFF
    destination: Annotated[int, UInt(6, 2)] = 0
    range_type: Annotated[int, UInt(13, 1)] = 1
    ranges_bytes: Annotated[int, UInt(14, 2)] = 0
    tail: bytes = b""

    @property
    def ranges(self) -> tuple[BlockRange, ...]:
        """The ranges that are there whole."""
        step = BlockRange.SIZE_BYTES
        end = min(len(self.tail), self.ranges_bytes) // step * step
        return tuple(BlockRange.decode(self.tail[at:]) for at in range(0, end, step))


@dataclass(frozen=True)
class PopulateRodOne(Segment):
    """BFh: one range (SPC-4 6.4.6.21 table 169)."""

    TYPES: ClassVar = {0xBF: "populate ROD from one block range"}
    SIZE_BYTES = 20
    type_code: Annotated[int, UInt(0, 1)] = 0xBF
    source: Annotated[int, UInt(4, 2)] = 0
    destination: Annotated[int, UInt(6, 2)] = 0
    lba: Annotated[int, UInt(8, 8)] = 0
    blocks: Annotated[int, UInt(16, 4)] = 0
