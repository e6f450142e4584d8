"""Segments that move no data through the queues: verify, filemarks, space, locate, tape image.

xcopy.md 4.1, types 07h and 10h-13h. Residual data is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from sbtk.errors import SbtkError
from sbtk.mover.base import CheckCondition
from sbtk.mover.buffers import aligned
from sbtk.mover.copy_abort import DEVICE_FAILURES, CopyAbort, abort, device_failed, device_reported
from sbtk.mover.endpoint import Endpoint, Resolver
from sbtk.mover.work import WorkPlanner
from sbtk.scsi import cdb
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.segment_base import SOURCE_BYTE
from sbtk.scsi.sense import ForwardedSense, Origin, decode
from sbtk.transport.base import GOOD


def verify(segment: seg.VerifyDevice, resolver: Resolver) -> None:
    """07h: the device is there; with TUR, it is ready.

    Raises:
        CopyAbort: it is not.
    """
    source = resolver.resolve(segment.source, SOURCE_BYTE, Origin.COPY_SOURCE)
    if not segment.test_unit_ready or source.unit is None:
        return
    try:
        response = source.unit.execute(cdb.TestUnitReady().encode(), b"", 0)
    except DEVICE_FAILURES as error:
        raise device_failed(Origin.COPY_SOURCE, error, source.pointer) from error
    if response.status != GOOD:
        forwarded = ForwardedSense(Origin.COPY_SOURCE, response.status, response.sense)
        raise abort(codes.THIRD_PARTY_DEVICE_FAILURE, source.pointer, forwarded)


def position(segment: seg.WriteFilemarks | seg.Space | seg.Locate, planner: WorkPlanner) -> None:
    """10h, 11h, 12h.

    Raises:
        CopyAbort: the drive failed, or reported early warning after the filemarks.
    """
    target = planner.target_of(segment)
    told = b""
    try:
        if isinstance(segment, seg.WriteFilemarks):
            told = target.tape.write_filemarks(segment.count).sense
        elif isinstance(segment, seg.Space):
            target.tape.space(segment.code, segment.count)
        else:
            target.tape.locate(segment.logical_object)
    except DEVICE_FAILURES as error:
        raise device_failed(Origin.COPY_DESTINATION, error, target.pointer) from error
    if told:
        raise device_reported(Origin.COPY_DESTINATION, told, target.pointer)


def tape_image(
    segment: seg.TapeImageCopy,
    planner: WorkPlanner,
    max_record_bytes: int,
    between: Callable[[int], None],
) -> None:
    """13h: records and filemarks as they are, to end of data or COUNT filemarks in a row.

    Args:
        segment: the descriptor.
        planner: finds the two drives.
        max_record_bytes: longest record there can be.
        between: called after every record with its length; raises to stop.

    Raises:
        CopyAbort: a drive failed; a residual cannot be computed (SPC-4 6.4.6.16).
    """
    source, target = planner.source_of(segment), planner.target_of(segment)
    if source.unit is None:
        return
    buffer = aligned(max_record_bytes)
    marks = 0
    while not segment.count or marks < segment.count:
        length = _next_object(source, buffer)
        if length is None:
            return
        _write_object(target, buffer[:length])
        marks = 0 if length else marks + 1
        between(length)


def _next_object(source: Endpoint, buffer: memoryview) -> int | None:
    """Length of the next record, 0 for a filemark, None at the end of data."""
    try:
        length, told = source.tape.read_record(buffer)
    except CheckCondition as stopped:
        if decode(stopped.sense).key == codes.BLANK_CHECK:
            return None
        raise device_failed(Origin.COPY_SOURCE, stopped, source.pointer) from stopped
    except (SbtkError, OSError) as error:
        raise device_failed(Origin.COPY_SOURCE, error, source.pointer) from error
    if told.sense:
        sense = decode(told.sense)
        if sense.filemark:
            return 0
        if not sense.ili or sense.residual < 0:
            raise device_reported(Origin.COPY_SOURCE, told.sense, source.pointer)
    return length


def _write_object(target: Endpoint, record: memoryview) -> None:
    try:
        told = target.tape.write_record(record) if record else target.tape.write_filemarks(1)
    except DEVICE_FAILURES as error:
        raise device_failed(Origin.COPY_DESTINATION, error, target.pointer) from error
    if told.sense:
        stopped: CopyAbort = device_reported(Origin.COPY_DESTINATION, told.sense, target.pointer)
        raise stopped
