"""Vendor-specific commands by which a job asks our mover for a snapshot of a LUN.

Announced by REPORT SUPPORTED OPERATION CODES of the units that can, and used only there: at
another vendor the same operation code means something else. Identifiers are chosen by whoever
asks, so that a snapshot whose answer was lost can still be deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.layout import Flag, Layout, UInt

OPCODE = 0xC1  # of the vendor's group, SPC-4 4.2.5.1 table 23


@dataclass(frozen=True)
class CreateSnapshot(Cdb):
    """Serve the unit as it is now as a LUN of its own, to the sender's initiator and nobody else.

    ``cap_mib`` is the most that the snapshot may keep; 0 leaves it to the mover.
    """

    OPCODE, SERVICE_ACTION, NAME = OPCODE, 0x00, "CREATE SNAPSHOT"
    identifier: Annotated[int, UInt(2, 8)] = 0
    cap_mib: Annotated[int, UInt(10, 4)] = 0


@dataclass(frozen=True)
class DeleteSnapshot(Cdb):
    """End a snapshot; one that is not there is deleted already."""

    OPCODE, SERVICE_ACTION, NAME = OPCODE, 0x01, "DELETE SNAPSHOT"
    identifier: Annotated[int, UInt(2, 8)] = 0


@dataclass(frozen=True)
class ReportSnapshot(Cdb):
    """Where a snapshot is and whether it is whole; from now on it lives for the nexus that asks."""

    OPCODE, SERVICE_ACTION, NAME = OPCODE, 0x02, "REPORT SNAPSHOT"
    identifier: Annotated[int, UInt(2, 8)] = 0
    allocation_bytes: Annotated[int, UInt(10, 4)] = 32


SNAPSHOT_COMMANDS: tuple[type[Cdb], ...] = (CreateSnapshot, DeleteSnapshot, ReportSnapshot)


@dataclass(frozen=True)
class SnapshotState(Layout):
    """What REPORT SNAPSHOT tells.

    Attributes:
        lun: number of the LUN that it is served as.
        lost: it is full, or its store failed: what it holds is of no use.
        stored_bytes: how much it keeps.
        cap_bytes: how much it may keep.
    """

    SIZE_BYTES = 32
    lun: Annotated[int, UInt(0, 2)] = 0
    lost: Annotated[bool, Flag(4, 0)] = False
    stored_bytes: Annotated[int, UInt(8, 8)] = 0
    cap_bytes: Annotated[int, UInt(16, 8)] = 0
