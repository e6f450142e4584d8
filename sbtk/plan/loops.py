"""The loops that go through pieces one by one, in plain Python as Numba compiles them.

Greedy packing into command lists cannot be vectorised: where one list ends depends on all before.
Each loop runs twice, first with empty result arrays to count, then to fill them. Blocks and units
are powers of two (``batch.rules`` sees to it): a mask takes a twentieth of a division. ``kernels``
chooses between this form and the compiled one; both give the same numbers (a test compares them).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

# What a segment is, before it gets its wire type.
WHOLE = 0  # whole blocks of the LUN
PART = 1  # part of a block
SENT = 2  # inline bytes
FETCHED = 3  # bytes of the LUN that the host reads and sends
SKIP = 4  # restore: discard
SEEK = 5  # restore: locate

# How inline bytes reach a tape.
BY_INLINE = 0  # 04h
BY_EMBEDDED = 1  # 05h
BY_HOST = 2  # the host writes records of its own

PIECE_INLINE = 1
SECTOR = 512
INLINE_DESCRIPTOR = 20  # 04h
EMBEDDED_DESCRIPTOR = 16  # 05h, without its data
MAX_EMBEDDED = 65024  # whole sectors in a descriptor with a 16-bit length
WHOLE_DESCRIPTOR = 24  # 00h, 01h
PART_DESCRIPTOR = 28  # 08h, 09h
DISK_WHOLE_DESCRIPTOR = 28  # 02h
DISK_PART_DESCRIPTOR = 32  # 0Ah
SKIP_DESCRIPTOR = 16  # 06h
SEEK_DESCRIPTOR = 12  # 12h

FAILED = -1


def pack_tape(
    start: Int64Array,
    length: Int64Array,
    kind: NDArray[np.uint8],
    origin: Int64Array,
    inline_end: int,
    max_segments: int,
    list_room: int,
    inline_room: int,
    inline_way: int,
    block: int,
    unit: int,
    max_segment: int,
    parts: bool,
    record: int,
    cap: int,
    seg_archive: Int64Array,
    seg_length: Int64Array,
    seg_origin: Int64Array,
    seg_record: Int64Array,
    seg_class: NDArray[np.uint8],
    fetch_lun: Int64Array,
    cmd_first: Int64Array,
    cmd_record: Int64Array,
    cmd_host: NDArray[np.uint8],
) -> tuple[int, int, int]:
    """Pack pieces into commands that each end on a record boundary.

    A command takes segments until a limit says stop. If it then holds a record or more, it is cut
    back to whole records; if it holds less, it becomes one shorter record. So every command ends on
    a record boundary under any limits, one segment a list included.

    Args:
        start, length, kind, origin: (n,) the pieces; lengths are multiples of 512.
        inline_end: first inline address of what is fetched.
        max_segments: segments a list.
        list_room: bytes of segment descriptors a list.
        inline_room: bytes of inline data a list.
        inline_way: ``BY_INLINE``, ``BY_EMBEDDED`` or ``BY_HOST``.
        block: bytes a block of the LUN.
        unit: bytes that the length of a ``WHOLE`` segment is a multiple of.
        max_segment: most bytes of a segment, a multiple of ``unit``.
        parts: 08h may be used for parts of blocks.
        record: bytes a tape record, at least ``unit``.
        cap: most bytes of a command, a multiple of ``record``.
        seg_archive, seg_length, seg_origin, seg_record, seg_class: results, a row a segment; empty
            to count.
        fetch_lun: result, where each fetched segment is on the LUN.
        cmd_first, cmd_record, cmd_host: results, a row a command.

    Returns:
        Segments, commands and fetched segments; ``(FAILED, piece, 0)`` where the limits cannot take
        a piece.
    """
    fill = seg_archive.size > 0
    fetched = 0
    room = min(max_segments, 1 << 20) + 1
    own_piece = np.empty(room, np.int64)
    own_offset = np.empty(room, np.int64)
    own_length = np.empty(room, np.int64)
    own_class = np.empty(room, np.uint8)
    segments = 0
    commands = 0
    piece = 0
    offset = 0
    while piece < length.size:
        count = 0
        listed = 0
        inlined = 0
        total = 0
        host = False
        while piece < length.size and count < room - 1 and total < cap:
            rest = length[piece] - offset
            if kind[piece] == PIECE_INLINE:
                what = SENT
                take = rest
            else:
                at = origin[piece] + offset
                inside = at & (block - 1)
                take = min(rest & -unit, max_segment) if inside == 0 else 0
                what = WHOLE
                if take == 0:
                    take = rest if inside == 0 else min(rest, block - inside)
                    what = PART if parts else FETCHED
            descriptor = WHOLE_DESCRIPTOR if what == WHOLE else PART_DESCRIPTOR
            if what >= SENT:
                if inline_way == BY_HOST:
                    if count > 0 and not host:
                        break
                    host = True
                    descriptor = 0
                elif inline_way == BY_INLINE:
                    take = min(take, (inline_room - inlined) // SECTOR * SECTOR)
                    descriptor = INLINE_DESCRIPTOR
                else:
                    free = min(list_room - listed - EMBEDDED_DESCRIPTOR, MAX_EMBEDDED)
                    take = min(take, free // SECTOR * SECTOR)
                    descriptor = EMBEDDED_DESCRIPTOR + take
            elif host:
                break
            take = min(take, cap - total)
            if what == WHOLE:
                take = take & -unit
            if take <= 0 or listed + descriptor > list_room:
                break
            own_piece[count] = piece
            own_offset[count] = offset
            own_length[count] = take
            own_class[count] = what
            count += 1
            listed += descriptor
            if what >= SENT:
                inlined += take
            total += take
            offset += take
            if offset == length[piece]:
                piece += 1
                offset = 0
            if not host and count == max_segments:
                break
        if count == 0:
            return FAILED, piece, 0
        # Cut back to whole records, or down to one shorter record.
        transfer = min(total, record)
        keep = total // transfer * transfer
        reached = 0
        used = 0
        while used < count and reached + own_length[used] <= keep:
            reached += own_length[used]
            used += 1
        last = keep - reached  # bytes of segment ``used`` that stay
        if last > 0 and (
            (own_class[used] == WHOLE and last & (unit - 1) != 0)
            or own_class[used] == PART
            or last % SECTOR != 0
        ):
            # The boundary would cut a block: one shorter record that ends where a block does.
            reached = 0
            used = 0
            while reached + own_length[used] <= record:
                reached += own_length[used]
                used += 1
            last = 0
            if own_class[used] == WHOLE:
                last = (record - reached) & -unit
            elif own_class[used] != PART:
                last = (record - reached) // SECTOR * SECTOR
            keep = reached + last
            transfer = keep
        if used < count:
            piece = own_piece[used]
            offset = own_offset[used] + last
            own_length[used] = last
            if last > 0:
                used += 1
        if used == 0:
            return FAILED, piece, 0
        if fill:
            cmd_first[commands] = segments
            cmd_record[commands] = transfer
            cmd_host[commands] = host
        for index in range(used):
            row = own_piece[index]
            from_bytes = origin[row] + own_offset[index]
            if own_class[index] == FETCHED:
                if fill:
                    fetch_lun[fetched] = from_bytes
                fetched += 1
                from_bytes = inline_end
                inline_end += own_length[index]
            if fill:
                seg_archive[segments + index] = start[row] + own_offset[index]
                seg_length[segments + index] = own_length[index]
                seg_origin[segments + index] = from_bytes
                seg_record[segments + index] = transfer
                seg_class[segments + index] = own_class[index]
        segments += used
        commands += 1
    if fill:
        cmd_first[commands] = segments
    return segments, commands, fetched


def cut_pieces(
    start: Int64Array,
    length: Int64Array,
    kind: NDArray[np.uint8],
    origin: Int64Array,
    lun_block: int,
    disk_block: int,
    unit: int,
    max_segment: np.int64,
    max_rest: np.int64,
    parts: bool,
    seg_archive: Int64Array,
    seg_length: Int64Array,
    seg_origin: Int64Array,
    seg_class: NDArray[np.uint8],
) -> int:
    """Cut pieces for copies between disks: whole units, and what is left of each.

    A piece that does not begin on a block at both ends has no whole units: byte-offset segments
    carry all of it, or the host does.

    Args:
        start: (n,) bytes on the archive's disk.
        length, kind, origin: (n,) the pieces.
        lun_block, disk_block: bytes a block at both ends.
        unit: what lengths of ``WHOLE`` segments are multiples of.
        max_segment, max_rest: most bytes of a ``WHOLE`` segment, and of any other.
        parts: 0Ah may be used for parts of blocks.
        seg_archive, seg_length, seg_origin, seg_class: results; empty to count.

    Returns:
        Number of segments.
    """
    fill = seg_archive.size > 0
    count = 0
    for row in range(length.size):
        at = np.int64(0)
        inline = kind[row] == PIECE_INLINE
        whole = np.int64(0)
        if not inline and origin[row] & (lun_block - 1) == 0 and start[row] & (disk_block - 1) == 0:
            whole = length[row] & -unit
        while at < length[row]:
            if at < whole:
                take = min(whole - at, max_segment)
                what = WHOLE
            else:
                take = min(length[row] - at, max_rest)
                what = SENT if inline else PART if parts else FETCHED
                if inline:
                    take = length[row]
            if fill:
                seg_archive[count] = start[row] + at
                seg_length[count] = take
                seg_origin[count] = origin[row] + at
                seg_class[count] = what
            count += 1
            at += take
    return count


def pack_disk(
    length: Int64Array,
    what: NDArray[np.uint8],
    max_segments: int,
    list_room: int,
    cap: int,
    window: Int64Array,
) -> int:
    """Number the window of each segment of a disk plan: fill a list, begin the next.

    A window is one list and what the host does in front of it. A write of the host goes into the
    window of the next copy; where it shares its first block with a part of a block that is copied
    just before it, into the window of that copy, so that it does not wipe out the part.

    Args:
        length, what: (n,) bytes and class of each segment, in the order of the archive.
        max_segments: segments a list.
        list_room: bytes of descriptors a list.
        cap: bytes after which a list is not added to.
        window: (n,) result, ascending.

    Returns:
        Number of windows.
    """
    command = 0
    count = 0
    listed = 0
    total = 0
    waiting = 0  # first row that has no window yet
    for index in range(length.size):
        if what[index] >= SENT:
            if waiting == index and index > 0 and what[index - 1] == PART:
                window[index] = command
                waiting = index + 1
            continue
        descriptor = DISK_PART_DESCRIPTOR if what[index] == PART else DISK_WHOLE_DESCRIPTOR
        full = count == max_segments or listed + descriptor > list_room
        if count > 0 and (full or total + length[index] > cap):
            command += 1
            count = 0
            listed = 0
            total = 0
        for row in range(waiting, index + 1):
            window[row] = command
        waiting = index + 1
        count += 1
        listed += descriptor
        total += length[index]
    if waiting < length.size and count > 0:
        command += 1
    for row in range(waiting, length.size):
        window[row] = command
    return command + 1 if length.size else 0


def order_windows(
    window: Int64Array,
    what: NDArray[np.uint8],
    order: Int64Array,
    first: Int64Array,
    host: NDArray[np.uint8],
) -> int:
    """Put what the host does in front of its window's copies; each of the two is a command.

    Args:
        window, what: (n,) from ``pack_disk``.
        order: (n,) result, rows in the order of execution.
        first: (2 w + 1,) result, offsets of commands into ``order``.
        host: (2 w,) result, 1 where the host executes the command.

    Returns:
        Number of commands.
    """
    commands = 0
    place = 0
    row = 0
    while row < window.size:
        end = row
        while end < window.size and window[end] == window[row]:
            end += 1
        for by_host in (1, 0):
            begin = place
            for index in range(row, end):
                if (what[index] >= SENT) == (by_host == 1):
                    order[place] = index
                    place += 1
            if place > begin:
                first[commands] = begin
                host[commands] = by_host
                commands += 1
        row = end
    first[commands] = place
    return commands
