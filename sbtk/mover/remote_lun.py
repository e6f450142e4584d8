"""Logical units of other targets behind the mover: their disks and tapes become its own.

The mover logs in to an array (or uses a SCSI node of this machine), and copies between that
array's units and its cartridges: a data mover on a SAN of its own. Ordinary commands are passed on
as they are; the copy manager works through the typed methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from sbtk.errors import CheckConditionError, LocationError, RemoteScsiError, SbtkError
from sbtk.mover.attentions import UnitAttentions
from sbtk.mover.base import CheckCondition, Counters, TapeTransfer
from sbtk.mover.reservations import Reservations
from sbtk.scsi import cdb, inquiry, sbc, sense, ssc
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.designator import BINARY, LOGICAL_UNIT, NAA, Designator, decode_list, naa6
from sbtk.transport.base import CHECK_CONDITION, ByteView, Response, Transport
from sbtk.transport.send import send

_PAGE_BYTES = 4096
_REQUEST_BYTES = 1 << 20  # one READ or WRITE, if the unit takes as much
_IN_FLIGHT = 4
_MOVE_TIMEOUT_S = 3600.0  # a drive may wind its whole tape
_THIRD_PARTY_BIT = 0x08  # byte 5 of standard INQUIRY data


def open_remote(transport: Transport) -> RemoteDisk | RemoteTape:
    """The unit behind a transport, by what it says it is; closing it closes the transport.

    Raises:
        LocationError: neither a disk nor a tape drive.
        CheckConditionError: it does not answer as they do.
        TransportError: the path to it is broken.
    """
    data = send(transport, cdb.Inquiry(allocation_bytes=96), data_in_bytes=96)
    kind = inquiry.StandardInquiry.decode_any(data).device_type
    if kind == inquiry.DISK:
        return RemoteDisk(transport)
    if kind == inquiry.TAPE:
        return RemoteTape(transport)
    raise LocationError(
        f"{transport.name} is neither disk nor tape (peripheral device type {kind:02X}h)",
        hint="Name the LUN of a disk or of a tape drive",
    )


class _RemoteUnit:
    """What disks and tapes of others share.

    Attributes:
        name: location of the unit.
        designator: its NAA designator, or one made of its other names.
        counters: what went through here.
        reservations: none.
    """

    peripheral_device_type: int

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.name = transport.name
        self.counters = Counters()
        # The device keeps its own: to it, the mover is one nexus.
        self.reservations = Reservations(UnitAttentions())
        self._pages: dict[int, Callable[[], bytes]] = {}
        self.designator = self._find_designator()

    def _find_designator(self) -> bytes:
        page = cdb.Inquiry(True, inquiry.DEVICE_IDENTIFICATION, _PAGE_BYTES)
        data = send(self._transport, page, data_in_bytes=_PAGE_BYTES)
        names = [
            item
            for item in decode_list(inquiry.decode_page(data, inquiry.DEVICE_IDENTIFICATION))
            if item.association == LOGICAL_UNIT
        ]
        for item in names:
            if (item.code_set, item.kind) == (BINARY, NAA):
                return bytes(item.identifier)
        return naa6(b"".join(item.encode() for item in names) or self.name.encode())

    def announce(
        self,
        vpd_pages: Mapping[int, Callable[[], bytes]],
        commands: Sequence[type[Cdb]],  # noqa: ARG002 - the device lists its own
    ) -> None:
        """See ``LogicalUnit.announce``."""
        self._pages.update(vpd_pages)

    def execute(
        self, cdb_bytes: bytes, data_out: ByteView, data_in_bytes: int, *, initiator: str = ""
    ) -> Response:
        """Pass a command on; what the mover adds to the unit is added to INQUIRY data.

        All initiators share one nexus to the device: its unit attentions reach one of them.
        """
        del initiator
        try:
            command: Cdb | None = cdb.decode(cdb_bytes, self.peripheral_device_type)
        except RemoteScsiError:
            command = None
        if isinstance(command, cdb.Inquiry) and command.evpd:
            page = self._own_page(command.page_code)
            if page is not None:
                most = min(data_in_bytes, command.allocation_bytes)
                return Response(data_in=page[:most])
        wanted = min(data_in_bytes, self._expected_bytes(command))
        self._count(command, data_out)
        try:
            response = self._transport.execute(
                cdb_bytes, data_out=data_out, data_in_bytes=wanted, timeout_s=_MOVE_TIMEOUT_S
            )
        except SbtkError:
            lost = sense.fixed(codes.HARDWARE_ERROR, *codes.INTERNAL_TARGET_FAILURE)
            return Response(CHECK_CONDITION, b"", lost)
        if isinstance(command, cdb.Inquiry) and not command.evpd and len(response.data_in) > 5:
            data = bytearray(response.data_in)
            data[5] |= _THIRD_PARTY_BIT if inquiry.THIRD_PARTY_COPY in self._pages else 0
            return Response(response.status, bytes(data), response.sense)
        return response

    def _own_page(self, page_code: int) -> bytes | None:
        if page_code == inquiry.DEVICE_IDENTIFICATION:
            name = Designator(self.designator)
            return inquiry.device_identification([name], self.peripheral_device_type)
        if page_code == inquiry.SUPPORTED_PAGES:
            question = cdb.Inquiry(True, inquiry.SUPPORTED_PAGES, _PAGE_BYTES)
            try:
                told = send(self._transport, question, data_in_bytes=_PAGE_BYTES)
                known = inquiry.decode_page(told, inquiry.SUPPORTED_PAGES)
            except SbtkError:
                return None
            both = sorted({*known, *self._pages, inquiry.DEVICE_IDENTIFICATION})
            return inquiry.supported_pages(both, self.peripheral_device_type)
        page = self._pages.get(page_code)
        return page() if page else None

    def _expected_bytes(self, command: Cdb | None) -> int:
        """Most data that a command can bring: what the device is told to expect."""
        return int(getattr(command, "allocation_bytes", 1 << 16)) or 1 << 16

    def _count(self, command: Cdb | None, data_out: ByteView) -> None:
        if len(data_out) and hasattr(command, "blocks"):
            self.counters.add_write(len(data_out))

    def _ask(self, command: Cdb, data_in_bytes: int = 0, data_out: ByteView = b"") -> ByteView:
        """Send a command of the copy manager's own.

        A unit attention is a failure here: the device may have lost what it had in its cache, or
        its tape's position.

        Raises:
            CheckCondition: the device's own sense data.
            TransportError: the path broke.
        """
        response = self._transport.execute(
            command.encode(),
            data_out=data_out,
            data_in_bytes=data_in_bytes,
            timeout_s=_MOVE_TIMEOUT_S,
        )
        if response.status == CHECK_CONDITION and response.sense:
            raise CheckCondition(response.sense)
        if response.status:
            raise CheckConditionError(
                f"{self.name}: {command.NAME} ended with status {response.status:02X}h",
                status=response.status,
            )
        return response.data_in

    def close(self) -> None:
        """Close the path; safe to call twice."""
        self._transport.close()


class RemoteDisk(_RemoteUnit):
    """A disk of another target.

    Attributes:
        block_bytes: logical block length.
        block_count: logical blocks.
        writable: whether it says that it takes writes.
    """

    peripheral_device_type = inquiry.DISK

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        size = sbc.Capacity16.SIZE_BYTES
        told = send(transport, cdb.ReadCapacity16(allocation_bytes=size), data_in_bytes=size)
        capacity = sbc.Capacity16.decode(told)
        self.block_bytes = capacity.block_bytes
        self.block_count = capacity.last_lba + 1
        if self.block_bytes not in (512, 4096):
            raise LocationError(
                f"{self.name} has blocks of {self.block_bytes} bytes", hint="512 or 4096 are served"
            )
        head = send(transport, cdb.ModeSense6(disable_block_descriptors=True), data_in_bytes=255)
        self.writable = len(head) < 3 or not head[2] & 0x80  # WP, SBC-3 6.4.1
        self._step = self._most_blocks()
        self._workers = ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="sbtk-remote")

    def _most_blocks(self) -> int:
        """Blocks of one command: MAXIMUM TRANSFER LENGTH, if it is told."""
        step = _REQUEST_BYTES // self.block_bytes
        page = cdb.Inquiry(True, inquiry.BLOCK_LIMITS, _PAGE_BYTES)
        try:
            data = bytes(send(self._transport, page, data_in_bytes=_PAGE_BYTES))
            most = inquiry.BlockLimits.decode(data.ljust(64, b"\0")).maximum_transfer_blocks
        except CheckConditionError:
            most = 0
        return min(step, most) if most else step

    def _expected_bytes(self, command: Cdb | None) -> int:
        if isinstance(command, cdb.Read6 | cdb.Read10 | cdb.Read12 | cdb.Read16):
            return command.blocks * self.block_bytes
        return super()._expected_bytes(command)

    def read_blocks(self, lba: int, buffer: memoryview) -> None:
        """See ``BlockUnit.read_blocks``; also TransportError."""
        self.counters.add_read(len(buffer))

        def read(start: int) -> None:
            piece = buffer[start * self.block_bytes : (start + self._step) * self.block_bytes]
            blocks = len(piece) // self.block_bytes
            data = self._ask(cdb.Read16(lba=lba + start, blocks=blocks), len(piece))
            if len(data) != len(piece):
                raise CheckCondition(sense.fixed(codes.HARDWARE_ERROR, *codes.COMMAND_PHASE_ERROR))
            piece[:] = data

        self._each(read, len(buffer))

    def write_blocks(self, lba: int, data: memoryview) -> None:
        """See ``BlockUnit.write_blocks``; also TransportError."""
        self.counters.add_write(len(data))

        def write(start: int) -> None:
            piece = data[start * self.block_bytes : (start + self._step) * self.block_bytes]
            blocks = len(piece) // self.block_bytes
            self._ask(cdb.Write16(lba=lba + start, blocks=blocks), data_out=piece)

        self._each(write, len(data))

    def _each(self, work: Callable[[int], None], length_bytes: int) -> None:
        """Run ``work`` for the first block of every piece, a few at once."""
        starts = range(0, length_bytes // self.block_bytes, self._step)
        if len(starts) == 1:
            work(0)
            return
        tasks = [self._workers.submit(work, start) for start in starts]
        failures = [error for task in tasks if (error := task.exception()) is not None]
        if failures:
            raise failures[0]

    def zero_blocks(self, lba: int, blocks: int) -> None:
        """See ``BlockUnit.zero_blocks``; zeros are written."""
        zeros = memoryview(bytes(self._step * self.block_bytes))
        for start in range(lba, lba + blocks, self._step):
            count = min(self._step, lba + blocks - start)
            self.write_blocks(start, zeros[: count * self.block_bytes])

    def flush(self) -> None:
        """See ``BlockUnit.flush``."""
        self._ask(cdb.SynchronizeCache10())

    def close(self) -> None:
        """Close the path; safe to call twice."""
        self._workers.shutdown()
        super().close()


class RemoteTape(_RemoteUnit):
    """A tape drive of another target, in variable block mode."""

    peripheral_device_type = inquiry.TAPE

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        send(transport, cdb.TestUnitReady())

    def _expected_bytes(self, command: Cdb | None) -> int:
        if isinstance(command, cdb.TapeRead6):
            return 1 << 24 if command.fixed else command.transfer
        return super()._expected_bytes(command)

    def read_record(self, buffer: memoryview) -> tuple[int, TapeTransfer]:
        """See ``TapeUnit.read_record``; also TransportError."""
        command = cdb.TapeRead6(transfer=len(buffer))
        response = self._transport.execute(
            command.encode(), data_in_bytes=len(buffer), timeout_s=_MOVE_TIMEOUT_S
        )
        length = len(buffer)
        met = TapeTransfer()
        if response.status == CHECK_CONDITION and response.sense:
            told = sense.decode(response.sense)
            if told.key != codes.NO_SENSE:
                raise CheckCondition(response.sense)
            met = TapeTransfer(response.sense)
            length = 0 if told.filemark else max(0, min(length, length - told.residual))
        elif response.status:
            raise CheckConditionError(
                f"{self.name}: READ(6) ended with status {response.status:02X}h",
                status=response.status,
            )
        if len(response.data_in) < length:
            raise CheckCondition(sense.fixed(codes.HARDWARE_ERROR, *codes.COMMAND_PHASE_ERROR))
        buffer[:length] = response.data_in[:length]
        self.counters.add_read(length)
        return length, met

    def write_record(self, data: ByteView) -> TapeTransfer:
        """See ``TapeUnit.write_record``; also TransportError."""
        self.counters.add_write(len(data))
        return self._report(cdb.TapeWrite6(transfer=len(data)), data)

    def write_together(
        self,
        data: memoryview,  # noqa: ARG002 - all tapes' face
        record_bytes: int,  # noqa: ARG002
        head: ByteView = b"",  # noqa: ARG002
    ) -> int:
        """Nothing: each record is a command of its own."""
        return 0

    def write_filemarks(self, count: int, *, immediate: bool = False) -> TapeTransfer:
        """See ``TapeUnit.write_filemarks``."""
        return self._report(cdb.WriteFilemarks6(immediate=immediate, count=count))

    def _report(self, command: Cdb, data: ByteView = b"") -> TapeTransfer:
        """Send a command that writes; early warning is a report, the rest fails."""
        try:
            self._ask(command, data_out=data)
        except CheckCondition as stopped:
            told = sense.decode(stopped.sense)
            if told.key == codes.NO_SENSE and told.eom:
                return TapeTransfer(stopped.sense)
            raise
        return TapeTransfer()

    def space(self, code: int, count: int) -> None:
        """See ``TapeUnit.space``."""
        self._ask(cdb.Space6(code=code, count=count))

    def locate(self, logical_object: int) -> None:
        """See ``TapeUnit.locate``; the beginning by REWIND, which drives without LOCATE have."""
        command: Cdb = cdb.Locate16(logical_identifier=logical_object)
        if not logical_object:
            command = cdb.Rewind()
        elif logical_object < 1 << 32:
            command = cdb.Locate10(logical_object=logical_object)
        self._ask(command)

    def position(self) -> int:
        """See ``TapeUnit.position``."""
        size = ssc.ShortPosition.SIZE_BYTES
        told = ssc.ShortPosition.decode(self._ask(cdb.ReadPosition(), size))
        if not (told.position_error or told.position_unknown):
            return told.first_object
        form = cdb.ReadPosition(form=ssc.POSITION_LONG)
        long = ssc.LongPosition.decode(self._ask(form, ssc.LongPosition.SIZE_BYTES))
        return long.logical_object

    def flush(self) -> None:
        """See ``TapeUnit.flush``: write no filemark, not immediately (SSC-4 7.14)."""
        self._ask(cdb.WriteFilemarks6(count=0))
