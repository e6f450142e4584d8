"""The loops that go through pieces one by one, in plain Python as Numba compiles them.

Greedy packing into command lists cannot be vectorised: where one list ends depends on all before.
Each loop runs twice, first with empty result arrays to count, then to fill them. ``kernels``
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
                inside = at % block
                take = min(rest // unit * unit, max_segment) if inside == 0 else 0
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
                take = take // unit * unit
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
            (own_class[used] == WHOLE and last % unit != 0)
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
                last = (record - reached) // unit * unit
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
        if not inline and origin[row] % lun_block == 0 and start[row] % disk_block == 0:
            whole = length[row] // unit * unit
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
    descriptor: Int64Array,
    max_segments: int,
    list_room: int,
    cap: int,
    cmd_of: Int64Array,
) -> int:
    """Number the command of each segment of a disk plan: fill a list, begin the next.

    Args:
        length: (n,) bytes of each segment.
        descriptor: (n,) bytes of each descriptor.
        max_segments: segments a list.
        list_room: bytes of descriptors a list.
        cap: bytes after which a list is not added to.
        cmd_of: (n,) result.

    Returns:
        Number of commands.
    """
    command = 0
    count = 0
    listed = 0
    total = 0
    for index in range(length.size):
        full = count == max_segments or listed + descriptor[index] > list_room
        if count > 0 and (full or total + length[index] > cap):
            command += 1
            count = 0
            listed = 0
            total = 0
        cmd_of[index] = command
        count += 1
        listed += descriptor[index]
        total += length[index]
    return command + 1 if length.size else 0


def pack_tape_reads(
    start: Int64Array,
    length: Int64Array,
    lun: Int64Array,
    run_start: Int64Array,
    run_end: Int64Array,
    run_record: Int64Array,
    run_object: Int64Array,
    max_segments: int,
    list_room: int,
    block: int,
    unit: int,
    max_segment: int,
    parts: bool,
    cap: int,
    seg_class: NDArray[np.uint8],
    seg_archive: Int64Array,
    seg_length: Int64Array,
    seg_origin: Int64Array,
    seg_record: Int64Array,
    cmd_first: Int64Array,
    cmd_host: NDArray[np.uint8],
) -> tuple[int, int]:
    """Pack reads of a tape into commands: locate, discard up to the piece, read it.

    A command begins with empty queues, so it begins at a record. Where the next piece lies in a
    record that is held already, what lies between is discarded; where it lies in the next record
    too; farther away, the rest of the held record is discarded (LOCATE keeps residual data) and
    the drive is sent to the piece's record. A command that is full ends anywhere: what it held of
    its last record is dropped, and the next one goes back to that record.

    Args:
        start, length: (n,) ascending, disjoint ranges of the archive.
        lun: (n,) where each goes; -1 to read it and drop it whole, in one segment (verify).
        run_start, run_end, run_record, run_object: (k,) runs of records of one length: archive
            bytes, bytes a record, and the logical object of the first.
        max_segments: segments a list.
        list_room: bytes of segment descriptors a list.
        block: bytes a block of the LUN.
        unit: what lengths of ``WHOLE`` segments are multiples of.
        max_segment: most bytes of a segment.
        parts: 09h may be used for parts of blocks.
        cap: bytes after which a list is not added to.
        seg_class, seg_archive, seg_length, seg_origin, seg_record: results; empty to count.
        cmd_first, cmd_host: results, a row a command.

    Returns:
        Segments and commands; ``(FAILED, row)`` for a range outside all runs.
    """
    fill = seg_class.size > 0
    segments = 0
    commands = 0
    run = 0
    drive = np.int64(-1)  # logical object that the drive stands before; -1 unknown
    count = 0  # segments of the open command; 0: none is open
    listed = 0
    total = 0
    at = np.int64(0)  # archive byte that the queue's first byte is
    held = np.int64(0)  # archive byte behind the queue's last byte
    for row in range(start.size):
        done = np.int64(0)
        while done < length[row]:
            here = start[row] + done
            rest = length[row] - done
            while run < run_start.size and run_end[run] <= here:
                run += 1
            if run == run_start.size or run_start[run] > here:
                return FAILED, row
            record = run_record[run]
            index = (here - run_start[run]) // record
            begins = run_start[run] + index * record
            thing = run_object[run] + index
            take = min(rest, run_end[run] - here)
            by_host = False
            what = SKIP
            if lun[row] >= 0:
                to = lun[row] + done
                inside = to % block
                what = WHOLE
                whole = min(take // unit * unit, max_segment) if inside == 0 else 0
                if whole > 0:
                    # Where a segment has to end early, it ends with a record: the next one can
                    # then begin a command without going back.
                    ends = begins + (here + whole - begins) // record * record - here
                    cut_short = whole < take and ends > 0 and ends % unit == 0
                    take = ends if cut_short else whole
                else:
                    take = take if inside == 0 else min(take, block - inside)
                    what = PART
                    by_host = not parts
            elif take < rest:
                return FAILED, row
            descriptor = PART_DESCRIPTOR if what == PART else WHOLE_DESCRIPTOR
            # What has to stand in front of it: discard, locate, discard.
            near = count > 0 and (here < held or begins == held)
            before = at != held if count > 0 and not near else False
            seek = drive != thing if count == 0 else not near
            skip = here - at if near else here - begins
            need = int(before) + int(seek) + int(skip > 0) + 1
            wanted = (
                descriptor
                + SKIP_DESCRIPTOR * (int(before) + int(skip > 0))
                + SEEK_DESCRIPTOR * int(seek)
            )
            full = count + need > max_segments or listed + wanted > list_room or total >= cap
            if count > 0 and (full or by_host):
                count = 0  # the next command begins anew, at the record's beginning
                continue
            if count == 0 and seek and need > max_segments and not by_host:
                # No room for a locate beside the rest: it is a command of its own.
                if fill:
                    cmd_first[commands] = segments
                    cmd_host[commands] = 0
                    seg_class[segments] = SEEK
                    seg_archive[segments] = begins
                    seg_length[segments] = 0
                    seg_origin[segments] = thing
                    seg_record[segments] = record
                segments += 1
                commands += 1
                drive = thing
                continue
            if count == 0:
                if need > max_segments:
                    by_host = True
                if fill:
                    cmd_first[commands] = segments
                    cmd_host[commands] = by_host
                commands += 1
                listed = 0
                total = 0
            if before:
                if fill:
                    seg_class[segments] = SKIP
                    seg_archive[segments] = at
                    seg_length[segments] = held - at
                    seg_origin[segments] = -1
                    seg_record[segments] = record
                segments += 1
            if seek:
                if fill:
                    seg_class[segments] = SEEK
                    seg_archive[segments] = begins
                    seg_length[segments] = 0
                    seg_origin[segments] = thing
                    seg_record[segments] = record
                segments += 1
            if skip > 0:
                if fill:
                    seg_class[segments] = SKIP
                    seg_archive[segments] = here - skip
                    seg_length[segments] = skip
                    seg_origin[segments] = -1
                    seg_record[segments] = record
                segments += 1
            if fill:
                # A range that is read to be dropped is told apart from a skip by its origin.
                seg_class[segments] = what
                seg_archive[segments] = here
                seg_length[segments] = take
                seg_origin[segments] = -2 if lun[row] < 0 else lun[row] + done
                seg_record[segments] = record
            segments += 1
            count += need
            listed += wanted
            total += take
            at = here + take
            last = (at - 1 - run_start[run]) // record
            held = run_start[run] + (last + 1) * record
            drive = run_object[run] + last + 1
            done += take
            if by_host:
                count = 0
    if fill:
        cmd_first[commands] = segments
    return segments, commands


def find_rows(
    origin: Int64Array,
    length: Int64Array,
    on_lun: NDArray[np.bool_],
    volume_start: int,
    cluster: int,
    lcn: Int64Array,
    clusters: Int64Array,
    first: NDArray[np.int32],
    end: NDArray[np.int32],
) -> bool:
    """The rows of ``extents`` that each segment touches, where segments ascend on the LUN.

    Args:
        origin, length, on_lun: (n,) bytes on the LUN; others touch nothing.
        volume_start: first byte of the volume on the LUN.
        cluster: bytes a cluster.
        lcn, clusters: (m,) rows, ascending by lcn; they may overlap.
        first, end: (n,) results.

    Returns:
        False where segments do not ascend; results are then of no use.
    """
    low = 0
    high = 0
    before = np.int64(-1)
    for index in range(origin.size):
        if not on_lun[index]:
            first[index] = 0
            end[index] = 0
            continue
        if origin[index] < before:
            return False
        before = origin[index]
        begin = (before - volume_start) // cluster
        stop = (before + length[index] - volume_start + cluster - 1) // cluster
        while low < lcn.size and lcn[low] + clusters[low] <= begin:
            low += 1
        high = max(low, high)
        while high < lcn.size and lcn[high] < stop:
            high += 1
        first[index] = low
        end[index] = high
    return True
