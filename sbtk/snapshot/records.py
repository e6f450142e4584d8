"""Records of snapshots that exist: written before one is made, removed after it is dropped.

What a killed run leaves behind is found by them: one JSON file a snapshot in
``state_dir/snapshots``. Host, boot and process (with its start time) tell whether the run lives.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from sbtk.errors import SnapshotError
from sbtk.settings import settings
from sbtk.whole_file import write_whole

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STARTTIME_FIELD = 19  # proc(5), stat field 22, counted behind "pid (comm)"


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Record:
    """A snapshot as its maker planned it.

    Attributes:
        id: name of the snapshot, unique, letters and digits.
        provider: which provider can remove it.
        source: location that it is a snapshot of.
        details: what the provider needs to remove it: paths, names, argument lists.
        created_s: seconds since the epoch.
        host: name of the machine.
        boot: the boot of that machine.
        pid: process that made it.
        started: start time of that process, in ticks since the boot.
    """

    id: str
    provider: str
    source: str
    details: dict[str, str | list[str]]
    created_s: float = field(default_factory=time.time)
    host: str = field(default_factory=lambda: os.uname().nodename)
    boot: str = field(default_factory=_boot)
    pid: int = field(default_factory=os.getpid)
    started: int = field(default_factory=lambda: _started(os.getpid()))

    def text(self, name: str) -> str:
        """A detail that is one string; "" where it is missing."""
        value = self.details.get(name, "")
        return value if isinstance(value, str) else " ".join(value)

    def words(self, name: str) -> list[str]:
        """A detail that is an argument list."""
        value = self.details.get(name, [])
        return [value] if isinstance(value, str) else list(value)

    @property
    def is_here(self) -> bool:
        """Whether it was made on this machine; only there can it be judged and removed."""
        return self.host == os.uname().nodename

    @property
    def is_in_use(self) -> bool:
        """Whether the process that made it still runs."""
        return self.is_here and self.boot == _boot() and _started(self.pid) == self.started != 0

    @property
    def is_left_over(self) -> bool:
        """Whether the run that made it is gone."""
        return self.is_here and not self.is_in_use


def new_id() -> str:
    """An id for a snapshot: time for people, random digits for uniqueness."""
    return f"{time.strftime('%Y%m%dt%H%M%S', time.gmtime())}x{secrets.token_hex(4)}"


def write(record: Record) -> None:
    """Put a record on disk, before the snapshot is made.

    Raises:
        SnapshotError: the state folder cannot be written.
    """
    path = _path(record.id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(dataclasses.asdict(record)).encode())
    except OSError as error:
        raise SnapshotError(
            f"the record of a snapshot cannot be written to {path.parent}: {error.strerror}",
            hint="Set SBTK_STATE_DIR to a folder that can be written",
        ) from error


def forget(record: Record) -> None:
    """Remove a record, after its snapshot is gone; a missing one is fine."""
    try:
        _path(record.id).unlink(missing_ok=True)
    except NotADirectoryError:
        return  # there never was a folder for it
    except OSError as error:
        raise SnapshotError(
            f"the record of snapshot {record.id} cannot be removed: {error.strerror}"
        ) from error


def records() -> list[Record]:
    """All records, the oldest first; files that are no record are passed over."""
    found = []
    for path in _folder().glob("*.json"):
        try:
            record = Record(**json.loads(path.read_text()))
            if record.id == path.stem and isinstance(record.details, dict):
                found.append(record)
        except (OSError, ValueError, TypeError):
            continue
    return sorted(found, key=lambda record: record.created_s)


def _folder() -> Path:
    return settings().state_dir / "snapshots"


def _path(record_id: str) -> Path:
    return _folder() / f"{record_id}.json"


def _started(pid: int) -> int:
    """Start time of a process in clock ticks since the boot; 0 where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rpartition(")")[2].split()[_STARTTIME_FIELD])
    except (OSError, ValueError, IndexError):
        return 0
