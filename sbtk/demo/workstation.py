"""A workstation of the demo: it keeps writing into a file of the LUN that is backed up."""

from __future__ import annotations

import os
import threading
import time

from sbtk.jobs.units import Disk
from sbtk.volume import open_volume

_PAUSE_S = 0.02  # fifty writes a second


class Workstation:
    """Overwrites clusters of one file through the mover; the file system stays as it is.

    Attributes:
        path: of the file in the volume.
        content: of the file, as far as it was written in the first burst.
        first_writes: writes of the first burst.
        later_writes: writes after it.
    """

    def __init__(self, disk: Disk, image: str, path: str) -> None:
        """Prepare to write through ``disk`` into ``path`` of the volume in ``image``."""
        self.path = path
        self.first_writes = self.later_writes = 0
        self._disk = disk
        with open_volume(image) as volume:
            file = volume.find(path)
            runs = volume.runs_of(file.row)
            self._cluster_bytes = volume.info.cluster_bytes
            with volume.open(path) as stream:
                self.content = bytearray(stream.read())
        whole = len(self.content) // self._cluster_bytes
        self._lcns = [
            int(lcn) + index
            for lcn, clusters in zip(runs.lcn, runs.clusters, strict=True)
            for index in range(int(clusters))
        ][:whole]
        self._again, self._end = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="workstation", daemon=True)
        self._burst_s = 0.0

    def start(self, burst_s: float) -> None:
        """Write for so long, then pause until ``go_on``."""
        self._burst_s = burst_s
        self._thread.start()

    def go_on(self) -> None:
        """Write again, until ``stop``."""
        self._again.set()

    def stop(self) -> None:
        """Let it end, and raise what went wrong in it."""
        self._end.set()
        self._again.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            end_s = time.monotonic() + self._burst_s
            while time.monotonic() < end_s and not self._end.is_set():
                index, data = self._write(self.first_writes)
                self.content[index : index + len(data)] = data
                self.first_writes += 1
                time.sleep(_PAUSE_S)
            self._again.wait()
            while not self._end.is_set():
                self._write(self.later_writes)
                self.later_writes += 1
                time.sleep(_PAUSE_S)
        except Exception as error:  # told by stop
            self._failure = error

    def _write(self, count: int) -> tuple[int, bytes]:
        """Overwrite one cluster; where it lies in the file, and what it holds now."""
        vcn = count % len(self._lcns)
        data = os.urandom(self._cluster_bytes)
        self._disk.write(self._lcns[vcn] * self._cluster_bytes, data)
        return vcn * self._cluster_bytes, data
