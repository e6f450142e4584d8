"""A mover over real files and cartridges, and short ways to send it copies and see what came."""

from pathlib import Path

from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import copy_results as results
from sbtk.scsi import sense
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.designator import Designator
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import CHECK_CONDITION, Response
from sbtk.transport.loopback import Loopback

ME = "iqn.2026-11.test:me"


def file_disk(path: Path, data: bytes, block_bytes: int = 512) -> BlockLun:
    path.write_bytes(data)
    return BlockLun(path, block_bytes=block_bytes)


def file_tape(path: Path, objects=(), *, capacity_bytes: int = 16 << 20, **options) -> TapeLun:
    """A drive at the beginning of a tape with these records, or None for filemarks."""
    create_cartridge(path, capacity_bytes=capacity_bytes)
    drive = TapeLun(path, **options)
    for item in objects:
        drive.write_filemarks(1) if item is None else drive.write_record(item)
    drive.locate(0)
    return drive


def tape_objects(drive) -> list:
    """Everything on a tape, read from its beginning; the position is kept."""
    from sbtk.mover.base import CheckCondition

    before, found = drive.position(), []
    drive.locate(0)
    buffer = memoryview(bytearray(1 << 20))
    while True:
        try:
            length, met = drive.read_record(buffer)
        except CheckCondition:
            drive.locate(before)
            return found
        mark = met.sense and sense.decode(met.sense).filemark
        found.append(None if mark else bytes(buffer[:length]))


def disk_bytes(unit) -> bytes:
    buffer = bytearray(unit.block_bytes * unit.block_count)
    unit.read_blocks(0, memoryview(buffer))
    return bytes(buffer)


def named(unit, **fields) -> IdentificationCscd:
    """The CSCD descriptor of a unit."""
    fields.setdefault("device_type", unit.peripheral_device_type)
    return IdentificationCscd.of(Designator(unit.designator), **fields)


class Rig:
    """A target with units at LUN 0, 1, ...; commands go to LUN 0 as ``ME``."""

    def __init__(self, *units, profile=None) -> None:
        self.target = Target(profile, open_access=True)
        self.units = units
        for lun, unit in enumerate(units):
            self.target.add(lun, unit)
        self.path = self.to(0)

    def to(self, lun: int, nexus: str = ME) -> Loopback:
        return Loopback(self.target, lun, nexus, name=f"LUN {lun}")

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self.target.close()

    def send(
        self, items: ParameterList | bytes, path=None, *, lid4: bool | None = None
    ) -> Response:
        """Send a parameter list, as a value or as bytes."""
        if isinstance(items, ParameterList):
            lid4 = items.lid4
            items = items.encode()
        command = c.ExtendedCopyLid4 if lid4 else c.ExtendedCopyLid1
        return (path or self.path).execute(command(len(items)).encode(), data_out=items)

    def copy(self, *segments, cscds=None, list_id: int = 1, **fields) -> sense.SenseData | None:
        """Run segments; the slots are the units in order unless ``cscds`` says otherwise."""
        slots = tuple(named(unit) for unit in self.units) if cscds is None else tuple(cscds)
        items = ParameterList(slots, tuple(segments), list_id=list_id, **fields)
        response = self.send(items)
        return sense.decode(response.sense) if response.status == CHECK_CONDITION else None

    def ask(self, command, path=None, data_in_bytes: int = 1 << 22) -> Response:
        return (path or self.path).execute(command.encode(), data_in_bytes=data_in_bytes)

    def held(self, list_id: int = 1) -> bytes:
        answer = self.ask(c.ReceiveCopyDataLid1(list_id, 1 << 22))
        assert answer.status == 0, sense.describe(answer.sense)
        return results.decode_held_lid1(answer.data_in)

    def status(self, list_id: int = 1) -> results.StatusLid1:
        answer = self.ask(c.ReceiveCopyStatusLid1(list_id, 12))
        assert answer.status == 0, sense.describe(answer.sense)
        return results.StatusLid1.decode(answer.data_in)
