"""Data that disks return: READ CAPACITY (SBC-3 5.15, 5.16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.layout import Bits, Flag, Layout, UInt


@dataclass(frozen=True)
class Capacity10(Layout):
    """READ CAPACITY(10) data (SBC-3 5.15.2 table 69); FFFFFFFFh: ask READ CAPACITY(16)."""

    SIZE_BYTES = 8
    last_lba: Annotated[int, UInt(0, 4)] = 0
    block_bytes: Annotated[int, UInt(4, 4)] = 512


@dataclass(frozen=True)
class Capacity16(Layout):
    """READ CAPACITY(16) data (SBC-3 5.16.2 table 71)."""

    SIZE_BYTES = 32
    last_lba: Annotated[int, UInt(0, 8)] = 0
    block_bytes: Annotated[int, UInt(8, 4)] = 512
    protection_type: Annotated[int, Bits(12, 3, 1)] = 0
    protection_enabled: Annotated[bool, Flag(12, 0)] = False
    physical_exponent: Annotated[int, Bits(13, 3, 0)] = 0  # LBPPBE: log2 logical per physical
    provisioning_enabled: Annotated[bool, Flag(14, 7)] = False  # LBPME
    reads_zeros: Annotated[bool, Flag(14, 6)] = False  # LBPRZ
    lowest_aligned_lba: Annotated[int, Bits(14, 5, 0)] = 0  # its upper bits only
