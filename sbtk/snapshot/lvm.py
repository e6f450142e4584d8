"""Provider ``lvm``: a dm-snapshot (or thin snapshot) of a logical volume, by LVM's own tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from sbtk.device.location import parse
from sbtk.errors import NoStaticViewError, SnapshotError, SnapshotFullError
from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.commands import Runner
from sbtk.snapshot.records import Record
from sbtk.units import format_bytes

_FIELDS = "vg_name,lv_name,lv_size,vg_free,segtype,lv_attr,data_percent"
_INVALID_STATES = ("I", "S", "X")  # lvs(8), lv_attr character 5: invalid snapshots
_DEFAULT_CAP_SHARE = 0.2
_FULL_PERCENT = 99.9
_PREFIX = "sbtk_"


@dataclass(frozen=True)
class _Volume:
    """One row of lvs, sizes in bytes."""

    group: str
    name: str
    size_bytes: int
    group_free_bytes: int
    segment_type: str
    attributes: str
    data_percent: float


class LvmProvider(SnapshotProvider):
    """``lvcreate --snapshot`` of a logical volume; ``lvremove`` at the end.

    A classic snapshot whose store is full is disabled by the kernel and reads of it fail: its
    fill level is looked at while the copy runs, and the job fails first. LVM suspends the volume
    for the moment and freezes a file system mounted from it on this host.
    """

    name: ClassVar[str] = "lvm"

    def check(self) -> None:
        """The source must be a logical volume with room for a snapshot in its group."""
        try:
            volume = self._volume(self.request.path)
        except SnapshotError as error:
            raise NoStaticViewError(
                f"there is no static view of {self.request.source} to be had by lvm: {error}",
                hint="The source must be a logical volume, as /dev/GROUP/VOLUME",
            ) from error
        cap_bytes = self._cap_bytes(volume)
        if volume.segment_type != "thin" and cap_bytes > volume.group_free_bytes:
            raise NoStaticViewError(
                f"volume group {volume.group} has {format_bytes(volume.group_free_bytes)} free and "
                f"the snapshot may need {format_bytes(cap_bytes)}",
                hint="Extend the group, or set a smaller cap",
            )

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """Names of group, volume and snapshot."""
        volume = self._volume(self.request.path)
        return {"group": volume.group, "origin": volume.name, "name": f"{_PREFIX}{snapshot_id}"}

    def make(self, record: Record) -> Snapshot:
        """Create it, read-only."""
        group, name = record.text("group"), record.text("name")
        volume = self._volume(self.request.path)
        command = ["lvcreate", "--yes", "--snapshot", "--permission", "r", "--name", name]
        if volume.segment_type == "thin":
            # Thin snapshots have no store of their own and are skipped at activation by default.
            command += ["--setactivationskip", "n"]
        else:
            command += ["--size", f"{self._cap_bytes(volume)}b"]
        self._run([*command, f"{group}/{volume.name}"])
        number = parse(self.request.source).partition
        location = f"/dev/{group}/{name}"
        location = location if number is None else f"{location}#{number}"
        return Snapshot(self, record, location, check=partial(self._check, f"{group}/{name}"))

    def _check(self, place: str) -> None:
        """Fail when its store is full, or has been and the kernel has disabled it."""
        volume = self._volume(place)
        is_lost = volume.attributes[4:5] in _INVALID_STATES
        is_full = volume.segment_type != "thin" and volume.data_percent >= _FULL_PERCENT
        if is_lost or is_full:
            raise SnapshotFullError(
                f"the snapshot {place} is full: {volume.data_percent:.1f} % of its store is used",
                hint="Raise its cap, or back up when less is being written",
            )

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Remove the snapshot, if it is there."""
        group, name = record.text("group"), record.text("name")
        if name != _PREFIX + record.id:
            raise SnapshotError(f"record {record.id} names {name}, which is no snapshot of sbtk")
        listed = run(["lvs", "--reportformat", "json", "-o", "lv_name", group], 60.0)
        if name in {row["lv_name"] for row in _rows(listed)}:
            run(["lvremove", "--yes", f"{group}/{name}"], 60.0)

    def _volume(self, place: str) -> _Volume:
        text = self._run(
            ["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", _FIELDS, place]
        )
        rows = _rows(text)
        if len(rows) != 1:
            raise SnapshotError(f"lvs tells of {len(rows)} logical volumes at {place}")
        row = rows[0]
        try:
            return _Volume(
                row["vg_name"],
                row["lv_name"],
                int(row["lv_size"]),
                int(row["vg_free"]),
                row["segtype"],
                row["lv_attr"],
                float(row["data_percent"] or 0),
            )
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"lvs tells of {place} what is not understood: {error}") from error

    def _cap_bytes(self, volume: _Volume) -> int:
        """The cap, in whole sectors: LVM rounds up to its extents."""
        wanted = self.request.cap_bytes or int(volume.size_bytes * _DEFAULT_CAP_SHARE)
        return -(-wanted // 512) * 512

    def _run(self, command: list[str]) -> str:
        return self.request.run(command, self.request.timeout_s)


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)["report"][0]["lv"]
    except (ValueError, LookupError, TypeError) as error:
        raise SnapshotError("lvs printed no report that is understood") from error
    return list(rows)
