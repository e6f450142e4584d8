"""Where a copy's bytes go: whole blocks or any bytes of a disk, records of a tape, or nowhere.

A sink writes in the order it is called and counts what was written without a gap; from that count
come the residual in sense data and the transfer count in copy status.
"""

from __future__ import annotations

from typing import Protocol

from sbtk.mover.copy_abort import DEVICE_FAILURES, device_failed, device_reported
from sbtk.mover.endpoint import Endpoint
from sbtk.scsi.sense import Origin
from sbtk.transport.base import ByteView


class Sink(Protocol):
    """A destination for the length of one segment.

    Attributes:
        transfer_bytes: what one whole write is a multiple of.
        limit_bytes: most that this segment may write; None where the data decides.
        written_bytes: written so far, without a gap.
    """

    transfer_bytes: int
    limit_bytes: int | None
    written_bytes: int

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """Write whole transfers.

        Args:
            data: their bytes.
            head: bytes that come before ``data``, from another place.

        Raises:
            CopyAbort: the device failed; ``written_bytes`` tells how far it came.
        """

    def residual(self, planned_bytes: int) -> int:
        """INFORMATION of a failed segment (SPC-4 5.17.7.4): blocks, or bytes of a variable tape."""


class BlockSink:
    """Whole blocks of a disk, one behind another."""

    def __init__(self, target: Endpoint, start_byte: int, limit_bytes: int | None) -> None:
        self._target = target
        self._start = start_byte
        self.transfer_bytes = target.block_bytes
        self.limit_bytes = limit_bytes
        self.written_bytes = 0

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """See ``Sink.write``."""
        if head:
            data = _write_head(self, data, head)
        if not data:
            return
        lba = (self._start + self.written_bytes) // self._target.block_bytes
        try:
            self._target.block.write_blocks(lba, data)
        except DEVICE_FAILURES as error:
            raise device_failed(Origin.COPY_DESTINATION, error, self._target.pointer) from error
        self.written_bytes += len(data)

    def residual(self, planned_bytes: int) -> int:
        """Blocks that were not written."""
        return (planned_bytes - self.written_bytes) // self._target.block_bytes


class ByteSink:
    """Any bytes of a disk: what shares a block with them is read, and written back."""

    def __init__(self, target: Endpoint, start_byte: int, limit_bytes: int) -> None:
        self._target = target
        self._start = start_byte
        self.transfer_bytes = 1
        self.limit_bytes: int | None = limit_bytes
        self.written_bytes = 0

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """See ``Sink.write``."""
        if head:
            data = _write_head(self, data, head)
        try:
            while data:
                position = self._start + self.written_bytes
                done = self._write_some(position, data)
                self.written_bytes += done
                data = data[done:]
        except DEVICE_FAILURES as error:
            raise device_failed(Origin.COPY_DESTINATION, error, self._target.pointer) from error

    def residual(self, planned_bytes: int) -> int:
        """Blocks that were not written to their planned end."""
        block = self._target.block_bytes
        end = -(-(self._start + planned_bytes) // block)
        position = self._start + self.written_bytes
        complete = end if self.written_bytes == planned_bytes else position // block
        return end - complete

    def _write_some(self, position: int, data: memoryview) -> int:
        disk, block = self._target.block, self._target.block_bytes
        lba, skip = divmod(position, block)
        whole = len(data) // block * block
        if not skip and whole:
            disk.write_blocks(lba, data[:whole])
            return whole
        count = min(len(data), block - skip)
        edge = memoryview(bytearray(block))
        disk.read_blocks(lba, edge)
        edge[skip : skip + count] = data[:count]
        disk.write_blocks(lba, edge)
        return count


class StreamSink:
    """Records of a tape; one transfer is one record, or several of a fixed length.

    Attributes:
        begun_bytes: where the record ends, counted like ``written_bytes``, that is being written.
    """

    limit_bytes: int | None = None

    def __init__(self, target: Endpoint, transfer: int) -> None:
        self._target = target
        self._record_bytes = target.block_bytes if target.fixed else transfer
        self.transfer_bytes = transfer * target.record_unit_bytes
        self.written_bytes = self.begun_bytes = 0

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """See ``Sink.write``; a record written in the early-warning zone counts, then it stops."""
        if len(head) >= self._record_bytes:  # left by a segment of longer records
            data, head = _write_head(self, data, head), b""
        while head or data:
            self.begun_bytes = self.written_bytes + self._record_bytes
            done, told = self._write_some(data, head)
            self.written_bytes += done
            data, head = data[done - len(head) :], b""
            if told:
                raise device_reported(Origin.COPY_DESTINATION, told, self._target.pointer)

    def residual(self, planned_bytes: int) -> int:
        """Bytes of a variable tape, blocks of a fixed one."""
        left = planned_bytes - self.written_bytes
        return left // self._record_bytes if self._target.fixed else left

    def _write_some(self, data: memoryview, head: ByteView) -> tuple[int, bytes]:
        """Several records where that meets nothing, else one and what the drive told about it."""
        tape, record = self._target.tape, self._record_bytes
        try:
            done = tape.write_together(data, record, head) if head or len(data) > record else 0
            if done:
                return done, b""
            first: ByteView = data[: record - len(head)]
            return record, tape.write_record(b"".join((head, first)) if head else first).sense
        except DEVICE_FAILURES as error:
            raise device_failed(Origin.COPY_DESTINATION, error, self._target.pointer) from error


class NullSink:
    """The null devices C000h and C001h, destinations of digest segments only: bytes end here."""

    transfer_bytes = 1
    limit_bytes: int | None = None

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.written_bytes = 0

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """Count the bytes and forget them."""
        self.written_bytes += len(head) + len(data)

    def residual(self, planned_bytes: int) -> int:
        """Bytes that did not come by."""
        return planned_bytes - self.written_bytes


def _write_head(sink: Sink, data: memoryview, head: ByteView) -> memoryview:
    """Write ``head`` with what of ``data`` completes its last transfer; the rest of ``data``."""
    missing = -len(head) % sink.transfer_bytes
    sink.write(memoryview(b"".join((head, data[:missing]))))
    return data[missing:]
