"""Data that tape drives return: block limits and positions (SSC-4 7.6, 7.7; xcopy.md 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.layout import Bits, Flag, Layout, UInt

SPACE_BLOCKS, SPACE_FILEMARKS, SPACE_SEQUENTIAL_FILEMARKS, SPACE_END_OF_DATA = range(4)
POSITION_SHORT, POSITION_LONG = 0x00, 0x06


@dataclass(frozen=True)
class BlockLimitsData(Layout):
    """READ BLOCK LIMITS data (SSC-4 7.6 table 54)."""

    SIZE_BYTES = 6
    granularity: Annotated[int, Bits(0, 4, 0)] = 0  # log2
    maximum_bytes: Annotated[int, UInt(1, 3)] = 0xFFFFFF
    minimum_bytes: Annotated[int, UInt(4, 2)] = 1


@dataclass(frozen=True)
class ShortPosition(Layout):
    """READ POSITION data, short form (SSC-4 7.7.2 table 57)."""

    SIZE_BYTES = 20
    beginning_of_partition: Annotated[bool, Flag(0, 7)] = False
    end_of_partition: Annotated[bool, Flag(0, 6)] = False  # between early warning and the end
    object_count_unknown: Annotated[bool, Flag(0, 5)] = False
    byte_count_unknown: Annotated[bool, Flag(0, 4)] = False
    position_unknown: Annotated[bool, Flag(0, 2)] = False
    position_error: Annotated[bool, Flag(0, 1)] = False  # too large for this form
    beyond_early_warning: Annotated[bool, Flag(0, 0)] = False
    partition: Annotated[int, UInt(1, 1)] = 0
    first_object: Annotated[int, UInt(4, 4)] = 0
    last_object: Annotated[int, UInt(8, 4)] = 0
    objects_in_buffer: Annotated[int, UInt(13, 3)] = 0
    bytes_in_buffer: Annotated[int, UInt(16, 4)] = 0


@dataclass(frozen=True)
class LongPosition(Layout):
    """READ POSITION data, long form (SSC-4 7.7.3 table 58)."""

    SIZE_BYTES = 32
    beginning_of_partition: Annotated[bool, Flag(0, 7)] = False
    end_of_partition: Annotated[bool, Flag(0, 6)] = False
    file_unknown: Annotated[bool, Flag(0, 3)] = False
    object_unknown: Annotated[bool, Flag(0, 2)] = False
    beyond_early_warning: Annotated[bool, Flag(0, 0)] = False
    partition: Annotated[int, UInt(4, 4)] = 0
    logical_object: Annotated[int, UInt(8, 8)] = 0
    logical_file: Annotated[int, UInt(16, 8)] = 0
