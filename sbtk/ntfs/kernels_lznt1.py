"""The compiled LZNT1 decompressor; sbtk.ntfs.lznt1 tells the format and holds its plain twin."""

from __future__ import annotations

from numba import njit

from sbtk.ntfs.lznt1 import (
    BAD_REFERENCE,
    BAD_SIGNATURE,
    CHUNK_BYTES,
    CUT_CHUNK,
    CUT_REFERENCE,
    OK,
    TOO_LONG,
    Bytes,
)


@njit(nogil=True, cache=True)
def decompress_compiled(data: Bytes, plain: Bytes) -> tuple[int, int]:
    """Fill ``plain`` (zeroed) from ``data``; (status, offset where it stopped)."""
    at = 0
    start = 0
    while start < len(plain) and at + 2 <= len(data):
        header = int(data[at]) | int(data[at + 1]) << 8
        if header == 0:
            break
        if header & 0x7000 != 0x3000:
            return BAD_SIGNATURE, at
        end = at + (header & 0x0FFF) + 3
        if end > len(data):
            return CUT_CHUNK, at
        stop = min(start + CHUNK_BYTES, len(plain))
        at += 2
        if header & 0x8000:
            status, offset = _chunk(data[at:end], plain[start:stop])
            if status != OK:
                return status, at + offset
        elif end - at > stop - start:
            return TOO_LONG, at
        else:
            plain[start : start + end - at] = data[at:end]
        at = end
        start = stop
    return OK, at


@njit(nogil=True, cache=True)
def _chunk(tokens: Bytes, plain: Bytes) -> tuple[int, int]:
    """Plain bytes of one compressed chunk without its header; (status, offset in tokens)."""
    at = 0
    out = 0
    length_bits = 12
    while at < len(tokens):
        tag = int(tokens[at])
        at += 1
        for bit in range(8):
            if at >= len(tokens):
                break
            if not (tag >> bit) & 1:
                if out >= len(plain):
                    return TOO_LONG, at
                plain[out] = tokens[at]
                out += 1
                at += 1
                continue
            if at + 2 > len(tokens):
                return CUT_REFERENCE, at
            token = int(tokens[at]) | int(tokens[at + 1]) << 8
            while out > 1 << (16 - length_bits):
                length_bits -= 1
            displacement = (token >> length_bits) + 1
            if displacement > out:
                return BAD_REFERENCE, at
            length = (token & ((1 << length_bits) - 1)) + 3
            if out + length > len(plain):
                return TOO_LONG, at
            for _ in range(length):
                plain[out] = plain[out - displacement]
                out += 1
            at += 2
    return OK, at
