"""Finds $MFT on a volume and fetches single records from it.

$MFT is a file that describes itself: record 0 holds its run list or, when that outgrew the record,
an attribute list whose pieces lie in extension records somewhere inside $MFT. They are followed as
far as the parts that are already known reach, until nothing new turns up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from sbtk.device.base import BlockDevice
from sbtk.errors import DeviceReadError, VolumeDamagedError
from sbtk.ntfs.attribute_list import ListEntry, parse
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.record import Attribute, Record, RecordError, parse_record
from sbtk.ntfs.runlist import Run
from sbtk.ntfs.system import SystemStream

MAX_LIST_BYTES = 256 * 1024
"""NTFS allows no larger attribute list (ntfs-3g: attrib.c, "Corrupt attribute list")."""

_MOST_ROUNDS = 64  # through the list; it is in the order of VCNs, so that one is enough as a rule
_MOST_RUNS = 1 << 20  # of $MFT itself; what has more is a lie that would cost minutes


class MftReader:
    """Where the records are.

    Attributes:
        boot: the volume's geometry.
        stream: $MFT's bytes.
        record_count: records that exist: within $MFT's initialised size and its runs.
        held_records: records that its clusters have room for, whatever its sizes say.
        mirror_used: record 0 came from $MFTMirr.
        parts_missing: some piece of $MFT's own run list could not be read.
    """

    def __init__(
        self, device: BlockDevice, boot: BootSector, findings: FindingList | None = None
    ) -> None:
        """Find $MFT.

        Raises:
            VolumeDamagedError: neither record 0 nor its mirror leads to $MFT.
        """
        self._device = device
        self.boot = boot
        self._findings = FindingList() if findings is None else findings
        self.mirror_used = False
        self.parts_missing = False
        self._first, data = self._read_record_0()
        self._listed: list[ListEntry] = []
        self._known = _KnownRuns()
        self._known.add(data.runs)
        self._data_bytes = min(data.data_bytes, data.initialized_bytes)
        self._rebuild()
        listed = self._first.find(AttributeType.ATTRIBUTE_LIST)
        if listed is not None:
            self._follow_list(listed)
        self.record_count = self._count_records()

    @property
    def runs(self) -> list[Run]:
        """The runs of $MFT's unnamed $DATA, in VCN order."""
        return [Run(*row) for row in self._known.table().tolist()]

    def read_record(self, number: int) -> Record:
        """Fetch record ``number``.

        Raises:
            RecordError: there is no such record, or it is damaged.
            DeviceReadError: its clusters cannot be read.
        """
        if not 0 <= number < self.record_count:
            raise RecordError(f"no record {number}: $MFT has {self.record_count}")
        return self._fetch(number)

    def read_value(self, attribute: Attribute, max_bytes: int) -> bytes:
        """The value of an attribute whose runs are all in it, raw, at most ``max_bytes`` of it.

        Raises:
            RecordError: its run list is damaged.
            DeviceReadError: its clusters cannot be read.
        """
        if attribute.resident:
            return attribute.value[:max_bytes]
        if attribute.run_error:
            raise RecordError(attribute.run_error)
        stream = ClusterStream.from_runs(self._device, self.boot.cluster_bytes, attribute.runs)
        wanted_bytes = min(attribute.data_bytes, stream.covered_bytes, max_bytes)
        return stream.read(0, max(wanted_bytes, 0))

    def read_own(self, attribute_type: AttributeType, max_bytes: int) -> bytes:
        """The first bytes of an unnamed attribute of $MFT itself, wherever its pieces lie.

        Raises:
            RecordError: it has none, or none that can be followed.
            DeviceReadError: its clusters cannot be read.
        """
        known, first = _KnownRuns(), None
        for piece in self._own_pieces(attribute_type):
            if first is None and (piece.resident or not piece.lowest_vcn):
                first = piece
            if known.runs < _MOST_RUNS:
                known.add(piece.runs)
        if first is None:
            raise RecordError("its start is missing")
        if first.resident:
            return first.value[:max_bytes]
        if first.run_error:
            raise RecordError(first.run_error)
        clusters = known.stream(self._device, self.boot.cluster_bytes)
        data_bytes = max(first.data_bytes, 0)
        initialized_bytes = max(first.initialized_bytes, 0)
        return SystemStream(0, data_bytes, initialized_bytes, clusters).read(max_bytes)

    def _own_pieces(self, attribute_type: AttributeType) -> Iterator[Attribute]:
        """Unnamed attributes of one type, of record 0 and of the records that its list names."""
        yield from _unnamed(self._first, attribute_type)
        listed = {
            (entry.record, entry.sequence): None for entry in self._listed
            if entry.attribute_type == attribute_type and not entry.name and entry.record
        }  # fmt: skip
        for number, sequence in listed:
            holder = self._fetch_extension(number)
            if holder is not None and holder.sequence == sequence:
                yield from _unnamed(holder, attribute_type)

    def _fetch(self, number: int) -> Record:
        record_bytes = self.boot.record_bytes
        return parse_record(self.stream.read(number * record_bytes, record_bytes), number)

    def _rebuild(self) -> None:
        self.stream = self._known.stream(self._device, self.boot.cluster_bytes)
        self._stale = False

    def _count_records(self) -> int:
        """Records within $MFT's size, its runs, and the bytes that the device has."""
        claimed_bytes = min(self._data_bytes, self.stream.covered_bytes)
        real_bytes = self._known.real_clusters * self.boot.cluster_bytes
        held_bytes = min(real_bytes, self._device.size_bytes)
        if claimed_bytes > held_bytes and not self.parts_missing:
            self._findings.add(
                "error", "mft-size",
                f"$MFT claims {claimed_bytes} bytes and has clusters for {held_bytes}", record=0,
            )  # fmt: skip
        self.held_records = max(held_bytes, 0) // self.boot.record_bytes
        limit_bytes = max(held_bytes, 0) if not self.parts_missing else self._device.size_bytes
        return max(0, min(claimed_bytes, limit_bytes)) // self.boot.record_bytes

    def _read_record_0(self) -> tuple[Record, Attribute]:
        reasons = []
        for lcn, place in (
            (self.boot.mft_lcn, "$MFT"),
            (self.boot.mft_mirror_lcn, "$MFTMirr"),
        ):
            try:
                record, data = self._try_record_0(lcn)
            except (RecordError, DeviceReadError) as error:
                reasons.append(f"{place} at cluster {lcn}: {error.args[0]}")
                continue
            if reasons:
                self.mirror_used = True
                self._findings.add(
                    "error", "mft-record-0-damaged",
                    f"record 0 was taken from $MFTMirr ({reasons[0]})", record=0, lcn=lcn,
                )  # fmt: skip
            return record, data
        raise VolumeDamagedError(
            f"$MFT cannot be found ({'; '.join(reasons)})",
            hint="Repair a copy of the disk with chkdsk, or restore its boot sector",
        )

    def _try_record_0(self, lcn: int) -> tuple[Record, Attribute]:
        if lcn < 0:
            raise RecordError("outside the volume")
        raw = self._device.read(lcn * self.boot.cluster_bytes, self.boot.record_bytes)
        record = parse_record(raw, 0)
        data = record.find(AttributeType.DATA)
        if not (record.in_use and record.is_base):
            raise RecordError("not in use")
        if data is None or data.resident or data.run_error or not data.runs:
            raise RecordError(data.run_error if data and data.run_error else "no run list")
        if data.lowest_vcn or data.data_bytes < self.boot.record_bytes:
            raise RecordError("its run list does not start at VCN 0")
        return record, data

    def _follow_list(self, listed: Attribute) -> None:
        """Add the pieces of $MFT's own run list that lie in extension records."""
        try:
            self._listed, damage = parse(self.read_value(listed, MAX_LIST_BYTES))
        except (RecordError, DeviceReadError) as error:
            damage = str(error.args[0])
        if damage:
            self.parts_missing = True
            self._findings.add(
                "error", "mft-list-damaged", f"$MFT's attribute list: {damage}", record=0
            )
        self._add_listed()

    def _add_listed(self) -> None:
        """Add the pieces that the list names; those out of reach again once others are known."""
        wanted: dict[int, set[tuple[int, int]]] = {}  # record -> (its sequence, lowest VCN)
        for entry in self._listed:
            if entry.attribute_type == AttributeType.DATA and not entry.name and entry.record:
                places = wanted.setdefault(entry.record, set())
                places.add((entry.sequence, entry.lowest_vcn))
        lost: dict[int, set[tuple[int, int]]] = {}
        for _ in range(_MOST_ROUNDS):
            waiting = {}
            for number, places in wanted.items():
                if not self._reaches(number):
                    waiting[number] = places
                elif left := places - self._add_pieces(number, places):
                    lost[number] = left
            if len(waiting) == len(wanted):
                break
            wanted = waiting
        self._rebuild()
        for number, places in (lost | wanted).items():
            self.parts_missing = True
            self._findings.add(
                "error", "mft-part-missing",
                f"the piece of $MFT from VCN {min(vcn for _, vcn in places)} on cannot be read: "
                f"its record {number} is damaged or out of reach", record=number,
            )  # fmt: skip

    def _reaches(self, number: int) -> bool:
        """Whether the pieces that are known hold a record."""
        record_bytes = self.boot.record_bytes
        if self._stale and not self.stream.has(number * record_bytes, record_bytes):
            self._rebuild()
        return self.stream.has(number * record_bytes, record_bytes)

    def _add_pieces(self, number: int, places: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Take the pieces of one record that are at ``places``, and return these places."""
        found: set[tuple[int, int]] = set()
        record = self._fetch_extension(number)
        if record is None:
            return found
        for attribute in _unnamed(record, AttributeType.DATA):
            place = (record.sequence, attribute.lowest_vcn)
            readable = not (attribute.resident or attribute.run_error)
            if place in places and readable and self._known.runs < _MOST_RUNS:
                self._known.add(attribute.runs)
                self._stale = True
                found.add(place)
        return found

    def _fetch_extension(self, number: int) -> Record | None:
        """A record that extends $MFT's; None if it is out of reach, damaged or another file's."""
        if not self._reaches(number):
            return None
        try:
            record = self._fetch(number)
        except (RecordError, DeviceReadError):
            return None
        return record if record.in_use and not record.base_record else None


def _unnamed(record: Record, attribute_type: int) -> Iterator[Attribute]:
    """The unnamed attributes of one type that a record itself holds."""
    for attribute in record.attributes:
        if attribute.attribute_type == attribute_type and not attribute.name:
            yield attribute


class _KnownRuns:
    """The runs of pieces in the order they were found: where two hold a VCN, the first counts.

    Attributes:
        runs: how many.
        real_clusters: of those that are no holes.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.real_clusters = 0
        self._parts: list[npt.NDArray[np.int64]] = [np.empty((0, 3), np.int64)]
        # Stretches of VCNs that are known, ascending; none touches the next.
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, runs: Iterable[Run]) -> None:
        """Take a piece's runs, except those at VCNs that are known."""
        new = [(run.vcn, run.lcn, run.clusters) for run in runs if self._take(run)]
        self._parts.append(np.array(new, np.int64).reshape(-1, 3))
        self.runs += len(new)
        self.real_clusters += sum(clusters for _, lcn, clusters in new if lcn >= 0)

    def _take(self, run: Run) -> bool:
        starts, ends, end = self._starts, self._ends, run.vcn + run.clusters
        at = bisect_right(starts, run.vcn)
        before, behind = at > 0, at < len(starts)
        if (before and ends[at - 1] > run.vcn) or (behind and starts[at] < end):
            return False
        low = at - (before and ends[at - 1] == run.vcn)
        high = at + (behind and starts[at] == end)
        first, last = min([run.vcn, *starts[low:at]]), max([end, *ends[at:high]])
        starts[low:high], ends[low:high] = [first], [last]
        return True

    def stream(self, device: BlockDevice, cluster_bytes: int) -> ClusterStream:
        """The bytes that they lead to."""
        return ClusterStream(device, cluster_bytes, *np.ascontiguousarray(self.table().T))

    def table(self) -> npt.NDArray[np.int64]:
        """(n, 3): VCN, LCN (-1 a hole) and clusters of each run, in VCN order."""
        if len(self._parts) > 1:
            table = np.concatenate(self._parts)
            self._parts = [table[np.argsort(table[:, 0], kind="stable")]]
        return self._parts[0]
