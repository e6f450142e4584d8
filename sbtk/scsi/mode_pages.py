"""Mode pages that our units return (SPC-4 7.5; SBC-3 6.4; SSC-4 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.layout import Flag, Layout, UInt

CACHING, CONTROL, DATA_COMPRESSION, DEVICE_CONFIGURATION = 0x08, 0x0A, 0x0F, 0x10
ALL_PAGES = 0x3F
CURRENT, CHANGEABLE, DEFAULT, SAVED = range(4)  # PAGE CONTROL (SPC-4 6.11.1 table 176)


@dataclass(frozen=True)
class CachingPage(Layout):
    """Caching mode page (SBC-3 6.4.5 table 180)."""

    SIZE_BYTES = 20
    CONSTANT = ((0, CACHING), (1, 0x12))
    write_cache: Annotated[bool, Flag(2, 2)] = False
    read_cache_disabled: Annotated[bool, Flag(2, 0)] = False


@dataclass(frozen=True)
class ControlPage(Layout):
    """Control mode page (SPC-4 7.5.8 table 453)."""

    SIZE_BYTES = 12
    CONSTANT = ((0, CONTROL), (1, 0x0A))
    descriptor_sense: Annotated[bool, Flag(2, 2)] = False
    unrestricted_reordering: Annotated[bool, Flag(3, 4)] = False
    software_write_protect: Annotated[bool, Flag(4, 3)] = False
    busy_timeout: Annotated[int, UInt(8, 2)] = 0


@dataclass(frozen=True)
class DataCompressionPage(Layout):
    """Data compression mode page (SSC-4 8.3.2): none of our drives compresses."""

    SIZE_BYTES = 16
    CONSTANT = ((0, DATA_COMPRESSION), (1, 0x0E))
    enabled: Annotated[bool, Flag(2, 7)] = False
    capable: Annotated[bool, Flag(2, 6)] = False


@dataclass(frozen=True)
class DeviceConfigurationPage(Layout):
    """Device configuration mode page (SSC-4 8.3.3)."""

    SIZE_BYTES = 16
    CONSTANT = ((0, DEVICE_CONFIGURATION), (1, 0x0E))
    early_warning_synchronizes: Annotated[bool, Flag(10, 3)] = False
