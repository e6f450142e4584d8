"""A block device that counts what the host reads through it: the metadata of a backup."""

from __future__ import annotations

from threading import Lock

from sbtk.device.base import BlockDevice, DeviceBase


class CountingDevice(DeviceBase):
    """Passes every read on and counts its bytes.

    Attributes:
        inner: what is read; reads that go there directly are not counted.
        read_bytes: bytes read so far.
    """

    def __init__(self, inner: BlockDevice) -> None:
        """Count what is read from ``inner``; closing this closes it."""
        self.inner = inner
        self._lock = Lock()
        self.read_bytes = 0

    @property
    def name(self) -> str:
        """Location of the inner device."""
        return self.inner.name

    @property
    def size_bytes(self) -> int:
        """Bytes from the first to the last."""
        return self.inner.size_bytes

    @property
    def block_bytes(self) -> int:
        """Logical block length."""
        return self.inner.block_bytes

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """See ``BlockDevice.read_into``."""
        with self._lock:
            self.read_bytes += buffer.nbytes
        self.inner.read_into(offset_bytes, buffer)

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """See ``BlockDevice.read``."""
        with self._lock:
            self.read_bytes += length_bytes
        return self.inner.read(offset_bytes, length_bytes)

    def close(self) -> None:
        """Close the inner device."""
        self.inner.close()
