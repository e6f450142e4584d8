"""CDBs of the third-party copy commands (SPC-4 5.17.3 table 103; xcopy.md 1).

Two operation codes, one service action a command; all 16 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.layout import Layout, UInt

THIRD_PARTY_COPY_OUT = 0x83
THIRD_PARTY_COPY_IN = 0x84


@dataclass(frozen=True)
class ExtendedCopyLid1(Cdb):
    """EXTENDED COPY(LID1), SPC-4 6.4.1 table 127."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_OUT, 0x00, "EXTENDED COPY(LID1)"
    parameter_list_bytes: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class ExtendedCopyLid4(Cdb):
    """EXTENDED COPY(LID4), SPC-4 6.5."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_OUT, 0x01, "EXTENDED COPY(LID4)"
    parameter_list_bytes: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class PopulateToken(Cdb):
    """POPULATE TOKEN, SBC-3 5.7."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_OUT, 0x10, "POPULATE TOKEN"
    list_id: Annotated[int, UInt(6, 4)] = 0
    parameter_list_bytes: Annotated[int, UInt(10, 4)] = 0
    group_number: Annotated[int, UInt(14, 1)] = 0


@dataclass(frozen=True)
class WriteUsingToken(Cdb):
    """WRITE USING TOKEN, SBC-3 5.44."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_OUT, 0x11, "WRITE USING TOKEN"
    list_id: Annotated[int, UInt(6, 4)] = 0
    parameter_list_bytes: Annotated[int, UInt(10, 4)] = 0
    group_number: Annotated[int, UInt(14, 1)] = 0


@dataclass(frozen=True)
class CopyOperationAbort(Cdb):
    """COPY OPERATION ABORT, SPC-4 6.3; no data."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_OUT, 0x1C, "COPY OPERATION ABORT"
    list_id: Annotated[int, UInt(2, 4)] = 0


@dataclass(frozen=True)
class _ReceiveLid1(Layout):
    list_id: Annotated[int, UInt(2, 1)] = 0
    allocation_bytes: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class _ReceiveLid4(Layout):
    list_id: Annotated[int, UInt(2, 4)] = 0
    allocation_bytes: Annotated[int, UInt(10, 4)] = 0


class ReceiveCopyStatusLid1(_ReceiveLid1, Cdb):
    """RECEIVE COPY STATUS(LID1), SPC-4 6.25."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x00, "RECEIVE COPY STATUS(LID1)"


class ReceiveCopyDataLid1(_ReceiveLid1, Cdb):
    """RECEIVE COPY DATA(LID1), SPC-4 6.20."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x01, "RECEIVE COPY DATA(LID1)"


class ReceiveCopyFailureDetailsLid1(_ReceiveLid1, Cdb):
    """RECEIVE COPY FAILURE DETAILS(LID1), SPC-4 6.22."""

    OPCODE, SERVICE_ACTION = THIRD_PARTY_COPY_IN, 0x04
    NAME = "RECEIVE COPY FAILURE DETAILS(LID1)"


class ReceiveCopyStatusLid4(_ReceiveLid4, Cdb):
    """RECEIVE COPY STATUS(LID4), SPC-4 6.24."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x05, "RECEIVE COPY STATUS(LID4)"


class ReceiveCopyDataLid4(_ReceiveLid4, Cdb):
    """RECEIVE COPY DATA(LID4), SPC-4 6.21."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x06, "RECEIVE COPY DATA(LID4)"


class ReceiveRodTokenInformation(_ReceiveLid4, Cdb):
    """RECEIVE ROD TOKEN INFORMATION, SPC-4 6.26."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x07, "RECEIVE ROD TOKEN INFORMATION"


@dataclass(frozen=True)
class ReceiveCopyOperatingParameters(Cdb):
    """RECEIVE COPY OPERATING PARAMETERS, SPC-4 6.23."""

    OPCODE, SERVICE_ACTION = THIRD_PARTY_COPY_IN, 0x03
    NAME = "RECEIVE COPY OPERATING PARAMETERS"
    allocation_bytes: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class ReportAllRodTokens(Cdb):
    """REPORT ALL ROD TOKENS, SPC-4 6.31."""

    OPCODE, SERVICE_ACTION, NAME = THIRD_PARTY_COPY_IN, 0x08, "REPORT ALL ROD TOKENS"
    allocation_bytes: Annotated[int, UInt(10, 4)] = 0
