"""Each provider: what it runs, what it makes, what it leaves where it fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path

import pytest

from sbtk.errors import NoStaticViewError, SnapshotError, SnapshotFullError, UsageError
from sbtk.mover.block_lun import BlockLun
from sbtk.snapshot import records, registry
from sbtk.snapshot.base import SnapshotRequest
from sbtk.snapshot.commands import fill
from sbtk.snapshot.reflink import ReflinkProvider
from sbtk.snapshot.registry import choose, provider_class, provider_names
from sbtk.snapshot.vss import create_script, delete_script
from tests.loopfs import loop_device, loop_fs, run
from tests.snapshot.runners import ExpectedCommands

FIXED_ID = "20261123t180000x0123abcd"


@pytest.fixture
def fixed_id(monkeypatch) -> str:
    monkeypatch.setattr(records, "new_id", lambda: FIXED_ID)
    return FIXED_ID


# -- registry ----------------------------------------------------------------------------------


def test_every_provider_of_the_design_is_there():
    assert provider_names()[:6] == ["overlay", "reflink", "lvm", "command", "vss", "none"]
    for name in provider_names()[:6]:
        assert provider_class(name).name == name
    with pytest.raises(UsageError, match="'zfs' is no snapshot provider") as caught:
        provider_class("zfs")
    assert "reflink" in caught.value.hint


def test_packages_add_providers_by_entry_points_and_replace_none(tmp_path, monkeypatch):
    (tmp_path / "other_provider.py").write_text(
        "from sbtk.snapshot.static import NoSnapshot\nclass Mine(NoSnapshot):\n    name = 'mine'\n"
    )
    info = tmp_path / "other_provider-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: other-provider\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[sbtk.snapshot_providers]\nmine = other_provider:Mine\nreflink = other_provider:Mine\n"
        "broken = no_such_module:X\nwrong = os:getcwd\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert provider_class("mine").__name__ == "Mine"
    assert provider_class("reflink").__name__ == "ReflinkProvider"
    with pytest.raises(SnapshotError, match="cannot be loaded"):
        provider_class("broken")
    with pytest.raises(SnapshotError, match="no SnapshotProvider"):
        provider_class("wrong")
    provider = choose(SnapshotRequest("x"), "mine")
    with provider.create() as snapshot:
        assert snapshot.location == "x"


def test_auto_says_what_to_do_where_nothing_fits():
    with pytest.raises(NoStaticViewError) as caught:
        choose(SnapshotRequest("iscsi://host/iqn.2026-11.test:t/1"))
    assert "--snapshot command" in caught.value.hint
    assert "--snapshot none" in caught.value.hint
    with pytest.raises(NoStaticViewError, match="do not come through"):
        choose(SnapshotRequest("x"), "overlay")


# -- reflink -----------------------------------------------------------------------------------


def test_the_name_of_a_clone_fits_a_file_system_whatever_the_image_is_called(tmp_path):
    image = tmp_path / f"{'あ' * 80}.img"
    image.write_bytes(b"")
    plan = ReflinkProvider(SnapshotRequest(str(image), str(image))).plan(records.new_id())
    Path(plan["path"]).write_bytes(b"")
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.root
@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_reflink_needs_no_blocks_keeps_the_old_bytes_and_the_partition(kind, tmp_path):
    with loop_fs(kind, tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(os.urandom(16 << 20))
        run("sync", "--file-system", fs.path)
        old, free = image.read_bytes(), os.statvfs(fs.path).f_bfree
        provider = choose(SnapshotRequest(f"{image}#2", str(image)))
        with provider.create() as snapshot:
            run("sync", "--file-system", fs.path)
            assert snapshot.location.endswith("#2")
            clone = Path(snapshot.location.removesuffix("#2"))
            block_bytes = os.statvfs(fs.path).f_frsize
            assert (free - os.statvfs(fs.path).f_bfree) * block_bytes < 1 << 20
            image.write_bytes(bytes(1 << 20))
            assert clone.read_bytes() == old
            assert clone.stat().st_mode & 0o777 == 0o400
            snapshot.check()
            clone.unlink()
            with pytest.raises(SnapshotFullError, match="is gone"):
                snapshot.check()
        assert os.listdir(fs.path) == ["disk.img"]


@pytest.mark.root
def test_reflink_of_a_file_without_copy_on_write(tmp_path):
    """Virtual machine disks on btrfs often are: a clone must have the flag as well."""
    with loop_fs("btrfs", tmp_path) as fs:
        image = fs.path / "vm.img"
        image.touch()
        run("chattr", "+C", image)
        image.write_bytes(b"vm" * 50000)
        with choose(SnapshotRequest(str(image), str(image))).create() as snapshot:
            assert Path(snapshot.location).read_bytes() == b"vm" * 50000


@pytest.mark.root
def test_reflink_into_another_file_system_or_of_no_file_is_refused_up_front(tmp_path):
    with loop_fs("xfs", tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(bytes(1 << 20))
        with pytest.raises(NoStaticViewError, match="another file system"):
            choose(SnapshotRequest(str(image), str(image), store=tmp_path), "reflink")
        with pytest.raises(NoStaticViewError, match="no image file"):
            choose(SnapshotRequest(fs.device, fs.device), "reflink")
        with pytest.raises(SnapshotError, match="No such file"):
            choose(SnapshotRequest("/none", "/none"), "reflink")


@pytest.mark.root
def test_reflink_gives_up_before_writers_run_out_of_space(tmp_path):
    with loop_fs("xfs", tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(os.urandom(8 << 20))
        with choose(SnapshotRequest(str(image), str(image))).create() as snapshot:
            snapshot.check()
            space = os.statvfs(fs.path)
            filler = space.f_bavail * space.f_frsize - (1 << 20)
            run("fallocate", "-l", str(filler), fs.path / "filler")
            with pytest.raises(SnapshotFullError, match="before writers run out"):
                snapshot.check()


# -- overlay -----------------------------------------------------------------------------------


def test_overlay_whose_store_is_full_fails_the_job_and_not_the_writer(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4 << 20))
    store = tmp_path / "store"
    store.mkdir()
    with contextlib.closing(BlockLun(image, block_bytes=512)) as lun:
        request = SnapshotRequest(str(image), str(image), unit=lun, store=store, cap_bytes=64 << 10)
        snapshot = choose(request).create()
        for lba in range(0, 8 << 10, 8):
            lun.write_blocks(lba, memoryview(b"n" * 4096))
        with pytest.raises(SnapshotFullError):
            snapshot.check()
        snapshot.drop()
    assert image.read_bytes() == b"n" * (4 << 20)
    assert os.listdir(store) == []
    assert records.records() == []


def test_overlay_of_a_killed_process_is_found_and_cleaned(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    pid = os.fork()
    if pid == 0:
        lun = BlockLun(image, block_bytes=512)
        choose(SnapshotRequest(str(image), str(image), unit=lun, store=tmp_path)).create()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    (left,) = registry.left_overs()
    folder = Path(left.details["folder"])
    assert len(list(folder.iterdir())) == 1
    registry.clean([left])
    assert os.listdir(tmp_path) == ["disk.img"]
    assert records.records() == []


def test_overlay_needs_a_folder_that_exists(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    with (
        contextlib.closing(BlockLun(image, block_bytes=512)) as lun,
        pytest.raises(SnapshotError, match="is no folder"),
    ):
        choose(SnapshotRequest("x", unit=lun, store=tmp_path / "none"))


# -- lvm (for real: tests/interop/test_lvm.py) --------------------------------------------------

LVS = (
    "lvs --reportformat json --units b --nosuffix -o "
    "vg_name,lv_name,lv_size,vg_free,segtype,lv_attr,data_percent "
)
NAMES = "lvs --reportformat json -o lv_name vg"


def lvs(name="data", *, segtype="linear", attributes="-wi-ao----", percent="", free="1073741824"):
    row = {
        "vg_name": "vg", "lv_name": name, "lv_size": "107374182400", "vg_free": free,
        "segtype": segtype, "lv_attr": attributes, "data_percent": percent,
    }  # fmt: skip
    return json.dumps({"report": [{"lv": [row]}]})


def names(*found):
    return json.dumps({"report": [{"lv": [{"lv_name": name} for name in found]}]})


def lvm_request(runner, **more):
    return SnapshotRequest("/dev/vg/data", "/dev/vg/data", run=runner, **more)


def test_lvm_creates_checks_and_removes(fixed_id):
    name = f"sbtk_{fixed_id}"
    with ExpectedCommands(
        (f"{LVS}/dev/vg/data", lvs()),
        (f"{LVS}/dev/vg/data", lvs()),
        (f"{LVS}/dev/vg/data", lvs()),
        (f"lvcreate --yes --snapshot --permission r --name {name} --size 536870912b vg/data", ""),
        (f"{LVS}vg/{name}", lvs(name, attributes="sri-a-s---", percent="12.50")),
        (NAMES, names("data", name)),
        (f"lvremove --yes vg/{name}", ""),
    ) as runner:
        provider = choose(lvm_request(runner, cap_bytes=512 << 20), "lvm")
        with provider.create() as snapshot:
            assert snapshot.location == f"/dev/vg/{name}"
            snapshot.check()


@pytest.mark.parametrize(
    ("attributes", "percent"), [("sri-I-s---", "100.00"), ("sri-a-s---", "100.00")]
)
def test_lvm_a_full_or_invalid_snapshot_fails_the_job(fixed_id, attributes, percent):
    name = f"sbtk_{fixed_id}"
    runner = ExpectedCommands(
        *[(f"{LVS}/dev/vg/data", lvs())] * 2,
        (f"lvcreate --yes --snapshot --permission r --name {name} --size 1048576b vg/data", ""),
        (f"{LVS}vg/{name}", lvs(name, attributes=attributes, percent=percent)),
        (NAMES, names("data", name)),
        (f"lvremove --yes vg/{name}", ""),
    )
    maker = provider_class("lvm")(lvm_request(runner, cap_bytes=1 << 20))
    full = pytest.raises(SnapshotFullError, match=r"100\.0 % of its store")
    with runner, maker.create() as snapshot, full:
        snapshot.check()


def test_lvm_thin_volumes_need_no_store(fixed_id):
    with ExpectedCommands(
        *[(f"{LVS}/dev/vg/data", lvs(segtype="thin", free="0"))] * 3,
        (f"lvcreate --yes --snapshot --permission r --name sbtk_{fixed_id} "
         "--setactivationskip n vg/data", ""),
        (NAMES, names("data")),
    ) as runner:  # fmt: skip
        choose(lvm_request(runner), "lvm").create().drop()


def test_lvm_what_lvcreate_left_half_made_is_removed(fixed_id):
    name = f"sbtk_{fixed_id}"
    with ExpectedCommands(
        *[(f"{LVS}/dev/vg/data", lvs())] * 2,
        (f"lvcreate --yes --snapshot --permission r --name {name} --size 1048576b vg/data",
         SnapshotError("lvcreate ended with status 5: no space")),
        (NAMES, names("data", name)),
        (f"lvremove --yes vg/{name}", ""),
    ) as runner:  # fmt: skip
        maker = provider_class("lvm")(lvm_request(runner, cap_bytes=1 << 20))
        with pytest.raises(SnapshotError, match="no space"):
            maker.create()
    assert records.records() == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lvs(free="1048576"), "has 1.00 MiB free"),
        (SnapshotError("lvs ended with status 5: not found"), "not found"),
        ("nonsense", "no report that is understood"),
        ("{}", "no report that is understood"),
        ('{"report": [{"lv": []}]}', "0 logical volumes"),
        ('{"report": [{"lv": [{}]}]}', "not understood: 'vg_name'"),
    ],
)
def test_lvm_refuses_up_front_what_cannot_work(answer, text):
    with ExpectedCommands((f"{LVS}/dev/vg/data", answer)) as runner:
        request = lvm_request(runner)
        with pytest.raises(NoStaticViewError, match=re.escape(text)):
            choose(request, "lvm")


@pytest.mark.root
def test_lvm_on_a_device_that_is_no_logical_volume_names_the_way_out(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8 << 20))
    with loop_device(image) as device, pytest.raises(NoStaticViewError) as caught:
        choose(SnapshotRequest(device, device))
    assert "must be a logical volume" in caught.value.hint


# -- command -----------------------------------------------------------------------------------


def test_command_fills_its_templates_and_takes_the_location_that_create_prints(fixed_id):
    options = {
        "create": "array snap --of '{source}' --name s-{id}",
        "delete": "array rm '{output}'",
        "location": "iscsi://array/{output}/0",
    }
    source = "iscsi://array/iqn.2026-11.test:a b;rm/0"
    runner = ExpectedCommands(
        (f"array snap --of {source} --name s-{fixed_id}", "done\niqn.2026-11.test:snap7\n\n"),
        ("array rm iqn.2026-11.test:snap7", ""),
    )
    provider = choose(SnapshotRequest(source, options=options, run=runner), "command")
    with runner, provider.create() as snapshot:
        assert snapshot.location == "iscsi://array/iqn.2026-11.test:snap7/0"
        (record,) = records.records()
        assert record.details["output"] == "iqn.2026-11.test:snap7"


def test_command_values_stay_one_argument_each():
    assert fill(["x", "{source}"], {"source": "a b; rm -rf {id}"}) == ["x", "a b; rm -rf {id}"]
    with pytest.raises(UsageError, match="placeholder that does not exist"):
        fill(["{nope}"], {"id": "x"})
    with pytest.raises(UsageError):
        fill(["{"], {"id": "x"})


@pytest.mark.parametrize("missing", ["create", "delete", "location"])
def test_command_names_the_template_that_is_missing(missing):
    options = {"create": "a", "delete": "b", "location": "c"}
    del options[missing]
    with pytest.raises(UsageError) as caught:
        choose(SnapshotRequest("x", options=options), "command")
    assert f"SBTK_SNAPSHOT_{missing.upper()}" in caught.value.hint


def test_command_create_that_fails_is_deleted_and_what_cannot_be_is_kept_on_record(tmp_path):
    marker = tmp_path / "snap"
    options = {
        "create": f"sh -c 'touch {marker}; echo broken >&2; exit 7'",
        "delete": f"rm {marker}",
        "location": str(marker),
    }
    with pytest.raises(SnapshotError, match="status 7: broken"):
        choose(SnapshotRequest("x", options=options), "command").create()
    assert not marker.exists()
    assert records.records() == []
    options["delete"] = "sh -c 'exit 9'"
    with pytest.raises(SnapshotError, match="status 7"):
        choose(SnapshotRequest("x", options=options), "command").create()
    assert len(records.records()) == 1
    options["delete"] = "rm '{output}'"
    with pytest.raises(SnapshotError, match="status 7"):
        choose(SnapshotRequest("x", options=options), "command").create()
    assert len(records.records()) == 2


def test_command_for_real_and_from_the_environment(tmp_path, monkeypatch):
    from sbtk.settings import settings

    source, copy = tmp_path / "disk.img", tmp_path / "the copy"
    source.write_bytes(os.urandom(4096))
    monkeypatch.setenv("SBTK_SNAPSHOT_CREATE", f"cp '{{path}}' '{copy}-{{id}}'")
    monkeypatch.setenv("SBTK_SNAPSHOT_DELETE", f"rm '{copy}-{{id}}'")
    monkeypatch.setenv("SBTK_SNAPSHOT_LOCATION", f"{copy}-{{id}}")
    settings.cache_clear()
    with choose(SnapshotRequest(str(source), str(source)), "command").create() as snapshot:
        assert Path(snapshot.location).read_bytes() == source.read_bytes()
    assert os.listdir(tmp_path) == ["disk.img"]


# -- vss ---------------------------------------------------------------------------------------


def test_vss_scripts_are_what_diskshadow_reads():
    assert create_script("E:", "X:", "id7") == (
        "SET CONTEXT PERSISTENT\r\nSET VERBOSE ON\r\nBEGIN BACKUP\r\n"
        "ADD VOLUME E: ALIAS sbtk_id7\r\nCREATE\r\nEXPOSE %sbtk_id7% X:\r\nEND BACKUP\r\n"
    )
    assert delete_script("X:") == "DELETE SHADOWS EXPOSED X:\r\n"


def test_vss_hands_its_scripts_to_the_hook(tmp_path, fixed_id):
    seen = tmp_path / "seen"
    seen.mkdir()
    hook = f"{sys.executable} -c 'import shutil,sys; shutil.copy(sys.argv[1], sys.argv[2])'"
    options = {
        "hook": hook + f" '{{script}}' '{seen}/{{action}}'",
        "volume": "E:", "expose": "X:", "location": "iscsi://win/iqn.2026-11.test:{id}/0",
    }  # fmt: skip
    store = tmp_path / "scripts"
    with choose(SnapshotRequest("x", options=options, store=store), "vss").create() as snapshot:
        assert snapshot.location == f"iscsi://win/iqn.2026-11.test:{fixed_id}/0"
        assert (seen / "create").read_bytes() == create_script("E:", "X:", fixed_id).encode()
    assert (seen / "delete").read_bytes() == delete_script("X:").encode()
    assert os.listdir(store) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("volume", "E:\r\nDELETE SHADOWS ALL"), ("volume", "E"), ("expose", "X:\nEXEC x"),
     ("expose", "share")],
)  # fmt: skip
def test_vss_lets_nothing_into_the_script_that_is_no_volume(name, value):
    options = {"hook": "h", "volume": "E:", "expose": "X:", "location": "l"} | {name: value}
    with pytest.raises(UsageError):
        choose(SnapshotRequest("x", options=options), "vss")


# -- records -----------------------------------------------------------------------------------


def test_records_of_other_machines_and_damaged_ones_are_not_touched(state_dir):
    other = records.Record(
        "a1", "reflink", "x", {"path": "/x"}, host="elsewhere", boot="b", pid=1, started=1
    )
    records.write(other)
    folder = state_dir / "snapshots"
    (folder / "broken.json").write_text("{")
    (folder / "renamed.json").write_text((folder / "a1.json").read_text())
    (folder / "list.json").write_text("[1]")
    assert records.records() == [other]
    assert registry.left_overs() == []
    with pytest.raises(SnapshotError, match="machine elsewhere"):
        registry.clean([other])


def test_a_record_of_an_earlier_boot_or_of_a_reused_process_number_is_left_over():
    mine = records.Record("a2", "none", "x", {})
    assert mine.is_in_use
    earlier = records.Record("a3", "none", "x", {}, boot="earlier")
    reused = records.Record("a4", "none", "x", {}, started=1)
    assert earlier.is_left_over
    assert reused.is_left_over


@pytest.mark.parametrize(
    ("provider", "details"),
    [
        ("reflink", {"path": "/etc/passwd"}),
        ("overlay", {"folder": "/etc"}),
        ("lvm", {"group": "vg", "name": "root"}),
    ],
)
def test_a_record_that_was_tampered_with_removes_nothing_else(provider, details):
    record = records.Record("a5", provider, "x", details, boot="earlier")
    with pytest.raises(SnapshotError, match="which is no"):
        registry.clean([record], ExpectedCommands())


def test_a_state_folder_that_cannot_be_written_fails_before_anything_is_made(
    state_dir, monkeypatch
):
    (state_dir / "snapshots").write_text("a file is in the way")
    made = state_dir / "made"
    options = {"create": f"touch {made}", "delete": "true", "location": "x"}
    with pytest.raises(SnapshotError) as caught:
        choose(SnapshotRequest("x", options=options), "command").create()
    assert "SBTK_STATE_DIR" in caught.value.hint
    assert not made.exists()
    choose(SnapshotRequest("x"), "none").create().drop()  # makes nothing, so it records nothing
