"""Finds $MFT on a volume and fetches single records from it.

$MFT is a file that describes itself: record 0 holds its run list or, when that outgrew the record,
an attribute list whose pieces lie in extension records somewhere inside $MFT. They are followed as
far as the parts that are already known reach, until nothing new turns up.
"""

from __future__ import annotations

from collections.abc import Iterable

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
        self._runs = list(data.runs)
        self._data_bytes = min(data.data_bytes, data.initialized_bytes)
        self._rebuild()
        listed = self._first.find(AttributeType.ATTRIBUTE_LIST)
        if listed is not None:
            self._follow_list(listed)
        self.record_count = self._count_records()

    @property
    def runs(self) -> list[Run]:
        """The runs of $MFT's unnamed $DATA, in VCN order."""
        return list(self._runs)

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
        pieces = self._own_pieces(attribute_type)
        first = next((piece for piece in pieces if piece.resident or not piece.lowest_vcn), None)
        if first is None:
            raise RecordError("its start is missing")
        if first.resident:
            return first.value[:max_bytes]
        if first.run_error:
            raise RecordError(first.run_error)
        runs: list[Run] = []
        for piece in pieces:
            _take_new(runs, piece.runs)
        clusters = ClusterStream.from_runs(self._device, self.boot.cluster_bytes, runs)
        data_bytes = max(first.data_bytes, 0)
        initialized_bytes = max(first.initialized_bytes, 0)
        return SystemStream(0, data_bytes, initialized_bytes, clusters).read(max_bytes)

    def _own_pieces(self, attribute_type: AttributeType) -> list[Attribute]:
        """Unnamed attributes of one type, of record 0 and of the records that its list names."""
        holders = [self._first]
        for entry in self._listed:
            if entry.attribute_type == attribute_type and not entry.name and entry.record:
                holder = self._fetch_listed(entry)
                if holder is not None and all(holder.number != known.number for known in holders):
                    holders.append(holder)
        return [
            attribute
            for holder in holders
            for attribute in holder.attributes
            if attribute.attribute_type == attribute_type and not attribute.name
        ]

    def _fetch(self, number: int) -> Record:
        record_bytes = self.boot.record_bytes
        return parse_record(self.stream.read(number * record_bytes, record_bytes), number)

    def _rebuild(self) -> None:
        self._runs.sort(key=lambda run: run.vcn)
        self.stream = ClusterStream.from_runs(self._device, self.boot.cluster_bytes, self._runs)

    def _count_records(self) -> int:
        """Records within $MFT's size, its runs, and the bytes that the device has."""
        claimed_bytes = min(self._data_bytes, self.stream.covered_bytes)
        real_bytes = sum(run.clusters for run in self._runs if run.lcn >= 0)
        held_bytes = min(real_bytes * self.boot.cluster_bytes, self._device.size_bytes)
        if claimed_bytes > held_bytes and not self.parts_missing:
            self._findings.add(
                "error", "mft-size",
                f"$MFT claims {claimed_bytes} bytes and has clusters for {held_bytes}", record=0,
            )  # fmt: skip
        self.held_records = max(held_bytes, 0) // self.boot.record_bytes
        limit_bytes = max(held_bytes, 0) if not self.parts_missing else self._device.size_bytes
        return max(0, min(claimed_bytes, limit_bytes)) // self.boot.record_bytes

    def _add_runs(self, runs: Iterable[Run]) -> None:
        """Take a piece's runs, except where another piece has said where those VCNs lie."""
        _take_new(self._runs, runs)
        self._rebuild()

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
        pending = [
            entry for entry in self._listed
            if entry.attribute_type == AttributeType.DATA and not entry.name and entry.record
        ]  # fmt: skip
        while pending:
            waiting = [entry for entry in pending if not self._add_piece(entry)]
            if len(waiting) == len(pending):
                break
            pending = waiting
        for entry in pending:
            self.parts_missing = True
            self._findings.add(
                "error", "mft-part-missing",
                f"the piece of $MFT from VCN {entry.lowest_vcn} on cannot be read: its record "
                f"{entry.record} is damaged or out of reach", record=entry.record,
            )  # fmt: skip

    def _add_piece(self, entry: ListEntry) -> bool:
        """Take one piece if its record is already reachable; a piece that is known counts too."""
        record = self._fetch_listed(entry)
        for attribute in record.attributes if record is not None else ():
            if (
                attribute.attribute_type == AttributeType.DATA
                and not (attribute.name or attribute.resident or attribute.run_error)
                and attribute.lowest_vcn == entry.lowest_vcn
            ):
                self._add_runs(attribute.runs)
                return True
        return False

    def _fetch_listed(self, entry: ListEntry) -> Record | None:
        """The extension record of $MFT that an entry names; None if it is out of reach or not."""
        record_bytes = self.boot.record_bytes
        if not self.stream.has(entry.record * record_bytes, record_bytes):
            return None
        try:
            record = self._fetch(entry.record)
        except (RecordError, DeviceReadError):
            return None
        fits = record.sequence == entry.sequence and not record.base_record and record.in_use
        return record if fits else None


def _take_new(known: list[Run], runs: Iterable[Run]) -> None:
    """Add runs to ``known``, except where one there has said where those VCNs lie."""
    for run in runs:
        end_vcn = run.vcn + run.clusters
        if not any(run.vcn < k.vcn + k.clusters and k.vcn < end_vcn for k in known):
            known.append(run)
