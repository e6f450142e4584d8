"""One string names a place (DESIGN: Locations): parse it, open it, find the NTFS volume in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from sbtk.device.base import BlockDevice
from sbtk.device.file import FileDevice
from sbtk.device.partition import (
    NTFS_OEM_ID,
    PartitionView,
    has_backup_boot_sector,
    is_ntfs_boot_sector,
    read_table,
)
from sbtk.device.partition_table import Partition, PartitionTable, read_or_empty
from sbtk.errors import (
    LocationError,
    NotNtfsError,
    PartitionError,
    SbtkError,
    VolumeDamagedError,
)
from sbtk.events import Finding
from sbtk.ntfs.signature import HEAD_BYTES, identify
from sbtk.units import format_bytes, plural

if TYPE_CHECKING:
    from sbtk.transport.base import Transport

ISCSI_PORT = 3260  # RFC 7143 13.1
_ISCSI_FORM = "iscsi://host[:port]/iqn/lun"
_ISCSI = re.compile(
    r"iscsi://(?P<host>\[[0-9A-Fa-f:.%]+\]|[^/:@\[\]]+)(?::(?P<port>\d{1,5}))?"
    r"/(?P<target>(?:iqn|eui|naa)\.[^/#\s]+)/(?P<lun>\d{1,5})(?:#(?P<partition>\d{1,5}))?"
)
_ADVICE = (  # a word of what ``identify`` says -> what to do about it
    (
        "BitLocker",
        "Unlock it (manage-bde -unlock, cryptsetup bitlkOpen) and name the clear device",
    ),
    ("LUKS", "Unlock it (cryptsetup open) and name the clear device"),
    ("ReFS", "sbtk reads NTFS only: back it up with the tools of Windows Server"),
    ("empty", "The copy may have failed: make it again"),
    ("blank", "The copy may have failed, or the volume was wiped: check the source"),
    ("convert it to raw", "qemu-img convert -O raw does it"),
    ("xz file", "Unpack it first (xz -dk)"),
    ("gzip file", "Unpack it first (gunzip -k)"),
    ("zstd file", "Unpack it first (zstd -d)"),
    ("LVM", "Name a logical volume of it (lvs -o lv_path)"),
)
_NUMBERED = re.compile(r"(?P<rest>.+)#(?P<partition>\d{1,5})", re.DOTALL)
_SG = re.compile(r"/dev/sg\d+")

Kind = Literal["path", "tape", "sg", "iscsi"]


@dataclass(frozen=True)
class Location:
    """A place, taken apart.

    Attributes:
        kind: ``"path"`` file or block device, ``"tape"`` cartridge file, ``"sg"`` SCSI generic
            node, ``"iscsi"`` logical unit of a target.
        path: of the file, device, cartridge or node; empty for iSCSI.
        host: name or address of the portal, IPv6 without its brackets.
        port: TCP port of the portal.
        target: iSCSI name of the target.
        lun: logical unit number.
        partition: number behind ``#``; None where none is named.
    """

    kind: Kind
    path: str = ""
    host: str = ""
    port: int = ISCSI_PORT
    target: str = ""
    lun: int = 0
    partition: int | None = None

    def __str__(self) -> str:
        """The string that ``parse`` turns into this location."""
        suffix = "" if self.partition is None else f"#{self.partition}"
        if self.kind == "iscsi":
            host = f"[{self.host}]" if ":" in self.host else self.host
            port = "" if self.port == ISCSI_PORT else f":{self.port}"
            return f"iscsi://{host}{port}/{self.target}/{self.lun}{suffix}"
        return f"{'tape:' if self.kind == 'tape' else ''}{self.path}{suffix}"


@dataclass(frozen=True)
class OpenedVolume:
    """An NTFS volume found at a location; a context manager that closes the device.

    Attributes:
        source: the location, with ``#N`` where one was named or needed.
        device: the volume's own bytes, or those of a bare $MFT file.
        disk: the whole device that was opened: the LUN whose LBAs commands use.
        partition: where on the disk the volume lies; None where it fills the disk.
        findings: what is wrong with the partition table.
    """

    source: str
    device: BlockDevice
    disk: BlockDevice
    partition: Partition | None
    findings: tuple[Finding, ...] = ()

    @property
    def partition_start_bytes(self) -> int:
        """Offset of the volume's first byte on the disk."""
        return self.partition.start_bytes if self.partition else 0

    @property
    def partition_start_lba(self) -> int:
        """LBA of the volume's first block, in the blocks that the partition table counts."""
        return self.partition.first_lba if self.partition else 0

    def close(self) -> None:
        """Close the device; safe to call twice."""
        self.disk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def parse(text: str) -> Location:
    """Take a location apart; opens nothing.

    A path that exists as it is written wins over ``#N``, so that a file named ``disk#1`` works.

    Raises:
        LocationError: it is empty, or an ``iscsi://`` location that does not parse.
    """
    if text.startswith("iscsi:"):
        return _parse_iscsi(text)
    kind: Kind = "path"
    path = text
    if text.startswith("tape:"):
        kind, path = "tape", text.removeprefix("tape:")
    if not path or "\0" in path:
        raise LocationError(
            f"{text!r} is no location",
            hint="Name an image file, a block device, tape:PATH, /dev/sgN or " + _ISCSI_FORM,
        )
    partition = None
    numbered = _NUMBERED.fullmatch(path)
    if kind == "path" and numbered and not os.path.lexists(path):
        path, partition = numbered["rest"], int(numbered["partition"])
    if kind == "path" and _SG.fullmatch(path):
        kind = "sg"
    return Location(kind, path=path, partition=partition)


