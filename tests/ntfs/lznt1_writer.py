"""A plain LZNT1 compressor after [MS-XCA] 2.5, to make input for the decompressors."""

from __future__ import annotations

CHUNK_BYTES = 4096


def compress(data: bytes) -> bytes:
    """Chunks of 4096 bytes, each compressed unless that makes it longer; no end mark."""
    starts = range(0, len(data), CHUNK_BYTES)
    return b"".join(_chunk(data[start : start + CHUNK_BYTES]) for start in starts)


def _chunk(plain: bytes) -> bytes:
    body, at = bytearray(), 0
    while at < len(plain):
        tag, group = 0, bytearray()
        for bit in range(8):
            if at >= len(plain):
                break
            length_bits = 12 - max(0, (at - 1).bit_length() - 4)
            back, length = _match(plain, at, length_bits)
            if length >= 3:
                tag |= 1 << bit
                group += ((back - 1) << length_bits | (length - 3)).to_bytes(2, "little")
                at += length
            else:
                group.append(plain[at])
                at += 1
        body += bytes([tag]) + group
    if len(body) < len(plain):
        return (0xB000 | len(body) - 1).to_bytes(2, "little") + body
    return (0x3000 | len(plain) - 1).to_bytes(2, "little") + plain


def _match(plain: bytes, at: int, length_bits: int) -> tuple[int, int]:
    """The nearest of the longest earlier occurrences among a few candidates: (distance, length)."""
    limit = min(len(plain) - at, (1 << length_bits) + 2)
    lowest = max(0, at - (1 << (16 - length_bits)))
    best = (0, 0)
    candidate = at
    for _ in range(8):
        candidate = plain.rfind(plain[at : at + 3], lowest, candidate + 2)
        if candidate < 0:
            break
        length = 0
        while length < limit and plain[candidate + length] == plain[at + length]:
            length += 1
        if length > best[1]:
            best = (at - candidate, length)
    return best
