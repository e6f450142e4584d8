"""Mapping pairs: the run list of one non-resident attribute, decoded without trusting a byte.

The compiled kernels decode whole tables; this is the same in plain Python for a single attribute,
where $MFT, an attribute list or one stream is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_LCN = 1 << 55
"""No LCN, VCN or length reaches this: volumes are smaller than 2^63 bytes."""

HOLE = -1


@dataclass(frozen=True)
class Run:
    """Consecutive clusters of one stream.

    Attributes:
        vcn: first cluster within the stream.
        lcn: first cluster on the volume; -1 for a hole.
        clusters: how many.
    """

    vcn: int
    lcn: int
    clusters: int


class RunListError(ValueError):
    """The run list is damaged; the message says how. Handled where the record is read."""


def decode(data: bytes | memoryview, *, lowest_vcn: int = 0) -> list[Run]:
    """Decode mapping pairs until their end mark or the end of ``data``.

    A run is a hole if its *offset field has no bytes*; an offset of zero in one byte is a run.
    Offsets add up over the real runs of this piece only, and start at 0 in each piece.

    Args:
        data: the mapping pairs, at most up to the end of their attribute.
        lowest_vcn: VCN at which this piece starts.

    Returns:
        Runs in VCN order, at most ``len(data) / 2`` of them.

    Raises:
        RunListError: a run has no length, leaves the data, or points where no volume reaches.
    """
    runs: list[Run] = []
    position, vcn, lcn = 0, lowest_vcn, 0
    while position < len(data) and data[position]:
        length_bytes, offset_bytes = data[position] & 15, data[position] >> 4
        after = position + 1 + length_bytes + offset_bytes
        if not 1 <= length_bytes <= 8 or offset_bytes > 8:
            raise RunListError(f"run header {data[position]:02X}h")
        if after > len(data):
            raise RunListError("a run leaves its attribute")
        split = position + 1 + length_bytes
        clusters = int.from_bytes(data[position + 1 : split], "little", signed=True)
        if not 0 < clusters < MAX_LCN or vcn + clusters > MAX_LCN:
            raise RunListError(f"a run of {clusters} clusters")
        if offset_bytes:
            lcn += int.from_bytes(data[split:after], "little", signed=True)
            if not 0 <= lcn < MAX_LCN:
                raise RunListError(f"a run at cluster {lcn}")
        runs.append(Run(vcn, lcn if offset_bytes else HOLE, clusters))
        vcn += clusters
        position = after
    return runs
