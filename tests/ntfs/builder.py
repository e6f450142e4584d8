"""Builds FILE records and whole tiny NTFS volumes byte by byte, honest or hostile.

Everything returns bytes; offsets inside are those of the Linux-NTFS documentation, written out
here once more and on purpose: a builder that imported the reader's layout would share its errors.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from sbtk.errors import DeviceReadError

RECORD_BYTES = 1024
SI, LIST, NAME, VOLUME_NAME, VOLUME_INFORMATION = 0x10, 0x20, 0x30, 0x60, 0x70
DATA, INDEX_ROOT, INDEX_ALLOCATION, BITMAP = 0x80, 0x90, 0xA0, 0xB0
IN_USE, DIRECTORY = 1, 2
ROOT = 5
TICKS_2020 = 132_223_104_000_000_000

RunSpec = tuple[int | None, int]
"""(lcn, clusters); lcn None is a hole."""


class MemoryDevice:
    """A device over bytes; ranges in ``bad`` (offset, length) cannot be read."""

    block_bytes = 512
    name = "memory"

    def __init__(self, data: bytes, bad: Sequence[tuple[int, int]] = ()) -> None:
        self._data = memoryview(data)
        self._bad = bad
        self.size_bytes = len(data)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        end = offset_bytes + len(buffer)
        if not 0 <= offset_bytes <= end <= self.size_bytes:
            raise DeviceReadError(f"memory: {offset_bytes}..{end} is behind the end")
        if any(start < end and offset_bytes < start + length for start, length in self._bad):
            raise DeviceReadError(f"memory: I/O error at {offset_bytes}")
        buffer[:] = self._data[offset_bytes:end]

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        buffer = bytearray(length_bytes)
        self.read_into(offset_bytes, memoryview(buffer))
        return bytes(buffer)

    def close(self) -> None:
        pass

    def __enter__(self) -> MemoryDevice:
        return self

    def __exit__(self, *_: object) -> None:
        pass


# -- attributes --------------------------------------------------------------------------------


def encode_runs(runs: Sequence[RunSpec]) -> bytes:
    """Mapping pairs with the shortest fields, and the end mark."""
    out, previous = b"", 0
    for lcn, clusters in runs:
        length = _shortest(clusters)
        offset = b"" if lcn is None else _shortest(lcn - previous)
        previous = previous if lcn is None else lcn
        out += bytes([len(offset) << 4 | len(length)]) + length + offset
    return out + b"\0"


def _shortest(value: int) -> bytes:
    width = next(
        width for width in range(1, 9) if -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1
    )
    return value.to_bytes(width, "little", signed=True)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def resident(
    kind: int, value: bytes, *, name: str = "", flags: int = 0, instance: int = 0
) -> bytes:
    text = name.encode("utf-16-le", "surrogatepass")
    body = _pad(text) + _pad(value)
    value_at = 24 + len(_pad(text))
    header = struct.pack("<IIBBHHH", kind, 24 + len(body), 0, len(text) // 2, 24, flags, instance)
    return header + struct.pack("<IHBx", len(value), value_at, 0) + body


def nonresident(
    kind: int, runs: Sequence[RunSpec] | bytes, *, name: str = "", flags: int = 0,
    instance: int = 0, lowest_vcn: int = 0, highest_vcn: int | None = None,
    data_bytes: int | None = None, initialized_bytes: int | None = None,
    allocated_bytes: int | None = None, unit: int = 0, cluster_bytes: int = 4096,
) -> bytes:  # fmt: skip
    """One piece; sizes default to what the runs cover. ``runs`` may be raw mapping pairs."""
    covered = 0 if isinstance(runs, bytes) else sum(clusters for _, clusters in runs)
    pairs = runs if isinstance(runs, bytes) else encode_runs(runs)
    text = name.encode("utf-16-le", "surrogatepass")
    allocated = covered * cluster_bytes if allocated_bytes is None else allocated_bytes
    data = allocated if data_bytes is None else data_bytes
    initialized = data if initialized_bytes is None else initialized_bytes
    highest = lowest_vcn + covered - 1 if highest_vcn is None else highest_vcn
    body = _pad(text) + _pad(pairs)
    header = struct.pack("<IIBBHHH", kind, 64 + len(body), 1, len(text) // 2, 64, flags, instance)
    part = struct.pack(
        "<qqHB5xqqq", lowest_vcn, highest, 64 + len(_pad(text)), unit, allocated, data, initialized
    )
    return header + part + body


def standard_information(ticks: int = TICKS_2020, attributes: int = 0x20) -> bytes:
    return resident(SI, struct.pack("<4QI12x", ticks, ticks, ticks, ticks, attributes))


def name_value(parent: int, name: str, *, namespace: int = 3, parent_sequence: int = 1) -> bytes:
    text = name.encode("utf-16-le", "surrogatepass")
    fixed = struct.pack(
        "<Q4QQQIIBB", parent | parent_sequence << 48, *[TICKS_2020] * 4, 0, 0, 0x20, 0,
        len(text) // 2, namespace,
    )  # fmt: skip
    return fixed + text


def file_name(
    parent: int, name: str, *, namespace: int = 3, parent_sequence: int = 1, instance: int = 0
) -> bytes:
    value = name_value(parent, name, namespace=namespace, parent_sequence=parent_sequence)
    return resident(NAME, value, instance=instance)


def list_entry(
    kind: int, record: int, *, name: str = "", lowest_vcn: int = 0, sequence: int = 1,
    instance: int = 0, entry_bytes: int | None = None,
) -> bytes:  # fmt: skip
    text = name.encode("utf-16-le", "surrogatepass")
    size = (26 + len(text) + 7) & ~7 if entry_bytes is None else entry_bytes
    entry = struct.pack(
        "<IHBBQQH", kind, size, len(text) // 2, 26, lowest_vcn, record | sequence << 48, instance
    )
    return (entry + text).ljust(size, b"\0")


# -- records -----------------------------------------------------------------------------------


def record(
    number: int, attributes: Sequence[bytes], *, sequence: int = 1, flags: int = IN_USE,
    base: int = 0, base_sequence: int = 0, links: int = 1, record_bytes: int = RECORD_BYTES,
    update_at: int = 0x30, end: bytes = b"\xff\xff\xff\xff\0\0\0\0",
) -> bytes:  # fmt: skip
    """A FILE record as it lies on the disk: with its update sequence applied."""
    entries = record_bytes // 512 + 1
    first = (update_at + 2 * entries + 7) & ~7
    body = b"".join(attributes) + end
    used = first + len(body)
    assert used <= record_bytes, f"record {number}: {used} bytes"
    header = struct.pack(
        "<4sHHQHHHHIIQH", b"FILE", update_at, entries, 0x1234, sequence, links, first, flags, used,
        record_bytes, base | base_sequence << 48, len(attributes),
    )  # fmt: skip
    raw = bytearray(header.ljust(first, b"\0") + body).ljust(record_bytes, b"\0")
    if update_at >= 0x30:
        struct.pack_into("<I", raw, 0x2C, number & 0xFFFFFFFF)
    return protect(bytes(raw))


def protect(fixed: bytes, number: int = 0x0BAD) -> bytes:
    """Apply the update sequence to a record's true bytes."""
    raw = bytearray(fixed)
    at, entries = struct.unpack_from("<HH", raw, 4)
    struct.pack_into("<H", raw, at, number)
    for i in range(1, entries):
        tail = 512 * i - 2
        raw[at + 2 * i : at + 2 * i + 2] = raw[tail : tail + 2]
        struct.pack_into("<H", raw, tail, number)
    return bytes(raw)


