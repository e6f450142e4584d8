"""INQUIRY data: the standard page and the vital product data pages (SPC-4 6.6.2, 7.8; SBC-3 6.5).

The Third-Party Copy page 8Fh has its own module, ``copy_vpd``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sbtk.errors import RemoteScsiError
from sbtk.scsi.designator import Designator, decode_list
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, Raw, UInt

DISK, TAPE, PROCESSOR, UNKNOWN_DEVICE = 0x00, 0x01, 0x03, 0x1F
NO_LOGICAL_UNIT = 0b011  # PERIPHERAL QUALIFIER: no unit at this LUN, together with type 1Fh

SPC4_VERSION = 0x06

SUPPORTED_PAGES = 0x00
UNIT_SERIAL_NUMBER = 0x80
DEVICE_IDENTIFICATION = 0x83
THIRD_PARTY_COPY = 0x8F
BLOCK_LIMITS = 0xB0
BLOCK_CHARACTERISTICS = 0xB1
PROVISIONING = 0xB2
SEQUENTIAL_CAPABILITIES = 0xB0  # SSC-4 8.5.2, on tapes


@dataclass(frozen=True)
class StandardInquiry(Layout):
    """Standard INQUIRY data (SPC-4 6.6.2 table 141), 74 bytes with 8 version descriptors."""

    SIZE_BYTES = 74
    CONSTANT = ((3, 0x02), (4, 74 - 5))  # RESPONSE DATA FORMAT 2, ADDITIONAL LENGTH
    device_type: Annotated[int, Bits(0, 4, 0)] = DISK
    qualifier: Annotated[int, Bits(0, 7, 5)] = 0
    removable: Annotated[bool, Flag(1, 7)] = False
    version: Annotated[int, UInt(2, 1)] = SPC4_VERSION
    hierarchical: Annotated[bool, Flag(3, 4)] = True
    third_party_copy: Annotated[bool, Flag(5, 3)] = False
    command_queuing: Annotated[bool, Flag(7, 1)] = True
    vendor: Annotated[bytes, Raw(8, 8, 0x20)] = b"        "
    product: Annotated[bytes, Raw(16, 16, 0x20)] = b" " * 16
    revision: Annotated[bytes, Raw(32, 4, 0x20)] = b"    "
    version_descriptor_1: Annotated[int, UInt(58, 2)] = 0
    version_descriptor_2: Annotated[int, UInt(60, 2)] = 0
    version_descriptor_3: Annotated[int, UInt(62, 2)] = 0

    @classmethod
    def decode_any(cls, data: ByteView) -> StandardInquiry:
        """Like ``decode``, and content with the 36 bytes that old devices answer.

        Raises:
            RemoteScsiError: fewer than 36 bytes.
        """
        if len(data) < 36:
            raise RemoteScsiError(
                f"INQUIRY data needs 36 bytes, {len(data)} came", byte_offset=len(data)
            )
        return cls.decode(bytes(data[: cls.SIZE_BYTES]).ljust(cls.SIZE_BYTES, b"\0"))


@dataclass(frozen=True)
class _PageHeader(Layout):
    """Header of every VPD page (SPC-4 7.8.1 table 586)."""

    SIZE_BYTES = 4
    qualifier: Annotated[int, Bits(0, 7, 5)] = 0
    device_type: Annotated[int, Bits(0, 4, 0)] = 0
    page_code: Annotated[int, UInt(1, 1)] = 0
    length: Annotated[int, UInt(2, 2)] = 0


def encode_page(page_code: int, body: bytes, device_type: int = DISK) -> bytes:
    """One VPD page: its header before ``body``."""
    return _PageHeader(0, device_type, page_code, len(body)).encode() + body


def decode_page(data: ByteView, page_code: int) -> bytes:
    """The body of one VPD page, without the bytes that a device sent behind its end.

    Raises:
        RemoteScsiError: another page, or a page that ends before its PAGE LENGTH.
    """
    head = _PageHeader.decode(data)
    if head.page_code != page_code:
        raise RemoteScsiError(
            f"VPD page {page_code:02X}h was asked for, {head.page_code:02X}h came", byte_offset=1
        )
    body = bytes(data[4 : 4 + head.length])
    if len(body) < head.length:
        raise RemoteScsiError(
            f"VPD page {page_code:02X}h is {head.length} bytes long, {len(body)} came",
            byte_offset=2,
        )
    return body


def supported_pages(page_codes: Sequence[int], device_type: int = DISK) -> bytes:
    """VPD page 00h (SPC-4 7.8.14)."""
    return encode_page(SUPPORTED_PAGES, bytes(sorted(page_codes)), device_type)


def unit_serial_number(serial: str, device_type: int = DISK) -> bytes:
    """VPD page 80h (SPC-4 7.8.18)."""
    return encode_page(UNIT_SERIAL_NUMBER, serial.encode("ascii"), device_type)


def device_identification(designators: Sequence[Designator], device_type: int = DISK) -> bytes:
    """VPD page 83h (SPC-4 7.8.6)."""
    body = b"".join(item.encode() for item in designators)
    return encode_page(DEVICE_IDENTIFICATION, body, device_type)


def decode_device_identification(data: ByteView) -> tuple[Designator, ...]:
    """The designators of VPD page 83h.

    Raises:
        RemoteScsiError: the page or one of its descriptors is cut off.
    """
    return decode_list(decode_page(data, DEVICE_IDENTIFICATION))


@dataclass(frozen=True)
class BlockLimits(Layout):
    """VPD page B0h of a disk (SBC-3 6.5.3 table 189), 64 bytes with its header."""

    SIZE_BYTES = 64
    CONSTANT = ((1, BLOCK_LIMITS), (3, 60))
    write_same_non_zero: Annotated[bool, Flag(4, 0)] = False
    maximum_compare_and_write_blocks: Annotated[int, UInt(5, 1)] = 0
    optimal_granularity_blocks: Annotated[int, UInt(6, 2)] = 0
    maximum_transfer_blocks: Annotated[int, UInt(8, 4)] = 0
    optimal_transfer_blocks: Annotated[int, UInt(12, 4)] = 0
    maximum_prefetch_blocks: Annotated[int, UInt(16, 4)] = 0
    maximum_unmap_blocks: Annotated[int, UInt(20, 4)] = 0
    maximum_unmap_descriptors: Annotated[int, UInt(24, 4)] = 0
    optimal_unmap_granularity_blocks: Annotated[int, UInt(28, 4)] = 0
    unmap_alignment_valid: Annotated[bool, Flag(32, 7)] = False
    maximum_write_same_blocks: Annotated[int, UInt(36, 8)] = 0


@dataclass(frozen=True)
class BlockCharacteristics(Layout):
    """VPD page B1h of a disk (SBC-3 6.5.2 table 187), 64 bytes with its header."""

    SIZE_BYTES = 64
    CONSTANT = ((1, BLOCK_CHARACTERISTICS), (3, 60))
    rotation_rate: Annotated[int, UInt(4, 2)] = 0  # 0 not reported, 1 non-rotating, else rpm
    product_type: Annotated[int, UInt(6, 1)] = 0
    nominal_form_factor: Annotated[int, Bits(7, 3, 0)] = 0


@dataclass(frozen=True)
class LogicalBlockProvisioning(Layout):
    """VPD page B2h of a disk (SBC-3 6.5.4 table 193), 8 bytes with its header."""

    SIZE_BYTES = 8
    CONSTANT = ((1, PROVISIONING), (3, 4))
    unmap: Annotated[bool, Flag(5, 7)] = False
    write_same_16: Annotated[bool, Flag(5, 6)] = False
    write_same_10: Annotated[bool, Flag(5, 5)] = False
    reads_zeros: Annotated[int, Bits(5, 4, 2)] = 0
    provisioning_type: Annotated[int, Bits(6, 2, 0)] = 2  # thin


@dataclass(frozen=True)
class SequentialCapabilities(Layout):
    """VPD page B0h of a tape (SSC-4 8.5.2), 6 bytes with its header."""

    SIZE_BYTES = 6
    CONSTANT = ((0, TAPE), (1, SEQUENTIAL_CAPABILITIES), (3, 2))
    worm: Annotated[bool, Flag(4, 0)] = False
