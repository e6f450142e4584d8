"""What the engine and the target see of a logical unit.

A unit is used in two ways: ``execute`` takes ordinary SCSI commands from an initiator, and the
engine moves data through the typed methods below without building a command each time. Both end
in the same code, so that a copy and an ordinary write meet the same snapshot, counters and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from sbtk.scsi.cdb_base import Cdb
from sbtk.transport.base import ByteView, Response

if TYPE_CHECKING:
    from sbtk.mover.reservations import Reservations


class CheckCondition(Exception):  # noqa: N818 - a SCSI status, not an error class of ours
    """A logical unit ends a command with CHECK CONDITION; ``sense`` is the raw sense data.

    Internal to the mover: the target turns it into a ``Response``, the engine into COPY ABORTED
    with this sense forwarded.
    """

    def __init__(self, sense: bytes) -> None:
        super().__init__(sense.hex())
        self.sense = sense


@dataclass
class Counters:
    """What one unit has moved since it was opened; the bytes that a job reports come from here.

    Attributes:
        read_commands: reads served, ordinary and by the engine.
        write_commands: writes served; with ``write_blocks`` the activity that LOG SENSE 19h shows.
        read_bytes: bytes read from the medium.
        write_bytes: bytes written to the medium.
    """

    read_commands: int = 0
    write_commands: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)

    def add_read(self, length_bytes: int) -> None:
        """Count one read."""
        with self.lock:
            self.read_commands += 1
            self.read_bytes += length_bytes

    def add_write(self, length_bytes: int, commands: int = 1) -> None:
        """Count one write; called at submit, before the bytes reach the medium."""
        with self.lock:
            self.write_commands += commands
            self.write_bytes += length_bytes


class LogicalUnit(Protocol):
    """A disk or a tape drive inside the mover."""

    @property
    def name(self) -> str:
        """Path of what is behind it, for messages."""

    @property
    def peripheral_device_type(self) -> int:
        """00h disk, 01h tape (SPC-4 6.6.2 table 142)."""

    @property
    def designator(self) -> bytes:
        """16-byte NAA 6h designator (SPC-4 7.8.6.6.5): the unit's name in a CSCD descriptor."""

    @property
    def counters(self) -> Counters:
        """What it has moved."""

    @property
    def reservations(self) -> Reservations:
        """Who may use it, of those that the target lets in; copies keep to it as well."""

    def execute(
        self, cdb: bytes, data_out: ByteView, data_in_bytes: int, *, initiator: str = ""
    ) -> Response:
        """Run one ordinary command (everything but the third-party copy commands).

        ``initiator`` names the I_T nexus: unit attentions are told to each of them once.
        """

    def announce(
        self, vpd_pages: Mapping[int, Callable[[], bytes]], commands: Sequence[type[Cdb]]
    ) -> None:
        """Have INQUIRY and REPORT SUPPORTED OPERATION CODES tell what the target executes itself.

        Args:
            vpd_pages: page code -> the whole page; with page 8Fh, INQUIRY says 3PC=1.
            commands: the target's own commands.
        """

    def close(self) -> None:
        """Flush and release; safe to call twice."""


class BlockUnit(LogicalUnit, Protocol):
    """A disk."""

    @property
    def block_bytes(self) -> int:
        """Logical block length."""

    @property
    def block_count(self) -> int:
        """Number of logical blocks."""

    @property
    def writable(self) -> bool:
        """False for a snapshot or any other unit that takes no writes."""

    def read_blocks(self, lba: int, buffer: memoryview) -> None:
        """Fill ``buffer`` (whole blocks) from ``lba`` on.

        Raises:
            CheckCondition: 5/2100h behind the end, 3/1100h unrecovered read error.
        """

    def write_blocks(self, lba: int, data: memoryview) -> None:
        """Write whole blocks from ``lba`` on.

        Raises:
            CheckCondition: 5/2100h behind the end, 7/2700h write protected, 7/2707h no space is
                left below a sparse disk, 3/0C02h write error.
        """

    def zero_blocks(self, lba: int, blocks: int) -> None:
        """Make blocks read as zeros, without storing them where the medium can.

        The same errors as ``write_blocks``.
        """

    def flush(self) -> None:
        """Everything written so far is on the medium when this returns."""


@dataclass(frozen=True)
class TapeTransfer:
    """What a read or write of a tape did short of failing.

    Attributes:
        sense: sense data of a CHECK CONDITION that reports rather than fails: filemark, ILI,
            early warning; empty where everything went as asked.
    """

    sense: bytes = b""


class TapeUnit(LogicalUnit, Protocol):
    """A tape drive with a cartridge in it. Records are whole; the position moves as drives do."""

    def read_record(self, buffer: memoryview) -> tuple[int, TapeTransfer]:
        """Read the next record into ``buffer``, as READ(6) with FIXED=0, SILI=0.

        Returns:
            Bytes put into the buffer (at most its length), and what was met: a filemark
            (0 bytes, positioned behind it) or a record of another length (ILI).

        Raises:
            CheckCondition: 8/0005h end of data, 3/1100h damaged record.
        """

    def write_record(self, data: ByteView) -> TapeTransfer:
        """Write one record at the position; what lay behind it is gone.

        Returns:
            EOM with 0/0002h in the early-warning zone (the record is written).

        Raises:
            CheckCondition: D/0002h physical end, 7/2700h write protected.
        """

    def write_together(self, data: memoryview, record_bytes: int, head: ByteView = b"") -> int:
        """Write records in one go, as many as there is nothing to tell about.

        Args:
            data: their bytes; whole records are taken from its beginning.
            record_bytes: length of each.
            head: bytes before ``data``, fewer than a record.

        Returns:
            Bytes written, those of ``head`` counted: whole records. 0 where the next record has
            to go by ``write_record``: errors and early warning come from there.

        Raises:
            CheckCondition: 7/2700h write protected, 3/0C00h write error.
        """

    def write_filemarks(self, count: int, *, immediate: bool = False) -> TapeTransfer:
        """Write ``count`` filemarks, and flush unless ``immediate``; 0 only flushes.

        The same errors as ``write_record``.
        """

    def space(self, code: int, count: int) -> None:
        """SPACE(6) with CODE 0 blocks, 1 filemarks, 2 sequential filemarks, 3 end of data.

        Raises:
            CheckCondition: what stopped it (filemark, beginning or end of data), with residual.
        """

    def locate(self, logical_object: int) -> None:
        """Position before a logical object (record or filemark), counted from the beginning.

        Raises:
            CheckCondition: 8/0005h the object lies behind the end of data (and so is the position).
        """

    def position(self) -> int:
        """Number of the next logical object."""

    def flush(self) -> None:
        """Everything written so far is in the cartridge's file when this returns."""
