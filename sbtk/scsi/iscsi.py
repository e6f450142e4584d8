"""iSCSI protocol data units (RFC 7143 clause 11): one codec for target and initiator.

A PDU is a 48-byte basic header segment, additional header segments, an optional header digest, a
data segment padded to four bytes, and an optional data digest. Here the headers are typed values;
moving the bytes is the transport's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi.layout import Bits, Flag, Layout, Raw, UInt

BHS_BYTES = 48
RESERVED_TAG = 0xFFFFFFFF  # 11.2.1.8, 11.7.2: no task, no transfer
SERIAL_MASK = 0xFFFFFFFF  # sequence numbers are compared as RFC 1982 serial numbers

_KNOWN: dict[int, type[Pdu]] = {}


@dataclass(frozen=True)
class Pdu(Layout):
    """Base of all PDUs: what clause 11.2.1 says of every basic header segment.

    Attributes:
        immediate: delivered ahead of the command sequence (requests only).
        ahs_words: length of the additional header segments, in 4-byte words.
        data_bytes: length of the data segment without its padding.
        initiator_task_tag: the initiator's name for the task.
    """

    OPCODE: ClassVar[int]
    SIZE_BYTES: ClassVar[int] = BHS_BYTES

    immediate: Annotated[bool, Flag(0, 6)] = False
    ahs_words: Annotated[int, UInt(4, 1)] = 0
    data_bytes: Annotated[int, UInt(5, 3)] = 0
    initiator_task_tag: Annotated[int, UInt(16, 4)] = RESERVED_TAG

    def __init_subclass__(cls, **keywords: object) -> None:
        """Enter the PDU into the table by its operation code."""
        super().__init_subclass__(**keywords)
        if "OPCODE" in cls.__dict__:
            cls.CONSTANT = ((0, cls.OPCODE), *cls.CONSTANT)
            _KNOWN[cls.OPCODE] = cls

    def with_data(self, data_bytes: int) -> Self:
        """The same header for a data segment of this length."""
        return self.changed(data_bytes=data_bytes)

    @property
    def ahs_bytes(self) -> int:
        """Bytes of the additional header segments."""
        return 4 * self.ahs_words

    @property
    def padded_data_bytes(self) -> int:
        """Bytes of the data segment on the wire, digest not counted."""
        return -(-self.data_bytes // 4) * 4


@dataclass(frozen=True)
class TargetPdu(Pdu):
    """Sequence numbers that every PDU of a target carries (11.4.8-11.4.10)."""

    status_sn: Annotated[int, UInt(24, 4)] = 0
    expected_command_sn: Annotated[int, UInt(28, 4)] = 0
    max_command_sn: Annotated[int, UInt(32, 4)] = 0


@dataclass(frozen=True)
class InitiatorPdu(Pdu):
    """Sequence numbers that the numbered requests carry (11.2.2)."""

    command_sn: Annotated[int, UInt(24, 4)] = 0
    expected_status_sn: Annotated[int, UInt(28, 4)] = 0


# -- requests of the initiator -----------------------------------------------------------------


@dataclass(frozen=True)
class NopOut(InitiatorPdu):
    """11.18."""

    OPCODE, CONSTANT = 0x00, ((1, 0x80),)
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG


@dataclass(frozen=True)
class ScsiCommand(InitiatorPdu):
    """11.3; CDBs longer than 16 bytes continue in an additional header segment."""

    OPCODE = 0x01
    final: Annotated[bool, Flag(1, 7)] = True
    read: Annotated[bool, Flag(1, 6)] = False
    write: Annotated[bool, Flag(1, 5)] = False
    task_attribute: Annotated[int, Bits(1, 2, 0)] = 1  # simple
    lun: Annotated[int, UInt(8, 8)] = 0
    expected_transfer_bytes: Annotated[int, UInt(20, 4)] = 0
    cdb: Annotated[bytes, Raw(32, 16)] = b""


@dataclass(frozen=True)
class TaskManagementRequest(InitiatorPdu):
    """11.5; ``function`` is one of the TASK_* numbers."""

    OPCODE, CONSTANT = 0x02, ((1, 0x80),)
    function: Annotated[int, Bits(1, 6, 0)] = 0
    lun: Annotated[int, UInt(8, 8)] = 0
    referenced_task_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG
    referenced_command_sn: Annotated[int, UInt(32, 4)] = 0
    expected_data_sn: Annotated[int, UInt(36, 4)] = 0


ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET = 1, 2, 3, 4
LOGICAL_UNIT_RESET, TARGET_WARM_RESET, TARGET_COLD_RESET, TASK_REASSIGN = 5, 6, 7, 8


@dataclass(frozen=True)
class LoginRequest(InitiatorPdu):
    """11.12."""

    OPCODE, CONSTANT = 0x03, ((0, 0x40),)
    transit: Annotated[bool, Flag(1, 7)] = False
    more: Annotated[bool, Flag(1, 6)] = False
    current_stage: Annotated[int, Bits(1, 3, 2)] = 0
    next_stage: Annotated[int, Bits(1, 1, 0)] = 0
    version_max: Annotated[int, UInt(2, 1)] = 0
    version_min: Annotated[int, UInt(3, 1)] = 0
    isid: Annotated[int, UInt(8, 6)] = 0
    tsih: Annotated[int, UInt(14, 2)] = 0
    connection_id: Annotated[int, UInt(20, 2)] = 0


SECURITY_STAGE, OPERATIONAL_STAGE, FULL_FEATURE_STAGE = 0, 1, 3


@dataclass(frozen=True)
class TextRequest(InitiatorPdu):
    """11.10."""

    OPCODE = 0x04
    final: Annotated[bool, Flag(1, 7)] = True
    more: Annotated[bool, Flag(1, 6)] = False
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG


@dataclass(frozen=True)
class DataOut(Pdu):
    """11.7."""

    OPCODE = 0x05
    final: Annotated[bool, Flag(1, 7)] = False
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG
    expected_status_sn: Annotated[int, UInt(28, 4)] = 0
    data_sn: Annotated[int, UInt(36, 4)] = 0
    buffer_offset_bytes: Annotated[int, UInt(40, 4)] = 0


@dataclass(frozen=True)
class LogoutRequest(InitiatorPdu):
    """11.14; ``reason`` 0 closes the session, 1 the connection, 2 removes it for recovery."""

    OPCODE, CONSTANT = 0x06, ((1, 0x80),)
    reason: Annotated[int, Bits(1, 6, 0)] = 0
    connection_id: Annotated[int, UInt(20, 2)] = 0


@dataclass(frozen=True)
class SnackRequest(Pdu):
    """11.16; only error recovery levels above 0 answer it."""

    OPCODE, CONSTANT = 0x10, ((1, 0x80),)
    snack_type: Annotated[int, Bits(1, 3, 0)] = 0
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG
    expected_status_sn: Annotated[int, UInt(28, 4)] = 0
    first_sn: Annotated[int, UInt(40, 4)] = 0
    run: Annotated[int, UInt(44, 4)] = 0


# -- responses of the target -------------------------------------------------------------------


@dataclass(frozen=True)
class NopIn(TargetPdu):
    """11.19."""

    OPCODE, CONSTANT = 0x20, ((1, 0x80),)
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG


@dataclass(frozen=True)
class ScsiResponse(TargetPdu):
    """11.4; the data segment holds SENSE LENGTH (2 bytes) and the sense data."""

    OPCODE, CONSTANT = 0x21, ((1, 0x80),)
    overflow: Annotated[bool, Flag(1, 2)] = False
    underflow: Annotated[bool, Flag(1, 1)] = False
    response: Annotated[int, UInt(2, 1)] = 0  # 0 completed at the target, 1 target failure
    status: Annotated[int, UInt(3, 1)] = 0
    expected_data_sn: Annotated[int, UInt(36, 4)] = 0
    residual_bytes: Annotated[int, UInt(44, 4)] = 0


@dataclass(frozen=True)
class TaskManagementResponse(TargetPdu):
    """11.6; ``response`` is one of the FUNCTION_* numbers."""

    OPCODE, CONSTANT = 0x22, ((1, 0x80),)
    response: Annotated[int, UInt(2, 1)] = 0


FUNCTION_COMPLETE, FUNCTION_NO_TASK, FUNCTION_NO_LUN, FUNCTION_NOT_SUPPORTED = 0, 1, 2, 5
FUNCTION_REJECTED = 255


@dataclass(frozen=True)
class LoginResponse(TargetPdu):
    """11.13; ``status_class`` 0 success, 1 redirection, 2 initiator's error, 3 target's error."""

    OPCODE = 0x23
    transit: Annotated[bool, Flag(1, 7)] = False
    more: Annotated[bool, Flag(1, 6)] = False
    current_stage: Annotated[int, Bits(1, 3, 2)] = 0
    next_stage: Annotated[int, Bits(1, 1, 0)] = 0
    version_max: Annotated[int, UInt(2, 1)] = 0
    version_active: Annotated[int, UInt(3, 1)] = 0
    isid: Annotated[int, UInt(8, 6)] = 0
    tsih: Annotated[int, UInt(14, 2)] = 0
    status_class: Annotated[int, UInt(36, 1)] = 0
    status_detail: Annotated[int, UInt(37, 1)] = 0


@dataclass(frozen=True)
class TextResponse(TargetPdu):
    """11.11."""

    OPCODE = 0x24
    final: Annotated[bool, Flag(1, 7)] = True
    more: Annotated[bool, Flag(1, 6)] = False
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG


@dataclass(frozen=True)
class DataIn(TargetPdu):
    """11.7; with ``has_status`` it is the response as well."""

    OPCODE = 0x25
    final: Annotated[bool, Flag(1, 7)] = False
    acknowledge: Annotated[bool, Flag(1, 6)] = False
    overflow: Annotated[bool, Flag(1, 2)] = False
    underflow: Annotated[bool, Flag(1, 1)] = False
    has_status: Annotated[bool, Flag(1, 0)] = False
    status: Annotated[int, UInt(3, 1)] = 0
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG
    data_sn: Annotated[int, UInt(36, 4)] = 0
    buffer_offset_bytes: Annotated[int, UInt(40, 4)] = 0
    residual_bytes: Annotated[int, UInt(44, 4)] = 0


@dataclass(frozen=True)
class LogoutResponse(TargetPdu):
    """11.15; ``response`` 0 closed, 1 no such connection, 2 recovery not supported."""

    OPCODE, CONSTANT = 0x26, ((1, 0x80),)
    response: Annotated[int, UInt(2, 1)] = 0
    time_to_wait_s: Annotated[int, UInt(40, 2)] = 0
    time_to_retain_s: Annotated[int, UInt(42, 2)] = 0


@dataclass(frozen=True)
class ReadyToTransfer(TargetPdu):
    """11.8; asks for a stretch of the data that a command writes."""

    OPCODE, CONSTANT = 0x31, ((1, 0x80),)
    lun: Annotated[int, UInt(8, 8)] = 0
    target_transfer_tag: Annotated[int, UInt(20, 4)] = RESERVED_TAG
    r2t_sn: Annotated[int, UInt(36, 4)] = 0
    buffer_offset_bytes: Annotated[int, UInt(40, 4)] = 0
    desired_bytes: Annotated[int, UInt(44, 4)] = 0


@dataclass(frozen=True)
class AsyncMessage(TargetPdu):
    """11.9; ``event`` 0 sense data, 1 logout requested, 2 connection dropped, 3 session dropped."""

    OPCODE, CONSTANT = 0x32, ((1, 0x80),)
    lun: Annotated[int, UInt(8, 8)] = 0
    event: Annotated[int, UInt(36, 1)] = 0
    vendor_code: Annotated[int, UInt(37, 1)] = 0
    parameter1: Annotated[int, UInt(38, 2)] = 0
    parameter2: Annotated[int, UInt(40, 2)] = 0
    parameter3: Annotated[int, UInt(42, 2)] = 0


@dataclass(frozen=True)
class Reject(TargetPdu):
    """11.17; the data segment holds the header that was refused."""

    OPCODE, CONSTANT = 0x3F, ((1, 0x80),)
    reason: Annotated[int, UInt(2, 1)] = 0
    data_sn: Annotated[int, UInt(36, 4)] = 0


REJECT_DATA_DIGEST, REJECT_SNACK, REJECT_PROTOCOL, REJECT_NOT_SUPPORTED = 0x02, 0x03, 0x04, 0x05
REJECT_INVALID_FIELD = 0x09


def decode(header: bytes | bytearray | memoryview) -> Pdu:
    """The typed value of a 48-byte basic header segment.

    Raises:
        RemoteScsiError: it is too short, or its operation code is none of RFC 7143's.
    """
    if len(header) < BHS_BYTES:
        raise RemoteScsiError(f"an iSCSI header has {BHS_BYTES} bytes, {len(header)} are there")
    kind = _KNOWN.get(header[0] & 0x3F)
    if kind is None:
        raise RemoteScsiError(f"iSCSI operation code {header[0] & 0x3F:02X}h is not known")
    return kind.decode(header)


def serial_after(sn: int, other: int) -> bool:
    """Whether ``sn`` comes after ``other`` in serial number arithmetic (RFC 7143 4.2.2.1)."""
    return 0 < ((sn - other) & SERIAL_MASK) < 1 << 31


def encode_lun(lun: int) -> int:
    """LUN as the 8-byte field: peripheral device or flat space addressing (SAM-5 4.7.6).

    Raises:
        LocalScsiError: beyond 16383, which flat addressing ends at.
    """
    if not 0 <= lun < 1 << 14:
        raise LocalScsiError(f"LUN {lun} is not in 0-16383")
    return (lun if lun < 256 else 0x4000 | lun) << 48


def decode_lun(field: int) -> int:
    """The LUN in an 8-byte field, -1 where it is none that ``encode_lun`` makes."""
    first, rest = field >> 48, field & ((1 << 48) - 1)
    if rest or first >> 14 not in (0, 1) or (first < 0x4000 and first > 255):
        return -1
    return first & 0x3FFF
