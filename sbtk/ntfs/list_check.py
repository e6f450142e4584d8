"""Holds every $ATTRIBUTE_LIST against the extension records that were found.

The tables are built from the extension records' own references to their base. On a sound volume
the lists say the same; where they do not, part of a file is lost or stale, and a finding says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from sbtk.ntfs.chunk import I64, U8, Fault
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import LIST_ENTRY_MIN_BYTES, REFERENCE_MASK
from sbtk.ntfs.owners import NO_OWNER, Owners
from sbtk.ntfs.paths import first_names
from sbtk.ntfs.rows import Rows

ReadList = Callable[[int], bytes | None]
"""Base record -> the bytes of its non-resident list; None if they cannot be read."""


def check_lists(
    rows: Rows, owners: Owners, outside: I64, read_list: ReadList, findings: FindingList
) -> None:
    """Compare all lists with ``owners``; takes the list columns out of ``rows``.

    Args:
        rows: of the whole $MFT.
        owners: base record of every record.
        outside: base records whose list is not resident.
        read_list: fetches those.
        findings: takes what does not agree.
    """
    base = rows.pop("list_record")
    offsets, blob = rows.pop("list_offsets"), rows.pop("list_blob")
    bases, starts, ends = [base.astype(np.int64)], [offsets[:-1]], [offsets[1:]]
    blobs, unread = [blob], []
    total = len(blob)
    for record in outside.tolist():
        data = read_list(record)
        if data is None:
            unread.append(record)
            findings.add(
                "warning", "attribute-list-unread",
                "its attribute list lies in clusters that cannot be read here; its extension "
                "records were found by their own references", record=record,
            )  # fmt: skip
            continue
        bases.append(np.array([record]))
        starts.append(np.array([total]))
        total += len(data)
        ends.append(np.array([total]))
        blobs.append(np.frombuffer(data, np.uint8))
    owner, target = _entries(
        np.concatenate(bases), np.concatenate(starts), np.concatenate(ends),
        np.concatenate(blobs), findings,
    )  # fmt: skip
    _compare(rows, owners, owner, target, np.array(unread, np.int64), findings)


def _entries(base: I64, at: I64, end: I64, blob: U8, findings: FindingList) -> tuple[I64, I64]:
    """(base record, record that holds the attribute) of every entry, in waves over all lists."""
    found: list[tuple[I64, I64]] = [(np.empty(0, np.int64),) * 2]
    while len(base):
        # What is left of fewer bytes than an entry has is slack if it is zero.
        fits = at + LIST_ENTRY_MIN_BYTES <= end
        short = ~fits & (at < end)
        for i in np.flatnonzero(short):
            if blob[at[i] : end[i]].any():
                _report(findings, int(base[i]))
        base, at, end = base[fits], at[fits], end[fits]
        entry_bytes = _read(blob, at + 4, 2)
        good = (entry_bytes >= LIST_ENTRY_MIN_BYTES) & (at + entry_bytes <= end)
        for i in np.flatnonzero(~good):
            if blob[at[i] : end[i]].any():
                _report(findings, int(base[i]))
        base, at, end, entry_bytes = base[good], at[good], end[good], entry_bytes[good]
        found.append((base, _read(blob, at + 16, 8) & REFERENCE_MASK))
        at = at + entry_bytes
    owner, target = (np.concatenate(column) for column in zip(*found, strict=True))
    return owner, target


def _read(blob: U8, at: I64, width: int) -> I64:
    value = np.zeros(len(at), np.int64)
    for i in range(width):
        value |= blob[at + i].astype(np.int64) << (8 * i)
    return value


def _report(findings: FindingList, record: int) -> None:
    findings.add(
        "error", "attribute-list-damaged", "an entry of its attribute list has an impossible "
        "length; those behind it are lost", record=record,
    )  # fmt: skip


def _compare(
    rows: Rows, owners: Owners, owner: I64, target: I64, unread: I64, findings: FindingList
) -> None:
    # Lists of records that are no base record belong to nobody: those are orphans already.
    mine = owners.of_record[owner] == owner
    owner, target = owner[mine], target[mine]
    elsewhere = target != owner
    owner, target = owner[elsewhere], target[elsewhere]
    known = target < rows.record_count
    attached = np.zeros(len(target), np.bool_)
    attached[known] = owners.of_record[target[known]] == owner[known]
    extension = rows["record"][rows["base"] >= 0].astype(np.int64)
    extension = extension[owners.of_record[extension] >= 0]
    base = owners.of_record[extension]
    unlisted = ~np.isin(extension, target[attached]) & ~np.isin(base, unread)
    titles = _Titles(rows, owners)
    _report_damaged(rows, owners, titles, findings)
    if not attached.all():
        pairs = np.unique(np.stack([owner[~attached], target[~attached]], axis=1), axis=0)
        strays = set(extension[unlisted].tolist())
        _report_missing(pairs, rows.record_count, owners, strays, titles, findings)
    _report_unlisted(base[unlisted], extension[unlisted], findings)


class _Titles:
    """Words for a base record."""

    def __init__(self, rows: Rows, owners: Owners) -> None:
        self._rows = rows
        self._owners = owners

    @cached_property
    def _name_row(self) -> I64:
        """(record_count,): a row of the name columns for every base record; -1 if it has none."""
        owner = self._owners.of_record[self._rows["name_record"]]
        owned = np.flatnonzero(owner >= 0)
        first = first_names(owner[owned], self._rows["namespace"][owned], self._rows.record_count)
        return np.where(first >= 0, np.append(owned, NO_OWNER)[first], NO_OWNER)

    def has_name(self, record: int) -> bool:
        """Whether a name of this file was found."""
        return bool(self._name_row[record] >= 0)

    def of(self, record: int) -> str:
        """``record 82 ("report.doc")``."""
        row = int(self._name_row[record])
        if row < 0:
            return f"record {record}"
        start, end = self._rows["name_offsets"][row : row + 2].tolist()
        return f'record {record} ("{self._rows["name_blob"][start:end].tobytes().decode()}")'


def _report_damaged(rows: Rows, owners: Owners, titles: _Titles, findings: FindingList) -> None:
    """Extension records that are known to be damaged: whose they are."""
    damaged = rows.faulty_record[rows.fault != Fault.NAME_TEXT]
    base = owners.of_record[damaged]
    mine = (base >= 0) & (base != damaged)
    for record, owner in zip(damaged[mine].tolist(), base[mine].tolist(), strict=True):
        findings.add(
            "error", "extension-missing", f"it holds a part of {titles.of(owner)}", record=record
        )
        findings.explain(owner, by=record)


def _report_missing(
    pairs: I64, record_count: int, owners: Owners, strays: set[int], titles: _Titles,
    findings: FindingList,
) -> None:  # fmt: skip
    """Records that a list names and that are not its file's: the damaged one of the two tells."""
    missing: dict[int, list[int]] = {}
    for base, target in pairs.tolist():
        by = None
        if target < record_count:
            if owners.of_record[target] != target:
                by = target if target in strays else findings.teller(target)
            elif not titles.has_name(target):
                by = target
        if by is None or by == base:
            missing.setdefault(base, []).append(target)
            continue
        findings.add(
            "error", "extension-missing", f"it held a part of {titles.of(base)}, which is lost",
            record=by,
        )  # fmt: skip
        findings.explain(base, by)
    for base, targets in missing.items():
        findings.add(
            "error", "extension-missing",
            f"its attribute list names record {targets[0]}"
            + (f" and {len(targets) - 1} more" if len(targets) > 1 else "")
            + ", which holds nothing of this file: part of the file is lost", record=base,
        )  # fmt: skip


def _report_unlisted(base: I64, extension: I64, findings: FindingList) -> None:
    """Extension records that no list names, unless the list is known to be the damaged part."""
    groups: dict[int, list[int]] = {}
    for owner, record in zip(base.tolist(), extension.tolist(), strict=True):
        if findings.teller(owner) is None:
            groups.setdefault(owner, []).append(record)
    for owner, records in groups.items():
        if len(records) == 1:
            findings.add(
                "warning", "extension-unlisted",
                f"it extends record {owner}, whose attribute list does not name it: it may be "
                "stale", record=records[0],
            )  # fmt: skip
            findings.explain(owner, by=records[0])
        else:
            findings.add(
                "warning", "extension-unlisted",
                f"{len(records)} records, the first is {records[0]}, extend it, and its attribute "
                "list does not name them: they may be stale", record=owner,
            )  # fmt: skip
