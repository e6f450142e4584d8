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


def write_decimals(values: NDArray[np.int64], text: NDArray[np.uint8]) -> int:
    """Write each number and a newline; ``text`` has room for 20 bytes a number. Returns bytes."""
    at = 0
    for index in range(values.size):
        value = values[index]
        digits = 1
        power = 10
        while digits < MAX_DIGITS and value >= power:
            digits += 1
            power *= 10
        for place in range(digits - 1, -1, -1):
            text[at + place] = ZERO + value % 10
            value //= 10
        at += digits
        text[at] = NEWLINE
        at += 1
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
