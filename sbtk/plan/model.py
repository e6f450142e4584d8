"""A plan as values: pieces, segments, commands; the object that is saved, shown, priced and run.

Three address spaces, all in bytes: the **archive** (0 is its first header), the **LUN** that holds
the volume, and **inline**, the bytes that the host sends. In a plan of the mirror layout the
archive's addresses are those of the LUN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sbtk.archive.manifest import Geometry
from sbtk.scsi.limits import Limits

Int64Array = NDArray[np.int64]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]

Kind = Literal["backup", "restore", "verify"]
Medium = Literal["tape", "disk"]

# Kinds of pieces.
SOURCE = 0  # bytes of the LUN
INLINE = 1  # bytes that the host sends
REPEAT = 2  # bytes of the LUN that another piece carries too (the tail of a file on 4Kn disks)

# Who executes a command.
COPY = 0  # the copy manager, as one EXTENDED COPY
HOST = 1  # the host, by ordinary commands, segment for segment

# Segment types (xcopy.md 4.1); with a digest 0xC0 + n (DESIGN: The mover).
BLOCK_TO_STREAM = 0x00
STREAM_TO_BLOCK = 0x01
BLOCK_TO_BLOCK = 0x02
INLINE_TO_STREAM = 0x04
EMBEDDED_TO_STREAM = 0x05
STREAM_DISCARD = 0x06
BLOCK_OFFSET_TO_STREAM = 0x08
STREAM_TO_BLOCK_OFFSET = 0x09
BLOCK_OFFSET_TO_BLOCK = 0x0A
LOCATE = 0x12
DIGEST = 0xC0
HOST_WRITE = 0xFF  # not on the wire: inline bytes that the host writes to a disk target

DIGEST_BYTES = 32


def base_type(type_code: UInt8Array) -> UInt8Array:
    """Segment types without their digest bit; ``HOST_WRITE`` stays itself."""
    plain = np.where((type_code >= DIGEST) & (type_code < 0xE0), type_code - DIGEST, type_code)
    return plain.astype(np.uint8)


@dataclass(frozen=True)
class Ranges:
    """Ascending, disjoint ranges of bytes.

    Attributes:
        start_bytes: (n,) first byte of each.
        length_bytes: (n,) bytes of each, at least 1.
    """

    start_bytes: Int64Array
    length_bytes: Int64Array

    @property
    def total_bytes(self) -> int:
        """Bytes in all."""
        return int(self.length_bytes.sum())

    @property
    def end_bytes(self) -> Int64Array:
        """(n,) the byte behind each."""
        return self.start_bytes + self.length_bytes

    def __len__(self) -> int:
        return int(self.start_bytes.size)


NOTHING = Ranges(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Pieces:
    """What lies where in the archive, ascending by ``archive_start_bytes``.

    Attributes:
        archive_start_bytes: (n,) first byte in the archive.
        length_bytes: (n,) bytes.
        kind: (n,) uint8, ``SOURCE``, ``INLINE`` or ``REPEAT``.
        origin_bytes: (n,) first byte on the LUN, or in ``Plan.inline``.
    """

    archive_start_bytes: Int64Array
    length_bytes: Int64Array
    kind: UInt8Array
    origin_bytes: Int64Array

    def __len__(self) -> int:
        return int(self.archive_start_bytes.size)


@dataclass(frozen=True)
class Segments:
    """Segment descriptors, in the order of their commands.

    Attributes:
        type_code: (n,) uint8, wire type, or ``HOST_WRITE``.
        archive_start_bytes: (n,) where in the archive; of a LOCATE the archive byte at which the
            record begins.
        length_bytes: (n,) bytes moved or discarded; 0 for a LOCATE.
        origin_bytes: (n,) the other end: first byte on the LUN (in a restore: where it goes),
            first byte of inline (04h, 05h, ``HOST_WRITE``), the logical object of a LOCATE counted
            from the set's first record, or -1 where there is no other end.
        transfer_bytes: (n,) stream device transfer length: bytes a tape record; 0 on disk.
    """

    type_code: UInt8Array
    archive_start_bytes: Int64Array
    length_bytes: Int64Array
    origin_bytes: Int64Array
    transfer_bytes: Int64Array

    def __len__(self) -> int:
        return int(self.type_code.size)


@dataclass(frozen=True)
class Commands:
    """Command lists: command ``i`` has segments ``first_segment[i]:first_segment[i + 1]``.

    Attributes:
        first_segment: (m + 1,) offsets into ``Segments``.
        kind: (m,) uint8, ``COPY`` or ``HOST``.
    """

    first_segment: Int64Array
    kind: UInt8Array

    def __len__(self) -> int:
        return int(self.kind.size)


@dataclass(frozen=True)
class Fetches:
    """Inline bytes that the host has to read from the LUN just before it sends them.

    They are few: what a copy manager without byte-offset segments cannot cut. Their inline
    addresses begin behind the last byte of ``Plan.inline``.

    Attributes:
        inline_start_bytes: (n,) ascending.
        lun_start_bytes: (n,) where the host reads.
        length_bytes: (n,) bytes.
    """

    inline_start_bytes: Int64Array
    lun_start_bytes: Int64Array
    length_bytes: Int64Array

    @property
    def total_bytes(self) -> int:
        """Bytes of file data that go through the host."""
        return int(self.length_bytes.sum())

    def __len__(self) -> int:
        return int(self.inline_start_bytes.size)


NO_FETCHES = Fetches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Target:
    """What is written to (a backup) or read from (restore, verify): the place of the archive.

    Attributes:
        medium: ``"tape"`` or ``"disk"``.
        block_bytes: logical block length of a disk; 1 for a tape.
        record_bytes: bytes a tape record; 0 on disk.
        start_bytes: disk: byte of the LUN at which the archive begins, a multiple of 4096.
        capacity_bytes: bytes that the LUN or cartridge has; 0 where it is not known.
    """

    medium: Medium
    block_bytes: int = 512
    record_bytes: int = 0
    start_bytes: int = 0
    capacity_bytes: int = 0


@dataclass(frozen=True)
class Owners:
    """Which rows of the ``extents`` table each segment touches: rows ``first[i]:end[i]``.

    Rows of that table ascend by lcn, so that a range of the LUN is a range of rows. On a damaged
    volume, where runs overlap, the range may hold rows that only lie between.
    """

    first_extent: Int32Array
    end_extent: Int32Array


@dataclass(frozen=True)
class Plan:
    """One plan.

    Attributes:
        kind: ``"backup"``, ``"restore"`` or ``"verify"``.
        layout: of the archive: ``"image"``, ``"files"`` or ``"mirror"``.
        geometry: the LUN that holds, or will hold, the volume.
        target: the place of the archive.
        limits: of the copy manager the command lists are made for.
        selected: ranges of the LUN that the plan carries, ascending, disjoint.
        pieces: the archive; of a restore or verify the part of it that is read.
        segments, commands: what is executed, in order.
        inline: (k,) uint8, the bytes that the host sends, headers above all.
        fetches: inline bytes that the host must read first.
        archive_bytes: address behind the last byte that the plan writes; the closing member
            (digests) begins there.
        digests: segments ask the mover for digests.
        lid4: lists are sent as EXTENDED COPY(LID4).
        manifest: the bytes of ``manifest.json``; empty in a mirror.
        owners: extents of each segment; None where no extents were given.
        notes: for people: counts by what they are, what the plan could not do.
    """

    kind: Kind
    layout: str
    geometry: Geometry
    target: Target
    limits: Limits
    selected: Ranges
    pieces: Pieces
    segments: Segments
    commands: Commands
    inline: UInt8Array
    fetches: Fetches
    archive_bytes: int
    digests: bool
    lid4: bool
    manifest: bytes = b""
    owners: Owners | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def inline_bytes(self) -> int:
        """Bytes that the host sends, fetched ones included."""
        return int(self.inline.size) + self.fetches.total_bytes

    @property
    def moved_bytes(self) -> int:
        """Bytes that the copy manager moves without the host."""
        moved = np.isin(base_type(self.segments.type_code), MOVING_TYPES)
        by_host = np.repeat(self.commands.kind, np.diff(self.commands.first_segment)) == HOST
        return int(self.segments.length_bytes[moved & ~by_host].sum())


MOVING_TYPES = np.array(
    [
        BLOCK_TO_STREAM,
        STREAM_TO_BLOCK,
        BLOCK_TO_BLOCK,
        BLOCK_OFFSET_TO_STREAM,
        STREAM_TO_BLOCK_OFFSET,
        BLOCK_OFFSET_TO_BLOCK,
    ],
    np.uint8,
)
