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
from sbtk.errors import CheckConditionError, LocationError, LocationNotFoundError
from sbtk.events import Finding, Listener, ignore
from sbtk.jobs.copy_client import CopyClient
from sbtk.jobs.units import Disk, Tape, open_unit
from sbtk.mover.base import Counters, LogicalUnit
from sbtk.mover.block_lun import BlockLun, ReadOnlyLun
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.plan import batch
from sbtk.scsi.inquiry import TAPE
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
        through_host: remote units are served by the embedded mover: data pass this host.
    """

    limits: Limits
    mover: Target | None
    transports: list[CountingTransport] = field(default_factory=list)
    units: list[Disk | Tape] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)
    through_host: bool = False

    def client(self, unit: Disk | Tape) -> CopyClient:
        """A client whose lists are sent to ``unit``."""
        return CopyClient(unit.transport, self.limits)

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes that the embedded mover's units count as read and as written."""
        counters = self.counters
        return sum(item.read_bytes for item in counters), sum(item.write_bytes for item in counters)

    @property
    def sent(self) -> CommandCount:
        """EXTENDED COPY commands and the questions about them, over all units."""
        return sum((item.copy_commands for item in self.transports), CommandCount())


@contextmanager
def open_session(
    ends: list[End], *, profile: Limits | None = None, emit: Listener = ignore
) -> Iterator[Session]:
    """Open the units of a job; they are flushed and closed at the end.

    Units of one remote target are left to its copy manager. Everything else is served by the
    embedded mover: what is remote then passes this host, and a finding says so.

    Args:
        ends: what to open.
        profile: limits of the embedded mover; everything that it can do if None. A manager
            elsewhere is asked for its own.
        emit: told when a cartridge is mended, and when data will pass this host.

    Raises:
        LocationError: a location cannot be opened.
        TransportError: no path to a unit.
    """
    places = [parse(end.location) for end in ends]
    remote = [
        end.device is None and place.kind not in ("path", "tape")
        for end, place in zip(ends, places, strict=True)
    ]
    with ExitStack() as stack:
        if all(remote) and _same_target(places):
            session = Session(limits("spc"), None)
            for place in places:
                _add(session, open_transport(place), stack)
            try:
                session.limits = ask_limits(session.units[0].transport)
            except CheckConditionError:
                stack.close()  # it has no copy manager: ours it is
            else:
                yield session
                return
        session = _embedded(ends, places, profile, stack, emit)
        if any(remote):
            session.through_host = True
            emit(
                Finding(
                    severity="warning",
                    code="data-through-host",
                    message=f"{ends[0].location} and {ends[-1].location} have no copy manager in "
                    "common: the mover in this process copies, and all data pass this host",
                )
            )
        yield session


def _same_target(places: list[Location]) -> bool:
    """Whether one copy manager can be taken to reach all of them."""
    first = places[0]
    return all((item.kind, item.host, item.port) == (first.kind, first.host, first.port)
               for item in places)  # fmt: skip


def _embedded(
    ends: list[End],
    places: list[Location],
    profile: Limits | None,
    stack: ExitStack,
    emit: Listener,
) -> Session:
    chosen = profile or limits("spc")
    units = []
    for end, place in zip(ends, places, strict=True):
        unit = _local_unit(end, place, emit)
        stack.callback(unit.close)
        units.append(unit)
    tape = any(unit.peripheral_device_type == TAPE for unit in units)
    mover = Target(batch.for_tape(chosen) if tape else chosen, open_access=True)
    stack.callback(mover.close)
    session = Session(mover.limits, mover)
    for lun, (end, unit) in enumerate(zip(ends, units, strict=True)):
        mover.add(lun, unit)
        session.counters.append(unit.counters)
        _add(session, Loopback(mover, lun, NEXUS, name=end.location), stack)
    return session


def _add(session: Session, transport: Transport, stack: ExitStack) -> None:
    counted = CountingTransport(transport)
    stack.callback(counted.close)
    session.transports.append(counted)
    session.units.append(open_unit(counted))


def _local_unit(end: End, place: Location, emit: Listener) -> LogicalUnit:
    if end.device is not None:
        return ReadOnlyLun(end.device, designator=end.designator)
    if place.kind not in ("path", "tape"):
        from sbtk.mover.remote_lun import open_remote

        return open_remote(open_transport(place))
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


def will_be_made(location: str) -> bool:
    """Whether a location names a file that does not exist, in a folder that does."""
    place = parse(location)
    path = Path(place.path)
    if place.kind != "path" or path.exists() or path.is_relative_to("/dev"):
        return False
    return path.parent.is_dir()


def create_disk(location: str, size_bytes: int) -> bool:
    """Make a sparse file where a location names one that does not exist.

    Returns:
        Whether it was made.

    Raises:
        LocationError: it cannot be made.
    """
    if not will_be_made(location):
        return False
    path = Path(parse(location).path)
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
