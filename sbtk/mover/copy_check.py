"""Phase 1 of an EXTENDED COPY: is the list one that this copy manager takes (xcopy.md 5)?

Nothing here looks at a device. The order of checks is part of the contract: a list that is too
long says so before its descriptors are counted, and counts come before types (iscsi-test-cu).
"""

from __future__ import annotations

from sbtk.errors import RemoteScsiError
from sbtk.mover.base import CheckCondition
from sbtk.scsi import segment_base, sense, xcopy
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cscd import CSCDS, DEVICE_SPECIFIC_BYTE, SLOT_BYTES, Cscd
from sbtk.scsi.inquiry import TAPE
from sbtk.scsi.limits import Limits
from sbtk.scsi.xcopy import Header, HeaderLid1, ParameterList, Parts
from sbtk.transport.base import ByteView

_USAGE_BYTE = 1


def refuse(code: tuple[int, int], byte: int) -> CheckCondition:
    """ILLEGAL REQUEST that points to a byte of the parameter list."""
    return CheckCondition(sense.invalid_field(code, byte, in_cdb=False))


def check_list(data: ByteView, length_bytes: int, limits: Limits, *, lid4: bool) -> ParameterList:
    """The list, if it may be executed.

    Args:
        data: what was sent.
        length_bytes: PARAMETER LIST LENGTH of the CDB, not 0.
        limits: of the copy manager.
        lid4: which of the two headers it has.

    Raises:
        CheckCondition: ILLEGAL REQUEST with the code and the byte of the first thing wrong.
    """
    if len(data) < length_bytes:
        raise refuse(codes.PARAMETER_LIST_LENGTH_ERROR, len(data))
    data = memoryview(data)[:length_bytes]
    try:
        header = xcopy.decode_header(data, lid4=lid4)
        parts = xcopy.split(data, header)
        _check_lengths(header, limits)
        starts = segment_base.split_list(parts.segments, parts.segment_start)
        _check_counts(header, len(starts), limits)
        _check_usage(header, limits)
        _check_types(parts, starts, limits)
        command = ParameterList.from_parts(header, parts, starts)
    except RemoteScsiError as error:
        code = error.code or codes.INVALID_FIELD_IN_PARAMETER_LIST
        raise refuse(code, error.byte_offset or 0) from error
    _check_tapes(command.cscds, parts.cscd_start)
    _check_switches(command)
    return command


def _check_lengths(header: Header, limits: Limits) -> None:
    descriptors = header.cscd_list_bytes + header.segment_list_bytes
    if descriptors > limits.max_list_bytes:
        field = header.byte_of("segment_list_bytes")
        raise refuse(codes.PARAMETER_LIST_LENGTH_ERROR, field)
    if header.inline_bytes > limits.max_inline_bytes:
        raise refuse(codes.PARAMETER_LIST_LENGTH_ERROR, header.byte_of("inline_bytes"))


def _check_counts(header: Header, segments: int, limits: Limits) -> None:
    if header.cscd_list_bytes // SLOT_BYTES > limits.max_cscds:
        raise refuse(codes.TOO_MANY_TARGET_DESCRIPTORS, header.byte_of("cscd_list_bytes"))
    if segments > limits.max_segments:
        raise refuse(codes.TOO_MANY_SEGMENT_DESCRIPTORS, header.byte_of("segment_list_bytes"))


def _check_usage(header: Header, limits: Limits) -> None:
    if header.usage not in limits.usages:
        raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, _USAGE_BYTE)
    if header.usage == xcopy.USAGE_NO_ID and header.list_id:
        raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, header.byte_of("list_id"))


def _check_types(parts: Parts, starts: list[tuple[int, int]], limits: Limits) -> None:
    position = 0
    while position < len(parts.cscds):
        kind = CSCDS.get(parts.cscds[position])
        if kind is None or not limits.supports(kind.TYPE):
            byte = parts.cscd_start + position
            raise refuse(codes.UNSUPPORTED_TARGET_DESCRIPTOR_TYPE, byte)
        position += kind.SIZE_BYTES
    for start, _ in starts:
        if not limits.supports(parts.segments[start]):
            byte = parts.segment_start + start
            raise refuse(codes.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE, byte)


def _check_tapes(slots: tuple[Cscd | None, ...], start_byte: int) -> None:
    """FIXED and STREAM BLOCK LENGTH come together or not at all (SPC-4 table 138)."""
    for index, slot in enumerate(slots):
        if slot is not None and slot.device_type == TAPE and slot.fixed != bool(slot.block_bytes):
            byte = start_byte + SLOT_BYTES * index + DEVICE_SPECIFIC_BYTE
            raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, byte)


def _check_switches(command: ParameterList) -> None:
    no_id = command.usage == xcopy.USAGE_NO_ID
    if command.immediate and (command.good_sense or no_id):
        raise CheckCondition(sense.fixed(codes.ILLEGAL_REQUEST, *codes.INVALID_FIELD_IN_CDB))
    for segment, start in zip(command.segments, command.segment_starts, strict=True):
        if no_id and segment.holds:  # nobody could ask for what is held
            raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, start)


def header_bytes(*, lid4: bool) -> int:
    """Bytes before the CSCD descriptors."""
    return xcopy.HeaderLid4.SIZE_BYTES if lid4 else HeaderLid1.SIZE_BYTES
