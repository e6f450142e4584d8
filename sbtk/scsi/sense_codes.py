"""Sense keys and (ASC, ASCQ) pairs with their text (SPC-4 4.5.6 table 53, annex D)."""

from __future__ import annotations

NO_SENSE = 0x0
RECOVERED_ERROR = 0x1
NOT_READY = 0x2
MEDIUM_ERROR = 0x3
HARDWARE_ERROR = 0x4
ILLEGAL_REQUEST = 0x5
UNIT_ATTENTION = 0x6
DATA_PROTECT = 0x7
BLANK_CHECK = 0x8
VENDOR_SPECIFIC = 0x9
COPY_ABORTED = 0xA
ABORTED_COMMAND = 0xB
VOLUME_OVERFLOW = 0xD
MISCOMPARE = 0xE
COMPLETED = 0xF

KEY_TEXT = (
    "NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR",
    "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC",
    "COPY ABORTED", "ABORTED COMMAND", "RESERVED (0Ch)", "VOLUME OVERFLOW", "MISCOMPARE",
    "COMPLETED",
)  # fmt: skip

NO_ADDITIONAL_SENSE = (0x00, 0x00)
FILEMARK_DETECTED = (0x00, 0x01)
END_OF_MEDIUM = (0x00, 0x02)
BEGINNING_OF_MEDIUM = (0x00, 0x04)
END_OF_DATA = (0x00, 0x05)
OPERATION_IN_PROGRESS = (0x00, 0x16)
EXTENDED_COPY_INFORMATION_AVAILABLE = (0x00, 0x20)
UNREACHABLE_COPY_TARGET = (0x08, 0x04)
SAVING_PARAMETERS_NOT_SUPPORTED = (0x39, 0x00)
MEDIUM_NOT_PRESENT = (0x3A, 0x00)
WRITE_ERROR_TAPE = (0x0C, 0x00)
WRITE_ERROR = (0x0C, 0x02)
THIRD_PARTY_DEVICE_FAILURE = (0x0D, 0x01)
COPY_TARGET_NOT_REACHABLE = (0x0D, 0x02)
INCORRECT_COPY_TARGET_TYPE = (0x0D, 0x03)
COPY_TARGET_UNDERRUN = (0x0D, 0x04)
COPY_TARGET_OVERRUN = (0x0D, 0x05)
UNRECOVERED_READ_ERROR = (0x11, 0x00)
PARAMETER_LIST_LENGTH_ERROR = (0x1A, 0x00)
MISCOMPARE_DURING_VERIFY = (0x1D, 0x00)
INVALID_COMMAND_OPERATION_CODE = (0x20, 0x00)
LBA_OUT_OF_RANGE = (0x21, 0x00)
INVALID_FIELD_IN_CDB = (0x24, 0x00)
LOGICAL_UNIT_NOT_SUPPORTED = (0x25, 0x00)
INVALID_FIELD_IN_PARAMETER_LIST = (0x26, 0x00)
PARAMETER_NOT_SUPPORTED = (0x26, 0x01)
PARAMETER_VALUE_INVALID = (0x26, 0x02)
INVALID_RELEASE_OF_PERSISTENT_RESERVATION = (0x26, 0x04)
TOO_MANY_TARGET_DESCRIPTORS = (0x26, 0x06)
UNSUPPORTED_TARGET_DESCRIPTOR_TYPE = (0x26, 0x07)
TOO_MANY_SEGMENT_DESCRIPTORS = (0x26, 0x08)
UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE = (0x26, 0x09)
UNEXPECTED_INEXACT_SEGMENT = (0x26, 0x0A)
INLINE_DATA_LENGTH_EXCEEDED = (0x26, 0x0B)
INVALID_OPERATION_FOR_COPY = (0x26, 0x0C)
COPY_SEGMENT_GRANULARITY_VIOLATION = (0x26, 0x0D)
WRITE_PROTECTED = (0x27, 0x00)
SPACE_ALLOCATION_FAILED = (0x27, 0x07)
NOT_READY_TO_READY_CHANGE = (0x28, 0x00)
POWER_ON_OR_RESET = (0x29, 0x00)
MODE_PARAMETERS_CHANGED = (0x2A, 0x01)
RESERVATIONS_PREEMPTED = (0x2A, 0x03)
RESERVATIONS_RELEASED = (0x2A, 0x04)
REGISTRATIONS_PREEMPTED = (0x2A, 0x05)
COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = (0x2F, 0x00)
COMMANDS_CLEARED_BY_DEVICE_SERVER = (0x2F, 0x02)
INCOMPATIBLE_MEDIUM = (0x30, 0x00)
SEQUENTIAL_POSITIONING_ERROR = (0x3B, 0x00)
POSITION_PAST_BEGINNING = (0x3B, 0x0C)
REPORTED_LUNS_DATA_HAS_CHANGED = (0x3F, 0x0E)
INTERNAL_TARGET_FAILURE = (0x44, 0x00)
COMMAND_PHASE_ERROR = (0x4A, 0x00)
INSUFFICIENT_RESOURCES = (0x55, 0x03)
INSUFFICIENT_REGISTRATION_RESOURCES = (0x55, 0x04)

