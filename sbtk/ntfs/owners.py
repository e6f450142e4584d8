"""Who owns what: extension records to their base records, pieces of a run list to their stream.

Works on the rows of a whole $MFT, vectorised; everything that does not fit becomes a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.ntfs.columns import encode_text, numpy_values, take
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.rows import Rows

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
EndVcn = Callable[[I64], I64]

NO_OWNER = -1


class Owners(NamedTuple):
    """Base record of every record number, and the rows of the base records.

    Attributes:
        of_record: (record_count,) int64: a base record's own number, an extension's base record,
            ``NO_OWNER`` for all others.
        base_rows: rows of the record columns that are base records, in record order.
        has_extensions: some record is an extension, so that rows of one file lie apart.
    """

    of_record: I64
    base_rows: I64
    has_extensions: bool


def find_owners(rows: Rows, findings: FindingList) -> Owners:
    """Map extension records to base records; one that does not fit has no owner.

    It fits if its base record is in use, is no extension itself, and has the sequence number that
    the reference names.
    """
    record, base = rows["record"], rows["base"]
    is_base = base < 0
    of_record = np.full(rows.record_count, NO_OWNER, np.int64)
    base_rows = np.flatnonzero(is_base)
    of_record[record[base_rows]] = record[base_rows]
    extension_rows = np.flatnonzero(~is_base)
    if len(extension_rows):
        target = base[extension_rows]
        exists = target < rows.record_count
        at = np.searchsorted(record, np.where(exists, target, 0))
        at = np.minimum(at, len(record) - 1)
        fits = (
            exists
            & (record[at] == target)
            & is_base[at]
            & (rows["sequence"][at] == rows["base_sequence"][extension_rows])
        )
        of_record[record[extension_rows[fits]]] = target[fits]
        base_of = dict(zip(record[extension_rows].tolist(), target.tolist(), strict=True))
        _report_orphans(rows, extension_rows[~fits], of_record, base_of, findings)
    return Owners(of_record, base_rows, bool(len(extension_rows)))


def _report_orphans(
    rows: Rows, orphans: I64, of_record: I64, base_of: dict[int, int], findings: FindingList
) -> None:
    """A row at each; but one at the base record where it is what is wrong, not its extensions."""
    columns = (rows[name][orphans].tolist() for name in ("record", "base", "base_sequence"))
    groups: dict[tuple[int, int], list[int]] = {}
    for record, base, sequence in zip(*columns, strict=True):
        groups.setdefault((base, sequence), []).append(record)
    known = {base: findings.teller(base) for base, _ in groups}
    for (base, sequence), records in groups.items():
        exists = base < rows.record_count
        by = known[base] if exists and of_record[base] != base else None
        became_extension = base in base_of and base_of[base] not in base_of
        if by is None and exists and (len(records) > 1 or became_extension):
            by = base
        what = f"record {base}, which is no base record in use with sequence {sequence}"
        if by is None:
            for record in records:
                findings.add(
                    "warning", "extension-orphan",
                    f"it extends {what}; its attributes belong to no file", record=record,
                )  # fmt: skip
            continue
        findings.add(
            "warning", "extension-orphan",
            f"{len(records)} records, the first is {records[0]}, extend {what}; their attributes "
            "belong to no file", record=by,
        )  # fmt: skip
        for record in records:
            findings.explain(record, by)


def order_by_owner(owner: I64) -> I64 | None:
    """Rows sorted by owner, base before extension records, without those of no owner.

    Returns:
        Row numbers, or None if the rows are in order as they are.
    """
    if len(owner) == 0 or (owner[0] >= 0 and bool(np.all(owner[1:] >= owner[:-1]))):
        return None
    order = np.argsort(owner, kind="stable")
    return order[int(np.searchsorted(owner, 0, sorter=order)) :]


class Pieces(NamedTuple):
    """The pieces of streams that are spread over extension records.

    Attributes:
        rows: (k,) rows that continue the stream of another row.
        heads: (k,) row of the piece that stands for that stream.
        no_start: rows that stand for a stream whose first piece was not found: their sizes mean
            nothing.
    """

    rows: I64
    heads: I64
    no_start: I64


def join_pieces(
    owner: I64, columns: dict[str, Any], names: pa.LargeStringArray, end_vcn: EndVcn,
    findings: FindingList,
) -> Pieces:  # fmt: skip
    """Join the pieces of streams that are spread over extension records.

    Args:
        owner: base record of each stream row, sorted.
        columns: ``attribute_type``, ``lowest_vcn`` and ``resident`` of each row.
        names: attribute name of each row.
        end_vcn: VCN behind the last run of each of these rows.
        findings: takes the gaps.
    """
    lowest_vcn = columns["lowest_vcn"]
    later = np.flatnonzero(lowest_vcn > 0)
    if not len(later):
        none = np.empty(0, np.int64)
        return Pieces(none, none, none)
    spread = np.zeros(int(owner[-1]) + 1, np.bool_)
    spread[owner[later]] = True
    rows = np.flatnonzero(spread[owner] & ~columns["resident"])
    codes = numpy_values(encode_text(take(names, rows)).indices)
    keys = (lowest_vcn[rows], codes, columns["attribute_type"][rows], owner[rows])
    order = np.lexsort(keys)
    rows = rows[order]
    same = np.ones(len(rows), np.bool_)
    same[0] = False
    for key in keys[1:]:
        same[1:] &= key[order][1:] == key[order][:-1]
    starts = ~same | (lowest_vcn[rows] == 0)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    _report_gaps(owner, rows, starts, lowest_vcn, end_vcn(rows), findings)
    return Pieces(rows[~starts], rows[first[~starts]], rows[starts & (lowest_vcn[rows] > 0)])


def _report_gaps(
    owner: I64, rows: I64, starts: Mask, lowest_vcn: I64, end_vcn: I64, findings: FindingList
) -> None:
    expected = np.zeros(len(rows), np.int64)
    expected[1:] = end_vcn[:-1]
    expected[starts] = 0
    wrong = rows[lowest_vcn[rows] != expected]
    for row in wrong[np.unique(owner[wrong], return_index=True)[1]]:
        findings.add_effect(
            "error", "stream-gap",
            f"a stream's piece from VCN {lowest_vcn[row]} on does not follow the piece before it: "
            "an extension record is missing or damaged", record=int(owner[row]),
        )  # fmt: skip
