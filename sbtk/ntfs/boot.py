"""The boot sector: where an NTFS volume says how it is laid out, checked before it is believed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sbtk.errors import NotNtfsError, VolumeDamagedError
from sbtk.ntfs.signature import identify

BOOT_BYTES = 512
OEM_ID = b"NTFS    "

# BIOS parameter block: jump, OEM id, bytes a sector, sectors a cluster, then at 28h total sectors,
# $MFT and $MFTMirr clusters, clusters a FILE record and an INDX record, serial number.
_BOOT = struct.Struct("<3s8sHB26xQQQb3xb3xQ")

_SECTOR_BYTES = (256, 512, 1024, 2048, 4096)
_MAX_CLUSTER_BYTES = 2 * 1024 * 1024
_RECORD_BYTES_RANGE = (512, 65536)
_MAX_LCN = 1 << 55  # 2^63 bytes even with clusters of 256 bytes

_HINT = "Check the disk with chkdsk, or scan a copy of $MFT by itself"


@dataclass(frozen=True)
class BootSector:
    """Geometry of a volume, all of it plausible.

    Attributes:
        sector_bytes: bytes a sector.
        cluster_bytes: bytes a cluster, a power of two of sectors.
        record_bytes: bytes a FILE record, a multiple of 512.
        index_record_bytes: bytes an INDX record.
        total_sectors: of the file system; the backup boot sector is the one behind them.
        total_clusters: whole clusters in ``total_sectors``.
        mft_lcn: first cluster of $MFT.
        mft_mirror_lcn: first cluster of $MFTMirr.
        serial: volume serial number.
    """

    sector_bytes: int
    cluster_bytes: int
    record_bytes: int
    index_record_bytes: int
    total_sectors: int
    total_clusters: int
    mft_lcn: int
    mft_mirror_lcn: int
    serial: int

    @property
    def volume_bytes(self) -> int:
        """Bytes of the file system, without the backup boot sector behind it."""
        return self.total_sectors * self.sector_bytes

    @property
    def serial_hex(self) -> str:
        """Serial number as 16 hexadecimal digits, as Windows tools show it."""
        return f"{self.serial:016X}"

    @classmethod
    def parse(cls, data: bytes) -> BootSector:
        """Read the boot sector at the start of ``data`` (512 bytes or more).

        Raises:
            NotNtfsError: the bytes are something else; the message names what.
            VolumeDamagedError: it is an NTFS boot sector and one of its fields cannot be true.
        """
        if len(data) < BOOT_BYTES or data[3:11] != OEM_ID:
            raise NotNtfsError(
                f"no NTFS volume: it is {identify(data)}",
                hint="Name an NTFS volume, a disk that holds one, or a copy of its $MFT",
            )
        (_, _, sector_bytes, cluster_code, total_sectors, mft_lcn, mirror_lcn, record_code,
         index_code, serial) = _BOOT.unpack_from(data)  # fmt: skip
        if sector_bytes not in _SECTOR_BYTES:
            raise _lie(f"{sector_bytes} bytes a sector")
        cluster_bytes = _cluster_bytes(cluster_code, sector_bytes)
        sectors_per_cluster = cluster_bytes // sector_bytes
        total_clusters = total_sectors // sectors_per_cluster
        if not 0 < total_clusters < _MAX_LCN:
            raise _lie(f"{total_sectors} sectors in all")
        if not 0 < mft_lcn < total_clusters:
            raise _lie(f"$MFT at cluster {mft_lcn} of {total_clusters}")
        return cls(
            sector_bytes=sector_bytes,
            cluster_bytes=cluster_bytes,
            record_bytes=_record_bytes(record_code, cluster_bytes, "FILE"),
            index_record_bytes=_record_bytes(index_code, cluster_bytes, "INDX"),
            total_sectors=total_sectors,
            total_clusters=total_clusters,
            mft_lcn=mft_lcn,
            # A mirror outside the volume is a finding of the health check, not a reason to stop.
            mft_mirror_lcn=mirror_lcn if mirror_lcn < total_clusters else -1,
            serial=serial,
        )


def _lie(what: str) -> VolumeDamagedError:
    return VolumeDamagedError(f"the NTFS boot sector is damaged: it says {what}", hint=_HINT)


def _cluster_bytes(code: int, sector_bytes: int) -> int:
    """Sectors a cluster: 1-80h as they are, above that a negative power of two (F4h = 2^12)."""
    sectors = code if code <= 0x80 else 1 << min(256 - code, 32)
    cluster_bytes = sectors * sector_bytes
    if sectors == 0 or sectors & (sectors - 1) or cluster_bytes > _MAX_CLUSTER_BYTES:
        raise _lie(f"{sectors} sectors of {sector_bytes} bytes a cluster (code {code:02X}h)")
    return cluster_bytes


def _record_bytes(code: int, cluster_bytes: int, kind: str) -> int:
    """Clusters a record if positive, else a negative power of two of bytes (F6h = 1024)."""
    record_bytes = code * cluster_bytes if code > 0 else 1 << min(-code, 32)
    low, high = _RECORD_BYTES_RANGE
    if kind == "INDX":
        high = _MAX_CLUSTER_BYTES  # one index record may fill a cluster of any size
    if not low <= record_bytes <= high or record_bytes & (record_bytes - 1):
        raise _lie(f"{record_bytes} bytes a {kind} record (code {code & 0xFF:02X}h)")
    return record_bytes