def unprotect(raw: bytes) -> bytes:
    """The record as a tool dumps it that has undone the fixups: the array stays."""
    fixed = bytearray(raw)
    at, entries = struct.unpack_from("<HH", fixed, 4)
    for i in range(1, entries):
        fixed[512 * i - 2 : 512 * i] = fixed[at + 2 * i : at + 2 * i + 2]
    return bytes(fixed)


def patched(raw: bytes, position: int, data: bytes) -> bytes:
    """A record with some of its true bytes replaced, and fixups that fit again."""
    fixed = bytearray(unprotect(raw))
    fixed[position : position + len(data)] = data
    return protect(bytes(fixed))


def plain_file(number: int, name: str, *more: bytes, parent: int = ROOT, **keywords: int) -> bytes:
    """A file with a name, standard information, and what else it shall have."""
    return record(number, [standard_information(), file_name(parent, name), *more], **keywords)


def folder(
    number: int, name: str, *, parent: int = ROOT, parent_sequence: int = 1, **keywords: int
) -> bytes:
    names = file_name(parent, name, parent_sequence=parent_sequence)
    attributes = [standard_information(), names]
    return record(number, attributes, flags=IN_USE | DIRECTORY, **keywords)


def free_record(number: int, attributes: Sequence[bytes] = (), **keywords: int) -> bytes:
    return record(number, attributes, flags=0, **keywords)


