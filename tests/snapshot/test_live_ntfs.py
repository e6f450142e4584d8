"""A live NTFS volume under ntfs-3g load: each snapshot scans and checks clean, files are whole."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

import sbtk
from sbtk.quiesce.static_view import static_view
from tests.loopfs import loop_fs, mounted, ntfs_3g, run

pytestmark = pytest.mark.root

# Bursts of real work with pauses between them: new files named by their digest, folders,
# renames, overwrites, deletions; whatever is finished is printed.
_LOAD = """
import hashlib, os, random, sys, time
folder, dice, number, kept = sys.argv[1], random.Random(int(sys.argv[2])), 0, []
print("go", flush=True)
while True:
    end = time.time() + 0.3
    while time.time() < end:
        data = dice.randbytes(dice.choice([10, 700, 5000, 60000]))
        name = hashlib.sha256(data).hexdigest()
        sub = os.path.join(folder, f"d{number % 7}")
        os.makedirs(sub, exist_ok=True)
        with open(os.path.join(sub, "new"), "wb") as stream:
            stream.write(data)
        os.rename(os.path.join(sub, "new"), os.path.join(sub, name))
        kept.append(os.path.join(sub, name))
        number += 1
        if len(kept) > 60:
            os.unlink(kept.pop(dice.randrange(len(kept))))
    time.sleep(0.7)
"""


def check_by_ntfs_3g(clone: Path, target: Path) -> int:
    """Mount the clone read-only with the driver itself and read every file; how many there were."""
    run("ntfsfix", "--no-action", clone)
    count = 0
    with mounted(clone, target, "-t", "ntfs-3g", "-o", "ro") as folder:
        for path in folder.glob("d*/*"):
            assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
            count += 1
    return count


def check_by_scan(clone: str) -> int:
    """Scan it; no finding, and every file's content is what its name says."""
    with sbtk.open_volume(clone) as volume:
        findings = volume.findings.filter(pc.not_equal(volume.findings["severity"], "info"))
        assert findings.num_rows == 0, findings.to_pylist()
        paths = [path for path in volume.files["path"].to_pylist() if len(Path(path).name) == 64]
        for path in paths:
            with volume.open(path) as stream:
                assert hashlib.sha256(stream.read()).hexdigest() == Path(path).name
        return len(paths)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_every_snapshot_of_a_live_volume_is_clean(kind, tmp_path):
    with loop_fs(kind, tmp_path) as fs:
        image = fs.path / "ntfs.img"
        with image.open("wb") as stream:
            stream.truncate(48 << 20)
        run("mkntfs", "-q", "-F", "-Q", image)
        with ntfs_3g(image, tmp_path / "live") as live:
            load = subprocess.Popen(
                [sys.executable, "-c", _LOAD, live, "7"], stdout=subprocess.PIPE, text=True
            )
            try:
                load.stdout.readline()
                time.sleep(0.2)
                for _ in range(5):
                    with static_view(str(image), quiet_s=0.3, timeout_s=20) as view:
                        assert load.poll() is None
                        clone = Path(view.location)
                        time.sleep(0.4)  # the next burst runs over the snapshot
                        count = check_by_ntfs_3g(clone, tmp_path / "look")
                        assert check_by_scan(view.location) == count >= 10
            finally:
                load.kill()
                load.communicate()
