"""A copy that stopped, in the words of a backup: which side failed, and which files it hits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbtk.errors import (
    CheckConditionError,
    CopyFailedError,
    DeviceReadError,
    DeviceWriteError,
    MediumFullError,
    SbtkError,
    TargetError,
)
from sbtk.jobs.hits import files_at, in_words
from sbtk.ntfs.tables import Tables
from sbtk.plan.encode import segment_range
from sbtk.plan.model import MOVING_TYPES, Plan, Ranges, base_type
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.sense import SenseData, decode
from sbtk.units import format_bytes

_SOURCE_READ_CODES = (codes.UNRECOVERED_READ_ERROR,)
_FULL_CODES = (codes.SPACE_ALLOCATION_FAILED,)


@dataclass(frozen=True)
class Reason:
    """Why a copy stopped.

    Attributes:
        keys: sense keys told, the copy's own and those it forwards.
        code: (ASC, ASCQ) of the innermost.
        lba: block that the innermost names, None where none.
        full: the target has no more room.
        unreadable: the source could not be read.
        write_protected: the target takes no writes.
    """

    keys: tuple[int, ...]
    code: tuple[int, int]
    lba: int | None
    full: bool
    unreadable: bool
    write_protected: bool


def reason_of(sense: bytes) -> Reason | None:
    """Take sense data apart; None where there is none."""
    if len(sense) < 3:
        return None
    told = [decode(sense)]
    for part in told[0].forwarded:
        if len(part.sense) >= 3:
            told.append(decode(part.sense))
    inner: SenseData = told[-1]
    keys = tuple(item.key for item in told)
    full = any(
        item.key == codes.VOLUME_OVERFLOW or item.code in _FULL_CODES or item.eom for item in told
    )
    unreadable = any(
        item.key == codes.MEDIUM_ERROR and item.code in _SOURCE_READ_CODES for item in told
    )
    protected = any(item.code == codes.WRITE_PROTECTED for item in told)
    lba = inner.information if inner.key == codes.MEDIUM_ERROR else None
    return Reason(keys, inner.code, lba, full, unreadable, protected)


def unreadable_range(plan: Plan, segment: int, lba: int | None) -> Ranges:
    """What could not be read: the block that the source named, or the whole segment.

    Args:
        plan: a backup plan.
        segment: row of ``plan.segments`` that stopped.
        lba: block on the source's LUN that the sense data name.
    """
    start = int(plan.segments.origin_bytes[segment])
    length = int(plan.segments.length_bytes[segment])
    block = plan.geometry.block_bytes
    if lba is not None and start <= lba * block < start + length:
        first = lba * block
        unit = max(block, 1 << plan.limits.data_granularity)
        first -= (first - start) % unit
        return Ranges(np.array([first]), np.array([min(unit, start + length - first)]))
    return Ranges(np.array([start]), np.array([length]))


def failed_segment(plan: Plan, command: int, error: CheckConditionError) -> int:
    """The row of ``plan.segments`` in which a list stopped; -1 where that is not told."""
    if not isinstance(error, CopyFailedError):
        return -1
    rows = segment_range(plan, command)
    row = rows.start + error.segments_done
    reason = reason_of(error.sense)
    if plan.kind == "backup" and reason is not None and reason.unreadable and reason.lba:
        # A manager may read several segments at once; the block tells which one it was.
        at = reason.lba * plan.geometry.block_bytes
        start = plan.segments.origin_bytes[rows]
        moves = np.isin(base_type(plan.segments.type_code[rows]), MOVING_TYPES)
        holds = moves & (start <= at) & (at < start + plan.segments.length_bytes[rows])
        if holds.any():
            return int(rows.start + np.flatnonzero(holds)[0])
    if row >= rows.stop:
        return -1
    moving = base_type(plan.segments.type_code[row : row + 1])[0] in MOVING_TYPES
    return row if moving or plan.kind == "verify" else -1


def explain(
    error: CheckConditionError, plan: Plan, command: int, target: str, tables: Tables | None
) -> SbtkError:
    """The error that a user is told."""
    reason = reason_of(error.sense)
    done = int(plan.segments.length_bytes[: int(plan.commands.first_segment[command])].sum())
    if reason is None:
        return error
    if reason.full:
        return MediumFullError(
            f"{target} is full after {format_bytes(done)} of "
            f"{format_bytes(int(plan.segments.length_bytes.sum()))}: what is on it is no set",
            hint="Use a larger medium; the next set on this one takes the unfinished one's place",
        )
    if reason.write_protected:
        return TargetError(f"{target} is write-protected", hint="Choose another target")
    row = failed_segment(plan, command, error)
    if reason.unreadable and row >= 0:
        return _unreadable(plan, row, reason, target, tables)
    if codes.MEDIUM_ERROR in reason.keys and reason.code == codes.WRITE_ERROR:
        return DeviceWriteError(f"{target} cannot be written: {error}", hint="Check the medium")
    return error


def _unreadable(
    plan: Plan, row: int, reason: Reason, target: str, tables: Tables | None
) -> DeviceReadError:
    if plan.kind != "backup":
        at = int(plan.segments.archive_start_bytes[row])
        return DeviceReadError(
            f"{target} cannot be read at byte {at} of the set",
            hint="sbtk verify tells which files are hit; restore the others with --file",
        )
    bad = unreadable_range(plan, row, reason.lba)
    hit = ""
    if tables is not None:
        hit = f"; it belongs to {in_words(*files_at(tables, plan.geometry, bad))}"
    first = int(bad.start_bytes[0]) // plan.geometry.block_bytes
    return DeviceReadError(
        f"the source cannot be read at LBA {first} ({format_bytes(bad.total_bytes)}){hit}",
        hint="Pass --on-error skip to put zeros there and to go on; the set says so",
    )
