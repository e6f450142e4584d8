"""A tape cartridge in a file, append-safe: records and filemarks one behind another.

Order of an append, where ``end`` is the end-of-data header: (1) data and the new end of data behind
``end``, in one write, (2) ``end`` itself becomes the header of the new object, 48 bytes. Several
records that come at once go the same way: the headers between them are part of (1). At every moment
the file is a whole cartridge, so a process that is killed loses the write it was in and no other.
``flush`` makes everything before it last through a power failure; a drive does that with every
filemark, and on close. What a power failure broke behind the last flush is cut on opening.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sbtk.errors import (
    CartridgeError,
    DeviceReadError,
    DeviceWriteError,
    LocationError,
    LocationNotFoundError,
    LocationPermissionError,
    MediumFullError,
    SbtkError,
    UsageError,
)
from sbtk.events import Finding, Listener, ignore
from sbtk.mover.cartridge_index import ObjectIndex, load_index, save_index
from sbtk.mover.cartridge_scan import framed_by_successor, header_between, scan
from sbtk.mover.cartridge_space import SpaceAhead
from sbtk.mover.medium import (
    BEGINNING_OF_TAPE,
    END_OF_DATA,
    FILEMARK,
    FIRST_OBJECT_OFFSET_BYTES,
    HEADER_BYTES,
    MAX_RECORD_BYTES,
    MEMORY_BYTES,
    RECORD,
    REMAINING_OFFSET_BYTES,
    MediumMemory,
    ObjectHeader,
    decode_header,
    decode_memory,
    encode_header,
)
from sbtk.transport.base import ByteView

MIN_CAPACITY_BYTES = 1 << 20
_MOST_CAPACITY_BYTES = 1 << 51  # the header holds it in MiB, in 32 bits
MOST_RECORDS = 500
"""Most that are written at once: two parts each, and the system takes 1024 (IOV_MAX)."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def create_cartridge(path: Path, *, capacity_bytes: int, barcode: str = "") -> None:
    """Make an empty cartridge; the file grows as it is written.

    Args:
        path: where; nothing may be there.
        capacity_bytes: how much may be written, 48 bytes a record included; at least 1 MiB.
        barcode: at most 20 printable ASCII characters; from the file's name if empty.

    Raises:
        UsageError: a capacity or barcode that a cartridge cannot have.
        LocationError: the file exists or cannot be made.
    """
    barcode = barcode or _barcode_of(path)
    if not (barcode.isascii() and barcode.isprintable() and len(barcode) <= 20):
        raise UsageError(f"{barcode!r} is no barcode", hint="Use up to 20 letters and digits")
    if not MIN_CAPACITY_BYTES <= capacity_bytes < _MOST_CAPACITY_BYTES:
        raise UsageError("a cartridge holds between 1 MiB and 2 PiB")
    memory = MediumMemory(
        capacity_bytes=capacity_bytes,
        remaining_bytes=capacity_bytes,
        barcode=barcode,
        # As tgtimg makes it: its `show` prints the number behind the last underscore as a date.
        serial_number=f"{barcode}_{int(time.time())}",
    )
    first = ObjectHeader(
        BEGINNING_OF_TAPE, 0, -(-capacity_bytes >> 20), 0, 0, FIRST_OBJECT_OFFSET_BYTES
    )
    try:
        with path.open("xb") as file:
            file.write(
                first.encode() + memory.encode() + _end_header(1, 0, first.next_offset_bytes)
            )
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise LocationError(f"{path} exists", hint="Choose another name, or remove it") from error
    except OSError as error:
        raise _location_error(path, error) from error