# -- volumes -----------------------------------------------------------------------------------


def boot_sector(
    *, sector_bytes: int = 512, cluster_code: int = 8, total_sectors: int, mft_lcn: int,
    mirror_lcn: int, record_code: int = -10, index_code: int = 1, serial: int = 0x1122334455667788,
) -> bytes:  # fmt: skip
    head = struct.pack("<3s8sHB", b"\xeb\x52\x90", b"NTFS    ", sector_bytes, cluster_code)
    body = head.ljust(0x28, b"\0") + struct.pack(
        "<QQQb3xb3xQ", total_sectors, mft_lcn, mirror_lcn, record_code, index_code, serial
    )
    return body.ljust(510, b"\0") + b"\x55\xaa"


@dataclass
class TinyVolume:
    """A volume of ``clusters`` clusters of 4096 bytes, $MFT at ``mft_runs``; put records into it.

    Records 0-3 and 5-7 are made by ``image`` unless they were put. Clusters are written with
    ``put_clusters``. $Bitmap (cluster 3) marks boot, $MFT and its bitmap, mirror, log, itself and
    ``marked``.
    """

    clusters: int = 256
    mft_runs: list[RunSpec] = field(default_factory=lambda: [(4, 16)])
    mirror_lcn: int = 2
    bitmap_lcn: int = 3
    volume_flags: int = 0
    cluster_bytes: int = 4096
    records: dict[int, bytes] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    marked: list[tuple[int, int]] = field(default_factory=list)

    def put(self, number: int, raw: bytes) -> TinyVolume:
        self.records[number] = raw
        return self

    def put_clusters(self, lcn: int, data: bytes) -> TinyVolume:
        self.contents[lcn] = data
        return self

    @property
    def log_lcn(self) -> int:
        return self.clusters - 2

    @property
    def mft_bitmap_lcn(self) -> int:
        return self.clusters - 3

    @property
    def record_count(self) -> int:
        return sum(clusters for _, clusters in self.mft_runs) * self.cluster_bytes // RECORD_BYTES

    def system_records(self) -> dict[int, bytes]:
        mft_bytes = self.record_count * RECORD_BYTES
        bitmap_bytes = -(-self.clusters // 8)
        data = nonresident(DATA, self.mft_runs, data_bytes=mft_bytes)
        return {
            0: plain_file(0, "$MFT", data, self.mft_bitmap_attribute),
            1: plain_file(1, "$MFTMirr", nonresident(DATA, [(self.mirror_lcn, 1)])),
            2: plain_file(2, "$LogFile", nonresident(DATA, [(self.log_lcn, 2)])),
            3: plain_file(
                3, "$Volume",
                resident(VOLUME_NAME, "tiny".encode("utf-16-le")),
                resident(VOLUME_INFORMATION, struct.pack("<8xBBH", 3, 1, self.volume_flags)),
            ),
            5: record(
                5, [standard_information(), file_name(ROOT, ".")], flags=IN_USE | DIRECTORY
            ),
            6: plain_file(
                6, "$Bitmap", nonresident(DATA, [(self.bitmap_lcn, 1)], data_bytes=bitmap_bytes)
            ),
            7: plain_file(7, "$Boot", nonresident(DATA, [(0, 2)])),
        }  # fmt: skip

    def image(self) -> bytes:
        size = self.clusters * self.cluster_bytes
        sectors_per_cluster = self.cluster_bytes // 512
        raw = bytearray(size + 512)
        boot = boot_sector(
            total_sectors=size // 512, mft_lcn=self.mft_runs[0][0] or 0,
            mirror_lcn=self.mirror_lcn, cluster_code=sectors_per_cluster,
        )  # fmt: skip
        raw[:512] = raw[size:] = boot
        stream = self.mft_stream()
        position = 0
        for lcn, clusters in self.mft_runs:
            assert lcn is not None
            start, count = lcn * self.cluster_bytes, clusters * self.cluster_bytes
            raw[start : start + count] = stream[position : position + count]
            position += count
        mirror = self.mirror_lcn * self.cluster_bytes
        raw[mirror : mirror + 4 * RECORD_BYTES] = stream[: 4 * RECORD_BYTES]
        log = b"\xff" * 2 * self.cluster_bytes
        own = {
            self.bitmap_lcn: self.bitmap(), self.log_lcn: log,
            self.mft_bitmap_lcn: self.mft_bitmap(),
        }  # fmt: skip
        for lcn, data in (own | self.contents).items():
            raw[lcn * self.cluster_bytes : lcn * self.cluster_bytes + len(data)] = data
        return bytes(raw)

    def mft_stream(self) -> bytes:
        """$MFT's content: put records, the volume's own, and free records in between."""
        known = self.system_records() | self.records
        return b"".join(
            known.get(number) or free_record(number) for number in range(self.record_count)
        )

    @property
    def mft_bitmap_attribute(self) -> bytes:
        """$MFT's $BITMAP, for record 0."""
        data_bytes = -(-self.record_count // 64) * 8
        return nonresident(BITMAP, [(self.mft_bitmap_lcn, 1)], data_bytes=data_bytes)

    def mft_bitmap(self) -> bytes:
        """A record is in use if its flag says so, or if it was put and is no record."""
        bits = bytearray(-(-self.record_count // 64) * 8)
        for number, raw in (self.system_records() | self.records).items():
            if raw[:4] != b"FILE" or raw[22] & IN_USE:
                bits[number // 8] |= 1 << number % 8
        return bytes(bits)

    def bitmap(self) -> bytes:
        bits = bytearray(-(-self.clusters // 8))
        taken = [
            (0, 2),
            (self.mft_bitmap_lcn, 1),
            (self.log_lcn, 2),
            (self.mirror_lcn, 1),
            (self.bitmap_lcn, 1),
            *self.marked,
        ]
        for lcn, clusters in [*taken, *((run[0] or 0, run[1]) for run in self.mft_runs)]:
            for cluster in range(lcn, lcn + clusters):
                bits[cluster // 8] |= 1 << cluster % 8
        return bytes(bits)

    def device(self, bad: Sequence[tuple[int, int]] = ()) -> MemoryDevice:
        return MemoryDevice(self.image(), bad)


def volume_with_listed_mft() -> TinyVolume:
    """A volume whose $MFT needs an attribute list: its second and third pieces lie in itself.

    Piece 1 (VCN 0-7) is in record 0, piece 2 (VCN 8-11) in record 20, which piece 1 reaches;
    piece 3 (VCN 12-15) in record 40, which only piece 2 reaches.
    """
    volume = TinyVolume(mft_runs=[(4, 4), (20, 4), (60, 4), (40, 4)])
    total = volume.record_count * RECORD_BYTES
    entries = (
        list_entry(SI, 0) + list_entry(NAME, 0, instance=1) + list_entry(DATA, 0, instance=2)
        + list_entry(DATA, 20, lowest_vcn=8) + list_entry(DATA, 40, lowest_vcn=12)
    )  # fmt: skip
    first = nonresident(DATA, volume.mft_runs[:2], data_bytes=total, allocated_bytes=total)
    volume.put(
        0,
        plain_file(0, "$MFT", resident(LIST, entries), first, volume.mft_bitmap_attribute),
    )
    for number, lowest, run in ((20, 8, volume.mft_runs[2]), (40, 12, volume.mft_runs[3])):
        # Sizes in a later piece mean nothing: lies here must not matter.
        piece = nonresident(DATA, [run], lowest_vcn=lowest, data_bytes=7, allocated_bytes=7)
        volume.put(number, record(number, [piece], base=0, base_sequence=1))
    return volume
