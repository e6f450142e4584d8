"""Bad input: one clear line each, and nothing half-done that looks done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import sbtk
from sbtk.catalog.rebuild import rebuild
from sbtk.catalog.store import Catalog
from sbtk.device.file import FileDevice
from sbtk.errors import (
    ArchiveError,
    CancelledError,
    CatalogError,
    DeviceReadError,
    JobError,
    LocationNotFoundError,
    MediumFullError,
    NotConfirmedError,
    NotNtfsError,
    SbtkError,
    SourceChangedError,
    TargetError,
    VolumeUnfitError,
)
from sbtk.events import Event, Finding, ListDone, PlanMade, QuietSample
from sbtk.jobs.control import Control
from sbtk.jobs.medium import find_sets
from sbtk.jobs.session import open_medium
from sbtk.jobs.sets import find_set
from sbtk.ntfs.layout import AttributeType, SystemRecord
from tests.corpus import volume
from tests.hostile.surgery import Patient, attribute, value_place
from tests.jobs.jobs import MIB, back_up, disk, tape
from tests.loopfs import loop_device, loop_fs, mounted


def sets_on(location: str) -> list[tuple[str, bool]]:
    with open_medium(location) as unit:
        return [(item.manifest.set_id, item.complete) for item in find_sets(unit)]


def catalog_sets() -> list:
    with Catalog.open() as catalog:
        return catalog.sets()


def one_line(error: SbtkError) -> str:
    assert "\n" not in error.line
    assert error.hint
    return error.line


def test_a_target_that_is_too_small_for_a_backup(tmp_path):
    small = disk(tmp_path, size_bytes=8 * MIB)
    with pytest.raises(TargetError, match="too small") as caught:
        back_up(volume("zoo").image, small)
    one_line(caught.value)
    assert not any(Path(small).read_bytes())
    assert catalog_sets() == []


def test_a_target_that_is_too_small_for_a_restore(tmp_path):
    made = back_up(volume("tiny").image, tape(tmp_path))
    small = disk(tmp_path, size_bytes=1 * MIB)
    with pytest.raises(TargetError, match="too small") as caught:
        sbtk.restore(made.set_id, to=small)
    one_line(caught.value)
    assert not any(Path(small).read_bytes())


@pytest.mark.parametrize("layout", ["image", "mirror"])
def test_a_target_that_holds_a_volume_is_asked_for_its_name(layout, tmp_path):
    held = tmp_path / "precious.img"
    shutil.copyfile(volume("zoo_s4096").image, held)
    held.chmod(0o644)
    before = held.read_bytes()
    for wrong in ("", "other.img"):
        with pytest.raises(NotConfirmedError, match=r"precious\.img") as caught:
            back_up(volume("tiny").image, str(held), layout=layout, yes=wrong)
        assert "--yes precious.img" in one_line(caught.value)
        assert held.read_bytes() == before
    made = back_up(volume("tiny").image, str(held), layout=layout, yes="precious.img")
    assert sbtk.verify(made.set_id).sound


def test_a_restore_asks_too(tmp_path):
    made = back_up(volume("tiny").image, tape(tmp_path))
    held = tmp_path / "precious.img"
    shutil.copyfile(volume("zoo_s4096").image, held)
    held.chmod(0o644)
    before = held.read_bytes()
    with pytest.raises(NotConfirmedError, match="NTFS"):
        sbtk.restore(made.set_id, to=held)
    assert held.read_bytes() == before
    assert sbtk.restore(made.set_id, to=held, yes="precious.img").sound


def test_sets_are_not_overwritten_by_a_restore(tmp_path):
    to = disk(tmp_path)
    made = back_up(volume("tiny").image, to)
    other = back_up(volume("tiny").image, tape(tmp_path))
    with pytest.raises(NotConfirmedError):
        sbtk.restore(other.set_id, to=to)
    with pytest.raises(TargetError, match="holds the set itself"):
        sbtk.restore(made.set_id, to=to)
    assert sbtk.verify(made.set_id).sound


def unequal_mirror(folder: Path) -> Path:
    image = folder / "unequal.img"
    shutil.copyfile(volume("tiny").image, image)
    image.chmod(0o644)
    with sbtk.open_volume(image) as opened:
        at = opened.info.mft_mirror_lcn * opened.info.cluster_bytes + opened.info.record_bytes
    with image.open("r+b") as file:
        file.seek(at + 100)
        byte = file.read(1)
        file.seek(at + 100)
        file.write(bytes([byte[0] ^ 0xFF]))
    return image


def dirty(folder: Path) -> Path:
    """The dirty flag set in $Volume, in $MFT and in $MFTMirr alike."""
    patient = Patient("tiny")
    record = patient.record(SystemRecord.VOLUME)
    at, _ = value_place(record, attribute(record, AttributeType.VOLUME_INFORMATION))
    record[at + 10] |= 1
    patient.put(SystemRecord.VOLUME, bytes(record))
    with sbtk.open_volume(volume("tiny").image) as opened:
        info = opened.info
    mirror = info.mft_mirror_lcn * info.cluster_bytes + SystemRecord.VOLUME * info.record_bytes
    patient.write(mirror, bytes(patient.raw(SystemRecord.VOLUME)))
    image = folder / "dirty.img"
    image.write_bytes(patient.content)
    return image


def hibernated(folder: Path) -> Path:
    """hiberfil.sys with the mark of an image that will be resumed, put there by ntfscp."""
    image, file = folder / "hibernated.img", folder / "hiberfil.sys"
    shutil.copyfile(volume("tiny").image, image)
    image.chmod(0o644)
    file.write_bytes(b"hibr" + bytes(8188))
    subprocess.run(["ntfscp", "-q", "-f", image, file, "hiberfil.sys"], check=True)
    return image


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (unequal_mirror, "mirror-differs", "MFTMirr"),
        (dirty, "volume-dirty", "dirty flag"),
        (hibernated, "hibernated", "hibernated"),
    ],
)
def test_an_unfit_source_warns_fails_or_is_allowed(tmp_path, make, code, says):
    image = make(tmp_path)
    to = tape(tmp_path)
    early: list[Event] = []
    with pytest.raises(VolumeUnfitError, match=says) as caught:
        back_up(image, to, health="fail", emit=early.append)
    one_line(caught.value)
    assert not any(isinstance(item, QuietSample) for item in early)  # nobody waited for it
    assert sets_on(to) == []
    for policy, warned in (("warn", True), ("allow", False)):
        told: list[Event] = []
        made = back_up(image, to, health=policy, emit=told.append)
        assert warned == any(
            isinstance(item, Finding) and item.code == code and "copied though" in item.message
            for item in told
        )
        notes = find_set(made.set_id).manifest.notes
        assert notes["health"]["policy"] == policy
        assert notes["health"]["unfit"] == [code]


def test_a_source_is_judged_again_on_the_snapshot(tmp_path):
    """It is sound when the wait begins, and dirty when the wait ends."""
    live = tmp_path / "live.img"
    shutil.copyfile(volume("tiny").image, live)
    live.chmod(0o644)
    content = dirty(tmp_path).read_bytes()
    waiting: list[Event] = []

    def spoil(event):
        if isinstance(event, QuietSample) and not waiting:
            waiting.append(event)
            live.write_bytes(content)

    to = tape(tmp_path)
    with pytest.raises(VolumeUnfitError, match="dirty flag"):
        back_up(live, to, health="fail", emit=spoil)
    assert waiting
    assert sets_on(to) == []


def test_what_is_no_ntfs_is_refused_before_the_wait(tmp_path):
    told: list[Event] = []
    with pytest.raises(NotNtfsError) as caught:
        back_up(disk(tmp_path, "blank.img"), tape(tmp_path), emit=told.append)
    one_line(caught.value)
    assert not any(isinstance(item, QuietSample) for item in told)


@pytest.mark.parametrize("name", ["symbolic link", "hard link", "loop device"])
def test_the_source_by_another_name_is_no_target(name, tmp_path):
    live = tmp_path / "live.img"
    shutil.copyfile(volume("tiny").image, live)
    live.chmod(0o644)
    before = live.read_bytes()
    with ExitStack() as stack:
        other = tmp_path / "other.img"
        if name == "symbolic link":
            other.symlink_to(live)
        elif name == "hard link":
            other.hardlink_to(live)
        else:
            other = Path(stack.enter_context(loop_device(live)))
        with pytest.raises(TargetError, match="is the source itself") as caught:
            back_up(live, str(other), yes=other.name)
    one_line(caught.value)
    assert live.read_bytes() == before


def test_what_is_mounted_is_no_target(tmp_path):
    """Neither the file system that holds the source nor any other."""
    made = back_up(volume("tiny").image, tape(tmp_path))
    with loop_fs("ext4", tmp_path) as held:
        device, source = held.device, held.path / "tiny.img"
        shutil.copyfile(volume("tiny").image, source)
        yes = Path(device).name
        for attempt in (
            lambda: back_up(source, device, yes=yes),
            lambda: back_up(source, device, yes=yes, layout="mirror"),
            lambda: sbtk.restore(made.set_id, to=device, yes=yes),
        ):
            with pytest.raises(TargetError, match="is mounted at") as caught:
                attempt()
            assert str(held.path) in one_line(caught.value)
        assert source.read_bytes() == volume("tiny").image.read_bytes()


@pytest.mark.parametrize("layout", ["image", "mirror"])
def test_two_jobs_do_not_write_to_one_target(layout, tmp_path):
    """The second is refused while the first copies, and the first does not notice."""
    to = disk(tmp_path)
    other = back_up(volume("tiny").image, tape(tmp_path))
    refused: list[TargetError] = []

    def meanwhile(event):
        if isinstance(event, PlanMade) and not refused:
            for attempt in (
                lambda: back_up(volume("tiny").image, to, layout=layout, yes="archive.img"),
                lambda: sbtk.restore(other.set_id, to=to, yes="archive.img"),
            ):
                with pytest.raises(TargetError, match="another job is writing") as caught:
                    attempt()
                one_line(caught.value)
                refused.append(caught.value)

    made = back_up(volume("tiny").image, to, layout=layout, emit=meanwhile)
    assert len(refused) == 2
    assert sbtk.verify(made.set_id).sound
    assert made.set_id != back_up(volume("tiny").image, to, layout=layout, yes="archive.img").set_id


def test_a_state_folder_that_fills_up_ends_the_job_in_one_line(tmp_path, monkeypatch):
    """The journal and the events cannot be written any more: no set, no traceback."""
    state, to = tmp_path / "state", disk(tmp_path)
    state.mkdir()
    words = [sys.executable, "-m", "sbtk", "backup", volume("tiny").image, "--to", to,
             "--snapshot", "none", "--quiet-s", "0.01", "--progress", "none"]  # fmt: skip
    with mounted("tmpfs", state, "-t", "tmpfs", "-o", "size=64k"):
        done = subprocess.run(words, capture_output=True, text=True, check=False,
                              env=os.environ | {"SBTK_STATE_DIR": str(state)})  # fmt: skip
    assert done.returncode == JobError.exit_code, done.stderr
    lines = done.stderr.splitlines()
    assert any("No space left" in line and "SBTK_STATE_DIR" in line for line in lines)
    assert all(line.startswith("sbtk: ") for line in lines)
    assert [complete for _, complete in sets_on(to)] in ([], [False])


def test_a_catalog_that_cannot_be_written_tells_that_the_set_is_whole(tmp_path, monkeypatch):
    to = disk(tmp_path)

    def fails(self, record, digests, tables=None):
        raise CatalogError("database or disk is full", hint="Make room")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "record_set", fails)
        with pytest.raises(CatalogError, match="is whole on") as caught:
            back_up(volume("tiny").image, to)
    assert f"sbtk catalog rebuild {to}" in one_line(caught.value)
    with Catalog.open() as catalog:
        (entry,) = rebuild(to, catalog)
    assert sbtk.verify(entry.record.set_id).sound


def test_a_tape_that_fills_up(tmp_path):
    small = tape(tmp_path, capacity_bytes=16 * MIB)
    with pytest.raises(MediumFullError, match="is full after") as caught:
        back_up(volume("zoo").image, small)
    one_line(caught.value)
    assert [complete for _, complete in sets_on(small)] in ([], [False])
    assert catalog_sets() == []


def test_a_disk_that_fills_up(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mount], check=True)
    try:
        thin = disk(mount, size_bytes=128 * MIB)
        with pytest.raises(MediumFullError, match="is full after") as caught:
            back_up(volume("zoo").image, thin)
        one_line(caught.value)
        assert [complete for _, complete in sets_on(thin)] in ([], [False])
    finally:
        subprocess.run(["umount", mount], check=True)
    assert catalog_sets() == []


def test_another_tape_in_the_drive(tmp_path):
    first, second = tape(tmp_path), tape(tmp_path, "b.tape")
    made = back_up(volume("tiny").image, first)
    back_up(volume("tiny").image, second)
    with pytest.raises(ArchiveError, match="wrong tape") as caught:
        sbtk.restore(made.set_id, to=tmp_path / "r.img", location=second)
    one_line(caught.value)
    assert not (tmp_path / "r.img").exists()


def test_a_cartridge_that_does_not_exist(tmp_path):
    with pytest.raises(LocationNotFoundError, match="there is no cartridge") as caught:
        back_up(volume("tiny").image, f"tape:{tmp_path}/none.tape")
    assert "sbtk tape create" in one_line(caught.value)


def test_a_source_that_changes_meanwhile(tmp_path):
    image = tmp_path / "live.img"
    shutil.copyfile(volume("zoo").image, image)
    to = tape(tmp_path)

    def write_once(event):
        if isinstance(event, ListDone) and event.command == 0:
            with image.open("r+b") as file:
                file.seek(1 << 20)
                file.write(b"changed")

    with pytest.raises(SourceChangedError):
        back_up(image, to, emit=write_once)
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []


def test_a_source_that_shrinks_meanwhile(tmp_path):
    image = tmp_path / "live.img"
    shutil.copyfile(volume("zoo").image, image)
    to = disk(tmp_path)

    def cut(event):
        if isinstance(event, ListDone) and event.command == 0:
            with image.open("r+b") as file:
                file.truncate(1 << 20)

    with pytest.raises((SourceChangedError, DeviceReadError)):
        back_up(image, to, emit=cut, limits="ctl")
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []


@pytest.fixture
def bad_block(monkeypatch) -> tuple[str, int]:
    """A cluster of a file that the source cannot read, for the mover."""
    with sbtk.open_volume(volume("zoo_s4096").image) as opened:
        rows = opened.files.to_pylist()
        size = opened.info.cluster_bytes
        name = next(
            row["path"] for row in rows
            if not row["is_directory"] and row["extents"] == 1 and row["size_bytes"] > 4 * size
            and row["record"] > 30 and row["hard_links"] == 1
        )  # fmt: skip
        at = int(opened.runs_of(opened.find(name).row).lcn[0]) * size + size
    real = FileDevice.read_into

    def read_into(self, offset_bytes, buffer):
        if offset_bytes < at + 512 and at < offset_bytes + len(buffer):
            raise DeviceReadError(f"{self.name}: bad block", hint="none")
        real(self, offset_bytes, buffer)

    monkeypatch.setattr(FileDevice, "read_into", read_into)
    return name, at


@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_an_unreadable_block_stops_and_names_the_file(bad_block, medium, tmp_path):
    name, _ = bad_block
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    with pytest.raises(DeviceReadError) as caught:
        back_up(volume("zoo_s4096").image, to)
    assert name in one_line(caught.value)
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []


@pytest.mark.parametrize("layout", ["image", "files"])
@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_an_unreadable_block_is_skipped_and_the_set_says_so(
    bad_block, medium, layout, tmp_path, monkeypatch
):
    name, at = bad_block
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    told: list[Finding] = []
    made = back_up(
        volume("zoo_s4096").image, to, on_error="skip", layout=layout,
        emit=lambda event: told.append(event) if isinstance(event, Finding) else None,
    )  # fmt: skip
    assert made.stop.status == "flawed"
    assert made.stop.exit_code == 1
    flaws = [item for item in told if item.code == "unreadable-block"]
    assert flaws
    assert all(name in item.message for item in flaws)
    (record,) = catalog_sets()
    assert record.status == "flawed"
    monkeypatch.undo()
    (check,) = sbtk.verify("last").checks
    assert check.mismatches == 0
    assert any("could not be read" in text for text in check.not_checked)
    out = tmp_path / "out.img"
    assert sbtk.restore("last", to=out).sound
    source, restored = volume("zoo_s4096").image.read_bytes(), out.read_bytes()
    with sbtk.open_volume(volume("zoo_s4096").image) as opened:
        runs = opened.runs_of(opened.find(name).row)
        size = opened.info.cluster_bytes
        start = int(runs.lcn[0]) * size
        end = start + int(runs.clusters[0]) * size
    assert restored[start:at] == source[start:at]
    assert not any(restored[at : at + 512])
    assert restored[at + 4096 : end] == source[at + 4096 : end]
    failed = sbtk.extract("last", [name], to=tmp_path / "x").failed
    assert [path for path, _ in failed] == [name]


def test_bad_blocks_in_a_row_are_one_flaw(monkeypatch, tmp_path):
    """Each flaw makes a list begin again: a row of them is found by trying, not by copying."""
    with sbtk.open_volume(volume("zoo_s4096").image) as opened:
        rows = opened.files.to_pylist()
        name = next(row["path"] for row in rows if row["extents"] == 1 and row["record"] > 30
                    and row["size_bytes"] > 6 * 4096 and not row["is_directory"])  # fmt: skip
        start = int(opened.runs_of(opened.find(name).row).lcn[0]) * 4096 + 4096
    real = FileDevice.read_into
    end = start + 3 * 4096

    def read_into(self, offset_bytes, buffer):
        if offset_bytes < end and start < offset_bytes + len(buffer):
            raise DeviceReadError(f"{self.name}: bad block", hint="none")
        real(self, offset_bytes, buffer)

    monkeypatch.setattr(FileDevice, "read_into", read_into)
    told: list[Event] = []
    made = back_up(
        volume("zoo_s4096").image, tape(tmp_path), on_error="skip", emit=told.append
    )  # fmt: skip
    (flaw,) = (item for item in told if isinstance(item, Finding) and item.severity == "error")
    assert "12.0 KiB" in flaw.message
    assert made.stop.host_data_bytes == 512  # the first good block behind them
    known = find_set(made.set_id)
    assert known.facts["unreadable"] == f"[[{start}, {3 * 4096}]]"


@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_a_cancelled_backup_leaves_no_set(medium, tmp_path):
    to = tape(tmp_path) if medium == "tape" else disk(tmp_path)
    control = Control()

    def cancel(event):
        if isinstance(event, ListDone):
            control.cancel()

    with pytest.raises(CancelledError):
        back_up(volume("zoo").image, to, control=control, emit=cancel)
    assert [complete for _, complete in sets_on(to)] in ([], [False])
    assert catalog_sets() == []
    made = back_up(volume("zoo").image, to)
    assert [item for item in sets_on(to) if item[1]] == [(made.set_id, True)]
    assert sbtk.verify(made.set_id).sound


def test_an_older_set_in_the_place_of_an_unfinished_one_does_not_finish_it(tmp_path):
    to = disk(tmp_path)
    back_up(volume("zoo").image, to)
    control = Control()

    def cancel(event):
        if isinstance(event, ListDone) and event.command == event.commands - 1:
            control.cancel()

    # The same volume in the same place: its closing member would lie where the old one lies.
    with Path(to).open("r+b") as file:
        file.write(bytes(4096))
    with pytest.raises(CancelledError):
        back_up(volume("zoo").image, to, control=control, emit=cancel, yes="archive.img")
    assert [complete for _, complete in sets_on(to)] == [False]
