"""The loops of reading: a set from tape, and the extents that segments touch; see ``loops``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbtk.plan.loops import (
    FAILED,
    PART,
    PART_DESCRIPTOR,
    SEEK,
    SEEK_DESCRIPTOR,
    SKIP,
    SKIP_DESCRIPTOR,
    WHOLE,
    WHOLE_DESCRIPTOR,
)

Int64Array = NDArray[np.int64]


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
