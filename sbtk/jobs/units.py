"""The client's side of logical units: disks and tape drives that a job positions, reads, writes.

The data of a job moves by EXTENDED COPY; what goes through here is metadata, headers and labels.
"""

from __future__ import annotations

from sbtk.errors import CheckConditionError, LocationError, RemoteScsiError
from sbtk.scsi import cdb as cdbs
from sbtk.scsi import inquiry, sbc, ssc
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.designator import best_for_cscd, decode_list
from sbtk.scsi.sense import SenseData, decode
from sbtk.scsi.sense_codes import BLANK_CHECK, NO_SENSE
from sbtk.transport.base import CHECK_CONDITION, ByteView, Transport
from sbtk.transport.send import send

_INQUIRY_BYTES = 96
_PAGE_BYTES = 1024
_TRANSFER_BYTES = 1 << 20  # of one ordinary READ or WRITE
_FILEMARKS, _TO_END_OF_DATA = 1, 3  # CODE of SPACE (SSC-4 7.8)
_MOVE_TIMEOUT_S = 3600.0  # a drive may wind its whole tape


class Unit:
    """A logical unit behind a transport.

    Attributes:
        transport: the path to it.
        device_type: peripheral device type.
    """

    def __init__(self, transport: Transport, device_type: int) -> None:
        self.transport = transport
        self.device_type = device_type
        page = send(
            transport,
            cdbs.Inquiry(True, inquiry.DEVICE_IDENTIFICATION, _PAGE_BYTES),
            data_in_bytes=_PAGE_BYTES,
        )
        body = inquiry.decode_page(page, inquiry.DEVICE_IDENTIFICATION)
        self._designator = best_for_cscd(decode_list(body))

    @property
    def name(self) -> str:
        """The location, for messages."""
        return self.transport.name

    def cscd(self) -> bytes:
        """The CSCD descriptor that names this unit to a copy manager."""
        raise NotImplementedError


