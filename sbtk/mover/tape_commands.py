"""The commands of a tape drive (SSC-4 clause 7; xcopy.md 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sbtk.errors import RemoteScsiError
from sbtk.mover.base import CheckCondition, Counters
from sbtk.mover.device_server import DeviceServer, check, refuse
from sbtk.mover.medium import MAX_RECORD_BYTES
from sbtk.scsi import cdb, inquiry, mode, mode_pages, sense, ssc
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.layout import Layout
from sbtk.transport.base import CHECK_CONDITION, ByteView, Response

if TYPE_CHECKING:
    from sbtk.mover.tape_lun import TapeLun

MAX_TRANSFER_BYTES = 64 << 20
"""Most data in one fixed-block READ or WRITE."""


class TapeCommands(DeviceServer):
    """Serves a tape drive."""

    def __init__(self, drive: TapeLun) -> None:
        super().__init__(
            device_type=inquiry.TAPE, designator=drive.designator, product="TAPE", removable=True
        )
        self._drive = drive
        self.handlers |= {
            cdb.Rewind: self._rewind,
            cdb.ReadBlockLimits: self._block_limits,
            cdb.TapeRead6: self._read,
            cdb.TapeWrite6: self._write,
            cdb.WriteFilemarks6: self._write_filemarks,
            cdb.Space6: self._space,
            cdb.Erase6: self._erase,
            cdb.LoadUnload: self._load,
            cdb.Locate10: self._locate10,
            cdb.Locate16: self._locate16,
            cdb.ReadPosition: self._read_position,
            cdb.ModeSelect6: self._mode_select,
            cdb.ModeSelect10: self._mode_select,
        }
        self.vpd_pages[inquiry.SEQUENTIAL_CAPABILITIES] = inquiry.SequentialCapabilities().encode

    def ready(self) -> None:
        """Raise CheckCondition 2/3A00h where no cartridge is loaded."""
        self._drive.loaded()

    # -- reading and writing -------------------------------------------------------------------

    def _read(self, command: cdb.TapeRead6, _data: ByteView) -> ByteView | Response:
        if command.fixed and command.suppress_incorrect_length:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if command.fixed:
            return self._read_fixed(command.transfer)
        buffer = memoryview(bytearray(command.transfer))
        if not command.transfer:
            return b""
        kind, length_bytes = self._drive.next_object(buffer)
        if kind == "filemark":
            return _reports(
                b"", *codes.FILEMARK_DETECTED, filemark=True, information=command.transfer
            )
        data = buffer[:length_bytes]
        overlong = length_bytes > command.transfer
        # SSC-4 7.4: SILI hides a short block, and a long one while the block length is 0.
        told = overlong and self._drive.block_bytes if command.suppress_incorrect_length else True
        if length_bytes != command.transfer and told:
            return _reports(data, 0, 0, ili=True, information=command.transfer - length_bytes)
        return data

    def _read_fixed(self, count: int) -> ByteView | Response:
        block_bytes = self._fixed_block_bytes(count)
        buffer = memoryview(bytearray(count * block_bytes))
        for done in range(count):
            start, left = done * block_bytes, count - done
            try:
                kind, length_bytes = self._drive.next_object(
                    buffer[start : start + block_bytes], left
                )
            except CheckCondition as stopped:
                return Response(CHECK_CONDITION, buffer[:start], stopped.sense)
            if kind == "filemark":
                return _reports(
                    buffer[:start], *codes.FILEMARK_DETECTED, filemark=True, information=left
                )
            if length_bytes != block_bytes:
                return _reports(buffer[:start], 0, 0, ili=True, information=left)
        return buffer

    def _fixed_block_bytes(self, count: int) -> int:
        """The block length, if fixed mode is set and the transfer is not too long."""
        block_bytes = self._drive.block_bytes
        if not block_bytes:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if count * block_bytes > MAX_TRANSFER_BYTES:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 2)
        return block_bytes

    def _write(self, command: cdb.TapeWrite6, data: ByteView) -> ByteView | Response:
        unit_bytes = self._fixed_block_bytes(command.transfer) if command.fixed else 1
        if len(data) != command.transfer * unit_bytes:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 2)
        if not data:
            return b""
        view = memoryview(data)
        step = unit_bytes if command.fixed else len(view)
        records = [view[start : start + step] for start in range(0, len(view), step)]
        done = self._drive.write_records(records, residual_unit_bytes=unit_bytes)
        return Response(CHECK_CONDITION, b"", done.sense) if done.sense else b""

    def _write_filemarks(
        self, command: cdb.WriteFilemarks6, _data: ByteView
    ) -> ByteView | Response:
        done = self._drive.write_filemarks(command.count, immediate=command.immediate)
        return Response(CHECK_CONDITION, b"", done.sense) if done.sense else b""

    def _erase(self, _command: cdb.Erase6, _data: ByteView) -> bytes:
        self._drive.erase()
        self._drive.flush()
        return b""

    # -- moving --------------------------------------------------------------------------------

    def _rewind(self, _command: cdb.Rewind, _data: ByteView) -> bytes:
        self._drive.rewind()
        return b""

    def _space(self, command: cdb.Space6, _data: ByteView) -> bytes:
        self._drive.space(command.code, command.count)
        return b""

    def _locate10(self, command: cdb.Locate10, _data: ByteView) -> bytes:
        if command.block_type or (command.change_partition and command.partition):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1 if command.block_type else 8)
        self._drive.locate(command.logical_object)
        return b""

    def _locate16(self, command: cdb.Locate16, _data: ByteView) -> bytes:
        if command.change_partition and command.partition:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.Locate16.byte_of("partition"))
        if command.destination_type == 0:
            self._drive.locate(command.logical_identifier)
        elif command.destination_type == 1:
            self._drive.locate_file(command.logical_identifier)
        elif command.destination_type == 3:
            self._drive.locate_end()
        else:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        return b""

    def _load(self, command: cdb.LoadUnload, _data: ByteView) -> bytes:
        if command.load:
            self._drive.load()
        else:
            self._drive.unload()
        return b""

    def _read_position(self, command: cdb.ReadPosition, _data: ByteView) -> Response:
        if command.form not in (ssc.POSITION_SHORT, ssc.POSITION_LONG):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        # ALLOCATION LENGTH belongs to the extended form only and is 0 in these two.
        cartridge, number = self._drive.loaded(), self._drive.position()
        at_start = number == 0
        before_bytes = cartridge.offset_of(number)
        near_end = before_bytes > self._drive.early_warning_begins_bytes(cartridge)
        if command.form == ssc.POSITION_LONG:
            long = ssc.LongPosition(
                beginning_of_partition=at_start,
                end_of_partition=near_end,
                logical_object=number,
                logical_file=cartridge.index.filemarks_before(number),
            )
            return Response(data_in=long.encode())
        too_large = number > 0xFFFFFFFF
        short = ssc.ShortPosition(
            beginning_of_partition=at_start,
            end_of_partition=near_end,
            position_error=too_large,
            first_object=0 if too_large else number,
            last_object=0 if too_large else number,
        )
        return Response(data_in=short.encode())

    # -- what the drive is ---------------------------------------------------------------------

    def _block_limits(self, _command: cdb.ReadBlockLimits, _data: ByteView) -> bytes:
        return ssc.BlockLimitsData(maximum_bytes=MAX_RECORD_BYTES).encode()

    def _mode_select(self, command: cdb.ModeSelect6 | cdb.ModeSelect10, data: ByteView) -> bytes:
        if command.save_pages:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if not command.parameter_list_bytes:
            return b""
        if len(data) < command.parameter_list_bytes:
            raise check(codes.ILLEGAL_REQUEST, codes.PARAMETER_LIST_LENGTH_ERROR)
        ten = isinstance(command, cdb.ModeSelect10)
        try:
            wanted = mode.decode_parameters(data[: command.parameter_list_bytes], ten=ten)
        except RemoteScsiError as error:
            code = error.code or codes.PARAMETER_LIST_LENGTH_ERROR
            raise refuse(code, error.byte_offset or 0, in_cdb=False) from error
        if wanted.pages and wanted.pages not in self._as_they_are():
            at = command.parameter_list_bytes - len(wanted.pages)
            raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, at, in_cdb=False)
        if wanted.descriptor is not None:
            self._drive.block_bytes = wanted.descriptor.block_bytes
        return b""

    def _as_they_are(self) -> list[bytes]:
        """Pages that MODE SELECT may repeat: each one, and all of them."""
        pages = [page.encode() for _, page in self.mode_pages()]
        return [*pages, b"".join(pages)]

    def counters(self) -> tuple[Counters, int]:
        """The drive's counters; in variable mode LOG SENSE counts bytes."""
        return self._drive.counters, self._drive.block_bytes or 1

    def mode_header(self) -> dict[str, Any]:
        """Write protection, and that the drive writes through a buffer until a filemark."""
        return {"write_protected": not self._drive.loaded().writable, "buffered_mode": 1}

    def mode_descriptor(self) -> mode.BlockDescriptor:
        """The block length, 0 for variable."""
        return mode.BlockDescriptor(block_bytes=self._drive.block_bytes)

    def mode_pages(self) -> Sequence[tuple[int, Layout]]:
        """Control, data compression, device configuration."""
        return (
            (mode_pages.CONTROL, mode_pages.ControlPage()),
            (mode_pages.DATA_COMPRESSION, mode_pages.DataCompressionPage()),
            (mode_pages.DEVICE_CONFIGURATION, mode_pages.DeviceConfigurationPage()),
        )


def _reports(data: ByteView, asc: int, ascq: int, **fields: Any) -> Response:
    """CHECK CONDITION that reports what was met, with the data that was read until then."""
    return Response(CHECK_CONDITION, data, sense.fixed(codes.NO_SENSE, asc, ascq, **fields))
