"""Flushes and what they reach: mounts over images and devices, units, hooks."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from sbtk.errors import (
    ActivitySourceError,
    CheckConditionError,
    QuietTimeoutError,
    SnapshotError,
)
from sbtk.quiesce import flush as flush_module
from sbtk.quiesce.flush import HookFlush, HostFlush, ScsiFlush
from sbtk.quiesce.mounts import above, mount_of, mounts
from sbtk.transport.base import CHECK_CONDITION, Response
from tests.loopfs import loop_device, loop_fs, mounted, ntfs_3g, run


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_mounted_image_its_device_and_its_mount_are_found(kind, tmp_path):
    with loop_fs(kind, tmp_path) as fs:
        by_file, by_device = above(str(fs.image)), above(fs.device)
        assert [mount.path for mount in by_file.mounts] == [str(fs.path)]
        assert [mount.path for mount in by_device.mounts] == [str(fs.path)]
        assert by_file.devices == by_device.devices == (fs.device,)
        assert mount_of(fs.path / "deep" / "er").path == str(fs.path)
    assert above(str(tmp_path / "x")).mounts == () if (tmp_path / "x").exists() else True


@pytest.mark.root
def test_fuse_mounts_names_with_spaces_and_bind_mounts_are_found(tmp_path):
    image = tmp_path / "ntfs image.img"
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    run("mkntfs", "-q", "-F", "-Q", image)
    with ntfs_3g(image, tmp_path / "the mount") as folder:
        assert [mount.path for mount in above(str(image)).mounts] == [str(folder)]
        with mounted(folder, tmp_path / "again", "--bind") as again:
            assert {m.path for m in above(str(image)).mounts} == {str(folder), str(again)}
    with loop_device(image) as device, ntfs_3g(Path(device), tmp_path / "by-device") as folder:
        found = above(str(image))
        assert [mount.path for mount in found.mounts] == [str(folder)]
        assert found.devices == (device,)
    assert above(str(image)).mounts == ()
    assert any(mount.path == "/proc" for mount in mounts())


@pytest.mark.root
def test_images_in_images_are_found_from_the_lowest(tmp_path):
    with loop_fs("xfs", tmp_path) as outer:
        (outer.path / "in").mkdir()
        with loop_fs("ext4", outer.path / "in") as inner, loop_device(Path(inner.device)) as top:
            found = above(str(inner.image))
            assert found.devices == (inner.device, top)
            assert [mount.path for mount in found.mounts] == [str(inner.path)]


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_what_a_mounted_file_system_holds_back_reaches_the_image(kind, tmp_path):
    """The mark is in the page cache of the inner file system only, until it is flushed."""
    mark = b"held back " * 400
    with loop_fs(kind, tmp_path) as fs:
        run("sync", "--file-system", fs.path)
        (fs.path / "file").write_bytes(mark)
        assert mark[:2000] not in fs.image.read_bytes(), "the control"
        HostFlush(str(fs.image)).run(60)
        assert mark[:2000] in fs.image.read_bytes()


def test_a_flush_that_does_not_end_is_given_up(tmp_path, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(flush_module, "_flush_host", lambda path: stop.wait(30))
    began_s = time.monotonic()
    with pytest.raises(QuietTimeoutError, match="not flushed within 100 ms"):
        HostFlush(str(tmp_path)).run(0.1)
    assert time.monotonic() - began_s < 5
    stop.set()


def test_a_flush_that_fails_is_one_error(tmp_path):
    with pytest.raises(ActivitySourceError, match=r"cannot be flushed at .*: No such file"):
        HostFlush(str(tmp_path / "missing")).run(5)


def test_hooks_are_argument_lists_with_a_time_out(tmp_path):
    out = tmp_path / "said"
    script = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    HookFlush([sys.executable, "-c", script, str(out), "$(touch nothing); x"]).run(20)
    assert out.read_text() == "$(touch nothing); x", "no shell has seen it"
    with pytest.raises(SnapshotError, match="ended with status 3: so it is"):
        HookFlush(["sh", "-c", "echo first >&2; echo so it is >&2; exit 3"]).run(20)
    with pytest.raises(SnapshotError, match="cannot be run"):
        HookFlush(["/no/such/hook"]).run(20)
    began_s = time.monotonic()
    with pytest.raises(SnapshotError, match="did not end within 200 ms and was killed"):
        # Its child keeps the pipes open: both must go.
        HookFlush(["sh", "-c", "sleep 30 & sleep 30"]).run(0.2)
    assert time.monotonic() - began_s < 5


class Answers:
    """A transport that answers what it is told to, and keeps what it was sent."""

    name = "unit"

    def __init__(self, response: Response) -> None:
        self.response = response
        self.sent: list[bytes] = []

    def execute(self, cdb, *, data_out=b"", data_in_bytes=0, timeout_s=60.0):
        self.sent.append(cdb)
        return self.response

    def close(self):
        pass


def test_synchronize_cache_goes_to_the_whole_unit():
    good = Answers(Response())
    ScsiFlush(good).run(10)
    assert good.sent == [bytes.fromhex("35 00 00000000 00 0000 00")]
    # 4/3E02h timeout on logical unit, fixed format.
    sense = bytes.fromhex("70 00 04 00000000 0a 00000000 3e 02 00 000000")
    with pytest.raises(CheckConditionError) as caught:
        ScsiFlush(Answers(Response(CHECK_CONDITION, b"", sense))).run(10)
    assert caught.value.sense == sense
