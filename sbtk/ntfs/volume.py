"""One NTFS volume: its tables, scanned when they are first asked for, and its files' content."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.device.location import OpenedVolume
from sbtk.errors import (
    NotNtfsError,
    PartitionError,
    SbtkError,
    StreamUnreadableError,
    VolumeDamagedError,
)
from sbtk.events import Listener, ignore
from sbtk.ntfs import attribute_list
from sbtk.ntfs.chunk import ESCAPE
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.content import CompressedReader, PlainReader, Runs
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.layout import (
    ATTRIBUTE_COMPRESSED,
    ATTRIBUTE_ENCRYPTED,
    RECORD_SIGNATURE,
    RECORD_TORN_SIGNATURE,
    AttributeType,
)
from sbtk.ntfs.lookup import Stream, find_record, find_stream, stream_at
from sbtk.ntfs.mft import MAX_LIST_BYTES, MftReader
from sbtk.ntfs.record import Attribute, Record, RecordError
from sbtk.ntfs.scan import read_boot, scan, scan_mft
from sbtk.ntfs.table_files import TableWriter
from sbtk.ntfs.tables import Tables, VolumeInfo
from sbtk.units import format_bytes

I64 = npt.NDArray[np.int64]

BUFFER_BYTES = 128 * 1024  # two compression units

# Reparse tags ([MS-FSCC] 2.1.2.1) whose file has its content elsewhere than in its $DATA.
_REPARSE_CONTENT = {
    0x80000017: "compressed by Windows (WOF, compact.exe /exe); Windows alone unpacks it",
    0x80000013: "deduplicated; its chunks lie in the System Volume Information folder",
    0xC0000004: "moved to other storage (HSM)",
    0x80000006: "moved to other storage (HSM)",
}
_CLOUD_TAG, _CLOUD_MASK = 0x9000001A, 0xFFFF0FFF
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class Volume:
    """An NTFS volume on an opened device.

    A context manager: leaving it closes the device. ``tables`` and all that is made of them stay
    usable after that; ``open`` does not.
    """

    def __init__(self, opened: OpenedVolume, *, emit: Listener = ignore) -> None:
        """Take an opened device; nothing is read before something is asked for.

        Args:
            opened: from ``sbtk.device.location.open_ntfs``; closed with this.
            emit: takes the progress and the findings of the scan.
        """
        self._opened = opened
        self._emit = emit
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """Where the volume was found."""
        return self._opened.source

    @property
    def device(self) -> OpenedVolume:
        """The device and the partition that the volume was found in."""
        return self._opened

    @cached_property
    def tables(self) -> Tables:
        """All tables; the first use scans the volume.

        Raises:
            NotNtfsError: the device holds something else.
            VolumeDamagedError: $MFT cannot be found.
            DeviceReadError: the device fails where nothing can replace what it holds.
        """
        with self._lock:
            done: Tables | None = self.__dict__.get("tables")  # another thread was first
            return done if done is not None else self._scan()

    @property
    def info(self) -> VolumeInfo:
        """Geometry, identity and health."""
        return self.tables.volume

    @property
    def files(self) -> pa.Table:
        """One row a file or folder (DESIGN: Tables)."""
        return self.tables.files

    @property
    def names(self) -> pa.Table:
        """One row a name: hard links and DOS names."""
        return self.tables.names

    @property
    def streams(self) -> pa.Table:
        """One row an attribute."""
        return self.tables.streams

    @property
    def findings(self) -> pa.Table:
        """What is wrong with the volume."""
        return self.tables.findings

    def find(self, target: str | int, stream: str | None = None) -> Stream:
        """The stream that a path (``docs/a.txt``, ``docs/a.txt:stream``) or a record number names.

        Raises:
            StreamNotFoundError: no such path, record or stream, or a path that fits several.
        """
        return find_stream(self.tables, target, stream)

    def find_record(self, path: str) -> int:
        """The record number of a path; the same errors as ``find``."""
        return find_record(self.tables, path)

    def open(self, target: str | int, stream: str | None = None) -> io.BufferedIOBase:
        """Open a stream's content for reading; seekable, opened independently of all others.

        Args:
            target: a path, a path with ``:stream`` behind it, or a record number.
            stream: name of a named stream, where ``target`` does not tell it.

        Raises:
            StreamNotFoundError: there is no such path, record or stream.
            StreamUnreadableError: its content is not plain data, here or when it is read: EFS, WOF,
                deduplicated, a run list with a gap, damaged compression.
            DeviceReadError: when it is read, the device fails.
        """
        found = self.find(target, stream)
        self._refuse_unreadable(found)
        if found.resident:
            return io.BytesIO(self._resident_attribute(found).value)
        return io.BufferedReader(self._open_runs(found), BUFFER_BYTES)

    def read_value(self, row: int, max_bytes: int) -> bytes:
        """The beginning of any attribute's value, by its row of ``streams``; no path is needed.

        What ``open`` refuses because of its meaning (EFS, WOF) is read as it is stored.

        Raises:
            StreamNotFoundError: there is no such row.
            StreamUnreadableError: its record or its run list is damaged; or a bare $MFT.
            DeviceReadError: the device fails.
        """
        self._refuse_bare_mft()
        found = stream_at(self.tables, row)
        if found.resident:
            return self._resident_attribute(found).value[:max_bytes]
        with io.BufferedReader(self._open_runs(found), BUFFER_BYTES) as content:
            return content.read(max_bytes)

    def close(self) -> None:
        """Close the device; safe to call twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- scanning ----------------------------------------------------------------------------

    @cached_property
    def is_bare_mft(self) -> bool:
        """Whether the device holds the records of an $MFT and no volume around them."""
        head = self._opened.device.read(0, min(4, self._opened.device.size_bytes))
        return head in (RECORD_SIGNATURE, RECORD_TORN_SIGNATURE)

    def scan_into(self, folder: Path, look: Callable[[Tables], object] | None = None) -> Tables:
        """Scan and save the tables into ``folder`` as they are completed; few stay in memory.

        Args:
            folder: made if it is missing.
            look: gets the tables while the last of them are being written.

        Raises:
            DeviceWriteError: the folder cannot be written to.
            NotNtfsError, VolumeDamagedError, DeviceReadError: as ``tables``.
        """
        with TableWriter(folder) as writer:
            tables = self._scan(writer)
            writer.put("findings", tables.findings)
            if look is not None:
                look(tables)
            writer.finish(tables.volume.to_document(), tables.bitmap)
        return tables

    def _scan(self, writer: TableWriter | None = None) -> Tables:
        opened = self._opened
        source = opened.source
        if self.is_bare_mft:
            return scan_mft(opened.device, source=source, emit=self._emit, writer=writer)
        try:
            tables = scan(opened.device, source=source, emit=self._emit, writer=writer)
        except (NotNtfsError, VolumeDamagedError) as error:
            raise self._explained(error) from error
        sector_bytes = tables.volume.sector_bytes
        if opened.partition_start_bytes % sector_bytes:
            raise PartitionError(
                f"{opened.source} starts at byte {opened.partition_start_bytes}, inside one of its "
                f"sectors of {sector_bytes} bytes",
                hint="The image was made with another sector size: copy the partition by itself",
            )
        tables.volume.partition_start_lba = opened.partition_start_bytes // sector_bytes
        own = FindingList(self._emit)
        for finding in opened.findings:
            own.add(finding.severity, finding.code, finding.message)
        return tables.replaced(findings=pa.concat_tables([own.finish(), tables.findings]))

    def _explained(self, error: NotNtfsError | VolumeDamagedError) -> SbtkError:
        """The error of a scan with the volume's name, and the cut where that is the reason."""
        source, device = self._opened.source, self._opened.device
        try:
            volume_bytes = read_boot(device, FindingList()).volume_bytes
        except SbtkError:
            volume_bytes = 0
        if device.size_bytes < volume_bytes:
            return VolumeDamagedError(
                f"{source} is cut off: it has {format_bytes(device.size_bytes)} of the volume's "
                f"{format_bytes(volume_bytes)}, and $MFT lies behind that",
                hint="Copy the volume again, whole",
            )
        return type(error)(f"{source}: {error.args[0]}", hint=error.hint)

    # -- content -----------------------------------------------------------------------------

    @cached_property
    def _mft(self) -> MftReader:
        device = self._opened.device
        return MftReader(device, read_boot(device, FindingList()))

    @cached_property
    def _runs_by_stream(self) -> tuple[I64, Runs]:
        """Every run, sorted by stream and VCN, and the stream of each."""
        extents = self.tables.extents
        stream, vcn, lcn, clusters = (
            extents[name].to_numpy() for name in ("stream", "vcn", "lcn", "clusters")
        )
        order = np.lexsort((vcn, stream))
        return stream[order], Runs(vcn[order], lcn[order], clusters[order])

    def runs_of(self, row: int) -> Runs:
        """Runs of the stream in a row of ``streams``."""
        stream, runs = self._runs_by_stream
        low, high = np.searchsorted(stream, [row, row + 1])
        return Runs(*(column[low:high] for column in runs))

    def _refuse_bare_mft(self) -> None:
        if self.is_bare_mft:
            raise StreamUnreadableError(
                f"{self.location} is a bare $MFT: it holds no files' content",
                hint="Open the volume that it came from",
            )

    def _refuse_unreadable(self, found: Stream) -> None:
        self._refuse_bare_mft()
        if found.flags & ATTRIBUTE_ENCRYPTED:
            raise StreamUnreadableError(
                f"{found.path} is encrypted (EFS)",
                hint="Back up and restore it as it is; its owner's key opens it under Windows",
            )
        if found.attribute_type != AttributeType.DATA or found.attribute_name or found.resident:
            return
        tag = self._reparse_tag(found.record)
        where = _REPARSE_CONTENT.get(tag)
        if tag & _CLOUD_MASK == _CLOUD_TAG and not (self.runs_of(found.row).lcn >= 0).any():
            where = "in the cloud only (a placeholder of OneDrive or its like)"
        if where and found.data_bytes:
            raise StreamUnreadableError(
                f"{found.path} cannot be read as plain data: it is {where}",
                hint="Read it under Windows; a backup of the volume's blocks holds all of it",
            )

    def _reparse_tag(self, record: int) -> int:
        """The reparse tag of a record; 0 if it has none."""
        streams = self.tables.streams
        low, high = np.searchsorted(
            streams["record"].to_numpy(), [np.uint64(record), np.uint64(record + 1)]
        )
        types = streams["attribute_type"].slice(low, high - low).to_numpy()
        if AttributeType.REPARSE_POINT not in types:
            return 0
        row = int(low + np.flatnonzero(types == AttributeType.REPARSE_POINT)[0])
        return int.from_bytes(self.read_value(row, 4), "little")

    def _open_runs(self, found: Stream) -> io.RawIOBase:
        runs = self.runs_of(found.row)
        device, cluster_bytes = self._opened.device, self.info.cluster_bytes
        needed_bytes = min(found.data_bytes, found.initialized_bytes)
        _refuse_gaps(found, runs, -(-needed_bytes // cluster_bytes))
        if found.flags & ATTRIBUTE_COMPRESSED:
            return CompressedReader(found, device, cluster_bytes, runs)
        return PlainReader(found, ClusterStream(device, cluster_bytes, *runs))

    def _resident_attribute(self, found: Stream) -> Attribute:
        """The attribute of a resident stream, from the base record or the one that extends it.

        Raises:
            StreamUnreadableError: its record cannot be read any more.
        """
        try:
            base = self._mft.read_record(found.record)
            for record in (base, *self._extensions(base)):
                for attribute in record.attributes:
                    if attribute.resident and _is_same(attribute, found):
                        return attribute
            reason = "none of its records holds it"
        except RecordError as error:
            reason = str(error)
        raise StreamUnreadableError(
            f"{found.path} cannot be read from record {found.record}: {reason}",
            hint="The volume changed since it was scanned, or is damaged: scan it again",
        )

    def _extensions(self, base: Record) -> list[Record]:
        """The readable records that extend ``base``, as its attribute list names them."""
        listed = base.find(AttributeType.ATTRIBUTE_LIST)
        if listed is None:
            return []
        entries, _ = attribute_list.parse(self._mft.read_value(listed, MAX_LIST_BYTES))
        found = []
        for number in dict.fromkeys(entry.record for entry in entries):
            if number == base.number:
                continue
            try:
                record = self._mft.read_record(number)
            except RecordError:
                continue
            if record.in_use and record.base_record == base.number:
                found.append(record)
        return found


def _is_same(attribute: Attribute, found: Stream) -> bool:
    """Whether an attribute is the one of the tables, which escape what text cannot hold."""
    if attribute.attribute_type != found.attribute_type:
        return False
    name = _UNWRITABLE.sub(lambda match: f"{ESCAPE}{ord(match[0]):04X}", attribute.name)
    return name == found.attribute_name


def _refuse_gaps(found: Stream, runs: Runs, needed_clusters: int) -> None:
    """Refuse runs that leave out or repeat clusters of the content.

    Raises:
        StreamUnreadableError: they do.
    """
    ends = runs.vcn + runs.clusters
    expected = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    broken = np.flatnonzero(runs.vcn != expected)
    gap = int(expected[broken[0]]) if len(broken) else int(ends[-1]) if len(ends) else 0
    if gap < needed_clusters:
        raise StreamUnreadableError(
            f"{found.path}: its run list has a gap at cluster {gap} of {needed_clusters}",
            hint="A record that holds a piece of it is damaged: sbtk scan lists the findings",
        )
