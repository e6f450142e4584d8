"""Where every object of a cartridge lies: 8 bytes an object in memory, and a side file.

The container has no index of its own, so LOCATE would have to walk it. The side file ``PATH.idx``
is a cache: it is used only while the cartridge has the size and the modification time that it had
when the index was saved, and is made again otherwise.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from array import array
from bisect import bisect_left
from pathlib import Path

import numpy as np

from sbtk.mover.medium import FIRST_OBJECT_OFFSET_BYTES, HEADER_BYTES, MAX_RECORD_BYTES

# magic, objects, filemarks, size and mtime (ns) of the cartridge, CRC-32 of the two arrays behind
# it: (objects + 1,) int64 offsets and (filemarks,) int64 object numbers, little-endian.
_HEAD = struct.Struct("<8sQQQQI4x")
_MAGIC = b"SBTKIDX1"


class ObjectIndex:
    """Offsets of all objects, counted from 0, and which of them are filemarks.

    Attributes:
        offsets: where each object's header lies, and last of all where end of data lies.
        filemarks: numbers of the objects that are filemarks, ascending.
    """

    def __init__(self) -> None:
        self.offsets = array("q", [FIRST_OBJECT_OFFSET_BYTES])
        self.filemarks = array("q")

    def __len__(self) -> int:
        """Number of objects: records and filemarks."""
        return len(self.offsets) - 1

    @property
    def end_offset_bytes(self) -> int:
        """Where end of data lies in the file."""
        return self.offsets[-1]

    def data_bytes(self, number: int) -> int:
        """Length of object ``number``; 0 for a filemark."""
        return self.offsets[number + 1] - self.offsets[number] - HEADER_BYTES

    def is_filemark(self, number: int) -> bool:
        """Whether object ``number`` is a filemark."""
        place = bisect_left(self.filemarks, number)
        return place < len(self.filemarks) and self.filemarks[place] == number

    def filemarks_before(self, number: int) -> int:
        """How many filemarks lie before object ``number``: the number of the tape file."""
        return bisect_left(self.filemarks, number)

    def append(self, data_bytes: int, *, filemark: bool) -> None:
        """One more object at the end of data."""
        if filemark:
            self.filemarks.append(len(self))
        self.offsets.append(self.offsets[-1] + HEADER_BYTES + data_bytes)

    def truncate(self, objects: int) -> None:
        """Forget all objects from number ``objects`` on."""
        del self.offsets[objects + 1 :]
        del self.filemarks[bisect_left(self.filemarks, objects) :]


def index_path(cartridge: Path) -> Path:
    """The side file of a cartridge."""
    return cartridge.with_name(cartridge.name + ".idx")


def save_index(index: ObjectIndex, cartridge: Path, stat: os.stat_result) -> None:
    """Write the side file; where that cannot be done there is none, and nothing is lost.

    ``stat`` is the cartridge's as it was when the index was true.
    """
    offsets, filemarks = _little(index.offsets), _little(index.filemarks)
    head = _HEAD.pack(
        _MAGIC,
        len(index),
        len(index.filemarks),
        stat.st_size,
        stat.st_mtime_ns,
        zlib.crc32(filemarks, zlib.crc32(offsets)),
    )
    target = index_path(cartridge)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            with draft.open("wb") as file:
                file.writelines((head, offsets, filemarks))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def load_index(cartridge: Path, stat: os.stat_result) -> ObjectIndex | None:
    """The index from the side file, or None where it is missing, stale or damaged."""
    try:
        with index_path(cartridge).open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) != _HEAD.size:
                return None
            magic, objects, marks, size_bytes, mtime_ns, crc = _HEAD.unpack(head)
            stale = (size_bytes, mtime_ns) != (stat.st_size, stat.st_mtime_ns)
            if magic != _MAGIC or stale or max(objects, marks) > size_bytes // HEADER_BYTES:
                return None
            offsets = file.read((objects + 1) * 8)
            filemarks = file.read(marks * 8 + 1)
    except OSError:
        return None
    whole = len(offsets) == (objects + 1) * 8 and len(filemarks) == marks * 8
    if not whole or zlib.crc32(filemarks, zlib.crc32(offsets)) != crc:
        return None
    return _checked(np.frombuffer(offsets, "<i8"), np.frombuffer(filemarks, "<i8"), stat.st_size)


def _checked(offsets: np.ndarray, filemarks: np.ndarray, size_bytes: int) -> ObjectIndex | None:
    """The index of two arrays, or None where they could not be those of a cartridge."""
    lengths = np.diff(offsets) - HEADER_BYTES
    ends_right = (
        offsets[0] == FIRST_OBJECT_OFFSET_BYTES and offsets[-1] + HEADER_BYTES == size_bytes
    )
    if not ends_right or np.any(lengths < 0) or np.any(lengths > MAX_RECORD_BYTES):
        return None
    if len(filemarks):
        inside = filemarks[0] >= 0 and filemarks[-1] < len(lengths)
        if not inside or np.any(np.diff(filemarks) <= 0) or np.any(lengths[filemarks]):
            return None
    index = ObjectIndex()
    index.offsets = array("q", offsets.astype(np.int64).tobytes())
    index.filemarks = array("q", filemarks.astype(np.int64).tobytes())
    return index


def _little(values: array[int]) -> bytes:
    """The array's bytes in little-endian order."""
    return np.frombuffer(values, np.int64).astype("<i8").tobytes()
