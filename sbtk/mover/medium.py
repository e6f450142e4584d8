"""The bytes of a cartridge file: object headers and the medium auxiliary memory. No I/O.

The container of Debian's ``tgt`` (its struct blk_header and struct MAM, media version 2), so that
``tgtimg`` and ``tgtd`` read our cartridges and we read theirs: a beginning-of-tape header at 0, the
auxiliary memory behind it, then records and filemarks one behind another, then end of data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from crc32c import crc32c

from sbtk.errors import CartridgeError
from sbtk.transport.base import ByteView

HEADER_BYTES = 48
MEMORY_BYTES = 1104
FIRST_OBJECT_OFFSET_BYTES = HEADER_BYTES + MEMORY_BYTES

MAX_RECORD_BYTES = 0xFF_FFFF
"""Longest record: the 24-bit TRANSFER LENGTH of WRITE(6) (SSC-3 6.7)."""

RECORD, BEGINNING_OF_TAPE, END_OF_DATA, FILEMARK = 0x02, 0x10, 0x20, 0x40

# tgt struct blk_header behind its checksum: ondisk_sz, blk_sz, blk_type, blk_num, prev, curr, next.
_FIELDS = struct.Struct(">IIIQQQQ")
# CRC-32C of the 44 bytes behind it, in the byte order of the machine that wrote it: little-endian
# on every machine that runs tgt today.
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """One object header.

    Attributes:
        kind: RECORD, FILEMARK, BEGINNING_OF_TAPE or END_OF_DATA.
        number: 0 for the beginning of tape, 1 for the first object behind it, and so on.
        data_bytes: bytes of data that follow; the nominal capacity in MiB for beginning of tape.
        previous_offset_bytes: where the header before this one lies in the file.
        offset_bytes: where this one lies.
        next_offset_bytes: where the next one lies; the same as this one for end of data.
    """

    kind: int
    number: int
    data_bytes: int
    previous_offset_bytes: int
    offset_bytes: int
    next_offset_bytes: int

    def encode(self) -> bytes:
        """The header's 48 bytes."""
        return encode_header(
            self.kind,
            self.number,
            self.data_bytes,
            self.previous_offset_bytes,
            self.offset_bytes,
            self.next_offset_bytes,
        )


def encode_header(
    kind: int, number: int, data_bytes: int, previous: int, here: int, following: int
) -> bytes:
    """The 48 bytes of ``ObjectHeader`` with these fields, without making one."""
    stored_bytes = 0 if kind == BEGINNING_OF_TAPE else data_bytes
    body = _FIELDS.pack(stored_bytes, data_bytes, kind, number, previous, here, following)
    return _CHECKSUM.pack(crc32c(body)) + body


def decode_header(raw: ByteView) -> ObjectHeader | None:
    """The header in 48 bytes, or None where they are not one that can be believed.

    A header is believed when its checksum is right and it agrees with itself: a known kind, a
    record no longer than a drive can write, and ``next`` just behind its data.
    """
    if len(raw) != HEADER_BYTES or crc32c(raw[4:]) != _CHECKSUM.unpack_from(raw)[0]:
        return None
    stored_bytes, data_bytes, kind, number, previous, here, following = _FIELDS.unpack_from(raw, 4)
    if kind == BEGINNING_OF_TAPE:
        fits = here == previous == number == 0 and following == FIRST_OBJECT_OFFSET_BYTES
    elif kind == END_OF_DATA:
        fits = stored_bytes == data_bytes == 0
    elif kind in (RECORD, FILEMARK):
        fits = stored_bytes == data_bytes <= (MAX_RECORD_BYTES if kind == RECORD else 0)
        fits = fits and following == here + HEADER_BYTES + data_bytes
    else:
        fits = False
    return ObjectHeader(kind, number, data_bytes, previous, here, following) if fits else None


# tgt struct MAM (after IBM's Ultrium SCSI reference): the fields that we use, and zeros between.
_MEMORY = struct.Struct(
    ">I4x"  # 0 format version
    "QQQQQ"  # 8 remaining capacity, maximum capacity, TapeAlert, load count, space remaining
    "176x"  # 48 organization, density, initialization count, drives of the last four loads
    "32x"  # 224 bytes written and read
    "8s32sII"  # 256 manufacturer, serial number, length in m, width in tenths of mm
    "32x"  # 304 organization, density, manufacture date, capacity of this memory
    "Bx2x4x"  # 336 medium type
    "8s32s8s160s"  # 344 application vendor, name, version, user label
    "16x"  # 552 date last written, localization
    "32s"  # 568 barcode
    "80x160x256x8x"  # 600 host, pool, vendor's own, dirty
)
_FORMAT_VERSION = 2
_OWN_SPACE_BYTES = 256
_TYPES_FOR_DATA = (0, 1)  # unspecified, data; 2 and up are cleaning, diagnostics, WORM, microcode


@dataclass(frozen=True)
class MediumMemory:
    """What a cartridge says about itself.

    Attributes:
        capacity_bytes: how much may be written, headers included.
        remaining_bytes: how much was free when it was last closed; for information.
        barcode: at most 31 characters of ASCII.
        serial_number: made once, at most 31 characters of ASCII.
        data_medium: False for a WORM, cleaning or other cartridge, which is not written.
    """

    capacity_bytes: int
    remaining_bytes: int
    barcode: str
    serial_number: str
    data_medium: bool = True

    def encode(self) -> bytes:
        """The memory's 1104 bytes, as ``tgtimg --op new`` lays them out."""
        return _MEMORY.pack(
            _FORMAT_VERSION,
            self.remaining_bytes,
            self.capacity_bytes,
            0,
            0,
            _OWN_SPACE_BYTES,
            b"SBTK".ljust(8),
            self.serial_number.encode("ascii"),
            384,
            127,
            1 if self.data_medium else 4,
            b"SBTK".ljust(8),
            b"sbtk",
            b"",
            b"",
            self.barcode.ljust(31).encode("ascii"),
        )


REMAINING_OFFSET_BYTES = HEADER_BYTES + 8
"""Where REMAINING CAPACITY lies in the file: eight bytes, big-endian."""


def decode_memory(raw: ByteView) -> MediumMemory:
    """The medium auxiliary memory of a cartridge.

    Raises:
        CartridgeError: too short, or of a version that is not known.
    """
    if len(raw) != MEMORY_BYTES:
        raise CartridgeError("the cartridge ends inside its medium memory")
    fields = _MEMORY.unpack(raw)
    if fields[0] != _FORMAT_VERSION:
        raise CartridgeError(
            f"the cartridge has format version {fields[0]}, only {_FORMAT_VERSION} is known"
        )
    return MediumMemory(
        capacity_bytes=fields[2],
        remaining_bytes=fields[1],
        barcode=_text(fields[15]),
        serial_number=_text(fields[7]),
        data_medium=fields[10] in _TYPES_FOR_DATA,
    )


def _text(raw: bytes) -> str:
    text = raw.split(b"\0")[0].decode("ascii", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()
