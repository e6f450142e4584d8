"""The kernel's counters of a block device: /sys/dev/block/M:m/stat, or /proc/diskstats."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sbtk.errors import ActivitySourceError
from sbtk.quiesce.activity import Reading

# Documentation/block/stat.rst, 0-based: write sectors (field 7), in flight (9), discard sectors
# (14), which also change what is read; kernels before 4.18 have no discard fields. Write I/Os
# (field 5) are left out: a flush of the device's cache, ours too, counts there as a write of 0
# sectors, and a window with flushes in it would never be quiet.
_WRITE_SECTORS, _IN_FLIGHT, _DISCARD_SECTORS = 6, 8, 13


class BlockStatSource:
    """Write counters of one disk, partition, loop or device-mapper device.

    Writes in flight come from the device's ``inflight`` file, which tells reads and writes apart;
    where it is missing, reads under way count as activity too, which errs on the safe side.
    """

    granularity = "one request of the block layer, when it ends; in flight, it counts as activity"

    def __init__(self, path: str, *, sys_root: str = "/sys", proc_root: str = "/proc") -> None:
        self._path = path
        try:
            status = os.stat(path)
        except OSError as error:
            raise ActivitySourceError(
                f"{path} cannot be looked at: {error.strerror}", hint="Check the path"
            ) from error
        if not stat.S_ISBLK(status.st_mode):
            raise ActivitySourceError(f"{path} is no block device")
        self._number = (os.major(status.st_rdev), os.minor(status.st_rdev))
        self._sys = Path(sys_root, "dev", "block", "{}:{}".format(*self._number))
        self._proc = Path(proc_root, "diskstats")
        self._partition = (self._sys / "partition").exists()
        self._sequence = self._disk_sequence()

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"block counters of {self._path}"

    @property
    def blind_to(self) -> str:
        """What the counters cannot see."""
        text = "writes that a page cache above holds back (up to 30 s) until they are flushed"
        if self._partition:
            text += "; writes through the whole disk instead of this partition"
        return text + "; writes by other hosts that reach the same disk"

    def read(self) -> Reading:
        """Sectors written and discarded; writes in flight."""
        fields = self._fields()
        if self._disk_sequence() != self._sequence:
            raise ActivitySourceError(
                f"{self._path} is another device now than when the wait began",
                hint="It was detached and attached anew; start again",
            )
        counter = tuple(fields[i] for i in (_WRITE_SECTORS, _DISCARD_SECTORS) if i < len(fields))
        return Reading(counter, self._writes_in_flight(fields))

    def _fields(self) -> list[int]:
        try:
            fields = [int(word) for word in (self._sys / "stat").read_text().split()]
        except FileNotFoundError:
            fields = self._diskstats()
        except (OSError, ValueError) as error:
            raise ActivitySourceError(
                f"the counters of {self._path} cannot be read: {error}"
            ) from error
        if len(fields) <= _IN_FLIGHT:
            raise ActivitySourceError(f"the kernel gives {len(fields)} counters for {self._path}")
        return fields

    def _writes_in_flight(self, fields: list[int]) -> int:
        try:
            return int((self._sys / "inflight").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return fields[_IN_FLIGHT]

    def _diskstats(self) -> list[int]:
        """The same fields behind major, minor and name; where /sys is not mounted."""
        try:
            for line in self._proc.read_text().splitlines():
                words = line.split()
                if (int(words[0]), int(words[1])) == self._number:
                    return [int(word) for word in words[3:]]
        except (OSError, ValueError, IndexError) as error:
            raise ActivitySourceError(f"{self._proc} cannot be read: {error}") from error
        raise ActivitySourceError(
            f"the kernel counts nothing for {self._path}",
            hint="The device is gone, or neither /sys nor /proc is mounted here",
        )

    def _disk_sequence(self) -> str:
        """Number that the kernel raises whenever another medium is attached (since 5.15)."""
        for folder in (self._sys, self._sys.resolve().parent):
            try:
                return (folder / "diskseq").read_text().strip()
            except OSError:
                continue
        return ""

    def close(self) -> None:
        """Nothing is held."""
