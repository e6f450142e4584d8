"""Log page 19h: how much a unit has read and written (SPC-4 7.3.6 general statistics).

The quiet window watches these counters: they move with every write that reaches the unit,
whoever sent it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.errors import RemoteScsiError
from sbtk.scsi.layout import ByteView, Layout, UInt

SUPPORTED_LOG_PAGES = 0x00
GENERAL_STATISTICS = 0x19
_PARAMETER_CODE = 0x0001
_IDLE_TIME, _TIME_INTERVAL = 0x02, 0x03
_BINARY_LIST = 0x03  # FORMAT AND LINKING (SPC-4 7.3.2.2 table 345)


@dataclass(frozen=True)
class GeneralStatistics(Layout):
    """Log page 19h with its General Access Statistics and Performance parameter (table 375)."""

    SIZE_BYTES = 4 + 4 + 64
    # Page code and length; parameter 0001h, control byte (binary list format), its length.
    CONSTANT = ((0, GENERAL_STATISTICS), (3, 68), (5, _PARAMETER_CODE), (6, _BINARY_LIST), (7, 64))
    read_commands: Annotated[int, UInt(8, 8)] = 0
    write_commands: Annotated[int, UInt(16, 8)] = 0
    blocks_received: Annotated[int, UInt(24, 8)] = 0  # written to the unit
    blocks_transmitted: Annotated[int, UInt(32, 8)] = 0  # read from the unit
    read_intervals: Annotated[int, UInt(40, 8)] = 0
    write_intervals: Annotated[int, UInt(48, 8)] = 0
    weighted_commands: Annotated[int, UInt(56, 8)] = 0
    weighted_idle: Annotated[int, UInt(64, 8)] = 0

    @classmethod
    def find(cls, data: ByteView) -> GeneralStatistics:
        """The statistics wherever their parameter stands in the page a device returned.

        Raises:
            RemoteScsiError: another page, or the parameter is missing or cut off.
        """
        head = _LogHeader.decode(data)
        if head.page_code & 0x3F != GENERAL_STATISTICS or head.subpage:
            raise RemoteScsiError(
                f"log page 19h was asked for, {head.page_code & 0x3F:02X}h came", byte_offset=0
            )
        position, end = 4, min(len(data), 4 + head.length)
        while position + 4 <= end:
            code = int.from_bytes(data[position : position + 2], "big")
            length = data[position + 3]
            if code == _PARAMETER_CODE and length >= 64 and position + 68 <= end:
                return cls.decode(bytes(4) + bytes(data[position : position + 68]))
            position += 4 + length
        raise RemoteScsiError("log page 19h came without its statistics parameter", byte_offset=4)


def general_statistics(statistics: GeneralStatistics) -> bytes:
    """The whole log page 19h: the statistics, then idle time and time interval, both untold.

    SPC-4 7.3.6 has the three parameters in this order; sg_logs reads a page only with all three.
    """
    parameters = statistics.encode()[_LogHeader.SIZE_BYTES :]
    for code in (_IDLE_TIME, _TIME_INTERVAL):
        parameters += bytes((0, code, _BINARY_LIST, 8)) + bytes(8)
    return _LogHeader(GENERAL_STATISTICS, 0, len(parameters)).encode() + parameters


@dataclass(frozen=True)
class _LogHeader(Layout):
    """Header of every log page (SPC-4 7.3.2 table 342)."""

    SIZE_BYTES = 4
    page_code: Annotated[int, UInt(0, 1)] = 0
    subpage: Annotated[int, UInt(1, 1)] = 0
    length: Annotated[int, UInt(2, 2)] = 0


def supported_log_pages(page_codes: ByteView) -> bytes:
    """Log page 00h (SPC-4 7.3.18): the pages a unit has."""
    body = bytes(sorted(page_codes))
    return _LogHeader(SUPPORTED_LOG_PAGES, 0, len(body)).encode() + body
