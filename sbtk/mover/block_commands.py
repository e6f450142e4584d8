"""The commands of a disk, over any block unit (SBC-3 clause 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sbtk.errors import RemoteScsiError
from sbtk.mover.base import BlockUnit, Counters
from sbtk.mover.device_server import DeviceServer, check, refuse
from sbtk.scsi import cdb, inquiry, mode, mode_pages, sbc
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.layout import Layout
from sbtk.transport.base import ByteView

MAX_TRANSFER_BYTES = 32 << 20
"""Most data in one READ, WRITE or VERIFY; told in VPD page B0h."""

_MAX_ZERO_BYTES = 1 << 40
_MAX_UNMAP_RANGES = 4096
_PIECE_BYTES = 1 << 20

_Reads = cdb.Read6 | cdb.Read10 | cdb.Read12 | cdb.Read16
_WriteSame = cdb.WriteSame10 | cdb.WriteSame16


class BlockCommands(DeviceServer):
    """Serves a disk."""

    def __init__(self, unit: BlockUnit, product: str) -> None:
        super().__init__(
            device_type=inquiry.DISK,
            designator=unit.designator,
            product=product,
            removable=False,
        )
        self._unit = unit
        self._max_blocks = MAX_TRANSFER_BYTES // unit.block_bytes
        for read in (cdb.Read6, cdb.Read10, cdb.Read12, cdb.Read16):
            self.handlers[read] = self._read
        for write in (cdb.Write6, cdb.Write10, cdb.Write12, cdb.Write16):
            self.handlers[write] = self._write
        self.handlers |= {
            cdb.Verify10: self._verify,
            cdb.Verify16: self._verify,
            cdb.WriteSame10: self._write_same,
            cdb.WriteSame16: self._write_same,
            cdb.Unmap: self._unmap,
            cdb.SynchronizeCache10: self._synchronize,
            cdb.SynchronizeCache16: self._synchronize,
            cdb.ReadCapacity10: self._capacity10,
            cdb.ReadCapacity16: self._capacity16,
            cdb.StartStopUnit: lambda _command, _data: b"",
        }
        self.vpd_pages |= {
            inquiry.BLOCK_LIMITS: self._block_limits,
            inquiry.BLOCK_CHARACTERISTICS: inquiry.BlockCharacteristics().encode,
            inquiry.PROVISIONING: inquiry.LogicalBlockProvisioning(
                unmap=True, write_same_16=True, write_same_10=True, reads_zeros=1
            ).encode,
        }

    # -- reading and writing ---------------------------------------------------------------------

    def _range(self, lba: int, blocks: int) -> None:
        if lba + blocks > self._unit.block_count:
            raise check(
                codes.ILLEGAL_REQUEST, codes.LBA_OUT_OF_RANGE, information=min(lba, 0xFFFFFFFF)
            )

    def _transfer(self, command: Any, data: ByteView | None) -> None:
        """Refuse a transfer that is too long, protected, out of range or short of data."""
        if getattr(command, "protect", 0):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if command.blocks > self._max_blocks:
            place = "transfer" if isinstance(command, cdb.Read6) else "blocks"
            raise refuse(codes.INVALID_FIELD_IN_CDB, type(command).byte_of(place))
        self._range(command.lba, command.blocks)
        if data is not None and len(data) != command.blocks * self._unit.block_bytes:
            # Fewer or more bytes than the CDB asks for: nothing is written, as LIO does it.
            raise refuse(codes.INVALID_FIELD_IN_CDB, 0)

    def _read(self, command: _Reads, _data: ByteView) -> ByteView:
        self._transfer(command, None)
        buffer = bytearray(command.blocks * self._unit.block_bytes)
        if buffer:
            self._unit.read_blocks(command.lba, memoryview(buffer))
        return buffer

    def _write(self, command: _Reads, data: ByteView) -> bytes:
        self._writable()
        self._transfer(command, data)
        if data:
            self._unit.write_blocks(command.lba, memoryview(data))
        if getattr(command, "fua", False):
            self._unit.flush()
        return b""

    def _verify(self, command: cdb.Verify10 | cdb.Verify16, data: ByteView) -> bytes:
        if command.byte_check == 0:
            self._range(command.lba, command.blocks)
            self._check_readable(command.lba, command.blocks)
            return b""
        if command.byte_check != 1:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        self._transfer(command, data)
        buffer = bytearray(len(data))
        self._unit.read_blocks(command.lba, memoryview(buffer))
        if buffer != data:
            raise check(codes.MISCOMPARE, codes.MISCOMPARE_DURING_VERIFY)
        return b""

    def _check_readable(self, lba: int, blocks: int) -> None:
        step = _PIECE_BYTES // self._unit.block_bytes
        buffer = memoryview(bytearray(min(blocks, step) * self._unit.block_bytes))
        for start in range(lba, lba + blocks, step):
            count = min(step, lba + blocks - start)
            self._unit.read_blocks(start, buffer[: count * self._unit.block_bytes])

    def _write_same(self, command: _WriteSame, data: ByteView) -> bytes:
        self._writable()
        if command.protect or command.anchor:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        block_bytes = self._unit.block_bytes
        most = _MAX_ZERO_BYTES // block_bytes
        if not 0 < command.blocks <= most:
            raise refuse(codes.INVALID_FIELD_IN_CDB, type(command).byte_of("blocks"))
        self._range(command.lba, command.blocks)
        if len(data) != block_bytes:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 0)
        if not any(data):
            self._unit.zero_blocks(command.lba, command.blocks)
            return b""
        step = min(command.blocks, _PIECE_BYTES // block_bytes)
        pattern = memoryview(bytes(data) * step)
        for start in range(command.lba, command.lba + command.blocks, step):
            count = min(step, command.lba + command.blocks - start)
            self._unit.write_blocks(start, pattern[: count * block_bytes])
        return b""

    def _unmap(self, command: cdb.Unmap, data: ByteView) -> bytes:
        self._writable()
        if command.anchor:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if not command.parameter_list_bytes:
            return b""
        try:
            ranges = sbc.decode_unmap(data)
        except RemoteScsiError as error:
            raise refuse(codes.PARAMETER_LIST_LENGTH_ERROR, 7) from error
        if len(ranges) > _MAX_UNMAP_RANGES:
            raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, 2, in_cdb=False)
        for item in ranges:
            self._range(item.lba, item.blocks)
        for item in ranges:
            if item.blocks:
                self._unit.zero_blocks(item.lba, item.blocks)
        return b""

    def _synchronize(
        self, command: cdb.SynchronizeCache10 | cdb.SynchronizeCache16, _data: ByteView
    ) -> bytes:
        self._range(command.lba, command.blocks)
        self._unit.flush()
        return b""

    def _writable(self) -> None:
        if not self._unit.writable:
            raise check(codes.DATA_PROTECT, codes.WRITE_PROTECTED)

    # -- what the disk is ------------------------------------------------------------------------

    def _capacity10(self, command: cdb.ReadCapacity10, _data: ByteView) -> bytes:
        if command.lba and not command.pmi:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.ReadCapacity10.byte_of("lba"))
        last_lba = min(self._unit.block_count - 1, 0xFFFFFFFF)
        return sbc.Capacity10(last_lba, self._unit.block_bytes).encode()

    def _capacity16(self, _command: cdb.ReadCapacity16, _data: ByteView) -> bytes:
        return sbc.Capacity16(
            self._unit.block_count - 1,
            self._unit.block_bytes,
            physical_exponent=3 if self._unit.block_bytes == 512 else 0,
            provisioning_enabled=True,
            reads_zeros=True,
        ).encode()

    def _block_limits(self) -> bytes:
        block_bytes = self._unit.block_bytes
        return inquiry.BlockLimits(
            write_same_non_zero=True,
            optimal_granularity_blocks=max(1, 4096 // block_bytes),
            maximum_transfer_blocks=self._max_blocks,
            optimal_transfer_blocks=_PIECE_BYTES // block_bytes,
            maximum_unmap_blocks=min(0xFFFFFFFF, _MAX_ZERO_BYTES // block_bytes),
            maximum_unmap_descriptors=_MAX_UNMAP_RANGES,
            optimal_unmap_granularity_blocks=max(1, 4096 // block_bytes),
            maximum_write_same_blocks=_MAX_ZERO_BYTES // block_bytes,
        ).encode()

    def counters(self) -> tuple[Counters, int]:
        """The unit's counters and its block length."""
        return self._unit.counters, self._unit.block_bytes

    def mode_header(self) -> dict[str, Any]:
        """Write protection; the low bit of ``buffered_mode`` is DPOFUA on a disk."""
        return {"write_protected": not self._unit.writable, "buffered_mode": 1}

    def mode_descriptor(self) -> mode.BlockDescriptor:
        """Number and length of blocks (SBC-3 6.4.2.2)."""
        blocks = min(self._unit.block_count, 0xFFFFFF)
        return mode.BlockDescriptor(blocks=blocks, block_bytes=self._unit.block_bytes)

    def mode_pages(self) -> Sequence[tuple[int, Layout]]:
        """Caching: what is written is in the system's cache until SYNCHRONIZE CACHE. Control."""
        return (
            (mode_pages.CACHING, mode_pages.CachingPage(write_cache=True)),
            (
                mode_pages.CONTROL,
                mode_pages.ControlPage(
                    unrestricted_reordering=True, software_write_protect=not self._unit.writable
                ),
            ),
        )
