"""Parameter lists of EXTENDED COPY: header, CSCDs, segments, inline data (SPC-4 6.4, 6.5).

``ParameterList`` is a whole list as values. A list of millions of segments is never made of
objects: ``assemble`` takes segments that ``segment_arrays`` has already encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi import cscd, segment_base
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt
from sbtk.scsi.segments import Segment
from sbtk.scsi.sense_codes import INVALID_FIELD_IN_PARAMETER_LIST, PARAMETER_LIST_LENGTH_ERROR

# LIST ID USAGE (SPC-4 6.4.3.2 table 129).
USAGE_RETAIN = 0b00
USAGE_RESERVED = 0b01
USAGE_MAY_DROP = 0b10
USAGE_NO_ID = 0b11


@dataclass(frozen=True)
class HeaderLid1(Layout):
    """EXTENDED COPY(LID1) parameter list header (SPC-4 6.4.2 table 128)."""

    SIZE_BYTES = 16
    list_id: Annotated[int, UInt(0, 1)] = 0
    striped: Annotated[bool, Flag(1, 5)] = False
    usage: Annotated[int, Bits(1, 4, 3)] = USAGE_RETAIN
    priority: Annotated[int, Bits(1, 2, 0)] = 0
    cscd_list_bytes: Annotated[int, UInt(2, 2)] = 0
    segment_list_bytes: Annotated[int, UInt(8, 4)] = 0
    inline_bytes: Annotated[int, UInt(12, 4)] = 0


@dataclass(frozen=True)
class HeaderLid4(Layout):
    """EXTENDED COPY(LID4) parameter list header (SPC-4 6.5 table 126)."""

    SIZE_BYTES = 48
    # PARAMETER LIST FORMAT, HEADER CSCD DESCRIPTOR LIST LENGTH and TYPE CODE never vary.
    CONSTANT = ((0, 0x01), (2, 0x00), (3, 0x20), (16, 0xFF))
    striped: Annotated[bool, Flag(1, 5)] = False
    usage: Annotated[int, Bits(1, 4, 3)] = USAGE_RETAIN
    priority: Annotated[int, Bits(1, 2, 0)] = 0
    good_sense: Annotated[bool, Flag(15, 1)] = False
    immediate: Annotated[bool, Flag(15, 0)] = False
    list_id: Annotated[int, UInt(20, 4)] = 0
    cscd_list_bytes: Annotated[int, UInt(42, 2)] = 0
    segment_list_bytes: Annotated[int, UInt(44, 2)] = 0
    inline_bytes: Annotated[int, UInt(46, 2)] = 0

    @classmethod
    def decode(cls, data: ByteView, base: int = 0) -> Self:
        """As every layout, with its constants checked.

        Raises:
            RemoteScsiError: too short, or a constant that is not the standard's.
        """
        value = super().decode(data, base)
        for byte, constant in cls.CONSTANT:
            if data[byte] != constant:
                raise RemoteScsiError(
                    f"byte {byte} of a LID4 list header is {data[byte]:02X}h, "
                    f"{constant:02X}h is the only value",
                    code=INVALID_FIELD_IN_PARAMETER_LIST,
                    byte_offset=base + byte,
                )
        return value


Header = HeaderLid1 | HeaderLid4


@dataclass(frozen=True)
class ParameterList:
    """A whole EXTENDED COPY parameter list.

    Attributes:
        cscds: one entry a slot; None is the second slot of a 64-byte descriptor.
        segments: in the order in which they are processed.
        inline: bytes that type 04h segments draw from.
        list_id: LIST IDENTIFIER, 8 bits in LID1, 32 in LID4.
        usage: LIST ID USAGE.
        priority: 0 highest; ordinary commands count as 1.
        striped: STR, a hint only.
        lid4: which of the two headers.
        immediate: IMMED, LID4 only.
        good_sense: G_SENSE, LID4 only.
        segment_starts: byte of each segment in the list; known after decoding, and no part of
            what makes two lists equal.
    """

    cscds: tuple[cscd.Cscd | None, ...]
    segments: tuple[Segment, ...]
    inline: bytes = b""
    list_id: int = 0
    usage: int = USAGE_RETAIN
    priority: int = 0
    striped: bool = False
    lid4: bool = False
    immediate: bool = False
    good_sense: bool = False
    segment_starts: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def encode(self) -> bytes:
        """The list's bytes.

        Raises:
            LocalScsiError: a value does not fit, or LID4's switches are set in a LID1 list.
        """
        if not self.lid4 and (self.immediate or self.good_sense):
            raise LocalScsiError("IMMED and G_SENSE exist in LID4 lists only")
        return assemble(
            b"".join(item.encode() for item in self.cscds if item is not None),
            b"".join(item.encode() for item in self.segments),
            self.inline,
            list_id=self.list_id,
            usage=self.usage,
            priority=self.priority,
            striped=self.striped,
            lid4=self.lid4,
            immediate=self.immediate,
            good_sense=self.good_sense,
        )

    @classmethod
    def decode(cls, data: ByteView, *, lid4: bool = False) -> Self:
        """A parameter list as it was sent.

        Raises:
            RemoteScsiError: whatever is wrong first; ``byte_offset`` counts from the start of
                the list and ``code`` is what a copy manager answers.
        """
        header = decode_header(data, lid4=lid4)
        parts = split(data, header)
        starts = segment_base.split_list(parts.segments, parts.segment_start)
        return cls.from_parts(header, parts, starts)

    @classmethod
    def from_parts(cls, header: Header, parts: Parts, starts: Sequence[tuple[int, int]]) -> Self:
        """The list from pieces that ``decode_header``, ``split`` and ``split_list`` made.

        Raises:
            RemoteScsiError: a descriptor is not what its type says.
        """
        base = parts.segment_start
        return cls(
            cscds=cscd.decode_list(parts.cscds, parts.cscd_start),
            segments=tuple(
                segment_base.decode_segment(parts.segments[start:end], base + start)
                for start, end in starts
            ),
            inline=bytes(parts.inline),
            list_id=header.list_id,
            usage=header.usage,
            priority=header.priority,
            striped=header.striped,
            lid4=isinstance(header, HeaderLid4),
            immediate=isinstance(header, HeaderLid4) and header.immediate,
            good_sense=isinstance(header, HeaderLid4) and header.good_sense,
            segment_starts=tuple(base + start for start, _ in starts),
        )


def assemble(
    cscds: ByteView,
    segments: ByteView,
    inline: ByteView = b"",
    *,
    list_id: int = 0,
    usage: int = USAGE_RETAIN,
    priority: int = 0,
    striped: bool = False,
    lid4: bool = False,
    immediate: bool = False,
    good_sense: bool = False,
) -> bytes:
    """A parameter list from descriptors that are already encoded.

    Raises:
        LocalScsiError: a length or value does not fit its header field.
    """
    lengths = {
        "cscd_list_bytes": len(cscds),
        "segment_list_bytes": len(segments),
        "inline_bytes": len(inline),
    }
    header: Header
    if lid4:
        header = HeaderLid4(striped, usage, priority, good_sense, immediate, list_id, **lengths)
    else:
        header = HeaderLid1(list_id, striped, usage, priority, **lengths)
    return b"".join((header.encode(), cscds, segments, inline))


@dataclass(frozen=True)
class Parts:
    """The three lists behind a header, undecoded, and where the first two begin."""

    cscds: ByteView
    segments: ByteView
    inline: ByteView
    cscd_start: int
    segment_start: int


def decode_header(data: ByteView, *, lid4: bool) -> Header:
    """The header of a parameter list.

    Raises:
        RemoteScsiError: the list is shorter than its header (1A/00h), or a constant is wrong.
    """
    kind: type[Header] = HeaderLid4 if lid4 else HeaderLid1
    if len(data) < kind.SIZE_BYTES:
        raise RemoteScsiError(
            f"a parameter list of {len(data)} bytes has no header",
            code=PARAMETER_LIST_LENGTH_ERROR,
            byte_offset=len(data),
        )
    return kind.decode(data)


def split(data: ByteView, header: Header) -> Parts:
    """Cut a list into its parts by the header's lengths; bytes behind them are ignored.

    Raises:
        RemoteScsiError: the parts are longer than the list (1A/00h), or the CSCD list is no
            multiple of 32 bytes (26/00h).
    """
    view = memoryview(data)
    cscd_start = header.SIZE_BYTES
    segment_start = cscd_start + header.cscd_list_bytes
    inline_start = segment_start + header.segment_list_bytes
    end = inline_start + header.inline_bytes
    if end > len(view):
        raise RemoteScsiError(
            f"the header announces {end} bytes, the parameter list has {len(view)}",
            code=PARAMETER_LIST_LENGTH_ERROR,
            byte_offset=len(view),
        )
    if header.cscd_list_bytes % cscd.SLOT_BYTES:
        raise RemoteScsiError(
            f"a CSCD descriptor list of {header.cscd_list_bytes} bytes is no multiple of 32",
            code=INVALID_FIELD_IN_PARAMETER_LIST,
            byte_offset=type(header).byte_of("cscd_list_bytes"),
        )
    return Parts(
        view[cscd_start:segment_start],
        view[segment_start:inline_start],
        view[inline_start:end],
        cscd_start,
        segment_start,
    )
