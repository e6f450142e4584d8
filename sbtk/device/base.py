"""The face of every block device that sbtk reads: bytes at an offset, and nothing written."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


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
