"""$Bitmap: which clusters the volume itself says are taken."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sbtk.ntfs.chunk import I64, U8

_STEP_BYTES = 8 * 1024 * 1024
_BITS_SET = np.array([value.bit_count() for value in range(256)])


class ClusterRuns(NamedTuple):
    """Stretches of clusters, in ascending order, no two touching.

    Attributes:
        start_lcn: (n,) int64.
        clusters: (n,) int64.
    """

    start_lcn: I64
    clusters: I64


def bitmap_runs(bitmap: U8, total_clusters: int) -> ClusterRuns:
    """The allocated stretches of a packed $Bitmap (bit 0 of byte 0 is cluster 0).

    Args:
        bitmap: (m,) uint8, as it lies on the disk; bits behind ``total_clusters`` are ignored.
        total_clusters: of the volume.
    """
    starts: list[I64] = []
    ends: list[I64] = []
    before = np.zeros(1, np.uint8)
    for first_byte in range(0, min(len(bitmap), -(-total_clusters // 8)), _STEP_BYTES):
        part = bitmap[first_byte : first_byte + _STEP_BYTES]
        bits = np.unpackbits(part, bitorder="little")[: total_clusters - 8 * first_byte]
        steps = np.diff(np.concatenate([before, bits]).view(np.int8))
        starts.append(np.flatnonzero(steps == 1) + 8 * first_byte)
        ends.append(np.flatnonzero(steps == -1) + 8 * first_byte)
        before = bits[-1:]
    if before[0]:
        ends.append(np.array([min(8 * len(bitmap), total_clusters)], np.int64))
    start_lcn = np.concatenate([np.empty(0, np.int64), *starts])
    return ClusterRuns(start_lcn, np.concatenate([np.empty(0, np.int64), *ends]) - start_lcn)


def allocated_clusters(bitmap: U8, total_clusters: int) -> int:
    """How many clusters a packed $Bitmap says are taken."""
    whole = total_clusters // 8
    count = int(np.bincount(bitmap[:whole], minlength=256) @ _BITS_SET)
    if total_clusters % 8 and whole < len(bitmap):
        count += (int(bitmap[whole]) & ((1 << total_clusters % 8) - 1)).bit_count()
    return count
