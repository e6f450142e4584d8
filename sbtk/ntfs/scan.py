"""Scans an NTFS volume, or a bare $MFT, into the tables of ``sbtk.ntfs.tables``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.device.base import BlockDevice
from sbtk.errors import DeviceReadError, NotNtfsError, VolumeDamagedError
from sbtk.events import Listener, ignore
from sbtk.ntfs import health, mft_bitmap
from sbtk.ntfs.assemble import (
    build_extents,
    build_files,
    build_names,
    build_streams,
    unnamed_data,
)
from sbtk.ntfs.boot import BOOT_BYTES, BootSector
from sbtk.ntfs.chunk import FAULT_TEXT, U8, Fault, Status
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.decode import Decoder, ReadInto
from sbtk.ntfs.figures import FIGURE_COLUMNS, figure_of
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.kernels import load
from sbtk.ntfs.layout import AttributeType, SystemRecord
from sbtk.ntfs.list_check import check_lists
from sbtk.ntfs.mft import MAX_LIST_BYTES, MftReader
from sbtk.ntfs.owners import Owners, find_owners
from sbtk.ntfs.paths import PathBuilder
from sbtk.ntfs.rows import Rows
from sbtk.ntfs.signature import HEAD_BYTES, identify
from sbtk.ntfs.system import SystemFiles
from sbtk.ntfs.table_files import TableWriter
from sbtk.ntfs.tables import Tables, VolumeInfo

DEFAULT_THREADS = min(4, os.cpu_count() or 1)


def scan(
    device: BlockDevice,
    *,
    source: str,
    partition_start_lba: int = 0,
    emit: Listener = ignore,
    threads: int = DEFAULT_THREADS,
    writer: TableWriter | None = None,
) -> Tables:
    """Read a volume's metadata into tables; its files' content is not touched.

    Args:
        device: the volume: byte 0 is its boot sector.
        source: its location, for ``volume.json``.
        partition_start_lba: where the volume starts on its LUN.
        emit: takes findings and progress.
        threads: that decode.
        writer: takes the tables as they are completed, all but ``findings``; of these, memory
            keeps ``files`` only. The caller finishes it.

    Raises:
        NotNtfsError: the device holds something else.
        VolumeDamagedError: neither boot sector is usable, or $MFT cannot be found.
        DeviceReadError: the device fails where nothing can replace what it holds.
    """
    findings = FindingList(emit)
    boot = read_boot(device, findings)
    mft = MftReader(device, boot, findings)
    volume = VolumeInfo(
        source=source,
        partition_start_lba=partition_start_lba,
        sector_bytes=boot.sector_bytes,
        cluster_bytes=boot.cluster_bytes,
        record_bytes=boot.record_bytes,
        index_record_bytes=boot.index_record_bytes,
        total_sectors=boot.total_sectors,
        total_clusters=boot.total_clusters,
        mft_lcn=mft.runs[0].lcn,
        mft_mirror_lcn=boot.mft_mirror_lcn,
        serial=boot.serial_hex,
    )
    rows = _decode(
        mft.stream.read_into, boot.record_bytes, mft.record_count, findings, emit, threads
    )
    mft_bitmap.check(mft, rows.status, findings)
    sink = TableSink(writer)
    system = _tabulate(rows, volume, findings, sink, device, boot)
    if system is None:
        raise VolumeDamagedError("the volume's own files were not looked for")
    health.check(device, boot, mft, system, volume, findings)
    bitmap = _read_bitmap(device, boot, system, findings)
    return sink.tables(volume, findings, bitmap)


class TableSink:
    """Where finished tables go: to a writer, or into memory."""

    def __init__(self, writer: TableWriter | None) -> None:
        self._writer = writer
        self._kept: dict[str, pa.Table] = {}
        self._figures: dict[str, npt.NDArray[Any]] = {}

    def put(self, name: str, table: pa.Table, *, keep: bool = False) -> None:
        """Take one table; ``keep`` it in memory although it is written."""
        if name in FIGURE_COLUMNS:
            self._figures[name] = figure_of(name, table)
        if self._writer is not None:
            self._writer.put(name, table)
        if keep or self._writer is None:
            self._kept[name] = table

    def drain(self) -> None:
        """Wait until what was written is let go of."""
        if self._writer is not None:
            self._writer.drain()

    def tables(self, volume: VolumeInfo, findings: FindingList, bitmap: U8 | None) -> Tables:
        """All of them, once they have been taken."""
        folder = self._writer.folder if self._writer else None
        return Tables(
            volume, **self._kept, findings=findings.finish(), bitmap=bitmap, folder=folder,
            figures=self._figures,
        )  # fmt: skip


def scan_mft(
    device: BlockDevice,
    *,
    source: str,
    emit: Listener = ignore,
    threads: int = DEFAULT_THREADS,
    writer: TableWriter | None = None,
) -> Tables:
    """Read a bare $MFT, a file of FILE records, into tables.

    Attribute lists that lie outside $MFT cannot be followed: a finding each. There is no bitmap.

    Raises:
        NotNtfsError: the device does not start with FILE records of a known size.
    """
    findings = FindingList(emit)
    record_bytes = find_record_bytes(device)
    volume = VolumeInfo(source=source, record_bytes=record_bytes, bare_mft=True)
    count = device.size_bytes // record_bytes
    if device.size_bytes % record_bytes:
        findings.add(
            "warning", "mft-cut-off",
            f"the last {device.size_bytes % record_bytes} bytes are no whole record",
        )  # fmt: skip
    rows = _decode(device.read_into, record_bytes, count, findings, emit, threads)
    sink = TableSink(writer)
    _tabulate(rows, volume, findings, sink)
    return sink.tables(volume, findings, None)


def read_boot(device: BlockDevice, findings: FindingList) -> BootSector:
    """The volume's boot sector, or its backup in the last sector if the first is damaged.

    Raises:
        NotNtfsError: the device holds something else.
        VolumeDamagedError: it was NTFS, and neither boot sector is usable.
    """
    try:
        boot = BootSector.parse(_read_head(device))
    except (NotNtfsError, VolumeDamagedError, DeviceReadError) as error:
        backup = _read_backup_boot(device)
        if backup is None:
            raise
        boot = backup
        findings.add(
            "error", "boot-damaged",
            f"the boot sector is damaged ({error.args[0]}); its backup at the end of the volume "
            "was used", lcn=0,
        )  # fmt: skip
    if device.size_bytes < boot.volume_bytes:
        findings.add(
            "error", "volume-truncated",
            f"the device ends after {device.size_bytes} of the volume's {boot.volume_bytes} bytes",
            lcn=device.size_bytes // boot.cluster_bytes,
        )  # fmt: skip
    return boot


def _read_head(device: BlockDevice) -> bytes:
    """The boot sector and, unless a sector there is bad, what names anything else."""
    try:
        return device.read(0, min(HEAD_BYTES, device.size_bytes))
    except DeviceReadError:
        return device.read(0, min(BOOT_BYTES, device.size_bytes))


def _read_backup_boot(device: BlockDevice) -> BootSector | None:
    """The boot sector in the device's last sector, whose size is not known yet."""
    for sector_bytes in (512, 4096, 1024, 2048):
        at = (device.size_bytes // sector_bytes - 1) * sector_bytes
        if at <= 0:
            continue
        try:
            return BootSector.parse(device.read(at, BOOT_BYTES))
        except (NotNtfsError, VolumeDamagedError, DeviceReadError):
            continue
    return None


def find_record_bytes(device: BlockDevice) -> int:
    """Size of the records of a bare $MFT, from the first one that states it plausibly.

    Raises:
        NotNtfsError: it does not start with FILE records.
    """
    head = _read_head(device)
    for start in range(0, len(head) - 48, 512):
        allocated = int.from_bytes(head[start + 28 : start + 32], "little")
        entries = int.from_bytes(head[start + 6 : start + 8], "little")
        if (
            head[start : start + 4] == b"FILE"
            and allocated in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
            and entries == allocated // 512 + 1
            and start % allocated == 0
            and device.size_bytes >= allocated
        ):
            return allocated
    raise NotNtfsError(
        f"no $MFT: it is {identify(head)}", hint="Name an NTFS volume or a copy of its $MFT"
    )


def _decode(
    read_into: ReadInto, record_bytes: int, record_count: int, findings: FindingList,
    emit: Listener, threads: int,
) -> Rows:  # fmt: skip
    rows = Decoder(read_into, record_bytes, record_count, load(), findings).run(emit, threads)
    _report_faults(rows, findings)
    return rows


def _tabulate(
    rows: Rows, volume: VolumeInfo, findings: FindingList, sink: TableSink,
    device: BlockDevice | None = None, boot: BootSector | None = None,
) -> SystemFiles | None:  # fmt: skip
    """Put the tables, without findings, into ``sink``, each as soon as nothing else needs it.

    Args:
        rows: emptied on the way.
        volume: its counts are filled in.
        findings: takes what is wrong.
        sink: takes the tables.
        device: the volume; None for a bare $MFT.
        boot: its geometry; None for a bare $MFT.

    Returns:
        NTFS's own files and the one that may hold a hibernated system.
    """
    _count(rows, volume)
    owners = find_owners(rows, findings)
    streams, stream_of_run = build_streams(rows, owners, findings)
    sink.put("streams", streams)
    extents = build_extents(rows, stream_of_run, streams)
    del stream_of_run
    system = None if device is None or boot is None else SystemFiles(device, boot, streams, extents)
    sink.put("extents", extents)
    data = unnamed_data(rows, owners, streams, extents)
    _check_lists(rows, owners, streams, system, findings)
    if system is not None:
        system = system.only(health.find_hibernation_file(rows, owners))
    del streams, extents, rows.columns["base"], rows.columns["base_sequence"]
    sink.drain()  # paths take the most memory: what was handed over must be gone by then
    paths = PathBuilder(
        load(), findings, rows.record_count, rows.record_count * volume.record_bytes
    )
    names = build_names(rows, owners, paths)
    path = names["path"].chunk(0)
    sink.put("names", names)
    del names
    # Kept: it is the one that every summary reads, and the last one that takes memory.
    sink.put("files", build_files(rows, owners, path, data, paths), keep=True)
    return system


def _check_lists(
    rows: Rows, owners: Owners, streams: pa.Table, system: SystemFiles | None,
    findings: FindingList,
) -> None:  # fmt: skip
    found = {} if system is None else {item.record: item for item in system.lists()}

    def read_list(record: int) -> bytes | None:
        try:
            return found[record].read(MAX_LIST_BYTES) if record in found else None
        except DeviceReadError:
            return None

    wanted = numpy_values(streams["attribute_type"]) == int(AttributeType.ATTRIBUTE_LIST)
    wanted &= ~numpy_values(streams["resident"])
    outside = numpy_values(streams["record"])[wanted].astype(np.int64)  # in ascending order
    outside = outside[np.diff(outside, prepend=-1) > 0]
    check_lists(rows, owners, outside, read_list, findings)


def _report_faults(rows: Rows, findings: FindingList) -> None:
    for number, code in zip(rows.faulty_record.tolist(), rows.fault.tolist(), strict=True):
        fault = Fault(code)
        severity = "info" if fault == Fault.NAME_TEXT else "error"
        findings.add(severity, fault.code, FAULT_TEXT[fault], record=number)
    if rows.already_fixed:
        findings.add(
            "info", "already-fixed-up",
            f"{rows.already_fixed} records had been fixed up by the tool that copied them: torn "
            "writes in them cannot be seen",
        )  # fmt: skip


def _count(rows: Rows, volume: VolumeInfo) -> None:
    volume.counts["records"] = rows.record_count
    for status in Status:
        volume.counts[f"records_{status.name.lower()}"] = int(rows.status_counts[status])


def _read_bitmap(
    device: BlockDevice, boot: BootSector, files: SystemFiles, findings: FindingList
) -> U8 | None:
    wanted_bytes = -(-boot.total_clusters // 8)
    stream = files.data_of(SystemRecord.BITMAP)
    if stream is None:
        findings.add("error", "bitmap-unread", "$Bitmap has no run list", record=6)
        return None
    try:
        held = stream.read(min(wanted_bytes, device.size_bytes))
    except DeviceReadError as error:
        findings.add("error", "bitmap-unread", str(error.args[0]), record=6)
        return None
    if len(held) < wanted_bytes:
        findings.add(
            "error", "bitmap-short",
            f"$Bitmap holds {len(held)} bytes, {boot.total_clusters} clusters need {wanted_bytes}",
            record=6,
        )  # fmt: skip
    return np.frombuffer(held, np.uint8)
