"""Content of the volume's own files ($Bitmap, $LogFile, ...), read through the scanned tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sbtk.device.base import BlockDevice
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.tables import Tables


class SystemStream:
    """One non-resident stream.

    Attributes:
        data_bytes: its length.
        initialized_bytes: what lies behind reads as zeros.
        clusters: its raw bytes.
    """

    def __init__(self, data_bytes: int, initialized_bytes: int, clusters: ClusterStream) -> None:
        self.data_bytes = data_bytes
        self.initialized_bytes = initialized_bytes
        self.clusters = clusters

    def read(self, max_bytes: int) -> bytes:
        """The first ``max_bytes`` bytes, or what there is of them.

        Raises:
            DeviceReadError: a cluster of it cannot be read.
        """
        held_bytes = min(self.data_bytes, self.clusters.covered_bytes, max_bytes)
        real_bytes = min(self.initialized_bytes, held_bytes)
        return self.clusters.read(0, real_bytes) + bytes(held_bytes - real_bytes)


def find_stream(
    device: BlockDevice, boot: BootSector, tables: Tables, record: int
) -> SystemStream | None:
    """The unnamed $DATA of ``record`` if it is not resident, else None."""
    streams = tables.streams
    wanted = pc.and_(
        pc.equal(streams["record"], pa.scalar(record, pa.uint64())),
        pc.and_(
            pc.equal(streams["attribute_type"], pa.scalar(int(AttributeType.DATA), pa.uint32())),
            pc.equal(pc.binary_length(streams["attribute_name"]), 0),
        ),
    )
    rows = np.flatnonzero(wanted.to_numpy())
    if not len(rows):
        return None
    row = streams.slice(int(rows[0]), 1).to_pylist()[0]
    if row["resident"]:
        return None
    mine = np.flatnonzero(tables.extents["stream"].to_numpy() == row["stream"])
    vcn, lcn, clusters = (
        tables.extents[name].to_numpy()[mine] for name in ("vcn", "lcn", "clusters")
    )
    order = np.argsort(vcn, kind="stable")
    stream = ClusterStream(device, boot.cluster_bytes, vcn[order], lcn[order], clusters[order])
    return SystemStream(row["data_bytes"], row["initialized_bytes"], stream)
