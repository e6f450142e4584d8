"""LZNT1, the compression of NTFS files ([MS-XCA] 2.5): one compression unit to plain bytes.

A unit is a row of chunks; each begins with a 16-bit header: bits 0-11 the chunk's bytes less 3
(header included), bits 12-14 the signature 3, bit 15 set where it is compressed. A chunk stands for
4096 bytes, the last one perhaps for fewer; header 0 ends the unit. A compressed chunk is groups of
a tag byte and eight tokens, lowest bit first: 0 a literal byte, 1 a 16-bit back-reference whose
split between displacement and length moves with the position inside the chunk.

Two implementations with one result: compiled, and plain Python (``SBTK_KERNELS=numpy``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sbtk.ntfs.kernels import chosen

CHUNK_BYTES = 4096
_COMPRESSED = 0x8000
_SIGNATURE_MASK = 0x7000
_SIGNATURE = 0x3000

# What a decompressor found.
OK = 0
BAD_SIGNATURE = 1
CUT_CHUNK = 2
TOO_LONG = 3
BAD_REFERENCE = 4
CUT_REFERENCE = 5
_REASONS = {
    BAD_SIGNATURE: "a chunk header without its signature",
    CUT_CHUNK: "a chunk that is longer than the unit's data",
    TOO_LONG: "more plain bytes than a chunk or the unit holds",
    BAD_REFERENCE: "a back-reference to before its chunk",
    CUT_REFERENCE: "a back-reference that is cut off",
}

Bytes = NDArray[np.uint8]
# (data, plain) -> (status, offset in data); ``plain`` comes in zeroed and is filled.
Decompressor = Callable[[Bytes, Bytes], tuple[int, int]]


class Lznt1Error(ValueError):
    """Compressed data that breaks the rules of the format.

    Attributes:
        reason: what is wrong, a noun phrase.
        offset_bytes: where in the compressed data.
    """

    def __init__(self, reason: str, offset_bytes: int) -> None:
        super().__init__(f"{reason}, at byte {offset_bytes} of the compressed data")
        self.reason = reason
        self.offset_bytes = offset_bytes


def decompress(data: Bytes, plain_bytes: int) -> Bytes:
    """Decompress one unit.

    Args:
        data: (n,) uint8, the unit's clusters; bytes behind its end marker are ignored.
        plain_bytes: bytes of the unit, at most what is returned.

    Returns:
        (plain_bytes,) uint8; zeros behind what the data stands for.

    Raises:
        Lznt1Error: the data is damaged. Nothing is ever written outside the result.
    """
    plain: Bytes = np.zeros(plain_bytes, np.uint8)
    status, offset_bytes = _decompressor()(data, plain)
    if status != OK:
        raise Lznt1Error(_REASONS[status], offset_bytes)
    return plain


def _decompressor() -> Decompressor:
    if chosen() == "numpy":
        return decompress_plainly
    from sbtk.ntfs.kernels_lznt1 import decompress_compiled  # imports Numba, half a second

    kernel: Decompressor = decompress_compiled
    return kernel


def decompress_plainly(data: Bytes, plain: Bytes) -> tuple[int, int]:
    """The twin in plain Python: fill ``plain`` from ``data``; (status, offset where it stopped)."""
    source = data.tobytes()
    at = 0
    for start in range(0, len(plain), CHUNK_BYTES):
        header = int.from_bytes(source[at : at + 2], "little")
        if at + 2 > len(source) or header == 0:
            return OK, at
        if header & _SIGNATURE_MASK != _SIGNATURE:
            return BAD_SIGNATURE, at
        end = at + (header & 0x0FFF) + 3
        if end > len(source):
            return CUT_CHUNK, at
        limit = min(CHUNK_BYTES, len(plain) - start)
        if header & _COMPRESSED:
            status, offset_bytes, chunk = _plain_chunk(source[at + 2 : end], limit)
        else:
            chunk = bytearray(source[at + 2 : end])
            status, offset_bytes = (TOO_LONG if len(chunk) > limit else OK), 0
        if status != OK:
            return status, at + 2 + offset_bytes
        plain[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at = end
    return OK, at


def _plain_chunk(tokens: bytes, limit: int) -> tuple[int, int, bytearray]:
    """One compressed chunk without its header: status, offset where it stopped, plain bytes."""
    out = bytearray()
    at = 0
    while at < len(tokens):
        tag = tokens[at]
        at += 1
        for bit in range(8):
            if at >= len(tokens):
                break
            if not tag >> bit & 1:
                out.append(tokens[at])
                at += 1
            elif at + 2 > len(tokens):
                return CUT_REFERENCE, at, out
            else:
                length_bits = 12 - max(0, (len(out) - 1).bit_length() - 4)
                token = int.from_bytes(tokens[at : at + 2], "little")
                displacement = (token >> length_bits) + 1
                if displacement > len(out):
                    return BAD_REFERENCE, at, out
                length = (token & ((1 << length_bits) - 1)) + 3
                if len(out) + length > limit:
                    return TOO_LONG, at, out
                seen = out[-displacement:]
                out += (seen * (length // displacement + 1))[:length]
                at += 2
            if len(out) > limit:
                return TOO_LONG, at - 1, out
    return OK, at, out
