"""``manifest.json``, the first member of every archive: what this set is and how to read it.

Everything in it is known before the plan is made, because its size fixes every address behind it.
What is known only afterwards (digests, times, what went wrong) is in the last member.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sbtk.errors import ArchiveError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
PARTITION_TABLE_NAME = "partition-table.bin"
IMAGE_NAME = "volume.ntfs"
REMAINDER_NAME = ".sbtk/remainder.ntfs"
COMPANIONS = ".sbtk/streams"
LONG_NAMES = ".sbtk/long-names"
DIGESTS_NAME = "digests.parquet"

MAX_MANIFEST_BYTES = 256 << 20
LAYOUTS = ("image", "files", "mirror")


@dataclass(frozen=True)
class Geometry:
    """Where a volume lies on its LUN; every address in a plan and a set follows from it.

    Attributes:
        block_bytes: logical block length of the LUN, 512 or 4096.
        lun_bytes: bytes of the whole LUN.
        volume_start_bytes: first byte of the NTFS volume on the LUN.
        volume_bytes: bytes of the volume, its backup boot sector included.
        sector_bytes: as the boot sector states it.
        cluster_bytes: bytes a cluster.
        total_clusters: clusters of the volume.
    """

    block_bytes: int
    lun_bytes: int
    volume_start_bytes: int
    volume_bytes: int
    sector_bytes: int
    cluster_bytes: int
    total_clusters: int

    @property
    def volume_end_bytes(self) -> int:
        """The LUN's byte behind the volume."""
        return self.volume_start_bytes + self.volume_bytes


@dataclass(frozen=True)
class NotPlain:
    """Something that is no plain member in the files layout.

    Attributes:
        path: of the file in the volume.
        stream: name of the stream, empty for the unnamed one.
        why: ``compressed``, ``encrypted``, ``wof``, ``dedup``, ``reparse``, ``cross-linked``,
            ``incomplete``, or ``name-too-long`` (its content is plain, its name is here only).
        member: where its raw bytes are.
    """

    path: str
    stream: str
    why: str
    member: str


@dataclass(frozen=True)
class Manifest:
    """What a set says about itself.

    Attributes:
        set_id: unique name of the set.
        created: when the snapshot was taken, ISO 8601, UTC.
        sbtk_version: version that made it.
        layout: ``image``, ``files`` or ``mirror``.
        geometry: where the volume lies on its LUN.
        volume: ``volume.json`` of the scan.
        partition_table: ``[first byte on the LUN, bytes]`` of each piece of the member
            ``partition-table.bin``, in its order.
        selection: what was chosen: include, exclude, counts.
        snapshot: provider, name, time.
        quiet: report of the quiet window.
        limits: of the copy manager that the plan was made for.
        medium: record and alignment rules of this medium.
        not_plain: what the files layout could not make plain.
        notes: further facts of the job, by name.
        format: version of this document.
    """

    set_id: str
    created: str
    sbtk_version: str
    layout: str
    geometry: Geometry
    volume: dict[str, Any] = field(default_factory=dict)
    partition_table: list[list[int]] = field(default_factory=list)
    selection: dict[str, Any] = field(default_factory=dict)
    snapshot: dict[str, Any] = field(default_factory=dict)
    quiet: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    medium: dict[str, Any] = field(default_factory=dict)
    not_plain: list[NotPlain] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT_VERSION

    @property
    def created_ns(self) -> int:
        """``created`` in nanoseconds since 1970, whole seconds; 0 where it is no time."""
        try:
            return int(datetime.fromisoformat(self.created).timestamp()) * 1_000_000_000
        except ValueError:
            return 0

    def to_bytes(self) -> bytes:
        """The document, the same bytes for the same values."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass") + b"\n"

    @classmethod
    def from_bytes(cls, document: bytes) -> Manifest:
        """Read a document that may have been damaged or made up.

        Raises:
            ArchiveError: no manifest, one of another version, or values that make no sense.
        """
        try:
            values = json.loads(document)
            version = values["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArchiveError(
                f"the manifest is damaged: {error}", hint="Check the medium with sbtk verify"
            ) from error
        if version != FORMAT_VERSION:
            raise ArchiveError(
                f"the set has format {version!r}, this version of sbtk reads {FORMAT_VERSION}",
                hint="Use the version that made it, or extract it with tar",
            )
        try:
            return _from_values(cls, values)
        except (TypeError, KeyError, ValueError) as error:
            raise ArchiveError(f"the manifest is damaged: {error}") from error


def _from_values(cls: type[Manifest], values: dict[str, Any]) -> Manifest:
    known = {item.name for item in dataclasses.fields(cls)}
    kept = {key: value for key, value in values.items() if key in known}
    geometry = Geometry(**kept.pop("geometry"))
    not_plain = [NotPlain(**item) for item in kept.pop("not_plain", [])]
    manifest = cls(geometry=geometry, not_plain=not_plain, **kept)
    _check_geometry(geometry)
    for name in ("set_id", "created", "sbtk_version", "layout"):
        if not isinstance(getattr(manifest, name), str):
            raise ValueError(f"{name} is no text")
    if manifest.layout not in LAYOUTS:
        raise ValueError(f"there is no layout {manifest.layout!r}")
    for start_bytes, length_bytes in manifest.partition_table:
        if not 0 <= start_bytes <= start_bytes + length_bytes <= geometry.lun_bytes:
            raise ValueError("the partition table lies outside the LUN")
    return manifest


def _check_geometry(geometry: Geometry) -> None:
    values = dataclasses.astuple(geometry)
    if not all(isinstance(value, int) and 0 <= value < 1 << 62 for value in values):
        raise ValueError("the geometry is no set of numbers")
    if geometry.block_bytes not in (512, 1024, 2048, 4096) or geometry.sector_bytes <= 0:
        raise ValueError(f"there are no blocks of {geometry.block_bytes} bytes")
    if geometry.volume_end_bytes > geometry.lun_bytes:
        raise ValueError("the volume ends behind its LUN")
