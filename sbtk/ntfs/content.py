"""The bytes of one non-resident stream as they read: holes, valid data length, LZNT1."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sbtk.device.base import BlockDevice
from sbtk.errors import StreamUnreadableError
from sbtk.ntfs.clusters import ClusterStream
from sbtk.ntfs.lookup import Stream
from sbtk.ntfs.lznt1 import Bytes, Lznt1Error, decompress

I64 = npt.NDArray[np.int64]

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_UNIT_BYTES = 1 << 20
"""NTFS compresses 16 clusters of at most 4 KiB at a time: 64 KiB. What exceeds this is damage."""


class Runs(NamedTuple):
    """Runs of one stream, (n,) int64 each, sorted by VCN; lcn -1 is a hole."""

    vcn: I64
    lcn: I64
    clusters: I64


class _Reader(io.RawIOBase):
    """A read-only, seekable stream of ``size_bytes``; a subclass fills ranges inside it."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size_bytes = max(size_bytes, 0)  # a damaged record may say less than nothing
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}
        if whence not in base or base[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("the stream is closed")
        view = memoryview(buffer).cast("B")
        length_bytes = max(0, min(len(view), self._size_bytes - self._position))
        if length_bytes:
            length_bytes = self._fill(self._position, view[:length_bytes])
        self._position += length_bytes
        return length_bytes

    def _fill(self, position: int, view: memoryview) -> int:
        """Fill ``view``, or at least its beginning, and tell how many bytes of it."""
        raise NotImplementedError


class PlainReader(_Reader):
    """A stream whose clusters hold its bytes; behind the initialised size it reads as zero."""

    def __init__(self, stream: Stream, clusters: ClusterStream) -> None:
        super().__init__(stream.data_bytes)
        self._initialized_bytes = stream.initialized_bytes
        self._clusters = clusters

    def _fill(self, position: int, view: memoryview) -> int:
        real_bytes = max(0, min(len(view), self._initialized_bytes - position))
        if real_bytes:
            self._clusters.read_into(position, view[:real_bytes])
        view[real_bytes:] = bytes(len(view) - real_bytes)
        return len(view)


class CompressedReader(_Reader):
    """An LZNT1 stream: unit by unit, the last one kept.

    A unit whose clusters are all real is stored as it is, one without any is zeros, all others are
    compressed data in their first clusters.
    """

    def __init__(self, stream: Stream, device: BlockDevice, cluster_bytes: int, runs: Runs) -> None:
        """Take the runs, which have no gaps.

        Raises:
            StreamUnreadableError: the compression unit is none that NTFS has.
        """
        super().__init__(stream.data_bytes)
        self._stream = stream
        self._device = device
        self._cluster_bytes = cluster_bytes
        self._runs = runs
        self._unit_clusters = 1 << min(stream.compression_unit, 32)
        self._unit_bytes = self._unit_clusters * cluster_bytes
        if stream.compression_unit == 0 or self._unit_bytes > MAX_UNIT_BYTES:
            raise StreamUnreadableError(
                f"{stream.path}: compressed in units of {self._unit_clusters} clusters, which NTFS "
                "does not have",
                hint="Check the volume with chkdsk",
            )
        self._kept = -1
        self._plain: Bytes = np.empty(0, np.uint8)

    def _fill(self, position: int, view: memoryview) -> int:
        unit, start = divmod(position, self._unit_bytes)
        if unit != self._kept:
            self._plain, self._kept = self._read_unit(unit), unit
        piece = self._plain[start : start + len(view)]
        view[: len(piece)] = piece.data.cast("B")
        return len(piece)

    def _read_unit(self, unit: int) -> Bytes:
        first_vcn = unit * self._unit_clusters
        data: Bytes = np.zeros(self._unit_bytes, np.uint8)
        held = self._read_clusters(first_vcn, data)
        if 0 < held < self._unit_clusters:
            try:
                data = decompress(data[: held * self._cluster_bytes], self._unit_bytes)
            except Lznt1Error as error:
                raise self._damaged(
                    first_vcn, f"its compressed data is damaged: {error}"
                ) from error
        start_bytes = unit * self._unit_bytes
        valid_bytes = max(0, self._stream.initialized_bytes - start_bytes)
        data[valid_bytes:] = 0
        return data

    def _read_clusters(self, first_vcn: int, data: Bytes) -> int:
        """Read the real clusters of a unit into the beginning of ``data``; how many there are."""
        held = 0
        end_vcn = first_vcn + self._unit_clusters
        row = max(int(np.searchsorted(self._runs.vcn, first_vcn, side="right")) - 1, 0)
        vcn = first_vcn
        while row < len(self._runs.vcn) and vcn < end_vcn:
            skipped = vcn - int(self._runs.vcn[row])
            count = min(int(self._runs.clusters[row]) - skipped, end_vcn - vcn)
            if count > 0 and self._runs.lcn[row] >= 0:
                if vcn != first_vcn + held:
                    raise self._damaged(first_vcn, "it has clusters behind a hole")
                at = held * self._cluster_bytes
                offset_bytes = (int(self._runs.lcn[row]) + skipped) * self._cluster_bytes
                part = data[at : at + count * self._cluster_bytes]
                self._device.read_into(offset_bytes, part.data)
                held += count
            vcn += max(count, 0)
            row += 1
        return held

    def _damaged(self, first_vcn: int, what: str) -> StreamUnreadableError:
        return StreamUnreadableError(
            f"{self._stream.path}: the compression unit at byte {first_vcn * self._cluster_bytes} "
            f"cannot be read: {what}",
            hint="Restore the file from a backup; what lies before and behind it can be read",
        )