class Cartridge:
    """An open cartridge. Objects are counted from 0; not thread-safe, its drive is.

    Attributes:
        path: the file.
        memory: what the cartridge says about itself.
        index: where its objects lie; for reading only.
        writable: whether it may be written.
    """

    def __init__(self, path: Path, *, writable: bool = True, listener: Listener = ignore) -> None:
        """Open a cartridge, and mend what a crash left of its last write if it is writable.

        Raises:
            CartridgeError: no cartridge, damaged beyond its last write, or in use for writing.
            LocationError: no such file, or no permission.
            DeviceReadError: the file cannot be read.
        """
        self.path = path
        self._dirty = self._written = False
        try:
            # Without O_NONBLOCK the open of a pipe would wait for ever.
            mode = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(path, mode)
        except OSError as error:
            raise _location_error(path, error) from error
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise LocationError(f"{path} is no file", hint="A cartridge is a regular file")
            self.writable = writable and self._lock()
            self._space = SpaceAhead(self._fd)
            self._load(listener)
            if self.writable and self._space.take_back():  # only of what is known for a cartridge
                save_index(self.index, self.path, os.fstat(self._fd))
        except BaseException as error:
            os.close(self._fd)
            if isinstance(error, OSError) and not isinstance(error, SbtkError):
                raise DeviceReadError(f"{path}: {error.strerror}") from error
            raise

    def _lock(self) -> bool:
        """Keep other writers out; released with the file."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CartridgeError(
                f"{self.path} is being written by another process", hint="Wait until it is done"
            ) from error
        return True

    def _load(self, listener: Listener) -> None:
        state = os.fstat(self._fd)
        index = load_index(self.path, state)
        if index is not None and self._ends_at(index):
            self.index = index
        else:
            found = scan(self._fd, state.st_size, str(self.path), listener)
            self.index = found.index
            self._mend(found.damaged, torn=found.torn, size_bytes=state.st_size, listener=listener)
            state = os.fstat(self._fd) if self.writable else state
            if self.writable or not (found.damaged or found.torn):
                save_index(self.index, self.path, state)
        self.memory = decode_memory(os.pread(self._fd, MEMORY_BYTES, HEADER_BYTES))
        self.writable = self.writable and self.memory.data_medium

    def _ends_at(self, index: ObjectIndex) -> bool:
        """Whether the cartridge has its end of data where the index says."""
        raw = os.pread(self._fd, HEADER_BYTES, index.end_offset_bytes)
        return raw == self._end_of(index)

    def _mend(self, damaged: list[int], *, torn: bool, size_bytes: int, listener: Listener) -> None:
        behind_bytes = size_bytes - self.index.end_offset_bytes - (0 if torn else HEADER_BYTES)
        if torn:
            listener(
                Finding(
                    severity="warning",
                    code="cartridge-torn",
                    message=f"{self.path}: the last write was never finished; "
                    f"{max(0, behind_bytes)} bytes behind object {len(self.index) - 1} are cut off",
                )
            )
        if not self.writable or not (damaged or torn or behind_bytes):
            return
        for number in damaged:
            os.pwrite(self._fd, self._header(number).encode(), self.index.offsets[number])
        self._end_here()
        os.fsync(self._fd)

    # -- what there is -------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of objects: records and filemarks."""
        return len(self.index)

    @property
    def used_bytes(self) -> int:
        """What has been written, headers included, as it counts against the capacity."""
        return self.index.end_offset_bytes - FIRST_OBJECT_OFFSET_BYTES

    @property
    def _most_bytes(self) -> int:
        """Where the file of a full cartridge ends."""
        return FIRST_OBJECT_OFFSET_BYTES + self.memory.capacity_bytes + HEADER_BYTES

    def offset_of(self, number: int) -> int:
        """How much lies before object ``number``, headers included, in bytes."""
        return self.index.offsets[number] - FIRST_OBJECT_OFFSET_BYTES

    def read_record(self, number: int, buffer: memoryview) -> int:
        """Read the beginning of record ``number``, at most ``len(buffer)`` bytes.

        Returns:
            The record's whole length in bytes; what fits of it is in the buffer.

        Raises:
            CartridgeError: its header and its neighbour's are damaged.
            DeviceReadError: the file cannot be read.
        """
        offset, data_bytes = self.index.offsets[number], self.index.data_bytes(number)
        wanted = buffer[: min(len(buffer), data_bytes)]
        raw = bytearray(HEADER_BYTES)
        try:
            done = os.preadv(self._fd, [raw, wanted], offset)
            while done < HEADER_BYTES + len(wanted):
                more = os.preadv(self._fd, [wanted[done - HEADER_BYTES :]], offset + done)
                if not more:
                    raise DeviceReadError(f"{self.path} ends inside object {number}")
                done += more
        except OSError as error:
            if isinstance(error, DeviceReadError):
                raise
            raise DeviceReadError(f"{self.path}: {error.strerror} at byte {offset}") from error
        if raw != self._header(number).encode() and not self._is_framed(number):
            raise CartridgeError(f"{self.path}: object {number} at byte {offset} is damaged")
        return data_bytes

    def _is_framed(self, number: int) -> bool:
        """Whether the header behind object ``number`` vouches for it."""
        following = self.index.offsets[number + 1]
        successor = decode_header(os.pread(self._fd, HEADER_BYTES, following))
        return framed_by_successor(successor, number + 1, self.index.offsets[number])

    # -- writing -------------------------------------------------------------------------------

    def append_record(self, data: ByteView) -> None:
        """Write one record at the end of data, 1 to 16,777,215 bytes.

        Raises:
            MediumFullError: the capacity or the file system ends here; nothing was written.
            DeviceWriteError: the file cannot be written; nothing was written.
        """
        if not 0 < len(data) <= MAX_RECORD_BYTES:
            raise UsageError(f"a record holds 1 to {MAX_RECORD_BYTES} bytes, not {len(data)}")
        self._append([(data,)])

    def append_records(self, records: Sequence[ByteView], head: ByteView = b"") -> None:
        """Write at most ``MOST_RECORDS`` records at the end of data: all or, on an error, none.

        ``head`` comes before the bytes of the first. The same errors as ``append_record``.
        """
        objects: list[tuple[ByteView, ...]] = [(data,) for data in records]
        if head:
            objects[0] = (head, *objects[0])
        for parts in objects:
            if not 0 < sum(map(len, parts)) <= MAX_RECORD_BYTES:
                raise UsageError(f"a record holds 1 to {MAX_RECORD_BYTES} bytes")
        self._append(objects)

    def append_filemark(self) -> None:
        """Write one filemark at the end of data. The same errors as ``append_record``."""
        self._append([()])

    def _append(self, objects: Sequence[Sequence[ByteView]]) -> None:
        """Write objects, each given as the parts of its data; a filemark has none."""
        lengths = [sum(map(len, data)) for data in objects]
        added_bytes = sum(lengths) + HEADER_BYTES * len(objects)
        if self.used_bytes + added_bytes > self.memory.capacity_bytes:
            raise MediumFullError(f"{self.path} is full", hint="Take another cartridge")
        number, here = len(self.index) + 1, self.index.end_offset_bytes
        previous, place, parts = self._previous(number - 1), here, list[ByteView]()
        for data, data_bytes in zip(objects, lengths, strict=True):
            following = place + HEADER_BYTES + data_bytes
            kind = RECORD if data_bytes else FILEMARK
            parts += (encode_header(kind, number, data_bytes, previous, place, following), *data)
            number, previous, place = number + 1, place, following
        parts.append(_end_header(number, previous, place))
        self._dirty = self._written = True
        try:
            self._space.reach(place + HEADER_BYTES, self._most_bytes)
            _write_all(self._fd, parts[1:], here + HEADER_BYTES)
            _write_all(self._fd, parts[:1], here)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._end_here()
            raise self._write_error(error) from error
        for data_bytes in lengths:
            self.index.append(data_bytes, filemark=not data_bytes)

    def truncate(self, objects: int) -> None:
        """Make object number ``objects`` and all behind it gone: the end of data lies there.

        Raises:
            DeviceWriteError: the file cannot be written.
        """
        if objects >= len(self.index):
            return
        self._dirty = self._written = True
        self.index.truncate(objects)
        try:
            # The end of data is on the medium before what lies behind it is written over.
            self._end_here()
            os.fsync(self._fd)
        except OSError as error:
            raise self._write_error(error) from error

    def flush(self) -> None:
        """What was written so far lasts through a power failure when this returns.

        Raises:
            DeviceWriteError: the file system could not do it.
        """
        if not self._dirty:
            return
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._write_error(error) from error
        self._dirty = False

    def close(self) -> None:
        """Flush, save the index and release the file; safe to call twice."""
        if self._fd < 0:
            return
        try:
            if self._written:
                self._space.cut(self.index.end_offset_bytes + HEADER_BYTES)
                self._write_remaining()
                self.flush()
                save_index(self.index, self.path, os.fstat(self._fd))
        except OSError as error:
            raise self._write_error(error) from error
        finally:
            os.close(self._fd)
            self._fd = -1

    def _write_remaining(self) -> None:
        """How much room is left, for people to read; not worth an error where nothing is."""
        remaining_bytes = max(0, self.memory.capacity_bytes - self.used_bytes)
        try:
            _write_all(self._fd, [remaining_bytes.to_bytes(8, "big")], REMAINING_OFFSET_BYTES)
        except OSError as error:  # btrfs needs room to write over what is there
            if error.errno not in _FULL:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- headers -------------------------------------------------------------------------------

    def _previous(self, number: int) -> int:
        """Where the object before ``number`` lies; the beginning of tape is at 0."""
        return self.index.offsets[number - 1] if number else 0

    def _header(self, number: int) -> ObjectHeader:
        offsets = self.index.offsets
        return header_between(
            number + 1, self._previous(number), offsets[number], offsets[number + 1]
        )

    def _end_of(self, index: ObjectIndex) -> bytes:
        previous = index.offsets[-2] if len(index) else 0
        return _end_header(len(index) + 1, previous, index.end_offset_bytes)

    def _end_here(self) -> None:
        """Put the end of data where the index has it, and cut off what lies behind."""
        end = self.index.end_offset_bytes
        _write_all(self._fd, [self._end_of(self.index)], end)
        self._space.cut(end + HEADER_BYTES)

    def _write_error(self, error: OSError) -> MediumFullError | DeviceWriteError:
        if error.errno in _FULL:
            return MediumFullError(
                f"{self.path}: {error.strerror}", hint="Free space for the cartridge's file"
            )
        return DeviceWriteError(f"{self.path}: {error.strerror or error}")


def _end_header(number: int, previous: int, here: int) -> bytes:
    return encode_header(END_OF_DATA, number, 0, previous, here, here)


def _write_all(fd: int, parts: list[ByteView], offset_bytes: int) -> None:
    """Write all parts one behind another, however many calls the system needs."""
    left_bytes = sum(map(len, parts))
    done = os.pwritev(fd, parts, offset_bytes)
    while done < left_bytes:
        left_bytes, offset_bytes = left_bytes - done, offset_bytes + done
        rest = memoryview(b"".join(parts))[-left_bytes:]
        parts, done = [rest], os.pwrite(fd, rest, offset_bytes)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _barcode_of(path: Path) -> str:
    stem = "".join(letter for letter in path.stem.upper() if letter.isascii() and letter.isalnum())
    return stem[:20] or "CARTRIDGE"


def _location_error(path: Path, error: OSError) -> LocationError:
    if isinstance(error, FileNotFoundError):
        return LocationNotFoundError(f"nothing is at {path}", hint="`sbtk tape create` makes one")
    if isinstance(error, PermissionError):
        return LocationPermissionError(f"{path} may not be opened by this user")
    return LocationError(f"{path}: {error.strerror}")
