"""Faults written byte by byte into copies of volumes.

Layouts are those of layout.h of ntfs-3g, read and written here with ``struct`` alone, so that a
mistake of the code under test is not planted with its own hand. A FILE record is changed between
taking its fixups off and putting them on again.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

STRIDE_BYTES = 512
DATA = 0x80


class Plant:
    """One copy of a volume, open for damage."""

    def __init__(self, image: Path, copy: Path) -> None:
        subprocess.run(["cp", "--reflink=auto", "--sparse=auto", image, copy], check=True)
        copy.chmod(0o600)
        self.path = copy
        self._undo: list[tuple[int, bytes]] = []
        boot = image.open("rb").read(512)
        sector_bytes, per_cluster = struct.unpack_from("<HB", boot, 0x0B)
        sectors = 1 << (256 - per_cluster) if per_cluster > 0x80 else per_cluster
        self.cluster_bytes = sector_bytes * sectors
        self.total_clusters = struct.unpack_from("<Q", boot, 0x28)[0] // sectors
        (mft_lcn,) = struct.unpack_from("<Q", boot, 0x30)
        (per_record,) = struct.unpack_from("<b", boot, 0x40)
        self.record_bytes = 1 << -per_record if per_record < 0 else per_record * self.cluster_bytes
        self._mft = [(0, mft_lcn, 1 << 40)]  # record 0 lies in the first run, whatever its length
        self._mft = self.runs(0)
        self._mirror = self.runs(1)
        self._mirrored_records = self.sizes(1)["data"] // self.record_bytes

    # -- bytes ---------------------------------------------------------------------------------

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset_bytes)
            return file.read(length_bytes)

    def write(self, offset_bytes: int, octets: bytes) -> None:
        self._undo.append((offset_bytes, self.read(offset_bytes, len(octets))))
        with self.path.open("r+b") as file:
            file.seek(offset_bytes)
            file.write(octets)

    def restore(self) -> None:
        """Take all damage back: one copy serves many tests."""
        undo, self._undo = self._undo[::-1], []
        for offset_bytes, octets in undo:
            self.write(offset_bytes, octets)
        self._undo.clear()

    def place(self, runs: list[tuple[int, int, int]], offset_bytes: int) -> int:
        """Where on the volume a byte of a stream lies."""
        vcn, rest = divmod(offset_bytes, self.cluster_bytes)
        for first, lcn, clusters in runs:
            if first <= vcn < first + clusters:
                return (lcn + vcn - first) * self.cluster_bytes + rest
        raise ValueError(f"byte {offset_bytes} is in no run")

    # -- records -------------------------------------------------------------------------------

    def record(self, number: int) -> bytearray:
        """A FILE record without its fixups."""
        record = bytearray(self.read(self._record_place(number), self.record_bytes))
        offset, count = struct.unpack_from("<HH", record, 4)
        assert record[:4] == b"FILE"
        assert count == self.record_bytes // STRIDE_BYTES + 1
        for stride in range(1, count):
            tail = slice(stride * STRIDE_BYTES - 2, stride * STRIDE_BYTES)
            assert record[tail] == record[offset : offset + 2], "torn"
            record[tail] = record[offset + 2 * stride : offset + 2 * stride + 2]
        return record

    def put_record(self, number: int, record: bytearray) -> None:
        """Write a FILE record, with fixups and a new update sequence number; the mirror's too."""
        offset, count = struct.unpack_from("<HH", record, 4)
        (sequence,) = struct.unpack_from("<H", record, offset)
        struct.pack_into("<H", record, offset, sequence % 0xFFFE + 1)
        for stride in range(1, count):
            tail = slice(stride * STRIDE_BYTES - 2, stride * STRIDE_BYTES)
            record[offset + 2 * stride : offset + 2 * stride + 2] = record[tail]
            record[tail] = record[offset : offset + 2]
        self.write(self._record_place(number), bytes(record))
        if number < self._mirrored_records:
            self.write(self.place(self._mirror, number * self.record_bytes), bytes(record))

    def _record_place(self, number: int) -> int:
        return self.place(self._mft, number * self.record_bytes)

    def attribute(self, record: bytearray, attribute_type: int = DATA, name: str = "") -> int:
        """Offset of a non-resident attribute in its record."""
        (offset,) = struct.unpack_from("<H", record, 0x14)
        while True:
            found, length, non_resident, characters, at = struct.unpack_from(
                "<IIBBH", record, offset
            )
            assert found != 0xFFFFFFFF, f"no attribute {attribute_type:#x} {name!r}"
            text = record[offset + at : offset + at + 2 * characters].decode("utf-16-le")
            if (found, text, non_resident) == (attribute_type, name, 1):
                return offset
            offset += length

    # -- runs ----------------------------------------------------------------------------------

    def runs(self, number: int, name: str = "") -> list[tuple[int, int, int]]:
        """Runs (vcn, lcn, clusters) of a $DATA that lies in one record; lcn -1 is a hole."""
        record = self.record(number)
        attribute = self.attribute(record, name=name)
        (pairs,) = struct.unpack_from("<H", record, attribute + 0x20)
        position, vcn, lcn, runs = attribute + pairs, 0, 0, []
        while record[position]:
            length_size, offset_size = record[position] & 15, record[position] >> 4
            position += 1
            clusters = int.from_bytes(record[position : position + length_size], "little")
            position += length_size
            delta = record[position : position + offset_size]
            lcn += int.from_bytes(delta, "little", signed=True)
            position += offset_size
            runs.append((vcn, lcn if offset_size else -1, clusters))
            vcn += clusters
        return runs

    def set_runs(self, number: int, runs: list[tuple[int, int]], name: str = "") -> None:
        """Give a $DATA other runs (lcn or -1, clusters); its sizes stay as they are."""
        record = self.record(number)
        attribute = self.attribute(record, name=name)
        (length,) = struct.unpack_from("<I", record, attribute + 4)
        (pairs,) = struct.unpack_from("<H", record, attribute + 0x20)
        changed = record[attribute : attribute + pairs] + encode_runs(runs)
        changed += bytes(-len(changed) % 8)
        struct.pack_into("<I", changed, 4, len(changed))
        (used,) = struct.unpack_from("<I", record, 0x18)
        grown = record[:attribute] + changed + record[attribute + length : used]
        struct.pack_into("<I", grown, 0x18, len(grown))
        assert len(grown) <= self.record_bytes
        self.put_record(number, grown + bytes(self.record_bytes - len(grown)))

    def set_sizes(self, number: int, **sizes: int) -> None:
        """Change ``allocated``, ``data`` or ``initialized`` of the unnamed $DATA."""
        record = self.record(number)
        attribute = self.attribute(record)
        for name, at in (("allocated", 0x28), ("data", 0x30), ("initialized", 0x38)):
            if name in sizes:
                struct.pack_into("<q", record, attribute + at, sizes[name])
        self.put_record(number, record)

    def sizes(self, number: int) -> dict[str, int]:
        """The three sizes of the unnamed $DATA."""
        record = self.record(number)
        values = struct.unpack_from("<qqq", record, self.attribute(record) + 0x28)
        return dict(zip(("allocated", "data", "initialized"), values, strict=True))

    # -- $Bitmap -------------------------------------------------------------------------------

    def flip(self, lcn: int) -> None:
        """Turn the bit of a cluster in $Bitmap over."""
        place = self.place(self.runs(6), lcn // 8)
        self.write(place, bytes([self.read(place, 1)[0] ^ 1 << lcn % 8]))


def encode_runs(runs: list[tuple[int, int]]) -> bytes:
    """Mapping pairs of (lcn or -1, clusters), with the 0 that ends them."""
    octets, before = bytearray(), 0
    for lcn, clusters in runs:
        length = signed(clusters)
        delta = b"" if lcn < 0 else signed(lcn - before)
        before = before if lcn < 0 else lcn
        octets += bytes([len(delta) << 4 | len(length)]) + length + delta
    return bytes(octets + b"\0")


def signed(value: int) -> bytes:
    """The shortest little-endian two's complement of a number."""
    size = 1
    while not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
        size += 1
    return value.to_bytes(size, "little", signed=True)
