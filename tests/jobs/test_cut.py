"""Jobs whose link or mover dies in the middle of a copy: a named error, and nothing is lost."""

from __future__ import annotations

import shutil
import threading

import pytest

import sbtk
from sbtk import samples
from sbtk.catalog.store import Catalog
from sbtk.errors import CopyFailedError, SbtkError
from sbtk.events import Event, PlanMade
from sbtk.jobs.session import End, open_session
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.tape_lun import TapeLun
from tests.mover.portals import Wire, served
from tests.state import state_dir  # noqa: F401 - a fixture

OPTIONS = {"snapshot": "none", "quiet_s": 0.2, "timeout_s": 20}
# No connection; the copy manager lost its results or the unit its path; the copy stopped.
NAMED = {33, 34, 57}


class HeldDisk(BlockLun):
    """A disk whose reads wait from the moment in which the plan is made, until they may go on."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.holding = self.done = False
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def listen(self, event: Event) -> None:
        if isinstance(event, PlanMade) and not self.done:
            self.holding = True

    def read_blocks(self, lba, buffer) -> None:
        if self.holding:
            self.reached.set()
            assert self.go_on.wait(20)
        super().read_blocks(lba, buffer)


@pytest.fixture
def source(tmp_path):
    shutil.copyfile(samples.unpack("office.ntfs"), tmp_path / "source")
    create_cartridge(tmp_path / "t", capacity_bytes=256 << 20)
    return tmp_path / "source"


@pytest.mark.parametrize("what", ["the server's link", "the portal"])
def test_a_backup_is_cut_off_and_made_again(source, tmp_path, what):
    disk, tape = HeldDisk(source), TapeLun(tmp_path / "t")
    back = tmp_path / "back"
    back.write_bytes(bytes(source.stat().st_size))
    with served(disk, tape, BlockLun(back)) as san, Wire(san.portal.port) as wire:
        places = [san.location(lun, wire.port) for lun in range(3)]

        def cut() -> None:
            assert disk.reached.wait(60)
            wire.cut()
            if what == "the portal":
                closer = threading.Thread(target=san.portal.close)
                closer.start()
            disk.holding, disk.done = False, True
            disk.go_on.set()
            if what == "the portal":
                closer.join()

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(SbtkError) as caught:
            sbtk.backup(places[0], to=places[1], emit=disk.listen, **OPTIONS)
        cutter.join()
        assert caught.value.exit_code in NAMED
        assert caught.value.line
        with Catalog.open() as catalog:
            assert catalog.sets() == []
            assert catalog.runs()[-1].status == "failed"
        if what == "the portal":
            return
        wire.mend()
        saved = sbtk.backup(places[0], to=places[1], **OPTIONS)
        assert saved.stop.status == "done"
        sbtk.restore(saved.set_id, to=places[2], yes=places[2])
        with sbtk.open_volume(str(source)) as old, sbtk.open_volume(str(back)) as new:
            wanted = old.files.to_pandas()
            for path in wanted[~wanted.is_directory & (wanted.size_bytes > 0)].path.head(30):
                if not path.startswith("$"):
                    with old.open(path) as one, new.open(path) as other:
                        assert one.read() == other.read(), path


def test_a_copy_that_stops_is_no_device_without_a_copy_manager(tmp_path):
    """What fails in the job is the job's error; the embedded mover does not step in for it."""
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(1 << 20))
    with served(BlockLun(tmp_path / "a"), BlockLun(tmp_path / "b")) as san:
        ends = [End(san.location(0)), End(san.location(1), writable=True)]

        def stop() -> None:
            with open_session(ends) as session:
                assert session.mover is None
                raise CopyFailedError("it stopped")

        with pytest.raises(CopyFailedError, match="it stopped"):
            stop()
