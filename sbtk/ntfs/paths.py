"""Paths of names: from (record, parent, name) to volume-relative text.

The root is "."; a name whose folders do not lead to the root lies below ``$Orphans/PARENT``, where
PARENT is the record number of the folder that is missing, that is on a loop, or whose own path is
too long; a file without any name is ``$Orphans/RECORD``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.ntfs.chunk import ESCAPE, FAULT_TEXT, I32, I64, U8, Fault
from sbtk.ntfs.columns import arrow_array, compute, take, text_array, text_buffers, text_of
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.kernels import Kernels
from sbtk.ntfs.layout import ROOT_RECORD, Namespace, SystemRecord

UP_TOP, UP_ORPHAN, UP_ROOT = -1, -2, -3
"""In ``up``: a name in the root folder, a name whose folder is missing, the root's own name."""

CUT_LOOP, CUT_LONG = 1, 2

MAX_PATH_BYTES = 3 * 32_767
"""The longest path that Windows can name, in UTF-8."""

_MAX_SHARED_PIECES = 4096
_BUDGET_BYTES = 64 * 1024 * 1024


class PathBuilder:
    """Joins paths for the names of one volume."""

    def __init__(
        self, kernels: Kernels, findings: FindingList, record_count: int, mft_bytes: int
    ) -> None:
        """Prepare for a volume with an $MFT of that size: it bounds what all paths may take."""
        self._kernels = kernels
        self._findings = findings
        self._record_count = record_count
        self._budget_bytes = _BUDGET_BYTES + mft_bytes
        self._first = np.empty(0, np.int32)

    def escape_dots(self, record: I64, names: pa.LargeStringArray) -> pa.LargeStringArray:
        """Escape "." and "..", which lead elsewhere as parts of a path; the root keeps its name."""
        short = np.diff(text_buffers(names)[0]) <= 2
        rows = np.flatnonzero(short & (record != ROOT_RECORD))
        rows = np.array([row for row in rows if names[row].as_py() in (".", "..")], np.int64)
        if not len(rows):
            return names
        for row in rows:
            self._findings.add(
                "info", Fault.NAME_TEXT.code, FAULT_TEXT[Fault.NAME_TEXT], record=int(record[row])
            )
        mask = np.zeros(len(names), np.bool_)
        mask[rows] = True
        instead = [f"{ESCAPE}002E{names[row].as_py()[1:]}" for row in rows]
        return compute("replace_with_mask", names, arrow_array(mask), text_of(instead))

    def build(
        self,
        record: I64,
        columns: Mapping[str, npt.NDArray[Any]],
        names: pa.LargeStringArray,
        sequence_of: npt.NDArray[np.int32],
    ) -> pa.LargeStringArray:
        """The path of every name.

        Args:
            record: base record of each name, sorted.
            columns: ``parent`` (record number of its folder), ``parent_sequence`` (sequence number
                that the folder must have; 0 is not checked) and ``namespace`` of each name.
            names: the names.
            sequence_of: sequence number of every base record in use, -1 for all other records.
        """
        parent = columns["parent"]
        self._first = first_names(record, columns["namespace"], self._record_count)
        up = self._link(record, parent, columns["parent_sequence"], sequence_of)
        name_offsets, name_blob = text_buffers(names)
        path_offsets = np.zeros(len(up) + 1, np.int64)
        cut = np.zeros(len(up), np.uint8)
        for limit_bytes in (MAX_PATH_BYTES, 4096, 1024, 0):
            self._kernels.path_lengths(up, parent, name_offsets, limit_bytes, path_offsets[1:], cut)
            if int(path_offsets.sum()) <= self._budget_bytes:
                break
        np.cumsum(path_offsets, out=path_offsets)
        blob: U8 = np.empty(int(path_offsets[-1]), np.uint8)
        self._kernels.path_fill(up, cut, parent, name_offsets, name_blob, path_offsets, blob)
        orphans = np.flatnonzero(up == UP_ORPHAN)
        self._report_orphans(record[orphans], parent[orphans], sequence_of)
        self._report_cuts(record, parent, up, cut)
        return text_array(path_offsets, blob)

    def _link(
        self,
        record: I64,
        parent: I64,
        parent_sequence: npt.NDArray[np.uint16],
        sequence_of: npt.NDArray[np.int32],
    ) -> I32:
        """For each name the row of its folder's first name, or what stands for it."""
        folder = np.where(parent < self._record_count, parent, 0).astype(np.int32)
        found = sequence_of[folder]
        fits = (parent < self._record_count) & (found >= 0)
        fits &= (parent_sequence == 0) | (parent_sequence == found)
        del found
        up = self._first[folder]
        up[~fits | (up == -1)] = UP_ORPHAN  # no such folder, or one without a name
        up[fits & (folder == ROOT_RECORD)] = UP_TOP
        up[record == ROOT_RECORD] = UP_ROOT
        return up

    def _report_orphans(self, record: I64, parent: I64, sequence_of: npt.NDArray[np.int32]) -> None:
        """A row at each name's record; but one at the folder where it is what is wrong."""
        order = np.argsort(parent, kind="stable")
        for names in np.split(order, np.flatnonzero(np.diff(parent[order])) + 1):
            if not len(names):
                return
            folder = int(parent[names[0]])
            exists = folder < self._record_count
            nameless = exists and sequence_of[folder] >= 0 and self._first[folder] < 0
            if nameless:
                self._report_nameless(folder)
            gone = nameless or (exists and sequence_of[folder] < 0)
            by = self._findings.teller(folder) if gone else None
            children = np.unique(record[names]).tolist()
            if by is None and exists and len(children) > 1:
                by = folder
            shown = f"shown below $Orphans/{folder}"
            if by is None:
                for number in children:
                    self._findings.add_effect(
                        "warning", "path-orphan",
                        f"its folder, record {folder}, is not in use, or is another file by now; "
                        f"it is {shown}", record=number,
                    )  # fmt: skip
                continue
            self._findings.add(
                "warning", "path-orphan",
                f"files or folders below record {folder} that have no full path, and are {shown}: "
                f"{len(children)}", record=by,
            )  # fmt: skip

    def _report_nameless(self, record: int) -> None:
        if self._findings.teller(record) is None:  # else that is why
            self._findings.add("warning", "name-missing", "the file has no name", record=record)

    def _report_cuts(self, record: I64, parent: I64, up: I32, cut: U8) -> None:
        for row in np.flatnonzero(cut == CUT_LONG):
            self._findings.add(
                "warning", "path-too-long",
                f"its folder, record {parent[row]}, has too long a path; it is shown below "
                f"$Orphans/{parent[row]}", record=int(record[row]),
            )  # fmt: skip
        for rows in _loops(np.flatnonzero(cut == CUT_LOOP), up):
            members = np.unique(record[rows]).tolist()
            others = f" over {len(members) - 1} other folders" if len(members) > 1 else ""
            self._findings.add(
                "warning", "path-loop",
                f"its folder, record {parent[rows[0]]}, leads back to it{others} and not to the "
                "root; all of them are shown below $Orphans", record=members[0],
            )  # fmt: skip
            for member in members[1:]:
                self._findings.explain(member, by=members[0])

    def of_files(self, record: I64, paths: pa.LargeStringArray) -> pa.ChunkedArray:
        """The path of each file (sorted record numbers): that of its first proper name.

        Where files and names run in step, the text is shared with ``paths`` instead of copied.
        """
        row = self._first[record]
        if not len(row):
            return pa.chunked_array([paths])
        nameless = np.flatnonzero(row < 0)
        edges = np.flatnonzero((row[1:] < 0) | (row[1:] != row[:-1] + 1)) + 1
        if len(edges) > _MAX_SHARED_PIECES:
            return pa.chunked_array([self._gather(row, record, nameless, paths)])
        pieces = []
        for start, end in zip([0, *edges], [*edges, len(row)], strict=True):
            if row[start] >= 0:
                pieces.append(paths.slice(int(row[start]), int(end - start)))
            else:
                pieces.append(self._name_nameless(record[start:end]))
        return pa.chunked_array(pieces)

    def _gather(
        self, row: I32, record: I64, nameless: npt.NDArray[np.intp], paths: pa.LargeStringArray
    ) -> pa.LargeStringArray:
        chosen = take(paths, np.maximum(row, 0)) if len(paths) else text_of([""] * len(row))
        if not len(nameless):
            return chosen
        instead = self._name_nameless(record[nameless])
        return compute("replace_with_mask", chosen, arrow_array(row < 0), instead)

    def _name_nameless(self, records: I64) -> pa.LargeStringArray:
        for number in records[records >= SystemRecord.FIRST_USER].tolist():
            self._report_nameless(number)
        return text_of([f"$Orphans/{number}" for number in records])


def _loops(rows: npt.NDArray[np.intp], up: I32) -> list[list[int]]:
    """The rows on loops, those of each loop together."""
    number: dict[int, int] = {}
    loops: list[list[int]] = []
    for start in rows.tolist():
        walked, row = [], start
        while row >= 0 and row not in number:
            number[row] = len(loops)
            walked.append(row)
            row = int(up[row])
        met = number.get(row, len(loops))
        if met == len(loops):
            loops.append(walked)
        else:
            for each in walked:
                number[each] = met
            loops[met] += walked
    return loops


def first_names(record: I64, namespace: U8, record_count: int) -> I32:
    """For each record number the row of its first name that is no DOS name; any name failing that.

    Returns:
        (record_count,) int32, -1 for records without a name.
    """
    first = np.full(record_count, -1, np.int32)
    backwards = np.arange(len(record) - 1, -1, -1, dtype=np.int32)
    first[record[backwards]] = backwards  # the last assignment to a record wins: its first name
    proper = backwards[namespace[backwards] != Namespace.DOS]
    first[record[proper]] = proper
    return first
