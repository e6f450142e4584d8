"""The commands of a disk, over any block unit (SBC-3 clause 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sbtk.errors import RemoteScsiError
from sbtk.mover.base import BlockUnit, Counters
from sbtk.mover.device_server import DeviceServer, check, refuse
from sbtk.mover.gate import WriteGate
from sbtk.scsi import cdb, inquiry, mode, mode_pages, sbc
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.layout import Layout
from sbtk.transport.base import CONDITION_MET, ByteView, Response
from sbtk.transport.lent import lend

MAX_TRANSFER_BYTES = 32 << 20
"""Most data in one READ, WRITE or VERIFY; told in VPD page B0h."""

_MAX_ZERO_BYTES = 1 << 40
_MAX_UNMAP_RANGES = 4096
_MAX_UNMAP_BLOCKS = 1 << 20  # of one command; iscsi-test-cu takes no more
_MAX_COMPARE_BLOCKS = 255
_PIECE_BYTES = 1 << 20

_Reads = cdb.Read6 | cdb.Read10 | cdb.Read12 | cdb.Read16
_WriteSame = cdb.WriteSame10 | cdb.WriteSame16
_Verify = cdb.Verify10 | cdb.Verify12 | cdb.Verify16


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
        # Passed by every write; closed for a command that reads and then writes as one.
        self._gate = WriteGate()
        for read in (cdb.Read6, cdb.Read10, cdb.Read12, cdb.Read16):
            self.handlers[read] = self._read
        for write in (cdb.Write6, cdb.Write10, cdb.Write12, cdb.Write16):
            self.handlers[write] = self._write
        for verify in (cdb.Verify10, cdb.Verify12, cdb.Verify16):
            self.handlers[verify] = self._verify
        for both in (cdb.WriteAndVerify10, cdb.WriteAndVerify12, cdb.WriteAndVerify16):
            self.handlers[both] = self._write_and_verify
        self.handlers |= {
            cdb.CompareAndWrite: self._compare_and_write,
            cdb.OrWrite16: self._or_write,
            cdb.Prefetch10: self._prefetch,
            cdb.Prefetch16: self._prefetch,
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

    def _transfer(self, command: Any) -> int:
        """Bytes that a command transfers; refused if too long, protected or out of range."""
        if getattr(command, "protect", 0):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        if command.blocks > self._max_blocks:
            place = "transfer" if isinstance(command, cdb.Read6) else "blocks"
            raise refuse(codes.INVALID_FIELD_IN_CDB, type(command).byte_of(place))
        self._range(command.lba, command.blocks)
        return int(command.blocks * self._unit.block_bytes)

    def _sent(self, command: Any, data: ByteView) -> tuple[memoryview, int]:
        """The whole blocks that were sent of those that the CDB names, and the CDB's bytes.

        Where the two lengths differ, the shorter one is transferred and the difference is told as
        a residual (RFC 7143 11.4.5.1, 11.4.5.2).
        """
        wanted = self._transfer(command)
        there = min(wanted, len(data))
        return memoryview(data)[: there - there % self._unit.block_bytes], wanted

    def _read(self, command: _Reads, _data: ByteView) -> ByteView:
        buffer = lend(self._transfer(command))
        if buffer:
            self._unit.read_blocks(command.lba, buffer)
        return buffer

    def _write(self, command: _Reads, data: ByteView) -> Response:
        self._writable()
        blocks, wanted = self._sent(command, data)
        if blocks:
            with self._gate.writing():
                self._unit.write_blocks(command.lba, blocks)
        if getattr(command, "fua", False):
            self._unit.flush()
        return Response(wanted_out_bytes=wanted)

    def _verify(self, command: _Verify, data: ByteView) -> Response:
        if command.byte_check == 0:
            self._range(command.lba, command.blocks)
            self._check_readable(command.lba, command.blocks)
            return Response(wanted_out_bytes=0)
        if command.byte_check != 1:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        blocks, wanted = self._sent(command, data)
        self._compare(command.lba, blocks)
        return Response(wanted_out_bytes=wanted)

    def _write_and_verify(self, command: _Verify, data: ByteView) -> Response:
        self._writable()
        if command.byte_check > 1:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
        blocks, wanted = self._sent(command, data)
        if blocks:
            with self._gate.writing():
                self._unit.write_blocks(command.lba, blocks)
            self._unit.flush()
            if command.byte_check:
                self._compare(command.lba, blocks)
            else:
                self._check_readable(command.lba, len(blocks) // self._unit.block_bytes)
        return Response(wanted_out_bytes=wanted)

    def _compare(self, lba: int, blocks: memoryview) -> None:
        """Refuse with MISCOMPARE; INFORMATION is the first byte that differs (SBC-3 5.2)."""
        if not blocks:
            return
        buffer = bytearray(len(blocks))
        self._unit.read_blocks(lba, memoryview(buffer))
        if buffer != blocks:
            first = next(
                i for i, pair in enumerate(zip(buffer, blocks, strict=True)) if _differ(pair)
            )
            raise check(codes.MISCOMPARE, codes.MISCOMPARE_DURING_VERIFY, information=first)

    def _compare_and_write(self, command: cdb.CompareAndWrite, data: ByteView) -> bytes:
        self._writable()
        length = self._transfer(command)
        if len(data) != 2 * length:  # half of a compare would be none
            raise refuse(codes.INVALID_FIELD_IN_CDB, command.byte_of("blocks"))
        view = memoryview(data)
        with self._gate.closed():
            self._compare(command.lba, view[:length])
            if length:
                self._unit.write_blocks(command.lba, view[length:])
        if command.fua:
            self._unit.flush()
        return b""

    def _or_write(self, command: cdb.OrWrite16, data: ByteView) -> Response:
        self._writable()
        blocks, wanted = self._sent(command, data)
        if blocks:
            buffer = bytearray(len(blocks))
            with self._gate.closed():
                self._unit.read_blocks(command.lba, memoryview(buffer))
                both = int.from_bytes(buffer, "little") | int.from_bytes(blocks, "little")
                self._unit.write_blocks(
                    command.lba, memoryview(both.to_bytes(len(blocks), "little"))
                )
        if command.fua:
            self._unit.flush()
        return Response(wanted_out_bytes=wanted)

    def _prefetch(self, command: cdb.Prefetch10 | cdb.Prefetch16, _data: ByteView) -> Response:
        """The system's cache reads ahead by itself: all that is asked for fits (SBC-3 5.5)."""
        self._range(command.lba, command.blocks)
        return Response(CONDITION_MET)

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
        if getattr(command, "no_data", False) and not data:
            data = bytes(block_bytes)
        if len(data) != block_bytes:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 0)
        with self._gate.writing():
            self._fill(command, data)
        return b""

    def _fill(self, command: _WriteSame, data: ByteView) -> None:
        block_bytes = self._unit.block_bytes
        if not any(data):
            self._unit.zero_blocks(command.lba, command.blocks)
            return
        step = min(command.blocks, _PIECE_BYTES // block_bytes)
        pattern = memoryview(bytes(data) * step)
        for start in range(command.lba, command.lba + command.blocks, step):
            count = min(step, command.lba + command.blocks - start)
            self._unit.write_blocks(start, pattern[: count * block_bytes])

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
        if sum(item.blocks for item in ranges) > _MAX_UNMAP_BLOCKS:
            raise refuse(codes.INVALID_FIELD_IN_PARAMETER_LIST, 8, in_cdb=False)
        with self._gate.writing():
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
            maximum_compare_and_write_blocks=_MAX_COMPARE_BLOCKS,
            optimal_granularity_blocks=max(1, 4096 // block_bytes),
            maximum_transfer_blocks=self._max_blocks,
            optimal_transfer_blocks=_PIECE_BYTES // block_bytes,
            maximum_unmap_blocks=_MAX_UNMAP_BLOCKS,
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


def _differ(pair: tuple[int, int]) -> bool:
    return pair[0] != pair[1]
