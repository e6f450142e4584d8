"""Raw content of single streams, read through the scanned tables: $Bitmap, $LogFile, lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sbtk.device.base import BlockDevice
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.layout import AttributeType


@dataclass(frozen=True)
class SystemStream:
    """One non-resident stream.

    Attributes:
        record: base record.
        data_bytes: its length.
        initialized_bytes: what lies behind reads as zeros.
        clusters: its raw bytes.
    """

    record: int
    data_bytes: int
    initialized_bytes: int
    clusters: ClusterStream

    def read(self, max_bytes: int) -> bytes:
        """The first ``max_bytes`` bytes, or what there is of them.

        Raises:
            DeviceReadError: a cluster of it cannot be read.
        """
        held_bytes = min(self.data_bytes, self.clusters.covered_bytes, max_bytes)
        real_bytes = min(self.initialized_bytes, held_bytes)
        return self.clusters.read(0, real_bytes) + bytes(held_bytes - real_bytes)


class SystemFiles:
    """Opens unnamed, non-resident streams of one volume."""

    def __init__(
        self, device: BlockDevice, boot: BootSector, streams: pa.Table, extents: pa.Table
    ) -> None:
        """Take the tables ``streams`` and ``extents`` of the volume on ``device``."""
        self._device = device
        self._cluster_bytes = boot.cluster_bytes
        self._streams = streams
        self._extents = extents

    def data_of(self, record: int) -> SystemStream | None:
        """The unnamed $DATA of ``record``; None if it has none that is not resident."""
        of_record = pc.equal(self._streams["record"], pa.scalar(record, pa.uint64())).to_numpy()
        found = self._open(self._rows(AttributeType.DATA) & of_record)
        return found[0] if found else None

    def lists(self) -> list[SystemStream]:
        """Every $ATTRIBUTE_LIST that is not resident."""
        return self._open(self._rows(AttributeType.ATTRIBUTE_LIST))

    def _rows(self, kind: AttributeType) -> npt.NDArray[np.bool_]:
        """Unnamed non-resident streams of one type."""
        streams = self._streams
        wanted: npt.NDArray[np.bool_] = pc.and_not(
            pc.equal(streams["attribute_type"], pa.scalar(int(kind), pa.uint32())),
            streams["resident"],
        ).to_numpy()
        rows = np.flatnonzero(wanted)
        wanted[rows] = (
            pc.binary_length(streams["attribute_name"].take(pa.array(rows))).to_numpy() == 0
        )
        return wanted

    def _open(self, wanted: npt.NDArray[np.bool_]) -> list[SystemStream]:
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return []
        stream = self._extents["stream"].to_numpy()
        mine = np.flatnonzero(wanted[stream])
        columns = {
            name: self._extents[name].to_numpy()[mine] for name in ("vcn", "lcn", "clusters")
        }
        stream = stream[mine]
        order = np.lexsort((columns["vcn"], stream))
        stream = stream[order]
        columns = {name: column[order] for name, column in columns.items()}
        opened = []
        for row, fields in zip(rows, self._streams.take(pa.array(rows)).to_pylist(), strict=True):
            part = slice(*np.searchsorted(stream, [row, row + 1]))
            clusters = ClusterStream(
                self._device, self._cluster_bytes,
                columns["vcn"][part], columns["lcn"][part], columns["clusters"][part],
            )  # fmt: skip
            opened.append(
                SystemStream(
                    fields["record"], fields["data_bytes"], fields["initialized_bytes"], clusters
                )
            )
        return opened
