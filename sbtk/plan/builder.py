"""Puts members behind one another: bytes become inline, ranges of the LUN become pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sbtk.archive import pax, sparse_map
from sbtk.plan.model import INLINE, REPEAT, SOURCE, Int64Array, Pieces, Ranges, UInt8Array


@dataclass(frozen=True)
class Archive:
    """An archive laid out.

    Attributes:
        pieces: every byte of it.
        inline: (k,) uint8, the bytes of the inline pieces in the order of the archive.
        archive_bytes: address behind the last piece.
        members: number of members.
    """

    pieces: Pieces
    inline: UInt8Array
    archive_bytes: int
    members: int


class ArchiveBuilder:
    """Collects members; every address is final when it is given out."""

    def __init__(self, align_bytes: int) -> None:
        """``align_bytes``: power of two that every member's source data begins on."""
        self.align_bytes = align_bytes
        self.at_bytes = 0
        self.members = 0
        self._inline: list[bytes | UInt8Array] = []
        self._inline_bytes = 0
        self._columns: list[tuple[Int64Array, Int64Array, UInt8Array, Int64Array]] = []
        self._pending_start = 0  # archive address of inline bytes that have no piece yet
        self._pending_bytes = 0

    def add_inline(self, data: bytes | UInt8Array) -> None:
        """Put bytes next; what touches becomes one piece."""
        size = len(data)
        if not self._pending_bytes:
            self._pending_start = self.at_bytes
        self._inline.append(data)
        self._inline_bytes += size
        self._pending_bytes += size
        self.at_bytes += size

    def add_source(
        self, lun_start: Int64Array, length: Int64Array, *, repeat_unit_bytes: int = 1
    ) -> None:
        """Put ranges of the LUN next, one behind the other.

        Args:
            lun_start: (n,) first bytes on the LUN.
            length: (n,) bytes.
            repeat_unit_bytes: what the last range has beyond a multiple of this becomes a piece
                of kind ``REPEAT``: another piece carries that block whole.
        """
        if not lun_start.size:
            return
        self._flush()
        repeat = int(length[-1]) % repeat_unit_bytes
        kind = np.full(lun_start.size, SOURCE, np.uint8)
        if repeat:
            whole = int(length[-1]) - repeat
            lun_start = np.append(lun_start, lun_start[-1] + whole)
            length = np.append(length, repeat)
            length[-2] = whole
            kind = np.append(kind, np.uint8(REPEAT))
            keep = length > 0
            lun_start, length, kind = lun_start[keep], length[keep], kind[keep]
        start = np.cumsum(length)
        end_bytes = self.at_bytes + int(start[-1])
        start -= length
        start += self.at_bytes
        self._columns.append((start, length, kind, lun_start))
        self.at_bytes = end_bytes

    def add_file(
        self,
        name: str,
        data: bytes = b"",
        *,
        typeflag: bytes = pax.FILE,
        link_name: str = "",
        mode: int = 0o644,
        mtime_ns: int = 0,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        """A member whose bytes the host has: a manifest, a small file, a folder, a link."""
        head = pax.member_head(
            name,
            len(data),
            typeflag=typeflag,
            link_name=link_name,
            mode=mode,
            mtime_ns=mtime_ns,
            keys=keys,
        )
        self.add_inline(head + data + bytes(-len(data) % pax.BLOCK_BYTES))
        self.members += 1

    def add_plain(
        self,
        name: str,
        size_bytes: int,
        lun_start: Int64Array,
        length: Int64Array,
        *,
        mtime_ns: int = 0,
        keys: Mapping[str, str] | None = None,
        repeat_unit_bytes: int = 1,
    ) -> None:
        """A member whose data is ranges of the LUN, ``size_bytes`` rounded up to 512 in all."""
        head = pax.member_head(
            name,
            size_bytes,
            mtime_ns=mtime_ns,
            keys=keys,
            at_bytes=self.at_bytes,
            align_bytes=self.align_bytes if lun_start.size else pax.BLOCK_BYTES,
        )
        self.add_inline(head)
        self.add_source(lun_start, length, repeat_unit_bytes=repeat_unit_bytes)
        self.members += 1

    def add_sparse(
        self,
        name: str,
        real_bytes: int,
        *,
        file_start: Int64Array,
        file_length: Int64Array,
        lun_start: Int64Array,
        length: Int64Array,
        mtime_ns: int = 0,
        keys: Mapping[str, str] | None = None,
        repeat_unit_bytes: int = 1,
    ) -> None:
        """A GNU sparse 1.0 member.

        Args:
            name: path in the archive.
            real_bytes: size of the extracted file.
            file_start: (m,) first byte of each entry of the map.
            file_length: (m,) bytes of each, multiples of 512 but for the last.
            lun_start: (n,) ranges of the LUN that hold the entries in order.
            length: (n,) bytes of each, whole sectors.
            mtime_ns: modification time.
            keys: further pax records.
            repeat_unit_bytes: see ``add_source``.
        """
        text = sparse_map.encode(file_start, file_length, real_bytes)
        # Exactly what the map says: one more byte, and bsdtar calls the archive damaged.
        stored_bytes = text.size + int(file_length.sum())
        head = pax.member_head(
            pax.sparse_member_name(name),
            stored_bytes,
            mtime_ns=mtime_ns,
            keys={**pax.sparse_keys(name, real_bytes), **(keys or {})},
            at_bytes=self.at_bytes,
            align_bytes=self.align_bytes,
            lead_bytes=text.size,
        )
        self.add_inline(head)
        self.add_inline(text)
        self.add_source(lun_start, length, repeat_unit_bytes=repeat_unit_bytes)
        self.members += 1

    def finish(self) -> Archive:
        """Everything that was put; the end lies on ``align_bytes``."""
        gap_bytes = -self.at_bytes % self.align_bytes
        if gap_bytes == pax.BLOCK_BYTES:  # the shortest filler takes two blocks
            gap_bytes += self.align_bytes
        if gap_bytes:
            self.add_inline(pax.filler(gap_bytes))
        self._flush()
        joined = _join(self._columns)
        inline = [np.frombuffer(part, np.uint8) for part in self._inline]
        return Archive(
            joined,
            np.concatenate(inline) if inline else np.empty(0, np.uint8),
            self.at_bytes,
            self.members,
        )

    def _flush(self) -> None:
        if self._pending_bytes:
            self._columns.append(
                (
                    np.array([self._pending_start]),
                    np.array([self._pending_bytes]),
                    np.array([INLINE], np.uint8),
                    np.array([self._inline_bytes - self._pending_bytes]),
                )
            )
            self._pending_bytes = 0


def _join(columns: list[tuple[Int64Array, Int64Array, UInt8Array, Int64Array]]) -> Pieces:
    if not columns:
        empty = np.empty(0, np.int64)
        return Pieces(empty, empty, np.empty(0, np.uint8), empty)
    start, length, kind, origin = zip(*columns, strict=True)
    return Pieces(_stack(start), _stack(length), np.concatenate(kind), _stack(origin))


def _stack(parts: tuple[Int64Array, ...]) -> Int64Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pieces_of(ranges: Ranges) -> Pieces:
    """The mirror layout: every range of the LUN is a piece at its own address."""
    kind = np.zeros(len(ranges), np.uint8)
    return Pieces(ranges.start_bytes, ranges.length_bytes, kind, ranges.start_bytes)