def _parse_iscsi(text: str) -> Location:
    if "@" in text:
        # Not shown: what stands before the @ may be a password.
        raise LocationError(
            "an iscsi:// location holds no user name or password",
            hint=f"Write {_ISCSI_FORM} and set the credentials in the environment",
        )
    match = _ISCSI.fullmatch(text)
    port = int(match["port"] or ISCSI_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise LocationError(
            f"{text!r} does not parse", hint=f"Write {_ISCSI_FORM}, or {_ISCSI_FORM}#N"
        )
    return Location(
        "iscsi",
        host=match["host"].strip("[]"),
        port=port,
        target=match["target"],
        lun=int(match["lun"]),
        partition=int(match["partition"]) if match["partition"] else None,
    )


def open_device(text: str) -> BlockDevice:
    """Open the whole device at a location read-only; ``#N`` is left to ``open_ntfs``.

    Raises:
        LocationError: nothing there that can be read as a disk (or one of its subclasses).
        TransportError: no path to a LUN.
    """
    location = parse(text)
    if location.kind == "path":
        return FileDevice(location.path)
    if location.kind == "tape":
        raise LocationError(
            f"{text} is a cartridge, and a volume is read from a disk",
            hint="List what is on it with sbtk sets, or restore a set to a disk first",
        )
    from sbtk.device.scsi import ScsiDevice  # brings the SCSI codec, which files do without

    transport = open_transport(location)
    try:
        return ScsiDevice(transport)
    except BaseException:
        transport.close()
        raise


def open_transport(location: Location) -> Transport:
    """The path to a logical unit; credentials come from the settings (``SBTK_ISCSI_*``).

    Raises:
        LocationError: a file or cartridge, or a SCSI node that cannot be used.
        TransportError: no connection, or the target refuses the login.
    """
    if location.kind == "sg":
        from sbtk.transport.sgio import SgTransport

        return SgTransport(location.path)
    if location.kind != "iscsi":
        raise LocationError(
            f"{location} is no SCSI device",
            hint=f"Name {_ISCSI_FORM} or /dev/sgN; files and cartridges need no transport",
        )
    from sbtk.scsi.iscsi_login import Chap
    from sbtk.settings import settings
    from sbtk.transport.iscsi import DEFAULT_INITIATOR, Endpoint, IscsiSession, IscsiTransport

    own = settings()
    secret, mutual = own.iscsi_secret.get_secret_value(), own.iscsi_mutual_secret
    if own.iscsi_secret_file is not None:
        secret = _secret_in(own.iscsi_secret_file)
    endpoint = Endpoint(
        location.host,
        location.port,
        location.target,
        initiator=own.iscsi_initiator or DEFAULT_INITIATOR,
        chap=Chap(own.iscsi_user, secret) if own.iscsi_user else None,
        mutual=Chap(own.iscsi_mutual_user, mutual.get_secret_value())
        if own.iscsi_mutual_user
        else None,
    )
    return IscsiTransport(IscsiSession(endpoint), location.lun, owns_session=True)


def _secret_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise LocationError(
            f"SBTK_ISCSI_SECRET_FILE={path} cannot be read", hint="Name a file of this user"
        ) from error


def open_ntfs(text: str) -> OpenedVolume:
    """Open the NTFS volume at a location: the whole device, its one NTFS partition, or ``#N``.

    A device without a partition table is taken as a volume if its first sector, or the backup in
    its last one, is NTFS, or if it holds the records of a bare $MFT.

    Raises:
        LocationError: the location cannot be opened (or one of its subclasses).
        PartitionError: several NTFS partitions and none is named, or a number that is not there.
        NotNtfsError: no NTFS; the message says what it is instead.
        VolumeDamagedError: the partition is cut off.
    """
    location = parse(text)
    disk = open_device(text)
    try:
        return _find_ntfs(location, disk)
    except BaseException:
        disk.close()
        raise


def find_ntfs(text: str, disk: BlockDevice) -> OpenedVolume:
    """The NTFS volume on a device that is open already, such as a snapshot of ``text``.

    The same errors as ``open_ntfs``; the device stays open where one is raised.
    """
    return _find_ntfs(parse(text), disk)


def _find_ntfs(location: Location, disk: BlockDevice) -> OpenedVolume:
    head = disk.read(0, min(disk.size_bytes, 1024))
    if location.partition is None and (is_ntfs_boot_sector(head) or head[:4] in (b"FILE", b"BAAD")):
        return OpenedVolume(str(location), disk, disk, None)
    table = read_table(disk)
    if location.partition is None and not table.partitions:
        if has_backup_boot_sector(disk, 0, disk.size_bytes):
            return OpenedVolume(str(location), disk, disk, None)
        raise _not_ntfs(str(location), disk, 0)
    partition = _choose(location, disk, table)
    if partition.start_bytes + partition.size_bytes > disk.size_bytes:
        raise VolumeDamagedError(
            f"{disk.name}: partition {partition.number} ends at "
            f"{format_bytes(partition.start_bytes + partition.size_bytes)} and the device at "
            f"{format_bytes(disk.size_bytes)}",
            hint="The image is cut off: copy it again, whole",
        )
    suffix = f"#{partition.number}"
    view = PartitionView(disk, partition.start_bytes, partition.size_bytes, suffix=suffix)
    return OpenedVolume(f"{disk.name}{suffix}", view, disk, partition, table.findings)


def _choose(location: Location, disk: BlockDevice, table: PartitionTable) -> Partition:
    """The partition that is meant: the one that is named, or the only one that holds NTFS."""
    volumes = [item for item in table.partitions if item.is_ntfs]
    if location.partition is None:
        if len(volumes) == 1:
            return volumes[0]
        if volumes:
            listed = ", ".join(f"#{item.number} {describe(item)}" for item in volumes)
            raise PartitionError(
                f"{disk.name} has {len(volumes)} NTFS partitions: {listed}",
                hint=f"Choose one: {disk.name}#{volumes[0].number}",
            )
        raise NotNtfsError(
            f"{disk.name} has {plural(len(table.partitions), 'partition')} "
            f"({table.scheme.upper()}) and none is NTFS: {_contents(disk, table)}",
            hint="Name the disk or image that holds the NTFS volume",
        )
    for item in table.partitions:
        if item.number == location.partition:
            if item.is_ntfs:
                return item
            raise _not_ntfs(f"{disk.name}#{item.number}", disk, item.start_bytes)
    numbers = ", ".join(f"#{item.number}" for item in table.partitions)
    raise PartitionError(
        f"{disk.name} has no partition {location.partition}",
        hint=f"It has {numbers}" if numbers else "It has no partition table: leave #N out",
    )


def describe(partition: Partition) -> str:
    """``"'Basic data' 40 GiB"``: name and size of a partition, for lists."""
    size = format_bytes(partition.size_bytes)
    return f"{partition.name!r} {size}" if partition.name else size


def _contents(disk: BlockDevice, table: PartitionTable) -> str:
    parts = []
    for item in table.partitions[:4]:
        head = read_or_empty(disk, item.start_bytes, _head_bytes(disk, item.start_bytes))
        parts.append(f"#{item.number} is {identify(head)}")
    more = len(table.partitions) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _head_bytes(disk: BlockDevice, start_bytes: int) -> int:
    return max(0, min(HEAD_BYTES, disk.size_bytes - start_bytes))


def _not_ntfs(name: str, disk: BlockDevice, start_bytes: int) -> SbtkError:
    what = identify(disk.read(start_bytes, _head_bytes(disk, start_bytes)))
    if what == identify(NTFS_OEM_ID.rjust(11)):
        return VolumeDamagedError(
            f"{name} is an NTFS volume whose boot sector is cut off or damaged, without a backup",
            hint="Copy the volume again, whole, or restore the boot sector from its last sector",
        )
    return NotNtfsError(f"{name} holds no NTFS volume: it is {what}", hint=_advice(what))


def _advice(what: str) -> str:
    """What to do with something that is no NTFS volume."""
    for word, advice in _ADVICE:
        if word in what:
            return advice
    return "Name an NTFS volume, a disk that holds one, or a copy of its $MFT"
