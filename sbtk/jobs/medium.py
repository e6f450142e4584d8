"""Sets on a medium: where they are, whether they are whole, where the next one goes.

A cartridge holds a label file and then one set a tape file. A disk holds archives one behind
another from its first block, each beginning on a multiple of 4096 bytes (DESIGN: Archive). A set
without its closing member was never finished: it is shown as such, and on a disk the next set
takes its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from sbtk.archive import pax
from sbtk.archive.closing import MAX_CLOSING_BYTES, read_closing
from sbtk.archive.manifest import DIGESTS_NAME, MAX_MANIFEST_BYTES, Manifest
from sbtk.archive.reader import iterate_members, read_data, read_manifest
from sbtk.archive.source import ReadAt, SequentialSource
from sbtk.errors import ArchiveError, CheckConditionError
from sbtk.events import Listener, Progress, ignore
from sbtk.jobs.label import MOST_RECORD_BYTES, Label, read_label, write_label
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.setmap import SetMap, from_parquet

ALIGN_BYTES = 4096
_LOOKING = "looking for sets"
SET_ID_FACT = "set_id"  # of the closing member: whose it is
_READ_BYTES = 256 * 1024
_PARQUET_END = b"PAR1"
_TAIL_RECORDS = 3  # the zeros that end a set fill no more


@dataclass(frozen=True)
class Place:
    """Where a set begins.

    Attributes:
        start_bytes: on a disk, the first byte of the archive.
        first_object: on a tape, the logical object of its first record.
        file_number: on a tape, the tape file; 0 is the label.
    """

    start_bytes: int = 0
    first_object: int = 0
    file_number: int = 0


@dataclass(frozen=True)
class FoundSet:
    """A set that was found on a medium.

    Attributes:
        place: where it begins.
        manifest: what it says of itself.
        manifest_bytes: the same as it lies on the medium.
        end_bytes: address in the archive behind the whole set, 0 where it is not complete.
        digests: content of the closing member; empty where the set is not complete.
        damage: why it is not complete, empty otherwise.
    """

    place: Place
    manifest: Manifest
    manifest_bytes: bytes = field(repr=False)
    end_bytes: int = 0
    digests: bytes = field(default=b"", repr=False)
    damage: str = ""

    @property
    def complete(self) -> bool:
        """Whether its closing member is there and whole."""
        return not self.damage

    def rows(self) -> tuple[SetMap, dict[str, str]]:
        """Its map, and the facts beside it.

        Raises:
            ArchiveError: the set is not complete, or its map is damaged.
        """
        if self.damage:
            raise ArchiveError(f"set {self.manifest.set_id} is not complete: {self.damage}")
        return from_parquet(self.digests)


# -- tape --------------------------------------------------------------------------------------


def prepare_tape(tape: Tape) -> tuple[Label, Place]:
    """Position a tape for the next set; a blank one gets its label.

    A set that was cut off ends without a filemark: it gets one, so that it stays a tape file of
    its own.

    Raises:
        TargetError: something else is on it.
        CheckConditionError: it is write-protected, or full.
    """
    label = read_label(tape)
    if label is None:
        label = write_label(tape)
    else:
        tape.to_end_of_data()
        here = tape.position().logical_object
        tape.locate(here - 1)
        if tape.read_record(MOST_RECORD_BYTES) is not None:
            tape.write_filemark()
    position = tape.position()
    return label, Place(first_object=position.logical_object, file_number=position.logical_file)


def tape_reader(tape: Tape, first_object: int) -> ReadAt:
    """A set on a tape as a byte source that goes forward from its first record."""
    tape.locate(first_object)
    source = SequentialSource(
        lambda: tape.read_record(MOST_RECORD_BYTES) or b"", keep_bytes=MAX_MANIFEST_BYTES
    )
    return source.read_at


def _tape_sets(tape: Tape, emit: Listener) -> list[FoundSet]:
    if read_label(tape) is None:
        return []
    tape.to_end_of_data()
    end = tape.position().logical_object
    tape.rewind()
    tape.space_filemarks(1)
    found = []
    while (place := tape.position()).logical_object < end:
        first = place.logical_object
        emit(Progress(stage=_LOOKING, done=first, total=end, unit="records"))
        behind, marked = _end_of_file(tape, end)
        where = Place(first_object=first, file_number=place.logical_file)
        with contextlib.suppress(ArchiveError):  # no set of ours: `sbtk tape list` shows it
            found.append(_tape_set(tape, where, behind, marked=marked))
        if not marked:
            break
        tape.locate(behind + 1)
    return found


def _end_of_file(tape: Tape, end: int) -> tuple[int, bool]:
    """Object behind a tape file's last record, and whether a filemark is there."""
    try:
        tape.space_filemarks(1)
    except CheckConditionError:
        return end, False
    return tape.position().logical_object - 1, True


def _tape_set(tape: Tape, place: Place, behind: int, *, marked: bool) -> FoundSet:
    manifest, document = _manifest(tape_reader(tape, place.first_object))
    try:
        if not marked:
            raise ArchiveError("the set was not finished: it has no filemark")
        start, read_at = _tape_closing(tape, place.first_object, behind)
        digests, _ = read_closing(read_at, 0)
        rows = _of_this_set(digests, manifest)
        return FoundSet(place, manifest, document, rows.end_bytes + start, digests)
    except ArchiveError as error:
        return FoundSet(place, manifest, document, damage=str(error))


