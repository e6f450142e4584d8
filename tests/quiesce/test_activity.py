"""Activity sources, against the devices, files and targets that they read."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from sbtk.errors import ActivitySourceError, LocationNotFoundError, UsageError
from sbtk.quiesce.activity import activity_named, activity_of
from sbtk.quiesce.block_stat import BlockStatSource
from sbtk.quiesce.file_time import FileTimeSource
from sbtk.quiesce.flush import HostFlush
from sbtk.quiesce.target_stats import LioSource, TgtSource
from tests.loopfs import loop_device, loop_fs, run
from tests.oracles import tgtd

LOOP_CTL_REMOVE = 0x4C81  # include/uapi/linux/loop.h


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8 << 20))
    return path


# -- a file's change time ----------------------------------------------------------------------


def changes(path: Path, action) -> bool:
    source = FileTimeSource(str(path))
    before = source.read()
    time.sleep(0.01)  # one tick of the file system's clock
    action()
    return source.read() != before


@pytest.mark.parametrize(
    "action",
    [
        lambda p: run("dd", "if=/dev/zero", f"of={p}", "bs=1", "count=1", "conv=notrunc"),
        lambda p: os.truncate(p, 4 << 20),
        lambda p: run("fallocate", "--punch-hole", "-o", "0", "-l", "4096", p),
        lambda p: run("dd", "if=/dev/urandom", f"of={p}", "bs=4096", "count=1", "oflag=direct",
                      "conv=notrunc"),
        lambda p: (p.write_bytes(p.read_bytes()), os.utime(p, (0, 0))),
    ],
    ids=["one-byte", "truncate", "punch-hole", "direct", "utime-set-back"],
)  # fmt: skip
def test_every_way_of_writing_moves_the_change_time(image, action):
    assert changes(image, lambda: action(image))


def test_reading_does_not(image):
    assert not changes(image, image.read_bytes)
    assert not changes(image, lambda: time.sleep(0.05))


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_stores_through_a_map_show_once_the_file_is_flushed(kind, tmp_path):
    """The trap: the first store into a clean page sets the time, later ones do not."""
    with loop_fs(kind, tmp_path) as fs:
        path = fs.path / "disk.img"
        path.write_bytes(bytes(1 << 20))
        with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as view:
            view[0] = 1
            source = FileTimeSource(str(path))
            before = source.read()
            time.sleep(0.02)
            view[1] = 2
            assert source.read() == before, "the control: it is not seen without a flush"
            HostFlush(str(path)).run(60)
            flushed = source.read()
            time.sleep(0.02)
            view[2] = 3
            assert source.read() != flushed


def test_another_file_in_its_place_is_an_error(image, tmp_path):
    source = FileTimeSource(str(image))
    shutil.copy(image, tmp_path / "other")
    (tmp_path / "other").replace(image)
    with pytest.raises(ActivitySourceError, match="another file"):
        source.read()
    image.unlink()
    with pytest.raises(ActivitySourceError, match="cannot be opened"):
        source.read()


# -- the kernel's block counters ---------------------------------------------------------------


@pytest.mark.root
def test_block_counters_move_with_writes_and_discards_and_not_with_reads(image):
    with loop_device(image) as device:
        source = activity_of(device)
        assert isinstance(source, BlockStatSource)
        start = source.read()
        assert start.in_flight == 0
        run("dd", f"if={device}", "of=/dev/null", "bs=1M", "iflag=direct")
        assert source.read() == start
        run("dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=3", "oflag=direct")
        written = source.read()
        assert written.counter[0] - start.counter[0] == 3 * 8, "sectors of 512 bytes"
        run("blkdiscard", "--offset", "1048576", "--length", "1048576", device)
        assert source.read().counter[1] == written.counter[1] + 2048


@pytest.mark.root
def test_our_own_flush_is_no_activity(image):
    """The trap: the kernel counts a cache flush as a write request of no sectors (field 5)."""
    with loop_device(image) as device:
        requests = Path("/sys/block", Path(device).name, "stat")
        source, before = BlockStatSource(device), int(requests.read_text().split()[4])
        start = source.read()
        HostFlush(device).run(60)
        assert int(requests.read_text().split()[4]) > before, "the control"
        assert source.read() == start


@pytest.mark.root
def test_proc_diskstats_tells_the_same_where_sys_is_missing(image, tmp_path):
    with loop_device(image) as device:
        run("dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=7", "oflag=direct")
        by_sys = BlockStatSource(device).read()
        by_proc = BlockStatSource(device, sys_root=str(tmp_path / "nothing")).read()
        assert by_sys == by_proc
        (tmp_path / "diskstats").write_text("   9  9 md9 1 2 3\n")
        with pytest.raises(ActivitySourceError, match="counts nothing"):
            BlockStatSource(device, sys_root="/none", proc_root=str(tmp_path)).read()


@pytest.mark.root
def test_another_medium_in_the_same_device_is_an_error(image, tmp_path):
    other = tmp_path / "other.img"
    other.write_bytes(bytes(1 << 20))
    # A number of its own, above those that `losetup --find` of other tests takes meanwhile.
    number = 300 + os.getpid() % 700
    device = f"/dev/loop{number}"
    if not Path(device).exists():
        os.mknod(device, 0o60600, os.makedev(7, number))
    run("losetup", device, image)
    try:
        source = BlockStatSource(device)
        source.read()
        run("losetup", "--detach", device)
        run("losetup", device, other)
        with pytest.raises(ActivitySourceError, match="another device"):
            source.read()
    finally:
        run("losetup", "--detach", device)
        with open("/dev/loop-control", "rb") as control:
            fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
        Path(device).unlink(missing_ok=True)


@pytest.mark.root
def test_partitions_say_that_they_do_not_see_the_whole_disk(image):
    with loop_device(image) as device:
        assert "whole disk" not in BlockStatSource(device).blind_to
        run("sgdisk", "--new=1:2048:+2M", image)
        run("partx", "--add", device)
        part = f"{device}p1"
        try:
            number = Path(f"/sys/class/block/{Path(part).name}/dev").read_text().split(":")
            if not Path(part).exists():
                os.mknod(part, 0o60600, os.makedev(int(number[0]), int(number[1])))
            source, whole = BlockStatSource(part), BlockStatSource(device)
            assert "whole disk" in source.blind_to
            before = source.read(), whole.read()
            run("dd", "if=/dev/urandom", f"of={part}", "bs=4096", "count=1", "oflag=direct")
            assert source.read() != before[0]
            assert whole.read() != before[1]
            before_part = source.read()
            run("dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=1", "oflag=direct")
            assert source.read() == before_part, "what blind_to says"
        finally:
            run("partx", "--delete", device)


def test_what_has_no_counter_is_named(tmp_path):
    with pytest.raises(ActivitySourceError, match="neither a block device nor a file"):
        activity_of(str(tmp_path))
    with pytest.raises(LocationNotFoundError):
        activity_of(str(tmp_path / "missing"))
    with pytest.raises(ActivitySourceError, match="no block device"):
        BlockStatSource("/dev/null")


# -- targets -----------------------------------------------------------------------------------


def test_lio_reads_both_counters_of_its_backstore(tmp_path):
    folder = tmp_path / "target/core/fileio_0/disk1/statistics/scsi_lu"
    folder.mkdir(parents=True)
    (folder / "num_cmds").write_text("12\n")
    (folder / "write_mbytes").write_text("3\n")
    source = LioSource("fileio_0/disk1", configfs=tmp_path)
    assert source.read().counter == (12, 3)
    (folder / "num_cmds").write_text("13\n")
    assert source.read().counter == (13, 3), "a write of less than 1 MiB shows"
    (folder / "num_cmds").write_text("what\n")
    with pytest.raises(ActivitySourceError, match="num_cmds"):
        source.read()
    with pytest.raises(ActivitySourceError, match="no num_cmds") as caught:
        LioSource("fileio_0/none", configfs=tmp_path).read()
    assert "configfs" in caught.value.hint


def test_sources_by_name(image):
    assert activity_named("lio:fileio_0/disk1").name == "LIO statistics of fileio_0/disk1"
    assert activity_named("tgt:2/1:77").name == "tgt statistics of target 2 LUN 1"
    assert isinstance(activity_named(str(image)), FileTimeSource)
    for text in ("tgt:", "tgt:x/1", "tgt:1", "tgt:1/1:"):
        with pytest.raises(UsageError, match="names no LUN"):
            activity_named(text)


@pytest.fixture
def tgt(image):
    """A tgtd of our own with one LUN; its control port, its URL."""
    with tgtd.serve(image, device_type="disk", store="rdwr") as server:
        yield int(server.control), f"iscsi://{server.portal}/{server.target}/1"


@pytest.mark.root
def test_tgt_counts_writes_when_they_are_submitted(tgt):
    control, url = tgt
    source = TgtSource(1, 1, control_port=control)
    assert source.read().counter == ()
    reader = subprocess.Popen(["iscsi-perf", "-t", "2", url], stdout=subprocess.DEVNULL)
    writer = None
    try:
        time.sleep(0.3)
        assert source.read().counter == (), "reads are no activity"
        writer = subprocess.Popen(
            ["iscsi-test-cu", "-d", "-s", "-t", "SCSI.Write16", url],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seen = set()
        while writer.poll() is None:
            seen.add(source.read().counter)
        assert len(seen - {()}) >= 1
    finally:
        for process in (reader, writer):
            if process is not None:
                process.kill()
                process.wait()


def test_tgt_that_is_not_there_is_an_error():
    with pytest.raises(ActivitySourceError, match="target 1"):
        TgtSource(1, 1, control_port=9).read()
