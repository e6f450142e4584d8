"""The bytes behind a run list: reads ranges of a non-resident stream from the volume's clusters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sbtk.device.base import BlockDevice
from sbtk.ntfs.runlist import Run


class ClusterStream:
    """The raw bytes that a stream's runs cover; holes, gaps and what lies behind are zeros.

    Attributes:
        covered_bytes: bytes from VCN 0 to the end of the last run.
    """

    def __init__(
        self,
        device: BlockDevice,
        cluster_bytes: int,
        vcn: npt.NDArray[np.int64],
        lcn: npt.NDArray[np.int64],
        clusters: npt.NDArray[np.int64],
    ) -> None:
        """Take the runs, (n,) int64 each, sorted by VCN and not overlapping; lcn -1 is a hole."""
        self._device = device
        self._cluster_bytes = cluster_bytes
        self._vcn = vcn
        self._lcn = lcn
        self._clusters = clusters
        self.covered_bytes = int(vcn[-1] + clusters[-1]) * cluster_bytes if len(vcn) else 0

    @classmethod
    def from_runs(
        cls, device: BlockDevice, cluster_bytes: int, runs: Iterable[Run]
    ) -> ClusterStream:
        """Take the runs as values, in any order."""
        rows = sorted((run.vcn, run.lcn, run.clusters) for run in runs)
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(device, cluster_bytes, table[:, 0], table[:, 1], table[:, 2])

    def has(self, offset_bytes: int, length_bytes: int) -> bool:
        """Whether real runs, without a gap, hold this whole range."""
        first = offset_bytes // self._cluster_bytes
        end = -(-(offset_bytes + length_bytes) // self._cluster_bytes)
        row = int(np.searchsorted(self._vcn, first, side="right")) - 1
        while row >= 0 and row < len(self._vcn) and self._vcn[row] <= first < end:
            if self._lcn[row] < 0:
                return False
            first = max(first, int(self._vcn[row] + self._clusters[row]))
            row += 1
        return first >= end

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset_bytes`` of the stream on.

        Raises:
            DeviceReadError: a run ends behind the device, or the device failed to read it.
        """
        position, end = offset_bytes, offset_bytes + len(buffer)
        row = int(np.searchsorted(self._vcn, position // self._cluster_bytes, side="right")) - 1
        row = max(row, 0)
        while position < end and row < len(self._vcn):
            start = int(self._vcn[row]) * self._cluster_bytes
            stop = start + int(self._clusters[row]) * self._cluster_bytes
            if start > position:
                skipped = min(start, end)
                buffer[position - offset_bytes : skipped - offset_bytes] = bytes(skipped - position)
                position = skipped
            upto = min(stop, end)
            if position < upto:
                part = buffer[position - offset_bytes : upto - offset_bytes]
                if self._lcn[row] < 0:
                    part[:] = bytes(len(part))
                else:
                    at = int(self._lcn[row]) * self._cluster_bytes + position - start
                    self._device.read_into(at, part)
                position = upto
            row += 1
        if position < end:
            buffer[position - offset_bytes :] = bytes(end - position)

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """``length_bytes`` bytes from ``offset_bytes`` on; the same errors as ``read_into``.

        The caller bounds ``length_bytes``: it is allocated before anything is read.
        """
        buffer = bytearray(length_bytes)
        self.read_into(offset_bytes, memoryview(buffer))
        return bytes(buffer)
