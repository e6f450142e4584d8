"""Disks of the mover: a file or block device to write to, or any device read-only."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sbtk.device.base import BlockDevice
from sbtk.device.file import FileDevice
from sbtk.errors import (
    DeviceReadError,
    LocationError,
    LocationPermissionError,
    SnapshotError,
    TargetError,
    UsageError,
)
from sbtk.mover.base import CheckCondition, Counters
from sbtk.mover.block_commands import BlockCommands
from sbtk.mover.device_server import check
from sbtk.mover.gate import WriteGate
from sbtk.mover.snapshot import OverlaySnapshot
from sbtk.mover.system_calls import punch_hole
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.designator import naa6
from sbtk.scsi.inquiry import DISK
from sbtk.transport.base import ByteView, Response
from sbtk.transport.lent import lend

_ZERO_BYTES = 1 << 20
_QUICK_BYTES = 1 << 20  # what our disks say is the best length of a transfer


def designator_of(path: Path) -> bytes:
    """The NAA name of a unit that was given none: from this machine's id and the resolved path.

    It stays the same as long as the file stays where it is, and differs between machines.
    """
    try:
        machine = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        machine = b""
    return naa6(machine + b"\0" + os.fsencode(path.resolve()))


class ReadOnlyLun:
    """A disk over any device that can be read: a file, a partition, a snapshot.

    Attributes:
        name: the device's name.
        designator: its 16-byte NAA name.
        block_bytes: logical block length.
        block_count: whole blocks on it.
        counters: what it has moved.
        reservations: who may use it.
        writable: False.
    """

    peripheral_device_type = DISK
    writable = False
    _PRODUCT = "SNAPSHOT"

    def __init__(
        self,
        device: BlockDevice,
        *,
        designator: bytes | None = None,
        block_bytes: int | None = None,
    ) -> None:
        """Serve ``device``; closing the unit closes it.

        Raises:
            UsageError: a block length other than 512 and 4096.
            TargetError: the device holds no whole block.
        """
        self._device = device
        self.name = device.name
        self.block_bytes = block_bytes or device.block_bytes
        if self.block_bytes not in (512, 4096):
            raise UsageError(f"blocks of {self.block_bytes} bytes", hint="Use 512 or 4096")
        self.block_count = device.size_bytes // self.block_bytes
        if not self.block_count:
            raise TargetError(f"{device.name} is empty", hint="A disk has at least one block")
        self.designator = designator or designator_of(Path(device.name))
        self.counters = Counters()
        self._commands = BlockCommands(self, self._PRODUCT)
        self.reservations = self._commands.reservations

    def execute(
        self, cdb: bytes, data_out: ByteView, data_in_bytes: int, *, initiator: str = ""
    ) -> Response:
        """See ``LogicalUnit.execute``."""
        return self._commands.execute(cdb, data_out, data_in_bytes, initiator)

    def announce(
        self, vpd_pages: Mapping[int, Callable[[], bytes]], commands: Sequence[type[Cdb]]
    ) -> None:
        """See ``LogicalUnit.announce``."""
        self._commands.announce(vpd_pages, commands)

    def read_now(self, lba: int, blocks: int) -> memoryview | None:
        """What a read answers if nothing has to be waited for, or told before it.

        That is: a file or block device whose blocks the system's cache holds now, nothing reserved,
        no unit attention. None where it is not that plain, and where it is an error.
        """
        length_bytes = blocks * self.block_bytes
        device = self._device
        if length_bytes > _QUICK_BYTES or not isinstance(device, FileDevice):
            return None
        if lba + blocks > self.block_count or not self._commands.at_ease:
            return None
        buffer = lend(length_bytes)
        if not device.read_cached(lba * self.block_bytes, buffer):
            return None
        self.counters.add_read(length_bytes)
        return buffer

    def read_blocks(self, lba: int, buffer: memoryview) -> None:
        """See ``BlockUnit.read_blocks``; a lost snapshot answers 4/4400h."""
        offset_bytes = self._range(lba, len(buffer))
        self.counters.add_read(len(buffer))
        try:
            self._device.read_into(offset_bytes, buffer)
        except SnapshotError as error:
            raise check(codes.HARDWARE_ERROR, codes.INTERNAL_TARGET_FAILURE) from error
        except DeviceReadError as error:
            first = lba + self._first_unreadable(offset_bytes, buffer)
            raise check(
                codes.MEDIUM_ERROR, codes.UNRECOVERED_READ_ERROR, information=first
            ) from error

    def _first_unreadable(self, offset_bytes: int, buffer: memoryview) -> int:
        """The first block of a failed read that fails by itself (SBC-3 4.18.1), by halving."""
        low, high = 0, len(buffer) // self.block_bytes
        while high - low > 1:
            middle = (low + high) // 2
            start, end = low * self.block_bytes, middle * self.block_bytes
            try:
                self._device.read_into(offset_bytes + start, buffer[start:end])
                low = middle
            except DeviceReadError:
                high = middle
        return low

    def write_blocks(self, lba: int, data: memoryview) -> None:  # noqa: ARG002 - all disks' face
        """Refuse: 7/2700h."""
        raise check(codes.DATA_PROTECT, codes.WRITE_PROTECTED)

    def zero_blocks(self, lba: int, blocks: int) -> None:  # noqa: ARG002 - all disks' face
        """Refuse: 7/2700h."""
        raise check(codes.DATA_PROTECT, codes.WRITE_PROTECTED)

    def flush(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def _range(self, lba: int, length_bytes: int) -> int:
        """Offset of a block, if the whole range is on the disk."""
        if lba < 0 or lba * self.block_bytes + length_bytes > self.block_count * self.block_bytes:
            raise check(codes.ILLEGAL_REQUEST, codes.LBA_OUT_OF_RANGE, information=max(lba, 0))
        return lba * self.block_bytes


class BlockLun(ReadOnlyLun):
    """A disk over a file or a block device that is written to, and of which overlays are made.

    Every write passes here, whoever sent it: it is counted, then the overlays save what it is
    about to change, then it goes to the medium.
    """

    writable = True
    _PRODUCT = "DISK"

    def __init__(
        self,
        path: Path,
        *,
        designator: bytes | None = None,
        block_bytes: int | None = None,
    ) -> None:
        """Open the file or device at ``path`` for reading and writing.

        Args:
            path: what holds the blocks; its size is the disk's, and stays.
            designator: 16-byte NAA name; from the machine and the resolved path if None.
            block_bytes: 512 or 4096; the device's own if None, 512 for a file.

        Raises:
            LocationError: it does not exist, is no file or block device, or may not be opened.
            UsageError: a block length other than 512 and 4096.
            TargetError: it holds no whole block.
        """
        super().__init__(FileDevice(path), designator=designator, block_bytes=block_bytes)
        self._gate = WriteGate()
        self._overlays: tuple[OverlaySnapshot, ...] = ()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            self._device.close()
            if isinstance(error, PermissionError):
                raise LocationPermissionError(f"{path} may not be written by this user") from error
            raise LocationError(f"{path}: {error.strerror}") from error

    def write_blocks(self, lba: int, data: memoryview) -> None:
        """See ``BlockUnit.write_blocks``."""
        offset_bytes = self._range(lba, len(data))
        self.counters.add_write(len(data))
        with self._gate.writing():
            if self._overlays:
                self._save(offset_bytes, len(data))
            self._pwrite(offset_bytes, data)

    def zero_blocks(self, lba: int, blocks: int) -> None:
        """See ``BlockUnit.zero_blocks``."""
        length_bytes = blocks * self.block_bytes
        offset_bytes = self._range(lba, length_bytes)
        self.counters.add_write(length_bytes)
        with self._gate.writing():
            self._save(offset_bytes, length_bytes)
            if self._punch(offset_bytes, length_bytes):
                return
            zeros = memoryview(bytes(min(length_bytes, _ZERO_BYTES)))
            for start in range(offset_bytes, offset_bytes + length_bytes, _ZERO_BYTES):
                count = min(_ZERO_BYTES, offset_bytes + length_bytes - start)
                self._pwrite(start, zeros[:count])

    def flush(self) -> None:
        """See ``BlockUnit.flush``."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise check(codes.MEDIUM_ERROR, codes.WRITE_ERROR) from error

    def close(self) -> None:
        """End all overlays, flush and close."""
        if self._fd < 0:
            return
        for overlay in self._overlays:
            overlay.close()
        try:
            os.fdatasync(self._fd)
        finally:
            os.close(self._fd)
            self._fd = -1
            self._device.close()

    def create_overlay(
        self, store: Path, *, chunk_bytes: int | None = None, cap_bytes: int | None = None
    ) -> OverlaySnapshot:
        """A snapshot of this disk from now on; writes that are under way are all in it.

        Args:
            store: folder for the overlay's file.
            chunk_bytes: what is saved at once, a power of two; ``default_chunk_bytes`` if None.
            cap_bytes: most that may be saved; half of what is free in ``store`` if None. When it
                is used up the snapshot fails and the disk goes on.

        Raises:
            SnapshotError: the folder takes no file.
            UsageError: no such chunk size.
        """
        overlay = OverlaySnapshot(
            unit=self.name,
            designator=self.designator,
            unit_fd=self._fd,
            size_bytes=self.block_count * self.block_bytes,
            block_bytes=self.block_bytes,
            store=store,
            chunk_bytes=chunk_bytes,
            cap_bytes=cap_bytes,
            detach=self._detach,
        )
        with self._gate.closed():
            self._overlays = (*self._overlays, overlay)
        return overlay

    def _detach(self, overlay: OverlaySnapshot) -> None:
        with self._gate.closed():
            self._overlays = tuple(other for other in self._overlays if other is not overlay)

    def _save(self, offset_bytes: int, length_bytes: int) -> None:
        for overlay in self._overlays:
            overlay.before_write(offset_bytes, length_bytes)

    def _write_failed(self, error: OSError, offset_bytes: int) -> CheckCondition:
        lba = offset_bytes // self.block_bytes
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # SBC-3 4.7.3.6: resource exhaustion
            return check(codes.DATA_PROTECT, codes.SPACE_ALLOCATION_FAILED, information=lba)
        return check(codes.MEDIUM_ERROR, codes.WRITE_ERROR, information=lba)

    def _punch(self, offset_bytes: int, length_bytes: int) -> bool:
        try:
            return punch_hole(self._fd, offset_bytes, length_bytes)
        except OSError as error:
            raise self._write_failed(error, offset_bytes) from error

    def _pwrite(self, offset_bytes: int, data: memoryview) -> None:
        try:
            while data:
                done = os.pwrite(self._fd, data, offset_bytes)
                data, offset_bytes = data[done:], offset_bytes + done
        except OSError as error:
            raise self._write_failed(error, offset_bytes) from error
