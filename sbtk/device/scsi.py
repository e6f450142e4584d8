"""A logical unit behind a transport, read with ordinary READ commands: for metadata, not for jobs.

What a job copies moves by EXTENDED COPY; this is how $MFT and $Bitmap of a LUN come to the host.
"""

from __future__ import annotations

from sbtk.device.base import DeviceBase, check_range
from sbtk.errors import CheckConditionError, DeviceReadError, LocationError
from sbtk.scsi.cdb import Cdb, Inquiry, Read16, ReadCapacity10, ReadCapacity16
from sbtk.scsi.inquiry import StandardInquiry
from sbtk.scsi.sbc import Capacity10, Capacity16
from sbtk.scsi.sense_codes import ILLEGAL_REQUEST
from sbtk.transport.base import ByteView, Transport
from sbtk.transport.send import key_of, send

_DISK = 0x00  # peripheral device type, SPC-4 6.6.2 table 142
_REQUEST_BYTES = 1 << 20  # one READ; every unit that is in use takes as much
_INQUIRY_BYTES = 96
_CAPACITY10_END = 0xFFFFFFFF  # "ask READ CAPACITY(16)", SBC-3 5.15.2


class ScsiDevice(DeviceBase):
    """A disk's LUN as a ``BlockDevice``; closing it closes the transport.

    As thread-safe as its transport.
    """

    def __init__(self, transport: Transport) -> None:
        """Ask the unit what it is and how large.

        Raises:
            LocationError: it is no disk.
            DeviceReadError: it does not answer as a disk does.
            TransportError: the path to it is broken.
        """
        self._transport = transport
        data = self._ask(Inquiry(allocation_bytes=_INQUIRY_BYTES), _INQUIRY_BYTES)
        kind = StandardInquiry.decode_any(data).device_type
        if kind != _DISK:
            raise LocationError(
                f"{self.name} is no disk (peripheral device type {kind:02X}h)",
                hint="Name the LUN of a disk; sbtk sets lists what is on a tape",
            )
        last_lba, self._block_bytes = self._read_capacity()
        self._size_bytes = (last_lba + 1) * self._block_bytes

    @property
    def name(self) -> str:
        """The transport's location."""
        return self._transport.name

    @property
    def size_bytes(self) -> int:
        """Bytes of all logical blocks."""
        return self._size_bytes

    @property
    def block_bytes(self) -> int:
        """Logical block length."""
        return self._block_bytes

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer``; blocks that are wanted in part are read whole.

        Raises:
            DeviceReadError: the range ends behind the unit, or the unit failed to read it.
            TransportError: the path to it is broken.
        """
        view = buffer.cast("B")
        check_range(self, offset_bytes, len(view))
        done = 0
        while done < len(view):
            lba, skipped_bytes = divmod(offset_bytes + done, self._block_bytes)
            wanted_bytes = min(len(view) - done, _REQUEST_BYTES - skipped_bytes)
            blocks = -(-(skipped_bytes + wanted_bytes) // self._block_bytes)
            data = self._read_blocks(lba, blocks)
            view[done : done + wanted_bytes] = data[skipped_bytes : skipped_bytes + wanted_bytes]
            done += wanted_bytes

    def close(self) -> None:
        """Close the transport; safe to call twice."""
        self._transport.close()

    def _read_blocks(self, lba: int, blocks: int) -> memoryview:
        length_bytes = blocks * self._block_bytes
        data = memoryview(self._ask(Read16(lba=lba, blocks=blocks), length_bytes))
        if len(data) != length_bytes:
            raise DeviceReadError(
                f"{self.name}: READ of {blocks} blocks from LBA {lba} brought {len(data)} of "
                f"{length_bytes} bytes",
                hint="The target is at fault: look into its log",
            )
        return data

    def _read_capacity(self) -> tuple[int, int]:
        """Last LBA and block length; READ CAPACITY(10) where (16) is not known."""
        capacity: Capacity10 | Capacity16
        try:
            size = Capacity16.SIZE_BYTES
            capacity = Capacity16.decode(
                send(self._transport, ReadCapacity16(), data_in_bytes=size)
            )
        except CheckConditionError as error:
            if key_of(error.sense) != ILLEGAL_REQUEST:
                raise self._failed(error) from error
            capacity = Capacity10.decode(self._ask(ReadCapacity10(), Capacity10.SIZE_BYTES))
        told = capacity.last_lba, capacity.block_bytes
        if capacity.block_bytes not in (512, 1024, 2048, 4096) or (
            isinstance(capacity, Capacity10) and capacity.last_lba == _CAPACITY10_END
        ):
            raise DeviceReadError(
                f"{self.name}: a last LBA of {told[0]} and blocks of {told[1]} bytes",
                hint="sbtk reads blocks of 512 to 4096 bytes",
            )
        return told

    def _ask(self, command: Cdb, data_in_bytes: int) -> ByteView:
        try:
            return send(self._transport, command, data_in_bytes=data_in_bytes)
        except CheckConditionError as error:
            raise self._failed(error) from error

    def _failed(self, error: CheckConditionError) -> DeviceReadError:
        return DeviceReadError(str(error), hint="Check the unit at its target (sg_turs, sg_logs)")
