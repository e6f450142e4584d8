"""The medium that a backup writes to: where its set goes, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass

from sbtk.device.location import parse
from sbtk.errors import TargetError
from sbtk.jobs.label import read_label
from sbtk.jobs.medium import ALIGN_BYTES, Place, next_place, prepare_tape
from sbtk.jobs.policy import confirm_overwrite, what_is_on
from sbtk.jobs.same_disk import refuse_mounted
from sbtk.jobs.session import open_medium, will_be_made, without_partition
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.model import Plan, Target
from sbtk.units import format_bytes

_CLOSING_BYTES_A_SEGMENT = 64  # digest, addresses, and what Parquet adds
_CLOSING_BYTES = 64 * 1024


@dataclass
class Prepared:
    """A medium that is ready for a set.

    Attributes:
        unit: the medium.
        location: of it.
        target: for the plan.
        place: where the set begins.
        label_id: of the cartridge; empty on a disk.
    """

    unit: Disk | Tape
    location: str
    target: Target
    place: Place
    label_id: str = ""

    def require_room(self, plan: Plan) -> None:
        """Refuse a target that the archive does not fit on.

        Raises:
            TargetError: it is too small; nothing was written.
        """
        if not isinstance(self.unit, Disk):
            return
        closing = 0
        if plan.layout != "mirror":
            closing = _CLOSING_BYTES + _CLOSING_BYTES_A_SEGMENT * len(plan.segments)
        needed = plan.target.start_bytes + plan.archive_bytes + closing
        if needed > self.unit.size_bytes:
            free = self.unit.size_bytes - plan.target.start_bytes
            raise TargetError(
                f"{self.location} is too small: the set needs "
                f"{format_bytes(plan.archive_bytes + closing)} and {format_bytes(free)} are left",
                hint="Choose a larger target; nothing was written",
            )

    def begin(self, plan: Plan) -> None:
        """Before the first list: what lies on the medium must not pass for this set's end."""
        if isinstance(self.unit, Disk) and plan.layout != "mirror":
            at = plan.target.start_bytes + plan.archive_bytes
            self.unit.patch(at, bytes(min(ALIGN_BYTES, self.unit.size_bytes - at)))


def check_target(location: str, layout: str, yes: str) -> None:
    """Look at the target before the wait for quiet, so that the wait is not in vain.

    Raises:
        TargetError: the set may not go there.
        LocationError: it cannot be opened, or not be written to.
    """
    whole = without_partition(location)
    refuse_mounted(whole)
    if layout == "mirror" and will_be_made(whole):
        return
    with open_medium(whole, writable=True) as unit:
        if isinstance(unit, Tape):
            _refuse_mirror(layout)
            read_label(unit)
        else:
            _disk_place(unit, location, layout, yes)


def _refuse_mirror(layout: str) -> None:
    if layout == "mirror":
        raise TargetError("a tape holds no mirror", hint="Choose the layout image or files")


def prepare(unit: Disk | Tape, location: str, layout: str, yes: str) -> Prepared:
    """Make a medium ready; a blank tape gets its label.

    Raises:
        TargetError: it holds something else.
        NotConfirmedError: what it holds would be destroyed, and its name was not given.
        CheckConditionError: it cannot be written.
    """
    if isinstance(unit, Tape):
        _refuse_mirror(layout)
        label, place = prepare_tape(unit)
        target = Target("tape", block_bytes=1)
        return Prepared(unit, location, target, place, label.cartridge_id)
    place = _disk_place(unit, location, layout, yes)
    target = Target(
        "disk",
        block_bytes=unit.block_bytes,
        start_bytes=place.start_bytes,
        capacity_bytes=unit.size_bytes,
    )
    return Prepared(unit, location, target, place)


def _disk_place(disk: Disk, location: str, layout: str, yes: str) -> Place:
    if layout == "mirror":
        confirm_overwrite(location, disk, what_is_on(disk), yes, "mirror to")
        return Place()
    place = next_place(disk)
    if place is not None:
        return place
    if parse(location).partition is not None:
        raise TargetError(
            f"{location} is a partition, and sets lie on whole disks", hint="Leave #N out"
        )
    confirm_overwrite(location, disk, what_is_on(disk), yes, "back up to")
    return Place()
