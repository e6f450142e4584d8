"""The face of every block device that sbtk reads: bytes at an offset, and nothing written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self

from sbtk.errors import DeviceReadError


class BlockDevice(Protocol):
    """Something with a size whose bytes can be read; opened read-only, always."""

    @property
    def name(self) -> str:
        """The location, for messages."""

    @property
    def size_bytes(self) -> int:
        """Bytes from the first to the last."""

    @property
    def block_bytes(self) -> int:
        """Size of a logical block (sector) as the device states it; 512 for a file."""

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes from ``offset_bytes`` on. Thread-safe.

        Raises:
            DeviceReadError: the range ends behind the device, or the device failed to read it.
        """

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """``length_bytes`` bytes from ``offset_bytes`` on; the same errors as ``read_into``."""

    def close(self) -> None:
        """Release the device; safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Sized(Protocol):
    """What ``check_range`` needs to know."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def size_bytes(self) -> int:
        """Bytes from the first to the last."""


def check_range(device: Sized, offset_bytes: int, length_bytes: int) -> None:
    """Refuse a range that is not all inside ``device``, before anything is allocated for it.

    Raises:
        DeviceReadError: it is not.
    """
    end_bytes = offset_bytes + length_bytes
    if offset_bytes < 0 or length_bytes < 0 or end_bytes > device.size_bytes:
        raise DeviceReadError(
            f"{device.name}: bytes {offset_bytes} to {end_bytes} were asked for and the device "
            f"ends at byte {device.size_bytes}",
            hint="The image may be cut off: compare its size with that of the original",
        )


class DeviceBase(ABC):
    """What block devices have in common: reading into new bytes, and closing as a context."""

    @property
    @abstractmethod
    def name(self) -> str:
        """See ``BlockDevice.name``."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """See ``BlockDevice.size_bytes``."""

    @abstractmethod
    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """See ``BlockDevice.read_into``."""

    @abstractmethod
    def close(self) -> None:
        """See ``BlockDevice.close``."""

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """``length_bytes`` bytes from ``offset_bytes`` on; the same errors as ``read_into``."""
        check_range(self, offset_bytes, length_bytes)
        buffer = bytearray(length_bytes)
        self.read_into(offset_bytes, memoryview(buffer))
        return bytes(buffer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
