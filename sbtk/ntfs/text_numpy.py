"""UTF-16 names to UTF-8 for many names at once: the NumPy twin of the compiled conversion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sbtk.ntfs.chunk import I64, U8

_HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_ESCAPE_BYTES = 7


def ragged(starts: I64, counts: I64) -> I64:
    """``starts[i] .. starts[i] + counts[i] - 1`` for every i, one behind the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def utf8(
    raw: U8, starts: I64, chars: I64, *, is_file_name: bool
) -> tuple[I64, U8, npt.NDArray[np.bool_]]:
    """Convert ``chars[i]`` UTF-16LE units at byte ``starts[i]`` of ``raw``, for every i.

    Returns:
        Where each name ends in the blob, the blob, and which names hold an escape
        (``sbtk.ntfs.chunk.ESCAPE``).
    """
    row = np.repeat(np.arange(len(chars)), chars)
    at = 2 * ragged(np.zeros(len(chars), np.int64), chars) + np.repeat(starts, chars)
    unit = raw[at].astype(np.int64) | raw[at + 1].astype(np.int64) << 8
    high, low = (unit >> 10) == 0x36, (unit >> 10) == 0x37
    pair = np.zeros(len(unit), np.bool_)
    pair[:-1] = high[:-1] & low[1:] & (row[1:] == row[:-1])
    second = np.zeros(len(unit), np.bool_)
    second[1:] = pair[:-1]
    escaped = (unit == 0) | ((high | low) & ~pair & ~second)
    if is_file_name:
        escaped |= unit == 0x2F
    width = np.where(unit < 0x80, 1, np.where(unit < 0x800, 2, 3))
    width[pair], width[second], width[escaped] = 4, 0, _ESCAPE_BYTES
    ends = np.cumsum(width)
    blob: U8 = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    _write(blob, ends - width, unit, width, pair, escaped)
    total = np.concatenate([np.zeros(1, np.int64), ends])
    has_escape = np.bincount(row[escaped], minlength=len(chars)) > 0
    return total[np.cumsum(chars)], blob, has_escape


def _write(
    blob: U8, to: I64, unit: I64, width: I64, pair: npt.NDArray[np.bool_],
    escaped: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    one = width == 1
    blob[to[one]] = unit[one]
    two = width == 2
    blob[to[two]] = 0xC0 | unit[two] >> 6
    blob[to[two] + 1] = 0x80 | unit[two] & 63
    three = (width == 3) & ~escaped
    blob[to[three]] = 0xE0 | unit[three] >> 12
    blob[to[three] + 1] = 0x80 | unit[three] >> 6 & 63
    blob[to[three] + 2] = 0x80 | unit[three] & 63
    first = np.flatnonzero(pair)
    point = 0x10000 + ((unit[first] & 0x3FF) << 10) + (unit[first + 1] & 0x3FF)
    for i, bits in enumerate((18, 12, 6, 0)):
        blob[to[first] + i] = (0xF0 if i == 0 else 0x80) | point >> bits & (7 if i == 0 else 63)
    odd = np.flatnonzero(escaped)
    for i, byte in enumerate(b"\xef\xbf\xbd"):
        blob[to[odd] + i] = byte
    for i in range(4):
        blob[to[odd] + 3 + i] = _HEX[unit[odd] >> (12 - 4 * i) & 15]
