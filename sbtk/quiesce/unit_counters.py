"""Write counters of logical units: those of our own mover, and LOG SENSE of any other."""

from __future__ import annotations

from sbtk.errors import (
    ActivitySourceError,
    CheckConditionError,
    RemoteScsiError,
    TransportError,
)
from sbtk.mover.base import LogicalUnit
from sbtk.quiesce.activity import Reading
from sbtk.scsi.cdb import LogSense
from sbtk.scsi.log import GENERAL_STATISTICS, SUPPORTED_LOG_PAGES, GeneralStatistics
from sbtk.transport.base import ByteView, Transport
from sbtk.transport.send import send

_ALLOCATION_BYTES = 0x1000
_TIMEOUT_S = 10.0


class UnitSource:
    """The counters of a logical unit of the mover in this process."""

    granularity = "one write command, when it is submitted"
    blind_to = "writes to the file or device behind the unit past the mover"

    def __init__(self, unit: LogicalUnit) -> None:
        self._unit = unit

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"write counters of unit {self._unit.name}"

    def read(self) -> Reading:
        """Write commands and bytes."""
        counters = self._unit.counters
        with counters.lock:
            return Reading((counters.write_commands, counters.write_bytes))

    def close(self) -> None:
        """The unit belongs to its mover."""


class LogSenseSource:
    """General Statistics and Performance, log page 19h (SPC-4 7.3.6), over any transport.

    SUPPORTED LOG PAGES is asked first: a device without the page is refused before the wait.
    """

    granularity = "one write command or one logical block, as the device counts them"
    blind_to = (
        "what initiators still hold in their caches; EXTENDED COPY and UNMAP where the device does "
        "not count them; a write that takes longer than the window"
    )

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        pages = bytes(self._sense_page(SUPPORTED_LOG_PAGES))[4:]
        if GENERAL_STATISTICS not in pages:
            raise ActivitySourceError(
                f"{transport.name} has no log page 19h, so it tells nobody how much was written",
                hint="Watch it where it is stored, or use --snapshot command with an array's own "
                "write counters",
            )

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"log page 19h of {self._transport.name}"

    def read(self) -> Reading:
        """Write commands and logical blocks received."""
        page = self._sense_page(GENERAL_STATISTICS)
        try:
            found = GeneralStatistics.find(page)
        except RemoteScsiError as error:
            raise ActivitySourceError(f"{self.name} cannot be read: {error}") from error
        return Reading((found.write_commands, found.blocks_received))

    def _sense_page(self, page_code: int) -> ByteView:
        command = LogSense(page_code=page_code, allocation_bytes=_ALLOCATION_BYTES)
        try:
            return send(
                self._transport, command, data_in_bytes=_ALLOCATION_BYTES, timeout_s=_TIMEOUT_S
            )
        except TransportError as error:
            raise ActivitySourceError(
                f"log page {page_code:02X}h of {self._transport.name} cannot be read: {error}"
            ) from error
        except CheckConditionError as error:
            raise ActivitySourceError(
                f"LOG SENSE page {page_code:02X}h on {self._transport.name} failed: {error}",
                hint="The device may not keep write counters",
            ) from error

    def close(self) -> None:
        """The transport belongs to the caller."""
