"""Command descriptor blocks that sbtk sends or serves (SPC-4 clause 6, SBC-3 clause 5, SSC-4 7-8).

``decode(cdb)`` gives the typed value of a command, ``value.encode()`` its bytes. READ(6), WRITE(6)
and a few other codes mean one thing on a disk and another on a tape: ``decode`` is told which.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from sbtk.errors import RemoteScsiError
from sbtk.scsi import cdb_copy
from sbtk.scsi.cdb_base import COMMANDS, Cdb
from sbtk.scsi.cdb_compare import (
    CompareAndWrite,
    OrWrite16,
    Prefetch10,
    Prefetch16,
    Verify10,
    Verify12,
    Verify16,
    WriteAndVerify10,
    WriteAndVerify12,
    WriteAndVerify16,
)
from sbtk.scsi.cdb_reserve import PersistentReserveIn, PersistentReserveOut, Release6, Reserve6
from sbtk.scsi.layout import Bits, ByteView, Flag, UInt
from sbtk.scsi.sense_codes import INVALID_COMMAND_OPERATION_CODE, INVALID_FIELD_IN_CDB

# -- all devices (SPC-4) -----------------------------------------------------------------------


@dataclass(frozen=True)
class TestUnitReady(Cdb):
    """SPC-4 6.47."""

    OPCODE, NAME = 0x00, "TEST UNIT READY"


@dataclass(frozen=True)
class RequestSense(Cdb):
    """SPC-4 6.39."""

    OPCODE, NAME = 0x03, "REQUEST SENSE"
    desc: Annotated[bool, Flag(1, 0)] = False
    allocation_bytes: Annotated[int, UInt(4, 1)] = 252


@dataclass(frozen=True)
class Inquiry(Cdb):
    """SPC-4 6.6."""

    OPCODE, NAME = 0x12, "INQUIRY"
    evpd: Annotated[bool, Flag(1, 0)] = False
    page_code: Annotated[int, UInt(2, 1)] = 0
    allocation_bytes: Annotated[int, UInt(3, 2)] = 0xFFFC


@dataclass(frozen=True)
class ModeSelect6(Cdb):
    """SPC-4 6.9."""

    OPCODE, NAME = 0x15, "MODE SELECT(6)"
    page_format: Annotated[bool, Flag(1, 4)] = True
    save_pages: Annotated[bool, Flag(1, 0)] = False
    parameter_list_bytes: Annotated[int, UInt(4, 1)] = 0


@dataclass(frozen=True)
class ModeSense6(Cdb):
    """SPC-4 6.11."""

    OPCODE, NAME = 0x1A, "MODE SENSE(6)"
    disable_block_descriptors: Annotated[bool, Flag(1, 3)] = False
    page_control: Annotated[int, Bits(2, 7, 6)] = 0
    page_code: Annotated[int, Bits(2, 5, 0)] = 0x3F
    subpage_code: Annotated[int, UInt(3, 1)] = 0
    allocation_bytes: Annotated[int, UInt(4, 1)] = 255


@dataclass(frozen=True)
class PreventAllowRemoval(Cdb):
    """SPC-4 6.13 (SBC-3 5.13)."""

    OPCODE, NAME = 0x1E, "PREVENT ALLOW MEDIUM REMOVAL"
    prevent: Annotated[int, Bits(4, 1, 0)] = 0


@dataclass(frozen=True)
class LogSense(Cdb):
    """SPC-4 6.8."""

    OPCODE, NAME = 0x4D, "LOG SENSE"
    page_control: Annotated[int, Bits(2, 7, 6)] = 1
    page_code: Annotated[int, Bits(2, 5, 0)] = 0
    subpage_code: Annotated[int, UInt(3, 1)] = 0
    parameter_pointer: Annotated[int, UInt(5, 2)] = 0
    allocation_bytes: Annotated[int, UInt(7, 2)] = 0xFFFC


@dataclass(frozen=True)
class ModeSelect10(Cdb):
    """SPC-4 6.10."""

    OPCODE, NAME = 0x55, "MODE SELECT(10)"
    page_format: Annotated[bool, Flag(1, 4)] = True
    save_pages: Annotated[bool, Flag(1, 0)] = False
    parameter_list_bytes: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class ModeSense10(Cdb):
    """SPC-4 6.12."""

    OPCODE, NAME = 0x5A, "MODE SENSE(10)"
    disable_block_descriptors: Annotated[bool, Flag(1, 3)] = False
    page_control: Annotated[int, Bits(2, 7, 6)] = 0
    page_code: Annotated[int, Bits(2, 5, 0)] = 0x3F
    subpage_code: Annotated[int, UInt(3, 1)] = 0
    allocation_bytes: Annotated[int, UInt(7, 2)] = 0xFFFC


@dataclass(frozen=True)
class ReportLuns(Cdb):
    """SPC-4 6.33."""

    OPCODE, NAME = 0xA0, "REPORT LUNS"
    select_report: Annotated[int, UInt(2, 1)] = 0
    allocation_bytes: Annotated[int, UInt(6, 4)] = 4096


@dataclass(frozen=True)
class ReportSupportedOperationCodes(Cdb):
    """SPC-4 6.35."""

    OPCODE, NAME, SERVICE_ACTION = 0xA3, "REPORT SUPPORTED OPERATION CODES", 0x0C
    timeouts: Annotated[bool, Flag(2, 7)] = False
    reporting_options: Annotated[int, Bits(2, 2, 0)] = 0
    requested_opcode: Annotated[int, UInt(3, 1)] = 0
    requested_service_action: Annotated[int, UInt(4, 2)] = 0
    allocation_bytes: Annotated[int, UInt(6, 4)] = 4096


# -- disks (SBC-3) -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Read6(Cdb):
    """SBC-3 5.7; ``blocks`` 0 stands for 256."""

    OPCODE, NAME, DEVICE_TYPE = 0x08, "READ(6)", 0x00
    lba_high: Annotated[int, Bits(1, 4, 0)] = 0
    lba_low: Annotated[int, UInt(2, 2)] = 0
    transfer: Annotated[int, UInt(4, 1)] = 0

    @property
    def lba(self) -> int:
        """First block."""
        return self.lba_high << 16 | self.lba_low

    @property
    def blocks(self) -> int:
        """Blocks to transfer, 1 to 256."""
        return self.transfer or 256


@dataclass(frozen=True)
class Write6(Read6):
    """SBC-3 5.31; ``blocks`` 0 stands for 256."""

    OPCODE, NAME = 0x0A, "WRITE(6)"


@dataclass(frozen=True)
class StartStopUnit(Cdb):
    """SBC-3 5.25."""

    OPCODE, NAME, DEVICE_TYPE = 0x1B, "START STOP UNIT", 0x00
    immediate: Annotated[bool, Flag(1, 0)] = False
    start: Annotated[bool, Flag(4, 0)] = False


@dataclass(frozen=True)
class ReadCapacity10(Cdb):
    """SBC-3 5.15."""

    OPCODE, NAME, DEVICE_TYPE = 0x25, "READ CAPACITY(10)", 0x00
    lba: Annotated[int, UInt(2, 4)] = 0
    pmi: Annotated[bool, Flag(8, 0)] = False


@dataclass(frozen=True)
class Read10(Cdb):
    """SBC-3 5.8."""

    OPCODE, NAME, DEVICE_TYPE = 0x28, "READ(10)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    fua: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Write10(Read10):
    """SBC-3 5.32."""

    OPCODE, NAME = 0x2A, "WRITE(10)"


@dataclass(frozen=True)
class SynchronizeCache10(Cdb):
    """SBC-3 5.26."""

    OPCODE, NAME, DEVICE_TYPE = 0x35, "SYNCHRONIZE CACHE(10)", 0x00
    immediate: Annotated[bool, Flag(1, 1)] = False
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class WriteSame10(Cdb):
    """SBC-3 5.42; one block of data is written to all of them."""

    OPCODE, NAME, DEVICE_TYPE = 0x41, "WRITE SAME(10)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    anchor: Annotated[bool, Flag(1, 4)] = False
    unmap: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Unmap(Cdb):
    """SBC-3 5.28; the ranges are in the parameter list (``sbc.decode_unmap``)."""

    OPCODE, NAME, DEVICE_TYPE = 0x42, "UNMAP", 0x00
    anchor: Annotated[bool, Flag(1, 0)] = False
    parameter_list_bytes: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Read16(Cdb):
    """SBC-3 5.10."""

    OPCODE, NAME, DEVICE_TYPE = 0x88, "READ(16)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    fua: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class Write16(Read16):
    """SBC-3 5.34."""

    OPCODE, NAME = 0x8A, "WRITE(16)"


@dataclass(frozen=True)
class SynchronizeCache16(Cdb):
    """SBC-3 5.27."""

    OPCODE, NAME, DEVICE_TYPE = 0x91, "SYNCHRONIZE CACHE(16)", 0x00
    immediate: Annotated[bool, Flag(1, 1)] = False
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class WriteSame16(Cdb):
    """SBC-3 5.43; one block of data is written to all of them."""

    OPCODE, NAME, DEVICE_TYPE = 0x93, "WRITE SAME(16)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    anchor: Annotated[bool, Flag(1, 4)] = False
    unmap: Annotated[bool, Flag(1, 3)] = False
    no_data: Annotated[bool, Flag(1, 0)] = False  # NDOB, SBC-4: zeros
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class ReadCapacity16(Cdb):
    """SBC-3 5.16."""

    OPCODE, NAME, SERVICE_ACTION, DEVICE_TYPE = 0x9E, "READ CAPACITY(16)", 0x10, 0x00
    lba: Annotated[int, UInt(2, 8)] = 0
    allocation_bytes: Annotated[int, UInt(10, 4)] = 32


@dataclass(frozen=True)
class Read12(Cdb):
    """SBC-3 5.9."""

    OPCODE, NAME, DEVICE_TYPE = 0xA8, "READ(12)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    fua: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(6, 4)] = 0


@dataclass(frozen=True)
class Write12(Read12):
    """SBC-3 5.33."""

    OPCODE, NAME = 0xAA, "WRITE(12)"


# -- tapes (SSC-4; xcopy.md 10) ----------------------------------------------------------------


@dataclass(frozen=True)
class Rewind(Cdb):
    """SSC-4 7.11."""

    OPCODE, NAME, DEVICE_TYPE = 0x01, "REWIND", 0x01
    immediate: Annotated[bool, Flag(1, 0)] = False


@dataclass(frozen=True)
class ReadBlockLimits(Cdb):
    """SSC-4 7.6."""

    OPCODE, NAME, DEVICE_TYPE = 0x05, "READ BLOCK LIMITS", 0x01


@dataclass(frozen=True)
class TapeRead6(Cdb):
    """SSC-4 7.4; ``transfer`` counts blocks where ``fixed``, bytes elsewhere."""

    OPCODE, NAME, DEVICE_TYPE = 0x08, "READ(6)", 0x01
    fixed: Annotated[bool, Flag(1, 0)] = False
    suppress_incorrect_length: Annotated[bool, Flag(1, 1)] = False
    transfer: Annotated[int, UInt(2, 3)] = 0


@dataclass(frozen=True)
class TapeWrite6(Cdb):
    """SSC-4 7.13; ``transfer`` counts blocks where ``fixed``, bytes elsewhere."""

    OPCODE, NAME, DEVICE_TYPE = 0x0A, "WRITE(6)", 0x01
    fixed: Annotated[bool, Flag(1, 0)] = False
    transfer: Annotated[int, UInt(2, 3)] = 0


@dataclass(frozen=True)
class WriteFilemarks6(Cdb):
    """SSC-4 7.14; 0 filemarks flushes."""

    OPCODE, NAME, DEVICE_TYPE = 0x10, "WRITE FILEMARKS(6)", 0x01
    immediate: Annotated[bool, Flag(1, 0)] = False
    count: Annotated[int, UInt(2, 3)] = 0


@dataclass(frozen=True)
class Space6(Cdb):
    """SSC-4 7.12; CODE 0 blocks, 1 filemarks, 2 sequential filemarks, 3 end of data."""

    OPCODE, NAME, DEVICE_TYPE = 0x11, "SPACE(6)", 0x01
    code: Annotated[int, Bits(1, 3, 0)] = 0
    count: Annotated[int, UInt(2, 3, signed=True)] = 0


@dataclass(frozen=True)
class Erase6(Cdb):
    """SSC-4 5.2."""

    OPCODE, NAME, DEVICE_TYPE = 0x19, "ERASE(6)", 0x01
    immediate: Annotated[bool, Flag(1, 1)] = False
    long: Annotated[bool, Flag(1, 0)] = False


@dataclass(frozen=True)
class LoadUnload(Cdb):
    """SSC-4 7.2."""

    OPCODE, NAME, DEVICE_TYPE = 0x1B, "LOAD UNLOAD", 0x01
    immediate: Annotated[bool, Flag(1, 0)] = False
    hold: Annotated[bool, Flag(4, 3)] = False
    end_of_tape: Annotated[bool, Flag(4, 2)] = False
    retension: Annotated[bool, Flag(4, 1)] = False
    load: Annotated[bool, Flag(4, 0)] = False


@dataclass(frozen=True)
class Locate10(Cdb):
    """SSC-4 7.3 (LOCATE(10))."""

    OPCODE, NAME, DEVICE_TYPE = 0x2B, "LOCATE(10)", 0x01
    block_type: Annotated[bool, Flag(1, 2)] = False
    change_partition: Annotated[bool, Flag(1, 1)] = False
    immediate: Annotated[bool, Flag(1, 0)] = False
    logical_object: Annotated[int, UInt(3, 4)] = 0
    partition: Annotated[int, UInt(8, 1)] = 0


@dataclass(frozen=True)
class ReadPosition(Cdb):
    """SSC-4 7.7; ``form`` 00h short, 06h long."""

    OPCODE, NAME, DEVICE_TYPE = 0x34, "READ POSITION", 0x01
    form: Annotated[int, Bits(1, 4, 0)] = 0
    allocation_bytes: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Locate16(Cdb):
    """SSC-4 6.3; DEST_TYPE 0 logical object, 1 logical file, 3 end of data."""

    OPCODE, NAME, DEVICE_TYPE = 0x92, "LOCATE(16)", 0x01
    destination_type: Annotated[int, Bits(1, 4, 3)] = 0
    change_partition: Annotated[bool, Flag(1, 1)] = False
    immediate: Annotated[bool, Flag(1, 0)] = False
    partition: Annotated[int, UInt(3, 1)] = 0
    logical_identifier: Annotated[int, UInt(4, 8)] = 0


# -- decoding ----------------------------------------------------------------------------------

__all__ = [
    "COMMANDS", "Cdb", "CompareAndWrite", "OrWrite16", "PersistentReserveIn",
    "PersistentReserveOut", "Prefetch10", "Prefetch16", "Release6", "Reserve6", "Verify10",
    "Verify12", "Verify16", "WriteAndVerify10", "WriteAndVerify12", "WriteAndVerify16", "cdb_copy",
    "decode",
]  # fmt: skip


def decode(cdb: ByteView, device_type: int = 0x00) -> Cdb:
    """The typed value of a command for a device of this peripheral device type.

    Raises:
        RemoteScsiError: too short, or no command that sbtk knows; ``code`` and ``byte_offset``
            are what the sense data should carry.
    """
    return _decode(bytes(cdb), device_type)


@lru_cache(maxsize=256)  # a value never changes, and a command is looked at more than once
def _decode(cdb: bytes, device_type: int) -> Cdb:
    if not cdb:
        raise RemoteScsiError("an empty CDB", code=INVALID_COMMAND_OPERATION_CODE, byte_offset=0)
    opcode, action = cdb[0], cdb[1] & 0x1F if len(cdb) > 1 else 0
    for key in (
        (opcode, None, None),
        (opcode, None, device_type),
        (opcode, action, None),
        (opcode, action, device_type),
    ):
        if key in COMMANDS:
            return COMMANDS[key].decode(cdb)
    if any(known == opcode and kind in (None, device_type) for known, _, kind in COMMANDS):
        raise RemoteScsiError(
            f"service action {action:02X}h of operation code {opcode:02X}h is not known",
            code=INVALID_FIELD_IN_CDB,
            byte_offset=1,
        )
    raise RemoteScsiError(
        f"operation code {opcode:02X}h is not known",
        code=INVALID_COMMAND_OPERATION_CODE,
        byte_offset=0,
    )
