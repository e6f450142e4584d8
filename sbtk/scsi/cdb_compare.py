"""CDBs of disk commands that compare, combine or look ahead (SBC-3 clause 5).

Verification and combination of data beside the plain reads and writes of ``cdb``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.layout import Bits, Flag, UInt


@dataclass(frozen=True)
class Verify10(Cdb):
    """SBC-3 5.28; BYTCHK 00b only checks that the medium can be read."""

    OPCODE, NAME, DEVICE_TYPE = 0x2F, "VERIFY(10)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    byte_check: Annotated[int, Bits(1, 2, 1)] = 0
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Verify12(Cdb):
    """SBC-3 5.30; BYTCHK 00b only checks that the medium can be read."""

    OPCODE, NAME, DEVICE_TYPE = 0xAF, "VERIFY(12)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    byte_check: Annotated[int, Bits(1, 2, 1)] = 0
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(6, 4)] = 0


@dataclass(frozen=True)
class Verify16(Cdb):
    """SBC-3 5.31; BYTCHK 00b only checks that the medium can be read."""

    OPCODE, NAME, DEVICE_TYPE = 0x8F, "VERIFY(16)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    byte_check: Annotated[int, Bits(1, 2, 1)] = 0
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class WriteAndVerify10(Verify10):
    """SBC-3 5.36; BYTCHK 01b compares what is on the medium then with what was sent."""

    OPCODE, NAME = 0x2E, "WRITE AND VERIFY(10)"


@dataclass(frozen=True)
class WriteAndVerify12(Verify12):
    """SBC-3 5.37."""

    OPCODE, NAME = 0xAE, "WRITE AND VERIFY(12)"


@dataclass(frozen=True)
class WriteAndVerify16(Verify16):
    """SBC-3 5.38."""

    OPCODE, NAME = 0x8E, "WRITE AND VERIFY(16)"


@dataclass(frozen=True)
class CompareAndWrite(Cdb):
    """SBC-3 5.2; the data are the blocks to compare with, then the blocks to write."""

    OPCODE, NAME, DEVICE_TYPE = 0x89, "COMPARE AND WRITE", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    fua: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(13, 1)] = 0


@dataclass(frozen=True)
class OrWrite16(Cdb):
    """SBC-3 5.4: what is on the medium, OR what was sent."""

    OPCODE, NAME, DEVICE_TYPE = 0x8B, "ORWRITE(16)", 0x00
    protect: Annotated[int, Bits(1, 7, 5)] = 0
    dpo: Annotated[bool, Flag(1, 4)] = False
    fua: Annotated[bool, Flag(1, 3)] = False
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class Prefetch10(Cdb):
    """SBC-3 5.5; 0 blocks: all up to the end."""

    OPCODE, NAME, DEVICE_TYPE = 0x34, "PRE-FETCH(10)", 0x00
    immediate: Annotated[bool, Flag(1, 1)] = False
    lba: Annotated[int, UInt(2, 4)] = 0
    blocks: Annotated[int, UInt(7, 2)] = 0


@dataclass(frozen=True)
class Prefetch16(Cdb):
    """SBC-3 5.6; 0 blocks: all up to the end."""

    OPCODE, NAME, DEVICE_TYPE = 0x90, "PRE-FETCH(16)", 0x00
    immediate: Annotated[bool, Flag(1, 1)] = False
    lba: Annotated[int, UInt(2, 8)] = 0
    blocks: Annotated[int, UInt(10, 4)] = 0
