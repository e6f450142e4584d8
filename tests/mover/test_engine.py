"""The data path: large copies in both directions, digests, reading ahead, memory, tape images."""

import random
import threading
from dataclasses import replace

import pytest
from blake3 import blake3

from sbtk.mover.base import CheckCondition
from sbtk.mover.buffers import CHUNK_BYTES
from sbtk.scsi import segments as seg
from sbtk.scsi import sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.limits import limits
from tests.mover.rig import Rig, disk_bytes, file_disk, file_tape, named, tape_objects

MIB = 1 << 20
DATA = random.Random(3).randbytes(9 * MIB)
NULL_BLOCK, NULL_STREAM = 0xC000, 0xC001


class Watched:
    """A disk that notes every call, and can fail or wait in one."""

    def __init__(self, unit, *, before_read=lambda lba, blocks: None):
        self.unit, self.before_read = unit, before_read
        self.calls, self.buffers = [], set()

    def __getattr__(self, name):
        return getattr(self.unit, name)

    def read_blocks(self, lba, buffer):
        self.calls.append(("read", lba, len(buffer)))
        self.buffers.add(id(buffer.obj))
        self.before_read(lba, len(buffer) // self.unit.block_bytes)
        self.unit.read_blocks(lba, buffer)

    def write_blocks(self, lba, data):
        self.calls.append(("write", lba, len(data)))
        self.unit.write_blocks(lba, data)


@pytest.mark.parametrize("code", [0x0A, 0xCA])
@pytest.mark.parametrize(("skip", "to_skip"), [(0, 0), (1, 0), (0, 511), (300, 700)])
def test_any_bytes_to_any_bytes(tmp_path, code, skip, to_skip):
    count = 8 * MIB - 1234
    source, target = file_disk(tmp_path / "a", DATA), file_disk(tmp_path / "b", b"." * len(DATA))
    with Rig(source, target) as rig:
        step = seg.BlockBytesToBlockBytes(code, False, 0, 1, count, 3, 5, skip, to_skip)
        assert rig.copy(step) is None
        first, start = 3 * 512 + skip, 5 * 512 + to_skip
        moved = DATA[first : first + count]
        wanted = bytearray(b"." * len(DATA))
        wanted[start : start + count] = moved
        assert (tmp_path / "b").read_bytes() == wanted
        assert rig.held() == (blake3(moved).digest() if code == 0xCA else b"")
        assert rig.status().transferred_bytes == count


def runs(total_blocks, step=7001):
    return [(lba, min(step, total_blocks - lba)) for lba in range(0, total_blocks, step)]


@pytest.mark.parametrize("digest", [0, 0xC0])
def test_disk_to_tape_and_back(tmp_path, digest):
    """Extents of odd lengths fill records of 256 KiB; the last is padded; the way back is equal."""
    record, pieces = 256 << 10, runs(9 * MIB // 512)
    disk, back = file_disk(tmp_path / "a", DATA), file_disk(tmp_path / "b", bytes(9 * MIB))
    tape = file_tape(tmp_path / "t", capacity_bytes=32 * MIB)
    with Rig(disk, tape, back) as rig:
        slots = [named(disk), named(tape, pad=True), named(back)]
        header = b"header of the set".ljust(512, b"\0")
        out = [
            seg.BlockToStream(digest, cat=True, source=0, destination=1, stream_transfer=record,
                              blocks=blocks, lba=lba) for lba, blocks in pieces
        ]  # fmt: skip
        out[-1] = replace(out[-1], cat=False)
        embedded = seg.EmbeddedToStream.of(header, 1, record, cat=True, type_code=5 + digest)
        mark = seg.WriteFilemarks(0x10, 1, False, 1)
        assert rig.copy(embedded, *out, mark, cscds=slots) is None
        digests = [blake3(DATA[lba * 512 :][: blocks * 512]).digest() for lba, blocks in pieces]
        assert rig.held() == (b"".join([blake3(header).digest(), *digests]) if digest else b"")
        objects = tape_objects(tape)
        assert objects.pop() is None
        assert {len(item) for item in objects} == {record}
        flow = b"".join(objects)
        assert flow[: 512 + len(DATA)] == header + DATA
        assert not any(flow[512 + len(DATA) :])
        again = [seg.Locate(0x12, 1, 0), seg.StreamToNothing(0x06, True, 1, record, 512)]
        again += [
            seg.StreamToBlock(1 + digest, True, 1, 2, record, blocks, lba) for lba, blocks in pieces
        ]
        assert rig.copy(*again, cscds=slots) is None
        assert (tmp_path / "b").read_bytes() == DATA
        assert rig.held() == (b"".join(digests) if digest else b"")


def test_digests_without_a_destination(tmp_path):
    """What verify uses: nothing is written anywhere, and the digests are those of the bytes."""
    disk = file_disk(tmp_path / "a", DATA)
    tape = file_tape(tmp_path / "t", [DATA[at : at + 65536] for at in range(0, 2 * MIB, 65536)])
    with Rig(disk, tape) as rig:
        stopped = rig.copy(
            seg.BlockToStream(0xC0, True, 0, NULL_STREAM, 65536, 4096, 100),
            seg.BlockBytesToStream(0xC8, True, 0, NULL_STREAM, 65536, 3 * MIB + 1, 7, 13),
            seg.BlockBytesToBlockBytes(0xCA, False, 0, NULL_BLOCK, 5000, 1, 0, 1, 0),
            seg.StreamToNothing(0xC6, True, 1, 65536, 2 * MIB - 100),
            seg.StreamToNothing(0xC6, True, 1, 65536, 100),
        )
        assert stopped is None
        spans = [(51200, 2 * MIB), (3597, 3 * MIB + 1), (513, 5000), (0, 2 * MIB - 100)]
        spans.append((2 * MIB - 100, 100))
        assert rig.held() == b"".join(blake3(DATA[at : at + n]).digest() for at, n in spans)
        assert (disk.counters.write_bytes, tape.counters.write_bytes) == (0, 2 * MIB)


def test_held_data_keeps_the_most_recent(tmp_path):
    disk, tape = file_disk(tmp_path / "a", DATA[:MIB]), file_tape(tmp_path / "t")
    with Rig(disk, tape, profile=limits("spc", held_data_bytes=1000)) as rig:
        assert rig.copy(seg.BlockToStream(0x0B, True, 0, 1, 512, 1, 0)) is None
        assert rig.status().held_data_discarded is False
        assert rig.held() == DATA[:512]
        steps = [seg.BlockToStream(0x0B, True, 0, 1, 512, blocks, 0) for blocks in (1, 3, 1)]
        assert rig.copy(*steps) is None
        assert rig.status().held_data_discarded is True
        assert rig.held() == (DATA[:512] + DATA[: 3 * 512] + DATA[:512])[-1000:]


# -- reading ahead ---------------------------------------------------------------------------


def test_memory_is_constant_and_reads_are_large(tmp_path):
    """One segment of 32 MiB: a handful of buffers of one size, whole and in order."""
    (tmp_path / "a").write_bytes(b"")
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(32 * MIB)
    source = Watched(file_disk_of(tmp_path / "a"))
    target = Watched(file_disk(tmp_path / "b", bytes(32 * MIB)))
    with Rig(source, target) as rig:
        assert rig.copy(seg.BlockBytesToBlockBytes(0xCA, False, 0, 1, 32 * MIB, 0, 0)) is None
    assert len(source.buffers) <= 6
    steps = [(lba, CHUNK_BYTES) for lba in range(0, 32 * MIB // 512, CHUNK_BYTES // 512)]
    assert sorted(call[1:] for call in source.calls) == steps
    assert [call[1:] for call in target.calls] == steps


def file_disk_of(path):
    from sbtk.mover.block_lun import BlockLun

    return BlockLun(path)


@pytest.mark.parametrize("way", ["straight", "queues"])
def test_reads_run_ahead_of_the_segment_in_work(tmp_path, way):
    """No batch of reads is all written before the next one has begun; on both ways to a disk."""
    lbas = range(0, 32 * 512, 512)
    begun = {lba: threading.Event() for lba in lbas}
    source = Watched(file_disk(tmp_path / "a", DATA), before_read=lambda lba, _: begun[lba].set())
    target, alone = file_disk(tmp_path / "b", bytes(len(DATA))), []
    real, batch = target.write_blocks, CHUNK_BYTES // 512

    def write_blocks(lba, data):
        following = (lba // batch + 1) * batch
        if following in begun and not begun[following].wait(timeout=20):
            alone.append(lba)
        real(lba, data)

    target.write_blocks = write_blocks
    with Rig(source, target) as rig:
        makers = {
            "straight": lambda lba: seg.BlockToBlock(2, source=0, destination=1, blocks=512,
                                                     source_lba=lba, destination_lba=lba),
            "queues": lambda lba: seg.BlockBytesToBlockBytes(0x0A, True, 0, 1, 1 << 18, lba, lba),
        }  # fmt: skip
        assert rig.copy(*map(makers[way], lbas)) is None
    assert alone == []
    assert sorted(call[1] for call in source.calls) == list(lbas)
    assert (tmp_path / "b").read_bytes()[: 32 * 512 * 512] == DATA[: 32 * 512 * 512]


def test_what_was_left_comes_before_what_was_read_ahead(tmp_path):
    """700 bytes of a tape's record wait when a segment of several reads begins: so its digest."""
    record = DATA[-1000:]
    tape, disk = file_tape(tmp_path / "t", [record]), file_disk(tmp_path / "a", DATA)
    with Rig(disk, tape) as rig:
        assert rig.copy(
            seg.BlockBytesToBlockBytes(0xCA, True, 0, NULL_BLOCK, MIB, 9, 0),
            seg.StreamToNothing(0x06, True, 1, 1000, 300),
            seg.BlockBytesToBlockBytes(0xCA, True, 0, NULL_BLOCK, 3 * MIB, 0, 0),
            seg.BlockBytesToBlockBytes(0xCA, False, 0, NULL_BLOCK, 2 * MIB, 5, 0),
        ) is None  # fmt: skip
        moved = [DATA[9 * 512 :][:MIB], record[300:] + DATA[: 3 * MIB - 700], DATA[5 * 512 :]]
        assert rig.held() == b"".join(
            blake3(part).digest() for part in (*moved[:2], moved[2][: 2 * MIB])
        )


def test_a_disk_that_is_read_and_written_is_not_read_ahead(tmp_path):
    """A chain of large segments on one disk: each sees what the one before it wrote."""
    disk = Watched(file_disk(tmp_path / "a", DATA))
    blocks = 4096  # 2 MiB
    with Rig(disk) as rig:
        chain = [
            seg.BlockToBlock(2, source=0, destination=0, blocks=blocks, source_lba=blocks * n,
                             destination_lba=blocks * (n + 1)) for n in range(3)
        ]  # fmt: skip
        assert rig.copy(*chain) is None
        assert (tmp_path / "a").read_bytes() == DATA[: 2 * MIB] * 4 + DATA[8 * MIB :]


@pytest.mark.parametrize(
    ("first", "to", "count", "fine"),
    [
        (8, 0, 3 * MIB, True),  # back by 4 KiB: front to back is right
        (0, 8, 3 * MIB, False),  # forwards, and more than is held at once
        (0, 8, MIB, True),  # forwards, read whole before it is written
        (0, 3 * MIB // 512, 3 * MIB, True),  # they touch
        (5, 5, 3 * MIB, True),  # onto itself
    ],
)
def test_ranges_that_reach_into_themselves(tmp_path, first, to, count, fine):
    disk = file_disk(tmp_path / "a", DATA)
    with Rig(disk) as rig:
        stopped = rig.copy(seg.BlockBytesToBlockBytes(0x0A, False, 0, 0, count, first, to))
        wanted = bytearray(DATA)
        if fine:
            wanted[to * 512 : to * 512 + count] = DATA[first * 512 : first * 512 + count]
            assert stopped is None
        else:
            assert stopped.code == codes.INVALID_OPERATION_FOR_COPY
        assert (tmp_path / "a").read_bytes() == wanted


def test_an_error_read_ahead_is_told_when_its_segment_comes(tmp_path):
    def broken(lba, blocks):
        if lba <= 5000 < lba + blocks:
            raise CheckCondition(sense.fixed(codes.MEDIUM_ERROR, *codes.UNRECOVERED_READ_ERROR))

    source = Watched(file_disk(tmp_path / "a", DATA), before_read=broken)
    target = file_disk(tmp_path / "b", bytes(len(DATA)))
    with Rig(source, target) as rig:
        steps = [seg.BlockToBlock(2, source=0, destination=1, blocks=1024, source_lba=1024 * n,
                                  destination_lba=1024 * n) for n in range(8)]  # fmt: skip
        stopped = rig.copy(*steps)
        assert (stopped.code, stopped.segment_number) == (codes.THIRD_PARTY_DEVICE_FAILURE, 4)
        assert sense.decode(stopped.forwarded[0].sense).code == codes.UNRECOVERED_READ_ERROR
        assert stopped.information is None
        kept = 4 * 1024 * 512
        assert (tmp_path / "b").read_bytes() == DATA[:kept] + bytes(len(DATA) - kept)
        assert rig.copy(*steps[5:]) is None  # the buffers and threads are free again


@pytest.mark.parametrize("code", [0x02, 0xC2])
def test_a_write_that_fails_among_plain_segments(tmp_path, code):
    """Those before it are there, with their digests; of the one that fails, what was written."""
    source, target = file_disk(tmp_path / "a", DATA), file_disk(tmp_path / "b", bytes(len(DATA)))
    real, bad = target.write_blocks, 3 * 3072 + 2048  # the second piece of the fourth

    def write_blocks(lba, data):
        if lba <= bad < lba + len(data) // 512:
            raise CheckCondition(sense.fixed(codes.MEDIUM_ERROR, *codes.WRITE_ERROR))
        real(lba, data)

    target.write_blocks = write_blocks
    with Rig(source, target) as rig:
        steps = [seg.BlockToBlock(code, source=0, destination=1, blocks=3072, source_lba=3072 * n,
                                  destination_lba=3072 * n) for n in range(5)]  # fmt: skip
        stopped = rig.copy(*steps)
        assert (stopped.code, stopped.segment_number) == (codes.THIRD_PARTY_DEVICE_FAILURE, 3)
        assert stopped.information == 1024
        kept = (3 * 3072 + 2048) * 512
        assert (tmp_path / "b").read_bytes() == DATA[:kept] + bytes(len(DATA) - kept)
        assert rig.status().transferred_bytes == kept
        whole = [DATA[3072 * 512 * n :][: 3072 * 512] for n in range(3)]
        digests = b"".join(blake3(part).digest() for part in whole)
        assert rig.held() == (digests if code == 0xC2 else b"")


def test_a_tape_that_breaks_off_gives_what_it_had(tmp_path):
    """3 MiB are asked for, 2.5 are there: those are on the disk, the rest is counted."""
    records = [DATA[at : at + 65536] for at in range(0, 5 * MIB // 2, 65536)]
    tape = file_tape(tmp_path / "t", records)
    disk = file_disk(tmp_path / "a", bytes(4 * MIB))
    with Rig(disk, tape) as rig:
        stopped = rig.copy(seg.StreamToBlock(0x01, False, 1, 0, 65536, 6144, 0))
        assert sense.decode(stopped.forwarded[0].sense).code == codes.END_OF_DATA
        assert stopped.information == 1024
        assert disk_bytes(disk) == DATA[: 5 * MIB // 2] + bytes(3 * MIB // 2)
        assert rig.status().transferred_bytes == 5 * MIB // 2


# -- tape image ------------------------------------------------------------------------------

OBJECTS = [b"label", None, b"x" * 70000, b"y", None, None, b"behind"]


@pytest.mark.parametrize(("count", "copied"), [(0, 7), (1, 2), (2, 6), (3, 7)])
def test_tape_image(tmp_path, count, copied):
    source, target = file_tape(tmp_path / "a", OBJECTS), file_tape(tmp_path / "b")
    with Rig(source, target) as rig:
        assert rig.copy(seg.TapeImageCopy(0x13, 0, 1, count)) is None
        assert tape_objects(target) == OBJECTS[:copied]
        assert source.position() == copied


def test_tape_image_stops_with_a_full_cartridge(tmp_path):
    source = file_tape(tmp_path / "a", [bytes(65536)] * 40)
    target = file_tape(tmp_path / "b", capacity_bytes=MIB, early_warning_bytes=MIB // 4)
    with Rig(source, target) as rig:
        stopped = rig.copy(seg.TapeImageCopy(0x13, 0, 1, 0))
        told = sense.decode(stopped.forwarded[0].sense)
        assert (told.eom, stopped.information) == (True, None)
        assert source.position() == target.position()


def test_space_and_locate_move_the_drive(tmp_path):
    tape = file_tape(tmp_path / "t", OBJECTS)
    with Rig(tape) as rig:
        for step, position in [
            (seg.Space(0x11, 0, 1, 1), 2),
            (seg.Space(0x11, 0, 0, -1), None),
            (seg.Locate(0x12, 0, 4), 4),
            (seg.Space(0x11, 0, 3, 0), 7),
        ]:
            stopped = rig.copy(step)
            assert (stopped is None) == (position is not None)
            assert tape.position() == (1 if position is None else position)
