"""$MFT:$BITMAP, one bit a record: what it knows and the records themselves do not say.

A record that was overwritten with zeros looks like one that was never used, and a record whose
in-use flag was lost like a deleted file: only this bitmap tells that files are missing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sbtk.errors import DeviceReadError
from sbtk.ntfs import layout
from sbtk.ntfs.chunk import I64, U8, Status
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType, SystemRecord
from sbtk.ntfs.mft import MftReader
from sbtk.ntfs.record import RecordError

_FIRST_RESERVED = 12
"""Records 12 to 23 are reserved: marked or not as the formatting tool saw fit, and no files."""

_MAX_LOOKED_BEHIND = 64


def check(mft: MftReader, status: U8, findings: FindingList) -> None:
    """Hold the records against $MFT's own bitmap.

    Args:
        mft: the volume's $MFT.
        status: (record_count,) uint8, a ``Status`` each.
        findings: takes what does not agree; knows of damaged and unread records already.
    """
    try:
        held = mft.read_own(AttributeType.BITMAP, -(-mft.held_records // 8))
    except (RecordError, DeviceReadError) as error:
        findings.add(
            "warning", "mft-bitmap-unread",
            f"$MFT's own bitmap cannot be read ({error.args[0]}): records that were zeroed cannot "
            "be told from unused ones", record=int(SystemRecord.MFT),
        )  # fmt: skip
        return
    bits = np.unpackbits(np.frombuffer(held, np.uint8), bitorder="little").view(np.bool_)
    if len(bits) < len(status):
        findings.add(
            "warning", "mft-bitmap-short",
            f"$MFT's own bitmap covers {len(bits)} of {len(status)} records: among the others, "
            "those that were zeroed cannot be told from unused ones",
            record=int(SystemRecord.MFT),
        )  # fmt: skip
    status = status[: len(bits)]
    marked = bits[: len(status)]
    _report_lost(np.flatnonzero(marked & (status == Status.BLANK)), findings)
    _report_freed(np.flatnonzero(marked & (status == Status.FREE)), findings)
    used = (status == Status.BASE) | (status == Status.EXTENSION)
    _report_unmarked(np.flatnonzero(used & ~marked), findings)
    _look_behind(mft, len(status) + np.flatnonzero(bits[len(status) :]), findings)


def _report_lost(records: I64, findings: FindingList) -> None:
    for record in _of_files(records, findings):
        findings.add(
            "error", "record-blank",
            "the record is blank, and $MFT's bitmap says that it is in use: its file is lost",
            record=record,
        )  # fmt: skip


def _report_freed(records: I64, findings: FindingList) -> None:
    for first, last in _stretches(_of_files(records, findings)):
        what = f"records {first} to {last} are" if last > first else "the record is"
        findings.add(
            "warning", "record-freed",
            f"{what} marked free, and in use in $MFT's bitmap: deleted while this was copied, or "
            "a file is lost", record=first,
        )  # fmt: skip
        for record in range(first + 1, last + 1):
            findings.explain(record, by=first)


def _report_unmarked(records: I64, findings: FindingList) -> None:
    for first, last in _stretches(_of_files(records, findings)):
        what = f"records {first} to {last} are" if last > first else "the record is"
        findings.add_effect(
            "warning", "record-unmarked",
            f"{what} in use, and free in $MFT's bitmap: a new file may overwrite what is there",
            record=first,
        )  # fmt: skip


def _look_behind(mft: MftReader, marked: I64, findings: FindingList) -> None:
    """Records in use behind the end that $MFT's sizes state, within its clusters."""
    for record in marked[:_MAX_LOOKED_BEHIND].tolist():
        try:
            head = mft.stream.read(record * mft.boot.record_bytes, 24)
        except DeviceReadError:
            return
        in_use = int.from_bytes(head[22:24], "little") & layout.RECORD_IN_USE
        if head[:4] == layout.RECORD_SIGNATURE and in_use:
            findings.add(
                "error", "mft-size",
                f"$MFT ends after {mft.record_count} records by its sizes, and record {record}, "
                "behind that, is in use: files are missing here",
                record=int(SystemRecord.MFT),
            )  # fmt: skip
            return


def _of_files(records: I64, findings: FindingList) -> list[int]:
    """Those that are not reserved, and not known for worse already."""
    kept = (records < _FIRST_RESERVED) | (records >= SystemRecord.FIRST_USER)
    return [record for record in records[kept].tolist() if findings.teller(record) is None]


def _stretches(records: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of every run of consecutive numbers."""
    numbers = np.array(records, np.int64)
    edges = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], edges + 1])] if len(numbers) else numbers
    lasts = numbers[np.concatenate([edges, [len(numbers) - 1]])] if len(numbers) else numbers
    return zip(firsts.tolist(), lasts.tolist(), strict=True)