class Disk(Unit):
    """A disk.

    Attributes:
        block_bytes: logical block length.
        block_count: logical blocks.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, inquiry.DISK)
        size = sbc.Capacity16.SIZE_BYTES
        capacity = sbc.Capacity16.decode(
            send(transport, cdbs.ReadCapacity16(allocation_bytes=size), data_in_bytes=size)
        )
        self.block_bytes = capacity.block_bytes
        self.block_count = capacity.last_lba + 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all blocks."""
        return self.block_bytes * self.block_count

    def cscd(self) -> bytes:
        """E4h with the block length."""
        return IdentificationCscd.of(
            self._designator, device_type=self.device_type, block_bytes=self.block_bytes
        ).encode()

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes of the disk, by as many READs as it takes; fewer at its end."""
        end = min(offset_bytes + length_bytes, self.size_bytes)
        if end <= offset_bytes:
            return b""
        first, last = offset_bytes // self.block_bytes, -(-end // self.block_bytes)
        step = _TRANSFER_BYTES // self.block_bytes
        out = bytearray()
        for lba in range(first, last, step):
            blocks = min(step, last - lba)
            wanted = blocks * self.block_bytes
            command = cdbs.Read16(lba=lba, blocks=blocks)
            data = send(self.transport, command, data_in_bytes=wanted)
            if len(data) != wanted:
                raise RemoteScsiError(f"{self.name}: {len(data)} bytes came of {wanted}")
            out += data
        lead = offset_bytes - first * self.block_bytes
        return bytes(out[lead : lead + end - offset_bytes])

    def write(self, offset_bytes: int, data: ByteView) -> None:
        """Write whole blocks."""
        view = memoryview(data)
        for start in range(0, len(view), _TRANSFER_BYTES):
            piece = view[start : start + _TRANSFER_BYTES]
            command = cdbs.Write16(
                lba=(offset_bytes + start) // self.block_bytes,
                blocks=len(piece) // self.block_bytes,
            )
            send(self.transport, command, data_out=piece)

    def patch(self, offset_bytes: int, data: ByteView) -> None:
        """Write bytes that need not be whole blocks: what is around them is read first."""
        block = self.block_bytes
        lead, tail = offset_bytes % block, -(offset_bytes + len(data)) % block
        whole = bytes(data)
        if lead:
            whole = self.read(offset_bytes - lead, lead) + whole
        if tail:
            whole += self.read(offset_bytes + len(data), tail)
        self.write(offset_bytes - lead, whole)

    def flush(self) -> None:
        """Everything written is on the medium when this returns."""
        send(self.transport, cdbs.SynchronizeCache10(), timeout_s=_MOVE_TIMEOUT_S)


class Tape(Unit):
    """A tape drive, in variable block mode."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, inquiry.TAPE)
        send(transport, cdbs.TestUnitReady())

    def cscd(self) -> bytes:
        """E4h for records of any length (FIXED 0, STREAM BLOCK LENGTH 0)."""
        return IdentificationCscd.of(self._designator, device_type=self.device_type).encode()

    def rewind(self) -> None:
        """To the beginning of the tape."""
        send(self.transport, cdbs.Rewind(), timeout_s=_MOVE_TIMEOUT_S)

    def to_end_of_data(self) -> None:
        """Behind the last record."""
        command = cdbs.Space6(code=_TO_END_OF_DATA)
        send(self.transport, command, timeout_s=_MOVE_TIMEOUT_S)

    def space_filemarks(self, count: int) -> None:
        """Behind the next ``count`` filemarks.

        Raises:
            CheckConditionError: the data end before.
        """
        command = cdbs.Space6(code=_FILEMARKS, count=count)
        send(self.transport, command, timeout_s=_MOVE_TIMEOUT_S)

    def locate(self, logical_object: int) -> None:
        """Before a logical object, counted from the beginning of the tape."""
        command = cdbs.Locate16(logical_identifier=logical_object)
        send(self.transport, command, timeout_s=_MOVE_TIMEOUT_S)

    def position(self) -> ssc.LongPosition:
        """Where the drive stands."""
        size = ssc.LongPosition.SIZE_BYTES
        command = cdbs.ReadPosition(form=6, allocation_bytes=0)
        return ssc.LongPosition.decode(send(self.transport, command, data_in_bytes=size))

    def read_record(self, most_bytes: int) -> bytes | None:
        """The next record; None at a filemark or the end of data.

        Raises:
            CheckConditionError: the record is longer than ``most_bytes``, or cannot be read.
        """
        command = cdbs.TapeRead6(transfer=most_bytes)
        response = self.transport.execute(command.encode(), data_in_bytes=most_bytes)
        if response.status != CHECK_CONDITION:
            return bytes(response.data_in)
        sense = decode(response.sense)
        if sense.filemark or sense.key == BLANK_CHECK:
            return None
        if sense.key == NO_SENSE and sense.ili and sense.residual >= 0:
            return bytes(response.data_in[: most_bytes - sense.residual])
        raise CheckConditionError(f"{self.name}: {sense.text}", sense=response.sense)

    def write_record(self, data: ByteView) -> SenseData | None:
        """Write one record; the sense data of an early warning where there was one."""
        try:
            send(self.transport, cdbs.TapeWrite6(transfer=len(data)), data_out=data)
        except CheckConditionError as error:
            sense = decode(error.sense)
            if sense.key == NO_SENSE and sense.eom:
                return sense
            raise
        return None

    def write_filemark(self) -> None:
        """Write one filemark; what was written before is on the medium when this returns."""
        try:
            send(self.transport, cdbs.WriteFilemarks6(count=1), timeout_s=_MOVE_TIMEOUT_S)
        except CheckConditionError as error:
            sense = decode(error.sense)
            if not (sense.key == NO_SENSE and sense.eom):
                raise


def open_unit(transport: Transport) -> Disk | Tape:
    """The unit behind a transport, by what INQUIRY says it is.

    Raises:
        LocationError: it is neither a disk nor a tape drive.
    """
    data = send(
        transport, cdbs.Inquiry(allocation_bytes=_INQUIRY_BYTES), data_in_bytes=_INQUIRY_BYTES
    )
    kind = data[0]
    if kind == inquiry.DISK:
        return Disk(transport)
    if kind == inquiry.TAPE:
        return Tape(transport)
    raise LocationError(
        f"{transport.name} is neither a disk nor a tape drive (device type {kind & 0x1F:02X}h)",
        hint="Check the location; lsscsi -g lists what is there",
    )
