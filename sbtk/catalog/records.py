"""The rows of the catalog: a set on a medium, a run of a job."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from sbtk.device.location import parse
from sbtk.errors import LocationError

COMPLETE, FLAWED = "complete", "flawed"
LAST = "last"


@dataclass(frozen=True)
class SetRecord:
    """A set, and where it lies.

    Attributes:
        set_id: unique name, from its manifest.
        run_id: the run that made it; empty where only the medium is known.
        created: when the snapshot was taken, ISO 8601, UTC.
        status: ``complete``, or ``flawed`` where blocks of the source could not be read.
        source: location that was backed up.
        layout: ``image``, ``files`` or ``mirror``.
        volume_serial: of the volume.
        volume_label: of the volume.
        medium: ``tape`` or ``disk``.
        location: of the medium.
        medium_label: the cartridge's id; empty on a disk.
        start_bytes: on a disk, the first byte of the archive.
        first_object: on a tape, the logical object of its first record.
        file_number: on a tape, the tape file.
        archive_bytes: bytes of the archive.
        moved_bytes: bytes that the mover moved for it.
        has_digests: digests of the data are known.
        manifest: ``manifest.json`` as on the medium.
    """

    set_id: str
    run_id: str
    created: str
    status: str
    source: str
    layout: str
    volume_serial: str
    volume_label: str
    medium: str
    location: str
    medium_label: str
    start_bytes: int
    first_object: int
    file_number: int
    archive_bytes: int
    moved_bytes: int
    has_digests: bool
    manifest: bytes = field(repr=False)


@dataclass(frozen=True)
class RunRecord:
    """One run of a job.

    Attributes:
        run_id: unique name.
        verb: ``backup``, ``restore``, ``verify``, ``extract``.
        status: ``running``, then ``done``, ``flawed`` (ended, with findings), ``failed`` or
            ``cancelled``.
        started_s: seconds since the epoch.
        ended_s: seconds since the epoch, 0 while it runs.
        source: location that was read.
        target: location that was written.
        set_id: the set that it made or used; empty where there is none.
        exit_code: as the command line's; 0 while it runs.
        message: how it ended, one line.
        folder: where its journal and ``events.jsonl`` are.
    """

    run_id: str
    verb: str
    status: str
    started_s: float
    ended_s: float = 0.0
    source: str = ""
    target: str = ""
    set_id: str = ""
    exit_code: int = 0
    message: str = ""
    folder: str = ""


def absolute(location: str) -> str:
    """A location that means the same place from every working folder; other text as it is."""
    try:
        place = parse(location)
    except LocationError:
        return location
    if place.kind not in ("path", "tape"):
        return str(place)
    prefix = "tape:" if place.kind == "tape" else ""
    suffix = "" if place.partition is None else f"#{place.partition}"
    return f"{prefix}{os.path.realpath(place.path)}{suffix}"
