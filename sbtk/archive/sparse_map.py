"""The map of a GNU sparse file, format 1.0: decimal text in front of the member's data.

"number of entries, then offset and size of each, a newline behind every number, padded with NUL to
a whole block" (GNU tar manual, D.2). Data starts at the very next block: padding of more than that
would shift all of it (archive.md, rule 1).
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sbtk.archive import loops
from sbtk.archive.pax import BLOCK_BYTES
from sbtk.errors import ArchiveError
from sbtk.settings import settings

Int64Array = NDArray[np.int64]

SHORTEST_ENTRY_BYTES = 4  # "0\n0\n"
_COMPILED_FROM = 20_000


def encode(start_bytes: Int64Array, length_bytes: Int64Array, real_bytes: int) -> NDArray[np.uint8]:
    """The map as text, padded to whole blocks.

    Args:
        start_bytes: (n,) first byte of each piece in the file, ascending.
        length_bytes: (n,) bytes of each; multiples of 512 but for the last.
        real_bytes: size of the file. Where it ends in a hole, an empty entry at its end says so,
            as GNU tar writes it.

    Returns:
        (m,) uint8, m a multiple of 512.
    """
    ends_in_hole = not start_bytes.size or start_bytes[-1] + length_bytes[-1] < real_bytes
    head = f"{start_bytes.size + int(ends_in_hole)}\n".encode()
    tail = f"{real_bytes}\n0\n".encode() if ends_in_hole else b""
    room = len(head) + _room_bytes(start_bytes, length_bytes) + len(tail) + BLOCK_BYTES
    text = np.empty(room, np.uint8)
    at = len(head)
    text[:at] = np.frombuffer(head, np.uint8)
    at += _write(start_bytes, length_bytes, text[at:])
    text[at : at + len(tail)] = np.frombuffer(tail, np.uint8)
    at += len(tail)
    padded = -(-at // BLOCK_BYTES) * BLOCK_BYTES
    text[at:padded] = 0
    return text[:padded]


def _room_bytes(*columns: Int64Array) -> int:
    """No less than the text of these numbers takes."""
    return sum(column.size * (len(str(int(column.max()))) + 1) for column in columns if column.size)


def decode(text: bytes | memoryview | NDArray[np.uint8]) -> tuple[Int64Array, Int64Array, int]:
    """Read a map from the beginning of a member's data.

    Args:
        text: at least the whole map; what follows is not looked at.

    Returns:
        ``(start_bytes, length_bytes, map_bytes)``: the entries, and bytes of the map with its
        padding. Starts ascend and pieces do not overlap.

    Raises:
        ArchiveError: not a map, or one that the text cannot hold.
    """
    octets = np.frombuffer(text, np.uint8)
    count = np.empty(1, np.int64)
    used = _read(octets[: loops.MAX_DIGITS + 1], count)
    entries = int(count[0]) if used > 0 else -1
    # Checked before anything is allocated: every entry takes its bytes of text.
    if used < 0 or entries * SHORTEST_ENTRY_BYTES > octets.size - used:
        raise ArchiveError("the sparse map is damaged: its count is not that of its entries")
    numbers = np.empty(2 * entries, np.int64)
    more = _read(octets[used:], numbers)
    if more < 0:
        raise ArchiveError("the sparse map is damaged: an entry is no number")
    start_bytes, length_bytes = numbers[0::2].copy(), numbers[1::2].copy()
    ends = start_bytes + length_bytes
    if (start_bytes[1:] < ends[:-1]).any():
        raise ArchiveError("the sparse map is damaged: its entries overlap")
    map_bytes = -(-(used + more) // BLOCK_BYTES) * BLOCK_BYTES
    if map_bytes > octets.size:
        raise ArchiveError("the sparse map is cut off")
    return start_bytes, length_bytes, map_bytes


def _write(start_bytes: Int64Array, length_bytes: Int64Array, text: NDArray[np.uint8]) -> int:
    compiled = _compiled(2 * start_bytes.size)
    if compiled is not None:
        return int(compiled.write_decimals(start_bytes, length_bytes, text))
    pairs = zip(start_bytes.tolist(), length_bytes.tolist(), strict=True)
    joined = "".join([f"{start}\n{length}\n" for start, length in pairs]).encode()
    text[: len(joined)] = np.frombuffer(joined, np.uint8)
    return len(joined)


def _read(octets: NDArray[np.uint8], numbers: Int64Array) -> int:
    if numbers.size == 0:
        return 0
    compiled = _compiled(numbers.size)
    if compiled is not None:
        return int(compiled.read_decimals(octets, numbers))
    at = 0
    text = octets.tobytes() if octets.size < (1 << 20) else octets.data
    for index in range(numbers.size):
        word = bytes(text[at : at + loops.MAX_DIGITS + 1]).partition(b"\n")
        if not word[1] or not word[0].isdigit():
            return -1
        numbers[index] = int(word[0])
        at += len(word[0]) + 1
    return at


def _compiled(items: int) -> ModuleType | None:
    if items < _COMPILED_FROM or settings().kernels != "numba":
        return None
    from sbtk.archive import kernels_numba

    return kernels_numba
