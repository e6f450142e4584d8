"""$Bitmap: which clusters the volume itself says are taken."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sbtk.ntfs.chunk import I64, U8

_STEP_BYTES = 8 * 1024  # small enough that its bits come from memory that was used before
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
    edges: list[I64] = []  # clusters that differ from the one before: starts and ends by turns
    before = np.uint8(0)
    held_bytes = min(len(bitmap), -(-total_clusters // 8))
    for first_byte in range(0, held_bytes, _STEP_BYTES):
        part = bitmap[first_byte : min(first_byte + _STEP_BYTES, held_bytes)]
        shifted = part << np.uint8(1)
        shifted[0] |= before
        shifted[1:] |= part[:-1] >> np.uint8(7)
        bits = np.unpackbits(part ^ shifted, bitorder="little")[: total_clusters - 8 * first_byte]
        edges.append(np.flatnonzero(bits.view(np.bool_)) + 8 * first_byte)
        before = part[-1] >> np.uint8(7)
    if sum(map(len, edges)) % 2:
        edges.append(np.array([min(8 * len(bitmap), total_clusters)], np.int64))
    both = np.concatenate([np.empty(0, np.int64), *edges]).reshape(-1, 2)
    return ClusterRuns(both[:, 0].copy(), both[:, 1] - both[:, 0])


def allocated_clusters(bitmap: U8, total_clusters: int) -> int:
    """How many clusters a packed $Bitmap says are taken."""
    whole = total_clusters // 8
    count = int(np.bincount(bitmap[:whole], minlength=256) @ _BITS_SET)
    if total_clusters % 8 and whole < len(bitmap):
        count += (int(bitmap[whole]) & ((1 << total_clusters % 8) - 1)).bit_count()
    return count
