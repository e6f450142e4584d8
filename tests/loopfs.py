"""File systems on loop devices for tests: ext4, xfs and btrfs in a sparse image, mounted."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAKERS = {
    "ext4": (64 << 20, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0"]),
    "xfs": (304 << 20, ["mkfs.xfs", "-q", "-f"]),  # mkfs.xfs makes nothing below 300 MB
    "btrfs": (256 << 20, ["mkfs.btrfs", "-q", "-f"]),
}


@dataclass(frozen=True)
class LoopFs:
    """A mounted file system.

    Attributes:
        path: where it is mounted.
        device: its loop device, as ``/dev/loop3``.
        image: the file behind it.
    """

    path: Path
    device: str
    image: Path

    @property
    def sysfs(self) -> Path:
        """Folder of the device's counters."""
        return Path("/sys/block") / Path(self.device).name


def run(*command: str | Path) -> str:
    """Run a tool; what it says on failure is in the error."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


@contextlib.contextmanager
def loop_device(image: Path) -> Iterator[str]:
    """Attach an image to a free loop device."""
    # --find and --show are one step for losetup, but two processes may find the same device.
    for attempt in range(20):
        try:
            device = run("losetup", "--find", "--show", image).strip()
            break
        except AssertionError:
            if attempt == 19:
                raise
            time.sleep(0.05)
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def mounted(source: str | Path, target: Path, *options: str) -> Iterator[Path]:
    """Mount something for the body; unmounts whatever the body does."""
    target.mkdir(exist_ok=True)
    run("mount", *options, source, target)
    try:
        yield target
    finally:
        unmount(target)


def unmount(target: Path) -> None:
    """Unmount at once; lazily where something still holds it, so that nothing stays behind."""
    for _ in range(600):  # a driver of a file inside it writes back before it lets go
        done = subprocess.run(["umount", str(target)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.05)
    subprocess.run(["umount", "--lazy", str(target)], check=False)
    raise AssertionError(f"{target} was busy: {done.stderr}")


@contextlib.contextmanager
def loop_fs(kind: str, folder: Path, *, size_bytes: int = 0) -> Iterator[LoopFs]:
    """Make and mount a file system of ``kind`` in ``folder``."""
    default_bytes, maker = _MAKERS[kind]
    image = folder / f"{kind}.img"
    with image.open("xb") as stream:
        stream.truncate(size_bytes or default_bytes)
    run(*maker, image)
    with loop_device(image) as device, mounted(device, folder / f"{kind}.mnt") as path:
        yield LoopFs(path, device, image)
    image.unlink()


@contextlib.contextmanager
def ntfs_3g(image: Path, target: Path) -> Iterator[Path]:
    """Mount an NTFS image with ntfs-3g, by FUSE, without a loop device."""
    target.mkdir(exist_ok=True)
    run("ntfs-3g", image, target)
    try:
        yield target
    finally:
        unmount(target)
