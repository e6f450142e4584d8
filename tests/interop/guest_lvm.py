"""Runs in the guest as root: disks of LIO, a logical volume with its provider, bad sectors."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sbtk.errors import SnapshotFullError
from sbtk.quiesce.static_view import static_view
from sbtk.quiesce.target_stats import LioSource
from sbtk.snapshot.base import SnapshotRequest
from sbtk.snapshot.registry import choose, clean, left_overs
from tests.interop.guest import MARK
from tests.interop.guest_bad_blocks import back_up_bad_disk
from tests.snapshot.stamps import IMAGE_BYTES, SLOT_BYTES, SLOTS, stamp, torn_slots

CORE = Path("/sys/kernel/config/target/core/fileio_0")
LOOPBACK = Path("/sys/kernel/config/target/loopback/naa.5001405000000001/tpgt_1")
ORIGIN = "/dev/lab/data"

# There is no udevd in the guest: LVM has to make the device nodes itself.
LVM_CONF = """
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
devices { obtain_device_list_from_udev = 0 use_devicesfile = 0 }
global { use_lvmpolld = 0 event_activation = 0 }
backup { backup = 0 archive = 0 }
"""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def make_disk(number: int, size_bytes: int) -> str:
    """A disk of LIO by tcm_loop over ``/run/diskN``; its block device."""
    before = set(Path("/sys/block").glob("sd*"))
    core = CORE / f"disk{number}"
    core.mkdir(parents=True)
    (core / "control").write_text(f"fd_dev_name=/run/{core.name},fd_dev_size={size_bytes}")
    (core / "enable").write_text("1")
    if not LOOPBACK.exists():
        LOOPBACK.mkdir(parents=True)
        (LOOPBACK / "nexus").write_text("naa.5001405000000002")
    lun = LOOPBACK / "lun" / f"lun_{number - 1}"
    lun.mkdir()
    (lun / core.name).symlink_to(core)
    for _ in range(100):
        found = set(Path("/sys/block").glob("sd*")) - before
        if found:
            return f"/dev/{found.pop().name}"
        time.sleep(0.1)
    raise AssertionError("LIO's disk did not appear")


def make_volume(disk: str) -> None:
    Path("/run/lvm").mkdir(exist_ok=True)
    Path("/run/lvm/lvm.conf").write_text(LVM_CONF)
    os.environ["LVM_SYSTEM_DIR"] = "/run/lvm"
    run("pvcreate", "--yes", disk)
    run("vgcreate", "lab", disk)
    run("lvcreate", "--yes", "--name", "data", "--size", "64m", "lab")
    with open(ORIGIN, "r+b") as stream:
        stream.write(b"".join(stamp(number) for number in range(SLOTS)))
        os.fsync(stream.fileno())


def volumes() -> list[str]:
    return run("lvs", "--noheadings", "-o", "lv_name", "lab").split()


def read(path: str, length_bytes: int) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(length_bytes)


def lio_counts(disk: str) -> dict[str, bool]:
    source = LioSource("fileio_0/disk1")
    before = source.read()
    still = source.read() == before
    run("dd", "if=/dev/zero", f"of={disk}", "bs=4096", "count=1", "seek=100", "oflag=direct")
    return {"lio_stands_still": still, "lio_sees_4_kib": source.read() != before}


def snapshot_stands() -> dict[str, object]:
    """auto takes lvm; what is written to the origin later is not in it; it is gone at the end."""
    with static_view(ORIGIN, quiet_s=0.3, timeout_s=30, cap_bytes=16 << 20) as view:
        old = read(view.location, IMAGE_BYTES)
        with open(ORIGIN, "r+b") as stream:
            stream.write(b"new" * 1000)
            os.fsync(stream.fileno())
        view.check()
        kept = read(view.location, IMAGE_BYTES) == old
        provider, during = view.report.provider, volumes()
    return {
        "provider": provider,
        "old_kept": kept and torn_slots(old) == 0,
        "origin_new": read(ORIGIN, 3) == b"new",
        "volumes_during": len(during),
        "volumes_after": volumes(),
    }


def full_snapshot_fails() -> dict[str, object]:
    """A snapshot whose store is full is lost: the job is told, the writer is not."""
    try:
        with static_view(ORIGIN, quiet_s=0.3, timeout_s=30, cap_bytes=8 << 20) as view:
            with open(ORIGIN, "r+b") as stream:
                stream.write(os.urandom(32 << 20))
                os.fsync(stream.fileno())
            view.check()
    except SnapshotFullError as error:
        return {"full": error.exit_code, "full_after": volumes()}
    return {"full": 0, "full_after": volumes()}


def torn_tries(count: int) -> list[int]:
    """Torn slots of snapshots taken under a direct writer that never pauses."""
    stop = threading.Event()

    def write() -> None:
        page = mmap.mmap(-1, SLOT_BYTES)
        descriptor = os.open(ORIGIN, os.O_RDWR | os.O_DIRECT)
        number = 0
        while not stop.is_set():
            page[:] = stamp(number)
            os.pwrite(descriptor, page, number % SLOTS * SLOT_BYTES)
            number += 1
            if number == SLOTS + 5:
                warm.set()
            if warm.is_set():
                time.sleep(0.0005)  # two emulated processors have to do for LVM's tools as well
        os.close(descriptor)

    warm = threading.Event()
    thread = threading.Thread(target=write)
    thread.start()
    warm.wait(60)
    found = []
    try:
        provider = choose(SnapshotRequest(ORIGIN, ORIGIN, cap_bytes=16 << 20))
        for _ in range(count):
            with provider.create() as snapshot:
                found.append(torn_slots(read(snapshot.location, IMAGE_BYTES)))
    finally:
        stop.set()
        thread.join()
    return found


def sigkill_leaves_what_is_found() -> dict[str, object]:
    pipe_out, pipe_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        with static_view(ORIGIN, quiet_s=0.3, timeout_s=30, cap_bytes=16 << 20):
            os.write(pipe_in, b"x")
            time.sleep(60)
        os._exit(1)
    os.read(pipe_out, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    left = left_overs()
    before = volumes()
    clean(left)
    return {"left": len(left), "left_before": len(before), "left_after": volumes()}


def main() -> None:
    disk = make_disk(1, 256 << 20)
    report: dict[str, object] = dict(lio_counts(disk))
    make_volume(disk)
    report |= snapshot_stands()
    with open(ORIGIN, "r+b") as stream:
        stream.write(b"".join(stamp(number) for number in range(SLOTS)))
        os.fsync(stream.fileno())
    report["torn"] = torn_tries(3)
    report |= full_snapshot_fails()
    report |= sigkill_leaves_what_is_found()
    image, path, at_bytes, length_bytes = sys.argv[1:]
    size_bytes = Path(shutil.copyfile(image, "/run/disk2")).stat().st_size
    bad = back_up_bad_disk(make_disk(2, size_bytes), path, int(at_bytes), int(length_bytes))
    report["bad"] = bad
    print(MARK + json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
