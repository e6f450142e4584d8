"""Decimal numbers to and from text, in plain Python as Numba compiles it.

A sparse map of ten million runs is twenty million numbers: joining strings takes seconds, these
loops a fraction of one. ``sparse_map`` has the face and the twin, ``kernels_numba`` the compiled
form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEWLINE = 10
ZERO = 48
MAX_DIGITS = 18  # of a number that fits int64 whatever its digits are
PAIRS = np.frombuffer("".join([f"{pair:02}" for pair in range(100)]).encode(), np.uint8)
POWERS = np.array([10**digits for digits in range(MAX_DIGITS)], np.uint64)
# Unsigned, as all that they meet: signed division by a constant takes twice as long.
ONE, TWO, TEN, HUNDRED = np.uint64(1), np.uint64(2), np.uint64(10), np.uint64(100)


def write_decimals(
    first: NDArray[np.int64], second: NDArray[np.int64], text: NDArray[np.uint8]
) -> int:
    """Write the numbers of two columns row by row, each with a newline behind it.

    Args:
        first: (n,) at least 0, less than 10 ** 18.
        second: (n,) likewise.
        text: result, with room for all of it.

    Returns:
        Bytes of text.
    """
    at = 0
    for index in range(first.size):
        for column in range(2):
            value = np.uint64(first[index] if column == 0 else second[index])
            digits = 1
            while digits < MAX_DIGITS and value >= POWERS[digits]:
                digits += 1
            place = at + digits
            text[place] = NEWLINE
            at = place + 1
            while value >= HUNDRED:
                rest = value // HUNDRED
                pair = TWO * (value - rest * HUNDRED)
                value = rest
                place -= 2
                text[place] = PAIRS[pair]
                text[place + 1] = PAIRS[pair + ONE]
            pair = TWO * value
            text[place - 1] = PAIRS[pair + ONE]
            if value >= TEN:
                text[place - 2] = PAIRS[pair]
    return at


def read_decimals(text: NDArray[np.uint8], values: NDArray[np.int64]) -> int:
    """Read numbers, one a line, until ``values`` is full.

    Returns:
        Bytes of text used; -1 where something else than such a number stands, or text ends.
    """
    at = 0
    for index in range(values.size):
        value = 0
        digits = 0
        while at < text.size and text[at] != NEWLINE:
            digit = text[at] - ZERO
            if digit < 0 or digit > 9 or digits == MAX_DIGITS:
                return -1
            value = value * 10 + digit
            digits += 1
            at += 1
        if digits == 0 or at == text.size:
            return -1
        values[index] = value
        at += 1
    return at
