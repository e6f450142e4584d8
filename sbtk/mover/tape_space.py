"""Where SPACE(6) ends, worked out on the index without moving anything (SSC-4 7.12)."""

from __future__ import annotations

from bisect import bisect_left

from sbtk.mover.cartridge_index import ObjectIndex
from sbtk.scsi import sense, ssc
from sbtk.scsi import sense_codes as codes


def space_target(index: ObjectIndex, position: int, code: int, count: int) -> tuple[int, bytes]:
    """The new position, and the sense data of what stopped the movement early (empty if nothing).

    INFORMATION is how many of the blocks or filemarks asked for are left, also when moving back.

    Args:
        index: the cartridge's objects.
        position: number of the next object.
        code: 0 blocks, 1 filemarks, 2 sequential filemarks.
        count: how many; negative towards the beginning.
    """
    if not count:
        return position, b""
    if code == ssc.SPACE_BLOCKS:
        return _blocks(index, position, count)
    if code == ssc.SPACE_FILEMARKS:
        return _filemarks(index, position, count)
    return _sequential(index, position, count)


def _blocks(index: ObjectIndex, position: int, count: int) -> tuple[int, bytes]:
    marks = index.filemarks
    place = bisect_left(marks, position)
    if count > 0:
        stop = marks[place] if place < len(marks) else len(index)
        if position + count <= stop:
            return position + count, b""
        left = count - (stop - position)
        return (stop + 1, _filemark(left)) if stop < len(index) else (stop, _blank(left))
    begin = marks[place - 1] + 1 if place else 0
    if position + count >= begin:
        return position + count, b""
    left = -count - (position - begin)
    return (begin - 1, _filemark(left)) if place else (0, _beginning(left))


def _filemarks(index: ObjectIndex, position: int, count: int) -> tuple[int, bytes]:
    marks = index.filemarks
    place = bisect_left(marks, position)
    if count > 0:
        found = min(count, len(marks) - place)
        if found == count:
            return marks[place + count - 1] + 1, b""
        return len(index), _blank(count - found)
    if place >= -count:
        return marks[place + count], b""
    return 0, _beginning(-count - place)


def _sequential(index: ObjectIndex, position: int, count: int) -> tuple[int, bytes]:
    """Filemarks one behind another, with no block between them."""
    marks, width = index.filemarks, abs(count)
    place = bisect_left(marks, position)
    if count > 0:
        for first in range(place, len(marks) - width + 1):
            if marks[first + width - 1] - marks[first] == width - 1:
                return marks[first + width - 1] + 1, b""
        return len(index), _blank(width)
    for last in range(place - 1, width - 2, -1):
        if marks[last] - marks[last - width + 1] == width - 1:
            return marks[last - width + 1], b""
    return 0, _beginning(width)


def _filemark(left: int) -> bytes:
    return sense.fixed(codes.NO_SENSE, *codes.FILEMARK_DETECTED, filemark=True, information=left)


def _blank(left: int) -> bytes:
    return sense.fixed(codes.BLANK_CHECK, *codes.END_OF_DATA, information=left)


def _beginning(left: int) -> bytes:
    return sense.fixed(codes.NO_SENSE, *codes.BEGINNING_OF_MEDIUM, eom=True, information=left)
