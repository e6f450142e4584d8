"""How a copy stops: COPY ABORTED with the segment, a pointer and what the device had said.

SPC-4 5.17.7.4; xcopy.md 5 and 5.1. Every exception of the second phase (after the first segment
was begun) is made here, so that key, pointer and forwarded sense always agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sbtk.errors import SbtkError, TransportError
from sbtk.mover.base import CheckCondition
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.sense import ForwardedSense, KeySpecific, Origin, SenseData, fixed
from sbtk.transport.base import CHECK_CONDITION, RESERVATION_CONFLICT

Code = tuple[int, int]

DEVICE_FAILURES = (CheckCondition, SbtkError, OSError)
"""What the units of a copy raise where a device fails; anything else is a fault of ours."""

_INTERNAL = fixed(codes.HARDWARE_ERROR, *codes.INTERNAL_TARGET_FAILURE)


@dataclass(frozen=True)
class Pointer:
    """A byte of the parameter list: counted from its start, or from that of the segment."""

    byte: int
    in_segment: bool = False


class CopyAbort(Exception):  # noqa: N818 - an outcome, not an error class of ours
    """The copy ends here; internal to the mover, the copy manager answers with ``sense``."""

    def __init__(self, sense: SenseData) -> None:
        super().__init__(sense.text)
        self.sense = sense

    def within(self, segment: int, information: int | None) -> CopyAbort:
        """The same, with the segment's number and residual."""
        fits = information is not None and 0 <= information < 1 << 32
        return CopyAbort(
            replace(
                self.sense,
                segment_number=segment,
                information=information if fits else None,
            )
        )


def abort(code: Code, pointer: Pointer | None = None, *forwarded: ForwardedSense) -> CopyAbort:
    """COPY ABORTED with one of the codes of xcopy.md 5."""
    specific = None
    if pointer is not None:
        specific = KeySpecific(min(pointer.byte, 0xFFFF), flag=pointer.in_segment)
    return CopyAbort(
        SenseData(
            codes.COPY_ABORTED, *code, key_specific=specific, segment_number=0, forwarded=forwarded
        )
    )


def field_error(segment_byte: int, code: Code = codes.INVALID_FIELD_IN_PARAMETER_LIST) -> CopyAbort:
    """A field of the segment in work is wrong; the pointer counts from the segment's start."""
    return abort(code, Pointer(segment_byte, in_segment=True))


def device_failed(origin: Origin, error: Exception, pointer: Pointer) -> CopyAbort:
    """A command to the source or destination failed: its sense data is forwarded.

    A unit that cannot be reached at all is 0D/02h, everything else 0D/01h.
    """
    if isinstance(error, CheckCondition):
        forwarded = ForwardedSense(origin, CHECK_CONDITION, error.sense)
        return abort(codes.THIRD_PARTY_DEVICE_FAILURE, pointer, forwarded)
    if isinstance(error, TransportError):
        return abort(codes.COPY_TARGET_NOT_REACHABLE, pointer)
    forwarded = ForwardedSense(origin, CHECK_CONDITION, _INTERNAL)
    return abort(codes.THIRD_PARTY_DEVICE_FAILURE, pointer, forwarded)


def device_reported(origin: Origin, sense: bytes, pointer: Pointer) -> CopyAbort:
    """A command was carried out and ended with CHECK CONDITION (filemark, ILI, early warning)."""
    forwarded = ForwardedSense(origin, CHECK_CONDITION, sense)
    return abort(codes.THIRD_PARTY_DEVICE_FAILURE, pointer, forwarded)


def reserved(origin: Origin, pointer: Pointer) -> CopyAbort:
    """Somebody else has reserved the device: it would answer RESERVATION CONFLICT."""
    forwarded = ForwardedSense(origin, RESERVATION_CONFLICT, b"")
    return abort(codes.THIRD_PARTY_DEVICE_FAILURE, pointer, forwarded)


def out_of_range(origin: Origin, segment_byte: int) -> CopyAbort:
    """The segment reaches behind the end of a disk.

    iscsi-test-cu takes COPY ABORTED with 0000h, 0804h and 0D02h only; of these "copy target
    device not reachable" says the most, and the forwarded 5/2100h says the rest.
    """
    sense = fixed(codes.ILLEGAL_REQUEST, *codes.LBA_OUT_OF_RANGE)
    return abort(
        codes.COPY_TARGET_NOT_REACHABLE,
        Pointer(segment_byte, in_segment=True),
        ForwardedSense(origin, CHECK_CONDITION, sense),
    )
