"""A tape drive of the mover, with a cartridge in it (SSC-4; xcopy.md 10).

Every movement ends where a drive's would, and tells what it met with the same sense data. A
filemark makes what is before it last (unless IMMED), so does unloading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import RLock

from sbtk.errors import CartridgeError, DeviceReadError, DeviceWriteError, MediumFullError
from sbtk.events import Listener, ignore
from sbtk.mover.base import CheckCondition, Counters, TapeTransfer
from sbtk.mover.block_lun import designator_of
from sbtk.mover.cartridge import MOST_RECORDS, Cartridge
from sbtk.mover.device_server import check, refuse
from sbtk.mover.medium import HEADER_BYTES
from sbtk.mover.tape_commands import TapeCommands
from sbtk.mover.tape_space import space_target
from sbtk.scsi import sense, ssc
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.inquiry import TAPE
from sbtk.transport.base import ByteView, Response

_MOST_EARLY_WARNING_BYTES = 1 << 30
_EARLY_WARNING = TapeTransfer(sense.fixed(codes.NO_SENSE, *codes.END_OF_MEDIUM, eom=True))
_AS_ASKED = TapeTransfer()


class TapeLun:
    """A tape drive. Thread-safe: one movement at a time.

    Attributes:
        name: the cartridge's path.
        designator: the drive's 16-byte NAA name.
        counters: records and bytes moved.
        block_bytes: block length of fixed mode, 0 for variable (MODE SELECT sets it).
    """

    peripheral_device_type = TAPE

    def __init__(
        self,
        path: Path,
        *,
        writable: bool = True,
        early_warning_bytes: int | None = None,
        designator: bytes | None = None,
        listener: Listener = ignore,
    ) -> None:
        """A drive with the cartridge at ``path`` loaded and rewound.

        Args:
            path: the cartridge's file.
            writable: False sets its write-protect switch.
            early_warning_bytes: how long before the end of the capacity writes begin to report
                early warning; a sixteenth of it, at most 1 GiB, if None.
            designator: the drive's NAA name; from the machine and the resolved path if None.
            listener: told when the cartridge is mended or takes long to index.

        Raises:
            CartridgeError: no cartridge, damaged, or in use for writing.
            LocationError: it cannot be opened.
        """
        self.name = str(path)
        self.designator = designator or designator_of(path)
        self.counters = Counters()
        self.block_bytes = 0
        self._path = path
        self._writable = writable
        self._early_warning_bytes = early_warning_bytes
        self._listener = listener
        self._lock = RLock()
        self._position = 0
        self._cartridge: Cartridge | None = self._open()
        self._commands = TapeCommands(self)
        self.reservations = self._commands.reservations

    def _open(self) -> Cartridge:
        return Cartridge(self._path, writable=self._writable, listener=self._listener)

    def execute(
        self, cdb: bytes, data_out: ByteView, data_in_bytes: int, *, initiator: str = ""
    ) -> Response:
        """See ``LogicalUnit.execute``."""
        with self._lock:
            return self._commands.execute(cdb, data_out, data_in_bytes, initiator)

    def announce(
        self, vpd_pages: Mapping[int, Callable[[], bytes]], commands: Sequence[type[Cdb]]
    ) -> None:
        """See ``LogicalUnit.announce``."""
        self._commands.announce(vpd_pages, commands)

    def loaded(self) -> Cartridge:
        """The cartridge in the drive.

        Raises:
            CheckCondition: 2/3A00h there is none.
        """
        if self._cartridge is None:
            raise check(codes.NOT_READY, codes.MEDIUM_NOT_PRESENT)
        return self._cartridge

    # -- reading -------------------------------------------------------------------------------

    def read_record(self, buffer: memoryview) -> tuple[int, TapeTransfer]:
        """See ``TapeUnit.read_record``."""
        with self._lock:
            kind, length_bytes = self.next_object(buffer)
            wanted = len(buffer)
            if kind == "filemark":
                met = sense.fixed(
                    codes.NO_SENSE, *codes.FILEMARK_DETECTED, filemark=True, information=wanted
                )
                return 0, TapeTransfer(met)
            if length_bytes == wanted:
                return wanted, _AS_ASKED
            return min(wanted, length_bytes), TapeTransfer(
                sense.fixed(codes.NO_SENSE, 0, 0, ili=True, information=wanted - length_bytes)
            )

    def next_object(self, buffer: memoryview, residual: int | None = None) -> tuple[str, int]:
        """Read the next object and move behind it; ``buffer`` takes what fits of a record.

        Args:
            buffer: where a record goes.
            residual: INFORMATION where there is nothing to read; the buffer's length if None.

        Returns:
            ``("record", its whole length)`` or ``("filemark", 0)``.

        Raises:
            CheckCondition: 8/0005h end of data, 3/1100h damaged record (positioned behind it).
        """
        with self._lock:
            cartridge, number = self.loaded(), self._position
            left = len(buffer) if residual is None else residual
            if number >= len(cartridge):
                raise check(codes.BLANK_CHECK, codes.END_OF_DATA, information=left)
            self._position = number + 1
            if cartridge.index.is_filemark(number):
                return "filemark", 0
            try:
                length_bytes = cartridge.read_record(number, buffer)
            except (CartridgeError, DeviceReadError) as error:
                raise check(
                    codes.MEDIUM_ERROR, codes.UNRECOVERED_READ_ERROR, information=left
                ) from error
            self.counters.add_read(min(length_bytes, len(buffer)))
            return "record", length_bytes

    # -- writing -------------------------------------------------------------------------------

    def write_record(self, data: ByteView) -> TapeTransfer:
        """See ``TapeUnit.write_record``."""
        return self.write_records([data], residual_unit_bytes=1)

    def write_records(
        self, records: Sequence[ByteView], *, residual_unit_bytes: int
    ) -> TapeTransfer:
        """Write records at the position; what lay behind it is gone.

        Args:
            records: data of each, 1 to 16,777,215 bytes.
            residual_unit_bytes: what INFORMATION counts: 1, or the block length in fixed mode.

        Raises:
            CheckCondition: D/0002h physical end, 7/2700h write protected, 3/0C00h write error.
        """
        left_bytes = sum(map(len, records))
        with self._lock:
            cartridge = self._to_write()
            for data in records:
                self.counters.add_write(len(data))
                try:
                    cartridge.append_record(data)
                except (MediumFullError, DeviceWriteError) as error:
                    raise self._stopped(error, left_bytes // residual_unit_bytes) from error
                left_bytes -= len(data)
                self._position += 1
            return self._warning(cartridge)

    def write_together(self, data: memoryview, record_bytes: int, head: ByteView = b"") -> int:
        """See ``TapeUnit.write_together``."""
        with self._lock:
            cartridge = self._to_write()
            room_bytes = self.early_warning_begins_bytes(cartridge) - cartridge.used_bytes
            fitting = max(0, room_bytes // (record_bytes + HEADER_BYTES))
            count = min((len(head) + len(data)) // record_bytes, fitting, MOST_RECORDS)
            if not count:
                return 0
            first = record_bytes - len(head)
            starts = range(first, first + (count - 1) * record_bytes, record_bytes)
            records = [data[:first], *(data[start : start + record_bytes] for start in starts)]
            try:
                cartridge.append_records(records, head)
            except (MediumFullError, DeviceWriteError):
                return 0  # nothing was written; one by one they tell which of them it was
            self.counters.add_write(count * record_bytes, commands=count)
            self._position += count
            return count * record_bytes

    def write_filemarks(self, count: int, *, immediate: bool = False) -> TapeTransfer:
        """See ``TapeUnit.write_filemarks``."""
        with self._lock:
            cartridge = self._to_write() if count else self.loaded()
            for done in range(count):
                try:
                    cartridge.append_filemark()
                except (MediumFullError, DeviceWriteError) as error:
                    raise self._stopped(error, count - done) from error
                self._position += 1
            if not immediate:
                self.flush()
            return self._warning(cartridge) if count else _AS_ASKED

    def erase(self) -> None:
        """Make everything from the position on blank.

        Raises:
            CheckCondition: 7/2700h write protected, 3/0C00h write error.
        """
        with self._lock:
            self._to_write()

    def flush(self) -> None:
        """See ``TapeUnit.flush``."""
        with self._lock:
            try:
                self.loaded().flush()
            except (MediumFullError, DeviceWriteError) as error:
                raise self._stopped(error, 0) from error

    def _to_write(self) -> Cartridge:
        """The cartridge, if it may be written, with its end of data at the position."""
        cartridge = self.loaded()
        if not cartridge.writable:
            raise check(codes.DATA_PROTECT, codes.WRITE_PROTECTED)
        try:
            cartridge.truncate(self._position)
        except (MediumFullError, DeviceWriteError) as error:
            raise self._stopped(error, 0) from error
        return cartridge

    def _stopped(self, error: Exception, residual: int) -> CheckCondition:
        if isinstance(error, MediumFullError):
            return check(codes.VOLUME_OVERFLOW, codes.END_OF_MEDIUM, eom=True, information=residual)
        return check(codes.MEDIUM_ERROR, codes.WRITE_ERROR_TAPE, information=residual)

    def early_warning_begins_bytes(self, cartridge: Cartridge) -> int:
        """From how much on the tape is near its end."""
        capacity_bytes = cartridge.memory.capacity_bytes
        zone_bytes = self._early_warning_bytes
        if zone_bytes is None:
            zone_bytes = min(capacity_bytes // 16, _MOST_EARLY_WARNING_BYTES)
        return capacity_bytes - zone_bytes

    def _warning(self, cartridge: Cartridge) -> TapeTransfer:
        near_end = cartridge.used_bytes > self.early_warning_begins_bytes(cartridge)
        return _EARLY_WARNING if near_end else _AS_ASKED

    # -- moving --------------------------------------------------------------------------------

    def position(self) -> int:
        """See ``TapeUnit.position``."""
        with self._lock:
            self.loaded()
            return self._position

    def locate(self, logical_object: int) -> None:
        """See ``TapeUnit.locate``."""
        with self._lock:
            objects = len(self.loaded())
            self._position = min(logical_object, objects)
            if logical_object > objects:
                raise check(codes.BLANK_CHECK, codes.END_OF_DATA)

    def locate_file(self, logical_file: int) -> None:
        """Position at the beginning of a tape file: behind that many filemarks.

        Raises:
            CheckCondition: 8/0005h there are not so many (positioned at the end of data).
        """
        with self._lock:
            marks = self.loaded().index.filemarks
            if logical_file > len(marks):
                self.locate_end()
                raise check(codes.BLANK_CHECK, codes.END_OF_DATA)
            self._position = marks[logical_file - 1] + 1 if logical_file else 0

    def locate_end(self) -> None:
        """Position at the end of data."""
        with self._lock:
            self._position = len(self.loaded())

    def rewind(self) -> None:
        """Position at the beginning."""
        with self._lock:
            self.loaded()
            self._position = 0

    def space(self, code: int, count: int) -> None:
        """See ``TapeUnit.space``."""
        with self._lock:
            index = self.loaded().index
            if code == ssc.SPACE_END_OF_DATA:
                self._position = len(index)
            elif code > ssc.SPACE_SEQUENTIAL_FILEMARKS:
                raise refuse(codes.INVALID_FIELD_IN_CDB, 1)
            else:
                self._position, met = space_target(index, self._position, code, count)
                if met:
                    raise CheckCondition(met)

    def load(self) -> None:
        """Load the cartridge again after ``unload``, or rewind it; initiators are told 28/00h.

        Raises:
            CheckCondition: 3/3000h the cartridge cannot be used any more.
        """
        with self._lock:
            self._position = 0
            if self._cartridge is None:
                try:
                    self._cartridge = self._open()
                except (CartridgeError, OSError) as error:
                    raise check(codes.MEDIUM_ERROR, codes.INCOMPATIBLE_MEDIUM) from error
                self._commands.attentions.tell_all(codes.NOT_READY_TO_READY_CHANGE)

    def unload(self) -> None:
        """Flush and take the cartridge out.

        Raises:
            CheckCondition: 3/0C00h what was written could not be made to last.
        """
        with self._lock:
            cartridge, self._cartridge, self._position = self._cartridge, None, 0
            if cartridge is not None:
                try:
                    cartridge.close()
                except (MediumFullError, DeviceWriteError) as error:
                    raise self._stopped(error, 0) from error

    def close(self) -> None:
        """Flush and release the cartridge; safe to call twice.

        Raises:
            DeviceWriteError: what was written could not be made to last.
        """
        with self._lock:
            cartridge, self._cartridge = self._cartridge, None
            if cartridge is not None:
                cartridge.close()
