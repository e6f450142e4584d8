"""A plain copy manager for tests: runs a plan's encoded lists over bytes in memory.

It reads the wire, not the plan: descriptors are decoded and executed on two byte queues, as
xcopy.md 4.3 writes them, so that what a plan means and what it says are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import blake3
import numpy as np

from sbtk.plan.encode import encode_command, host_writes, segment_range
from sbtk.plan.model import HOST, HOST_WRITE, LOCATE, STREAM_DISCARD, Plan, base_type
from sbtk.scsi.segment_base import base_type as plain_type
from sbtk.scsi.segment_base import decode_segment, is_digest, split_list

NULL_STREAM = 0xC001


@dataclass
class Tape:
    """Records, and where the drive stands."""

    records: list[bytes] = field(default_factory=list)
    position: int = 0
    reads: int = 0

    def read(self, transfer_bytes: int) -> bytes:
        record = self.records[self.position]
        assert len(record) == transfer_bytes, "a record of another length: ILI"
        self.position += 1
        self.reads += 1
        return record

    @property
    def content(self) -> bytes:
        return b"".join(self.records)


class Disk(bytearray):
    """Bytes of a LUN, grown with zeros where it is written behind its end."""

    def put(self, at: int, data: bytes) -> None:
        if len(self) < at + len(data):
            self.extend(bytes(at + len(data) - len(self)))
        self[at : at + len(data)] = data


@dataclass
class Manager:
    """Executes the lists of one plan.

    Attributes:
        plan: whose lists.
        lun: bytes of the LUN of the volume.
        archive: the other end, a tape or a disk.
        held: digests of each list, in order.
        writes: bytes that the host wrote.
    """

    plan: Plan
    lun: Disk | bytes
    archive: Tape | Disk
    held: list[bytes] = field(default_factory=list)
    writes: int = 0

    def run(self, after: Callable[[int], None] = lambda command: None) -> None:
        for command in range(len(self.plan.commands)):
            if self.plan.commands.kind[command] == HOST:
                self._host(command)
            else:
                self._copy(command)
            after(command)

    def _read_lun(self, at: int, length: int) -> bytes:
        data = bytes(self.lun[at : at + length])
        assert len(data) == length
        return data

    def _host(self, command: int) -> None:
        rows = segment_range(self.plan, command)
        segments = self.plan.segments
        if isinstance(self.archive, Disk) and self.plan.kind == "backup":
            for at, data in host_writes(self.plan, command, self._read_lun):
                assert at % self.plan.target.block_bytes == 0
                assert len(data) % self.plan.target.block_bytes == 0
                self.archive.put(at, data)
                self.writes += len(data)
            return
        if self.plan.kind == "backup":
            from sbtk.plan.encode import inline_of_segment

            data = b""
            for row in range(rows.start, rows.stop):
                assert segments.type_code[row] == HOST_WRITE
                data += inline_of_segment(self.plan, row, self._read_lun)
            self._records(data, int(segments.transfer_bytes[rows.start]))
            return
        self._host_restore(rows)

    def _host_restore(self, rows: slice) -> None:
        segments = self.plan.segments
        queue = b""
        for row in range(rows.start, rows.stop):
            kind = int(base_type(segments.type_code[row : row + 1])[0])
            length = int(segments.length_bytes[row])
            origin = int(segments.origin_bytes[row])
            if isinstance(self.archive, Disk):
                at = int(segments.archive_start_bytes[row]) + self.plan.target.start_bytes
                self.lun.put(origin, bytes(self.archive[at : at + length]))
                continue
            if kind == LOCATE:
                self.archive.position = origin
                continue
            while len(queue) < length:
                queue += self.archive.read(int(segments.transfer_bytes[row]))
            if kind != STREAM_DISCARD:
                self.lun.put(origin, queue[:length])
            queue = queue[length:]

    def _records(self, data: bytes, transfer: int) -> None:
        assert len(data) % transfer == 0
        for at in range(0, len(data), transfer):
            self.archive.records.append(data[at : at + transfer])

    def _copy(self, command: int) -> None:
        encoded = encode_command(self.plan, command, self._read_lun)
        source, destination = bytearray(), bytearray()
        digests = 0
        for start, end in split_list(encoded.segments):
            item = decode_segment(encoded.segments[start:end])
            digests += is_digest(item.type_code)
            self._segment(item, encoded.inline, source, destination)
        assert digests == encoded.digests
        assert not destination, "data was left over at the end of a list"

    def _digest(self, item, data: bytes) -> None:
        if is_digest(item.type_code):
            self.held.append(blake3.blake3(data).digest())

    def _segment(self, item, inline: bytes, source: bytearray, destination: bytearray) -> None:
        kind = plain_type(item.type_code)
        lun_block, disk_block = self.plan.geometry.block_bytes, self.plan.target.block_bytes
        back = self.plan.kind == "restore"
        if kind in (0x00, 0x08):
            place, block = (self.archive, disk_block) if self.plan.kind == "verify" else (
                self.lun, lun_block)  # fmt: skip
            at = item.lba * block
            count = item.blocks * block if kind == 0x00 else item.count_bytes
            at += 0 if kind == 0x00 else item.offset_bytes
            data = bytes(place[at : at + count])
            assert len(data) == count
            self._digest(item, data)
            if item.destination != NULL_STREAM:
                assert item.cat
                self._feed(destination, data, item.stream_transfer)
        elif kind in (0x04, 0x05):
            data = item.data if kind == 0x05 else inline[
                item.inline_offset_bytes : item.inline_offset_bytes + item.count_bytes]  # fmt: skip
            self._digest(item, data)
            self._feed(destination, data, item.stream_transfer)
        elif kind == 0x06:
            self._digest(item, self._take(source, item.count_bytes, item.stream_transfer))
        elif kind in (0x01, 0x09):
            count = item.blocks * lun_block if kind == 0x01 else item.count_bytes
            at = item.lba * lun_block + (0 if kind == 0x01 else item.offset_bytes)
            data = self._take(source, count, item.stream_transfer)
            self._digest(item, data)
            self.lun.put(at, data)
        elif kind == 0x12:
            assert not source, "LOCATE keeps what was read before: it would come first"
            self.archive.position = item.logical_object
        elif kind in (0x02, 0x0A):
            blocks = (disk_block, lun_block) if back else (lun_block, disk_block)
            read, write = (self.archive, self.lun) if back else (self.lun, self.archive)
            count = item.blocks * blocks[0] if kind == 0x02 else item.count_bytes
            start = item.source_lba * blocks[0]
            end = item.destination_lba * blocks[1]
            if kind == 0x0A:
                start += item.source_offset_bytes
                end += item.destination_offset_bytes
            data = bytes(read[start : start + count])
            assert len(data) == count
            self._digest(item, data)
            write.put(end, data)
        else:
            raise AssertionError(f"a plan uses no segment {kind:02X}h")

    def _feed(self, destination: bytearray, data: bytes, transfer: int) -> None:
        destination += data
        while len(destination) >= transfer:
            self.archive.records.append(bytes(destination[:transfer]))
            del destination[:transfer]

    def _take(self, source: bytearray, count: int, transfer: int) -> bytes:
        while len(source) < count:
            source += self.archive.read(transfer)
        data = bytes(source[:count])
        del source[:count]
        return data


def run_backup(plan: Plan, lun: bytes) -> tuple[bytes, Manager]:
    """Execute a backup plan; the archive's bytes (of a mirror: the other LUN's)."""
    manager = Manager(plan, lun, Tape() if plan.target.medium == "tape" else Disk())
    manager.run()
    if isinstance(manager.archive, Tape):
        return manager.archive.content, manager
    return bytes(manager.archive[plan.target.start_bytes :]), manager


def run_restore(plan: Plan, archive: Tape | Disk, lun: Disk) -> Manager:
    """Execute a restore plan into ``lun``."""
    manager = Manager(plan, lun, archive)
    manager.run()
    return manager


def digests_of(manager: Manager) -> np.ndarray:
    """Digests in the order of the plan's segments; those that the host wrote are computed."""
    return np.frombuffer(b"".join(manager.held), np.uint8).reshape(-1, 32)
