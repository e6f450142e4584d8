"""The PDUs of plain reads, which random access sends by the ten thousand a second.

The same bytes as ``iscsi.ScsiCommand`` with a READ(10) or READ(16), and as the ``iscsi.DataIn``
that answer it whole with status GOOD: all fields in one step, without a value for each PDU. What
is not that plain is left to the codec for all PDUs.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from sbtk.scsi.cdb import Read10, Read16
from sbtk.scsi.iscsi import RESERVED_TAG, DataIn, ScsiCommand
from sbtk.scsi.iscsi_text import Parameters
from sbtk.scsi.layout import ByteView

# Byte 0 opcode, 1 flags, 4 AHS and data length, 8 LUN, 16 task tag, 20 expected length, 24 CmdSN,
# 28 ExpStatSN, 32 CDB (RFC 7143 11.3), the CDB's fields as SBC-3 5.8 and 5.10 have them.
_COMMAND = Struct(">BBxxIQIII4xB15x")
_READ_10_RANGE = Struct(">xBIxH")
_READ_16_RANGE = Struct(">xBQI")
_CDB_BYTE = 32
_FINAL, _READ, _WRITE = 0x80, 0x40, 0x20
_PROTECT = 0xE0  # RDPROTECT: bits 7-5 of byte 1 of the CDB
_NO_LUN = (0xFF << 56) | ((1 << 48) - 1)  # bits that LUNs below 256 leave 0 (SAM-5 4.7.6)

# Byte 0 opcode, 1 flags, 3 status, 4 data length, 8 LUN, 16 task tag, 20 transfer tag, 24 StatSN,
# 28 ExpCmdSN, 32 MaxCmdSN, 36 DataSN, 40 buffer offset, 44 residual count (RFC 7143 11.7).
_DATA_IN = Struct(">BBxBIQ8I")
_WITH_STATUS = 0x01


class PlainRead(NamedTuple):
    """A READ(10) or READ(16) without protection, data or extensions, that is no immediate command.

    Attributes:
        lun: below 256.
        task_tag: the initiator's.
        expected_bytes: Expected Data Transfer Length.
        command_sn: CmdSN.
        lba: first block.
        blocks: TRANSFER LENGTH.
    """

    lun: int
    task_tag: int
    expected_bytes: int
    command_sn: int
    lba: int
    blocks: int


def decode_plain_read(header: ByteView) -> PlainRead | None:
    """What a basic header segment of 48 bytes asks for; None if it is no plain read."""
    code, flags, segments, lun, tag, expected_bytes, command_sn, opcode = _COMMAND.unpack(header)
    if code != ScsiCommand.OPCODE or segments or lun & _NO_LUN:
        return None
    if flags & (_FINAL | _READ | _WRITE) != _FINAL | _READ:
        return None
    if opcode == Read10.OPCODE:
        protect, lba, blocks = _READ_10_RANGE.unpack_from(header, _CDB_BYTE)
    elif opcode == Read16.OPCODE:
        protect, lba, blocks = _READ_16_RANGE.unpack_from(header, _CDB_BYTE)
    else:
        return None
    if protect & _PROTECT:
        return None
    return PlainRead(lun >> 48, tag, expected_bytes, command_sn, lba, blocks)


def encode_whole_answer(
    read: PlainRead,
    agreed: Parameters,
    *,
    status_sn: int,
    expected_command_sn: int,
    max_command_sn: int,
) -> list[tuple[bytes, int, int]]:
    """The Data-In that carry all that was asked for, status GOOD in the last one.

    Returns:
        For each its header, and where its data begin and end in those of the read. Each is final
        that ends a burst; StatSN is that of the status in all, reserved but in the last (11.7.4).
    """
    length, most, burst = read.expected_bytes, agreed.max_send_bytes, agreed.max_burst_bytes
    found: list[tuple[bytes, int, int]] = []
    start = 0
    while start < length:
        end = min(length, start + most, start - start % burst + burst)
        last = end == length
        flags = (_FINAL if last or not end % burst else 0) | (_WITH_STATUS if last else 0)
        header = _DATA_IN.pack(
            DataIn.OPCODE, flags, 0, end - start, 0, read.task_tag, RESERVED_TAG, status_sn,
            expected_command_sn, max_command_sn, len(found), start, 0,
        )  # fmt: skip
        found.append((header, start, end))
        start = end
    return found