TEXT: dict[tuple[int, int], str] = {
    NO_ADDITIONAL_SENSE: "no additional sense information",
    FILEMARK_DETECTED: "filemark detected",
    END_OF_MEDIUM: "end of partition or medium",
    BEGINNING_OF_MEDIUM: "beginning of partition or medium",
    END_OF_DATA: "end of data",
    OPERATION_IN_PROGRESS: "operation in progress",
    EXTENDED_COPY_INFORMATION_AVAILABLE: "extended copy information available",
    UNREACHABLE_COPY_TARGET: "unreachable copy target",
    SAVING_PARAMETERS_NOT_SUPPORTED: "saving parameters not supported",
    MEDIUM_NOT_PRESENT: "medium not present",
    WRITE_ERROR_TAPE: "write error",
    WRITE_ERROR: "write error, auto reallocation failed",
    THIRD_PARTY_DEVICE_FAILURE: "third party device failure",
    COPY_TARGET_NOT_REACHABLE: "copy target device not reachable",
    INCORRECT_COPY_TARGET_TYPE: "incorrect copy target device type",
    COPY_TARGET_UNDERRUN: "copy target device data underrun",
    COPY_TARGET_OVERRUN: "copy target device data overrun",
    UNRECOVERED_READ_ERROR: "unrecovered read error",
    PARAMETER_LIST_LENGTH_ERROR: "parameter list length error",
    MISCOMPARE_DURING_VERIFY: "miscompare during verify operation",
    INVALID_COMMAND_OPERATION_CODE: "invalid command operation code",
    LBA_OUT_OF_RANGE: "logical block address out of range",
    INVALID_FIELD_IN_CDB: "invalid field in CDB",
    LOGICAL_UNIT_NOT_SUPPORTED: "logical unit not supported",
    INVALID_FIELD_IN_PARAMETER_LIST: "invalid field in parameter list",
    PARAMETER_NOT_SUPPORTED: "parameter not supported",
    PARAMETER_VALUE_INVALID: "parameter value invalid",
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION: "invalid release of persistent reservation",
    TOO_MANY_TARGET_DESCRIPTORS: "too many target descriptors",
    UNSUPPORTED_TARGET_DESCRIPTOR_TYPE: "unsupported target descriptor type code",
    TOO_MANY_SEGMENT_DESCRIPTORS: "too many segment descriptors",
    UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE: "unsupported segment descriptor type code",
    UNEXPECTED_INEXACT_SEGMENT: "unexpected inexact segment",
    INLINE_DATA_LENGTH_EXCEEDED: "inline data length exceeded",
    INVALID_OPERATION_FOR_COPY: "invalid operation for copy source or destination",
    COPY_SEGMENT_GRANULARITY_VIOLATION: "copy segment granularity violation",
    WRITE_PROTECTED: "write protected",
    SPACE_ALLOCATION_FAILED: "space allocation failed write protect",
    NOT_READY_TO_READY_CHANGE: "medium may have changed",
    POWER_ON_OR_RESET: "power on or reset occurred",
    MODE_PARAMETERS_CHANGED: "mode parameters changed",
    RESERVATIONS_PREEMPTED: "reservations preempted",
    RESERVATIONS_RELEASED: "reservations released",
    REGISTRATIONS_PREEMPTED: "registrations preempted",
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR: "commands cleared by another initiator",
    COMMANDS_CLEARED_BY_DEVICE_SERVER: "commands cleared by device server",
    INCOMPATIBLE_MEDIUM: "incompatible medium installed",
    SEQUENTIAL_POSITIONING_ERROR: "sequential positioning error",
    POSITION_PAST_BEGINNING: "position past beginning of medium",
    REPORTED_LUNS_DATA_HAS_CHANGED: "reported LUNs data has changed",
    INTERNAL_TARGET_FAILURE: "internal target failure",
    COMMAND_PHASE_ERROR: "command phase error",
    INSUFFICIENT_RESOURCES: "insufficient resources",
    INSUFFICIENT_REGISTRATION_RESOURCES: "insufficient registration resources",
}