def _tape_closing(tape: Tape, first_object: int, behind: int) -> tuple[int, ReadAt]:
    """The closing member of a tape file, found from its end: its bytes, and how to read them.

    It begins with a record. Records are gone through backwards until one begins with its header; a
    file that does not end as a closing member does is given up at once.

    Raises:
        ArchiveError: there is none.
    """
    records: list[bytes] = []
    total = 0
    for number in range(behind - 1, first_object, -1):
        tape.locate(number)
        records.insert(0, tape.read_record(MOST_RECORD_BYTES) or b"")
        total += len(records[0])
        whole = b"".join(records[:_TAIL_RECORDS]) if len(records) <= _TAIL_RECORDS else b""
        if _begins_closing(records[0]):
            return total, _bytes_reader(b"".join(records))
        tail = whole.rstrip(b"\0")
        if (whole and tail and not tail.endswith(_PARQUET_END)) or total > MAX_CLOSING_BYTES:
            break
    raise ArchiveError("the set was not finished: its last member is missing")


def _bytes_reader(held: bytes) -> ReadAt:
    return lambda at, size: held[at : at + size]


def _begins_closing(record: bytes) -> bool:
    """Whether a record begins with the header of the closing member."""
    try:
        member = next(iterate_members(_bytes_reader(record)), None)
    except ArchiveError:
        return False
    return member is not None and member.name == DIGESTS_NAME


# -- disk --------------------------------------------------------------------------------------


def disk_reader(disk: Disk, start_bytes: int = 0) -> ReadAt:
    """An archive on a disk as a byte source; small reads that follow each other cost one READ."""
    held_at, held = 0, b""

    def read_at(offset_bytes: int, length_bytes: int) -> bytes:
        nonlocal held_at, held
        if length_bytes >= _READ_BYTES:
            return disk.read(start_bytes + offset_bytes, length_bytes)
        if not held_at <= offset_bytes <= offset_bytes + length_bytes <= held_at + len(held):
            held_at, held = offset_bytes, disk.read(start_bytes + offset_bytes, _READ_BYTES)
        at = offset_bytes - held_at
        return held[at : at + length_bytes]

    return read_at


def _disk_sets(disk: Disk, emit: Listener) -> list[FoundSet]:
    found: list[FoundSet] = []
    start = 0
    while start < disk.size_bytes:
        read_at = disk_reader(disk, start)
        emit(Progress(stage=_LOOKING, done=start, total=disk.size_bytes))
        try:
            manifest, document = _manifest(read_at)
        except ArchiveError:
            break
        place = Place(start_bytes=start)
        try:
            digests, end = _disk_closing(read_at, manifest, disk.size_bytes - start)
            found.append(FoundSet(place, manifest, document, end, digests))
        except ArchiveError as error:
            found.append(FoundSet(place, manifest, document, damage=str(error)))
            break
        start += end
    return found


def _disk_closing(read_at: ReadAt, manifest: Manifest, limit_bytes: int) -> tuple[bytes, int]:
    """The closing member's content, and the address behind the whole set."""
    for member in iterate_members(read_at, limit_bytes=limit_bytes):
        if member.name == DIGESTS_NAME:
            digests, closing = read_closing(read_at, member.header_start_bytes)
            _of_this_set(digests, manifest)
            end = closing.end_bytes + len(pax.END_OF_ARCHIVE)
            return digests, -(-end // ALIGN_BYTES) * ALIGN_BYTES
    raise ArchiveError("the set was not finished: its last member is missing")


def next_place(disk: Disk) -> Place | None:
    """Where the next set goes on a disk that holds sets; None where it begins with none."""
    sets = _disk_sets(disk, ignore)
    if not sets:
        return None
    last = sets[-1]
    return Place(start_bytes=last.place.start_bytes + last.end_bytes)


# -- both --------------------------------------------------------------------------------------


def find_sets(unit: Disk | Tape, emit: Listener = ignore) -> list[FoundSet]:
    """Every set on a medium, in order; an unfinished one has ``damage``.

    Args:
        unit: the medium.
        emit: told how far it is before each set, which a drive may take minutes to get to.

    Raises:
        TargetError: a tape that sbtk did not label.
        CheckConditionError: the medium cannot be read.
    """
    return _tape_sets(unit, emit) if isinstance(unit, Tape) else _disk_sets(unit, emit)


def read_set_id(unit: Disk | Tape, place: Place) -> str:
    """Name of the set that begins at ``place``, empty where none does: is it the right medium?"""
    reader: Callable[[], ReadAt] = (
        (lambda: disk_reader(unit, place.start_bytes))
        if isinstance(unit, Disk)
        else (lambda: tape_reader(unit, place.first_object))
    )
    try:
        return _manifest(reader())[0].set_id
    except (ArchiveError, CheckConditionError):
        return ""


def _manifest(read_at: ReadAt) -> tuple[Manifest, bytes]:
    manifest, member = read_manifest(read_at)
    document = read_data(read_at, member, limit_bytes=MAX_MANIFEST_BYTES)
    return manifest, document


def _of_this_set(digests: bytes, manifest: Manifest) -> SetMap:
    """The map in a closing member, if it is that of this set and not of one that lay there before.

    Raises:
        ArchiveError: it is damaged, or another set's.
    """
    rows, facts = from_parquet(digests)
    if facts.get(SET_ID_FACT) != manifest.set_id:
        raise ArchiveError("the set was not finished: an older set's last member is in its place")
    return rows
