"""The units of a job on one copy manager: a mover in this process, or one behind a network.

Plain paths and cartridges are served by an embedded mover (DESIGN: Locations); for other locations
the copy manager is the one that both units belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sbtk.device.base import BlockDevice
from sbtk.device.file import FileDevice
from sbtk.device.location import Location, open_transport, parse
from sbtk.errors import LocationError, LocationNotFoundError, UsageError
from sbtk.events import Listener, ignore
from sbtk.jobs.copy_client import CopyClient
from sbtk.jobs.units import Disk, Tape, open_unit
from sbtk.mover.base import Counters, LogicalUnit
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.plan import batch
from sbtk.scsi.limits import Limits, limits
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.base import Transport
from sbtk.transport.counters import CommandCount, CountingTransport
from sbtk.transport.loopback import Loopback

NEXUS = "iqn.2026-11.local.sbtk:embedded"


@dataclass(frozen=True)
class End:
    """One end of a copy.

    Attributes:
        location: where it is.
        device: what to serve read-only under that name, where the location does not say it: a
            snapshot.
        designator: of the unit, None for one made from its path.
        writable: whether it will be written to.
    """

    location: str
    device: BlockDevice | None = None
    designator: bytes | None = None
    writable: bool = False


@dataclass
class Session:
    """The units of one job.

    Attributes:
        limits: of the copy manager.
        mover: the embedded mover; None where the copy manager is elsewhere.
        transports: paths to the units, counting what they carry.
        units: the units, in the order of the ends.
        counters: what each unit of the embedded mover has moved.
    """

    limits: Limits
    mover: Target | None
    transports: list[CountingTransport] = field(default_factory=list)
    units: list[Disk | Tape] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)

    def client(self, unit: Disk | Tape) -> CopyClient:
        """A client whose lists are sent to ``unit``."""
        return CopyClient(unit.transport, self.limits)

    @property
    def sent(self) -> CommandCount:
        """EXTENDED COPY commands and the questions about them, over all units."""
        return sum((item.copy_commands for item in self.transports), CommandCount())


@contextmanager
def open_session(
    ends: list[End],
    *,
    profile: Limits | None = None,
    lock_name: str = NEXUS,
    emit: Listener = ignore,
) -> Iterator[Session]:
    """Open the units of a job; they are flushed and closed at the end.

    Args:
        ends: what to open.
        profile: limits of the embedded mover; everything that it can do if None.
        lock_name: as whom commands are sent to the embedded mover.
        emit: told when a cartridge is mended.

    Raises:
        LocationError: a location cannot be opened.
        UsageError: units of different copy managers.
        CheckConditionError: the units have no copy manager.
        TransportError: no path to a unit.
    """
    places = [parse(end.location) for end in ends]
    local = [
        end.device is not None or place.kind in ("path", "tape")
        for end, place in zip(ends, places, strict=True)
    ]
    if any(local) and not all(local):
        raise UsageError(
            f"{ends[0].location} and {ends[-1].location} have no copy manager in common",
            hint="Serve both from one mover (sbtk san serve), and name both as iscsi:// locations",
        )
    with ExitStack() as stack:
        if all(local):
            tape = any(place.kind == "tape" for place in places)
            chosen = profile or limits("spc")
            mover = Target(batch.for_tape(chosen) if tape else chosen, open_access=True)
            stack.callback(mover.close)
            session = Session(mover.limits, mover)
            for lun, (end, place) in enumerate(zip(ends, places, strict=True)):
                unit = _local_unit(end, place, emit)
                mover.add(lun, unit)
                session.counters.append(unit.counters)
                _add(session, Loopback(mover, lun, lock_name, name=end.location), stack)
        else:
            session = Session(profile or limits("spc"), None)
            for place in places:
                _add(session, open_transport(place), stack)
            session.limits = profile or ask_limits(session.units[0].transport)
        yield session


def _add(session: Session, transport: Transport, stack: ExitStack) -> None:
    counted = CountingTransport(transport)
    stack.callback(counted.close)
    session.transports.append(counted)
    session.units.append(open_unit(counted))


def _local_unit(end: End, place: Location, emit: Listener) -> LogicalUnit:
    if end.device is not None:
        return ReadOnlyLun(end.device, designator=end.designator)
    path = Path(place.path)
    if place.kind == "tape":
        if not path.exists():
            raise LocationNotFoundError(
                f"there is no cartridge {path}", hint=f"sbtk tape create {path} makes one"
            )
        return TapeLun(path, writable=end.writable, listener=emit)
    return BlockLun(path) if end.writable else ReadOnlyLun(FileDevice(path))


@contextmanager
def open_medium(location: str, *, writable: bool = False) -> Iterator[Disk | Tape]:
    """A medium alone: to list its sets, or to read a manifest.

    Raises:
        LocationError, TransportError, CheckConditionError: as ``open_session``.
    """
    place = parse(location)
    if place.kind in ("path", "tape"):
        with open_session([End(location, writable=writable)]) as session:
            yield session.units[0]
        return
    transport = open_transport(place)
    try:
        yield open_unit(transport)
    finally:
        transport.close()


def create_disk(location: str, size_bytes: int) -> bool:
    """Make a sparse file where a location names one that does not exist.

    Returns:
        Whether it was made.

    Raises:
        LocationError: it cannot be made.
    """
    place = parse(location)
    path = Path(place.path)
    if place.kind != "path" or path.exists() or not path.parent.is_dir():
        return False
    if path.is_relative_to("/dev"):
        return False
    try:
        with path.open("xb") as file:
            file.truncate(size_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise LocationError(
            f"{path} cannot be made: {error.strerror or error}", hint="Choose another target"
        ) from error
    return True


def without_partition(location: str) -> str:
    """The location of the whole disk: sets and restores count from its first block."""
    place = parse(location)
    if place.partition is None:
        return location
    return location[: location.rindex("#")]
