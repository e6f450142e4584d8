"""Mode parameter headers and block descriptors (SPC-4 7.5; SSC-4 8.3; SBC-3 6.4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.errors import RemoteScsiError
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt
from sbtk.scsi.sense_codes import INVALID_FIELD_IN_PARAMETER_LIST, PARAMETER_LIST_LENGTH_ERROR


@dataclass(frozen=True)
class ModeHeader6(Layout):
    """Mode parameter header(6) (SPC-4 7.5.5 table 447)."""

    SIZE_BYTES = 4
    data_length: Annotated[int, UInt(0, 1)] = 0
    medium_type: Annotated[int, UInt(1, 1)] = 0
    write_protected: Annotated[bool, Flag(2, 7)] = False  # DPOFUA shares the byte on disks
    buffered_mode: Annotated[int, Bits(2, 6, 4)] = 0  # tapes; bit 4 is DPOFUA on disks
    speed: Annotated[int, Bits(2, 3, 0)] = 0
    block_descriptor_bytes: Annotated[int, UInt(3, 1)] = 0


@dataclass(frozen=True)
class ModeHeader10(Layout):
    """Mode parameter header(10) (SPC-4 7.5.5 table 448)."""

    SIZE_BYTES = 8
    data_length: Annotated[int, UInt(0, 2)] = 0
    medium_type: Annotated[int, UInt(2, 1)] = 0
    write_protected: Annotated[bool, Flag(3, 7)] = False
    buffered_mode: Annotated[int, Bits(3, 6, 4)] = 0
    speed: Annotated[int, Bits(3, 3, 0)] = 0
    long_lba: Annotated[bool, Flag(4, 0)] = False
    block_descriptor_bytes: Annotated[int, UInt(6, 2)] = 0


@dataclass(frozen=True)
class BlockDescriptor(Layout):
    """General mode parameter block descriptor (SPC-4 7.5.6.1 table 449)."""

    SIZE_BYTES = 8
    density: Annotated[int, UInt(0, 1)] = 0
    blocks: Annotated[int, UInt(1, 3)] = 0
    block_bytes: Annotated[int, UInt(5, 3)] = 0  # 0 on a tape: variable


@dataclass(frozen=True)
class ModeParameters:
    """A whole mode parameter list.

    Attributes:
        header: of the 6- or 10-byte command.
        descriptor: the block descriptor, None where there is none.
        pages: everything behind it, as it is.
    """

    header: ModeHeader6 | ModeHeader10
    descriptor: BlockDescriptor | None = None
    pages: bytes = b""

    def encode(self) -> bytes:
        """Header with its lengths filled in, block descriptor, pages."""
        block = self.descriptor.encode() if self.descriptor else b""
        six = isinstance(self.header, ModeHeader6)
        out = bytearray(self.header.encode() + block + self.pages)
        if six:
            out[0], out[3] = len(out) - 1, len(block)
        else:
            out[0:2] = (len(out) - 2).to_bytes(2, "big")
            out[6:8] = len(block).to_bytes(2, "big")
        return bytes(out)


def decode_parameters(data: ByteView, *, ten: bool) -> ModeParameters:
    """A mode parameter list as MODE SELECT sends and MODE SENSE returns it.

    Raises:
        RemoteScsiError: shorter than its header and block descriptor, or a block descriptor
            length other than 0 and 8.
    """
    kind = ModeHeader10 if ten else ModeHeader6
    if len(data) < kind.SIZE_BYTES:
        raise RemoteScsiError(
            f"a mode parameter list of {len(data)} bytes",
            code=PARAMETER_LIST_LENGTH_ERROR,
            byte_offset=len(data),
        )
    header: ModeHeader6 | ModeHeader10 = kind.decode(data)
    end = kind.SIZE_BYTES + header.block_descriptor_bytes
    if header.block_descriptor_bytes not in (0, BlockDescriptor.SIZE_BYTES):
        raise RemoteScsiError(
            f"a block descriptor of {header.block_descriptor_bytes} bytes",
            code=INVALID_FIELD_IN_PARAMETER_LIST,
            byte_offset=kind.byte_of("block_descriptor_bytes"),
        )
    if len(data) < end:
        raise RemoteScsiError(
            "the block descriptor is cut off",
            code=PARAMETER_LIST_LENGTH_ERROR,
            byte_offset=len(data),
        )
    block = (
        BlockDescriptor.decode(data[kind.SIZE_BYTES :]) if header.block_descriptor_bytes else None
    )
    return ModeParameters(header, block, bytes(data[end:]))
