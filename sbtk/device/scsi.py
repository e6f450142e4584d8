"""A logical unit behind a transport, read with ordinary READ commands: for metadata, not for jobs.

What a job copies moves by EXTENDED COPY; this is how $MFT and $Bitmap of a LUN come to the host.
"""

from __future__ import annotations

from sbtk.device.base import DeviceBase, check_range
from sbtk.errors import DeviceReadError, LocationError, RemoteScsiError
from sbtk.scsi.cdb import Inquiry, Read16, ReadCapacity10, ReadCapacity16
from sbtk.scsi.inquiry import StandardInquiry
from sbtk.scsi.sbc import Capacity10, Capacity16
from sbtk.scsi.sense import decode, describe
from sbtk.scsi.sense_codes import ILLEGAL_REQUEST, UNIT_ATTENTION
from sbtk.transport.base import CHECK_CONDITION, GOOD, ByteView, Response, Transport

_DISK = 0x00  # peripheral device type, SPC-4 6.6.2 table 142
_REQUEST_BYTES = 1 << 20  # one READ; every unit that is in use takes as much
_ATTEMPTS = 4  # a unit attention is told once for each thing that happened
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
        data = self._ask(Inquiry(allocation_bytes=_INQUIRY_BYTES).encode(), _INQUIRY_BYTES)
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
        data = memoryview(self._ask(Read16(lba=lba, blocks=blocks).encode(), length_bytes))
        if len(data) != length_bytes:
            raise DeviceReadError(
                f"{self.name}: READ of {blocks} blocks from LBA {lba} brought {len(data)} of "
                f"{length_bytes} bytes",
                hint="The target is at fault: look into its log",
            )
        return data

    def _read_capacity(self) -> tuple[int, int]:
        """Last LBA and block length; READ CAPACITY(10) where (16) is not known."""
        response = self._execute(ReadCapacity16().encode(), Capacity16.SIZE_BYTES)
        capacity: Capacity10 | Capacity16
        if _is_illegal_request(response):
            data = self._ask(ReadCapacity10().encode(), Capacity10.SIZE_BYTES)
            capacity = Capacity10.decode(data)
        else:
            capacity = Capacity16.decode(self._good(response, "READ CAPACITY(16)"))
        told = capacity.last_lba, capacity.block_bytes
        if capacity.block_bytes not in (512, 1024, 2048, 4096) or (
            isinstance(capacity, Capacity10) and capacity.last_lba == _CAPACITY10_END
        ):
            raise DeviceReadError(
                f"{self.name}: a last LBA of {told[0]} and blocks of {told[1]} bytes",
                hint="sbtk reads blocks of 512 to 4096 bytes",
            )
        return told

    def _ask(self, cdb: bytes, data_in_bytes: int) -> ByteView:
        return self._good(self._execute(cdb, data_in_bytes), f"command {cdb.hex()}")

    def _execute(self, cdb: bytes, data_in_bytes: int) -> Response:
        """Send a command that only reads, again after each unit attention."""
        for _ in range(_ATTEMPTS):
            response = self._transport.execute(cdb, data_in_bytes=data_in_bytes)
            if not _has_key(response, UNIT_ATTENTION):
                break
        return response

    def _good(self, response: Response, what: str) -> ByteView:
        if response.status == GOOD:
            return response.data_in
        said = describe(response.sense) if response.sense else f"status {response.status:02X}h"
        raise DeviceReadError(
            f"{self.name}: {what} failed: {said}",
            hint="Check the unit at its target (sg_turs, sg_logs)",
        )


def _is_illegal_request(response: Response) -> bool:
    return _has_key(response, ILLEGAL_REQUEST)


def _has_key(response: Response, key: int) -> bool:
    if response.status != CHECK_CONDITION or not response.sense:
        return False
    try:
        return decode(response.sense).key == key
    except RemoteScsiError:
        return False
