"""Raw content of single streams, read through the scanned tables: $Bitmap, $LogFile, lists."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.device.base import BlockDevice
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.columns import numpy_values, text_buffers
from sbtk.ntfs.layout import AttributeType, SystemRecord


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
    """Opens unnamed, non-resident streams of one volume.

    Attributes:
        hibernation_record: record of hiberfil.sys, -1 where none is known.
    """

    def __init__(
        self, device: BlockDevice, boot: BootSector, streams: pa.Table, extents: pa.Table
    ) -> None:
        """Take the tables ``streams`` and ``extents`` of the volume on ``device``."""
        self._device = device
        self._cluster_bytes = boot.cluster_bytes
        name_offsets = text_buffers(streams["attribute_name"].chunk(0))[0]
        self._streams = {
            name: numpy_values(streams[name])
            for name in ("record", "attribute_type", "resident", "data_bytes", "initialized_bytes")
        }
        self._streams["unnamed"] = name_offsets[1:] == name_offsets[:-1]
        self._runs = {
            name: numpy_values(extents[name]) for name in ("stream", "vcn", "lcn", "clusters")
        }
        self.hibernation_record = -1

    def only(self, hibernation_record: int) -> SystemFiles:
        """NTFS's own files and this record, -1 for none; of all others nothing is kept."""
        record, stream = self._streams["record"], self._runs["stream"]
        ends = [SystemRecord.FIRST_USER, hibernation_record, hibernation_record + 1]
        own, first, end = np.searchsorted(record.view(np.int64), ends).tolist()  # it is sorted
        first = max(first, own)
        kept = np.r_[0:own, first:end]
        mine = np.flatnonzero((stream < own) | ((stream >= first) & (stream < end)))
        narrow = copy.copy(self)
        narrow._streams = {name: column[kept] for name, column in self._streams.items()}
        narrow._runs = {name: column[mine] for name, column in self._runs.items()}
        narrow._runs["stream"] = np.searchsorted(kept, narrow._runs["stream"])
        narrow.hibernation_record = hibernation_record
        return narrow

    def data_of(self, record: int) -> SystemStream | None:
        """The unnamed $DATA of ``record``; None if it has none that is not resident."""
        of_record = self._streams["record"] == np.uint64(record)
        found = self._open(self._rows(AttributeType.DATA) & of_record)
        return found[0] if found else None

    def lists(self) -> list[SystemStream]:
        """Every $ATTRIBUTE_LIST that is not resident."""
        return self._open(self._rows(AttributeType.ATTRIBUTE_LIST))

    def _rows(self, kind: AttributeType) -> npt.NDArray[np.bool_]:
        """Unnamed non-resident streams of one type."""
        streams = self._streams
        wanted = (streams["attribute_type"] == int(kind)) & ~streams["resident"]
        return np.asarray(wanted & streams["unnamed"])

    def _open(self, wanted: npt.NDArray[np.bool_]) -> list[SystemStream]:
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return []
        stream = self._runs["stream"]
        mine = np.flatnonzero(wanted[stream])
        columns = {name: self._runs[name][mine] for name in ("vcn", "lcn", "clusters")}
        stream = stream[mine]
        order = np.lexsort((columns["vcn"], stream))
        stream = stream[order]
        columns = {name: column[order] for name, column in columns.items()}
        opened = []
        edges = np.searchsorted(stream, [rows, rows + 1]).T.tolist()
        for row, (start, end) in zip(rows.tolist(), edges, strict=True):
            part = slice(start, end)
            clusters = ClusterStream(
                self._device, self._cluster_bytes,
                columns["vcn"][part], columns["lcn"][part], columns["clusters"][part],
            )  # fmt: skip
            opened.append(
                SystemStream(
                    int(self._streams["record"][row]),
                    int(self._streams["data_bytes"][row]),
                    int(self._streams["initialized_bytes"][row]),
                    clusters,
                )
            )
        return opened
