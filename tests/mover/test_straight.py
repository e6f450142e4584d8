"""Plain segments to a tape in whole batches: the same as through the queues, whatever happens."""

import random
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk.mover import buffers, engine, read_ahead, readers, routes, straight
from sbtk.mover.base import CheckCondition
from sbtk.scsi import segments as seg
from sbtk.scsi import sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_copy import CopyOperationAbort
from tests.mover.rig import ME, Rig, disk_bytes, file_disk, file_tape, named, tape_objects

MIB = 1 << 20
CAPACITY = MIB
DATA = random.Random(1).randbytes(256 << 10)
CHUNK = 4096


@contextmanager
def ways(kind):
    """Everything is worth the straight way, or nothing; batches are a handful of blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(straight, "_WORTH_BYTES", 1 if kind == "straight" else 1 << 60)
        for module in (buffers, engine, read_ahead, readers, routes):
            patch.setattr(module, "CHUNK_BYTES", CHUNK)
        yield


@pytest.fixture
def went(monkeypatch):
    """How many segments went straight to a tape."""
    real, done = straight.Straight._to_tape, []

    def watched(self, route, run, index):
        done.append(0)
        done[-1] = real(self, route, run, index)
        return done[-1]

    monkeypatch.setattr(straight.Straight, "_to_tape", watched)
    return done


def outcome(folder, kind, segments, *, room, warning, fixed=0, pad=False):
    """Sense data, status, digests and tape after a list that begins with ``room`` bytes left."""
    folder.mkdir()
    disk = file_disk(folder / "disk", DATA)
    tape = file_tape(folder / "tape", capacity_bytes=CAPACITY, early_warning_bytes=warning)
    tape.write_record(bytes(CAPACITY - room - 48))
    slots = [named(disk), named(tape, fixed=bool(fixed), block_bytes=fixed, pad=pad)]
    with ways(kind), Rig(disk, tape) as rig:
        stopped = rig.copy(*segments, cscds=slots)
        told = stopped and (stopped.code, stopped.segment_number, stopped.information,
                            stopped.field_pointer, stopped.forwarded)  # fmt: skip
        status = rig.status()
        counts = (status.status, status.segments_processed, status.transferred_bytes)
        return told, counts, rig.held(), tape_objects(tape)[1:], tape.position()


def plain(code, cat, transfer, blocks, lba):
    return seg.BlockToStream(code, cat, 0, 1, transfer, blocks, lba)


@st.composite
def lists(draw):
    """Mostly plain segments of one transfer length, with bytes that wait before them."""
    fixed = draw(st.sampled_from([0, 0, 512]))
    transfers = st.sampled_from([1, 2, 5] if fixed else [300, 512, 1000, 4096, 5000])
    first, usual = draw(transfers), draw(transfers)
    waiting = seg.EmbeddedToStream.of(bytes(draw(st.integers(0, 1400))), 1, first, cat=True)
    codes_ = st.sampled_from([0x00, 0x00, 0xC0])
    steps = st.builds(plain, codes_, st.just(True), st.just(usual), st.integers(1, 24),
                      st.integers(0, 400))  # fmt: skip
    run = draw(st.lists(steps, min_size=1, max_size=12))
    if draw(st.booleans()):
        run[-1] = replace(run[-1], cat=False)
    if draw(st.booleans()):
        run.insert(draw(st.integers(0, len(run))), seg.WriteFilemarks(0x10, 1, False, 1))
    return [waiting, *run], fixed


NUMBER = iter(range(1 << 30))


@given(lists(), st.integers(3000, 90_000), st.sampled_from([0, 0, 9000, 60_000]), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_ways_end_alike(tmp_path_factory, listed, room, warning, pad):
    """Also where the tape is full or warns: the segment, its residual, the digests before it."""
    segments, fixed = listed
    folder = tmp_path_factory.mktemp(f"alike{next(NUMBER)}")
    options = {"room": room, "warning": warning, "fixed": fixed, "pad": pad}
    one, other = (
        outcome(folder / kind, kind, segments, **options) for kind in ("straight", "queues")
    )
    assert one == other


def test_records_and_digests_of_a_whole_run(tmp_path, went):
    """Segments that end inside of records, and records inside of segments."""
    sizes = [3, 1, 40, 7, 24, 9]
    lbas = [sum(sizes[:n]) for n in range(len(sizes))]
    steps = [plain(0xC0, True, 2000, size, lba) for size, lba in zip(sizes, lbas, strict=True)]
    end = sum(sizes) * 512
    last = plain(0x00, False, 2000, 125 - sum(sizes), 100)
    told, counts, held, objects, position = outcome(
        tmp_path / "x", "straight", [*steps, last], room=900_000, warning=0
    )
    data = DATA[:end] + DATA[51200:][: last.blocks * 512]
    assert (told, counts) == (None, (1, len(steps) + 1, len(data)))
    assert objects == [data[at : at + 2000] for at in range(0, len(data), 2000)]
    parts = [DATA[lba * 512 :][: size * 512] for size, lba in zip(sizes, lbas, strict=True)]
    assert held == b"".join(blake3(part).digest() for part in parts)
    assert went == [len(steps) + 1]
    assert position == len(objects) + 1


def test_what_fails_is_told_with_its_residual(tmp_path, went):
    """Ten segments of 1 1/2 records of 4096; there is room for eight records."""
    steps = [plain(0xC0, True, 4096, 12, 12 * n) for n in range(10)]
    told, counts, held, objects, _ = outcome(
        tmp_path / "x", "straight", steps, room=8 * (4096 + 48) + 100, warning=0
    )
    # The first five (30,720 bytes) write 7 records; the sixth is to write the 8th and the 9th.
    assert told[:3] == (codes.THIRD_PARTY_DEVICE_FAILURE, 5, 4096)
    assert sense.decode(told[4][0].sense).key == codes.VOLUME_OVERFLOW
    assert (len(objects), counts) == (8, (2, 6, 8 * 4096))
    assert len(held) == 5 * 32
    assert went == [0]


def test_a_disk_that_fails_behind_what_was_written(tmp_path, went):
    """What was read before the bad block is on the tape, in whole records, and is told."""
    disk, tape = file_disk(tmp_path / "disk", DATA), file_tape(tmp_path / "tape")
    real, bad = disk.read_blocks, 100

    def read_blocks(lba, buffer):
        if lba <= bad < lba + len(buffer) // 512:
            raise CheckCondition(sense.fixed(codes.MEDIUM_ERROR, *codes.UNRECOVERED_READ_ERROR))
        real(lba, buffer)

    disk.read_blocks = read_blocks
    with ways("straight"), Rig(disk, tape) as rig:
        stopped = rig.copy(*(plain(0xC0, True, 1000, 30, 30 * n) for n in range(6)))
        written = b"".join(tape_objects(tape))
        assert (stopped.code, stopped.segment_number) == (codes.THIRD_PARTY_DEVICE_FAILURE, 3)
        assert stopped.forwarded[0].origin is sense.Origin.COPY_SOURCE
        planned = 4 * 30 * 512 // 1000 * 1000
        assert DATA[: len(written)] == written
        assert 96 * 512 - 1000 < len(written) <= 96 * 512
        assert stopped.information == planned - len(written)
        assert rig.status().transferred_bytes == len(written)
        assert rig.held() == b"".join(
            blake3(DATA[30 * 512 * n :][: 30 * 512]).digest() for n in range(3)
        )
        disk.read_blocks = real
        assert rig.copy(plain(0x00, False, 512, 400, 0)) is None
    assert went == [0, 1]


def test_whole_records_that_wait_are_written_though_the_disk_fails_at_once(tmp_path, went):
    """2000 bytes of an earlier segment are three records of 512 now: no read has to come first."""
    disk, tape = file_disk(tmp_path / "disk", DATA), file_tape(tmp_path / "tape")

    def read_blocks(_lba, _buffer):
        raise CheckCondition(sense.fixed(codes.MEDIUM_ERROR, *codes.UNRECOVERED_READ_ERROR))

    disk.read_blocks = read_blocks
    waiting = seg.EmbeddedToStream.of(DATA[:2000], 1, 4096, cat=True)
    with ways("straight"), Rig(disk, tape) as rig:
        stopped = rig.copy(waiting, plain(0x00, True, 512, 8, 0), plain(0x00, True, 512, 8, 8))
        assert (stopped.code, stopped.segment_number) == (codes.THIRD_PARTY_DEVICE_FAILURE, 1)
        assert tape_objects(tape) == [DATA[at : at + 512] for at in (0, 512, 1024)]
        assert stopped.information == (2000 + 8 * 512) // 512 * 512 - 3 * 512
    assert went == []


def test_a_run_is_aborted_between_its_batches(tmp_path, went):
    disk, tape = file_disk(tmp_path / "disk", DATA), file_tape(tmp_path / "tape")
    real, reached, go_on = disk.read_blocks, threading.Event(), threading.Event()

    def read_blocks(lba, buffer):
        if lba >= 200:
            reached.set()
            assert go_on.wait(20)
        real(lba, buffer)

    disk.read_blocks = read_blocks
    with ways("straight"), Rig(disk, tape) as rig:
        ended = []
        steps = [plain(0x00, True, 512, 10, 10 * n) for n in range(40)]
        copy = threading.Thread(target=lambda: ended.append(rig.copy(*steps)))
        copy.start()
        assert reached.wait(20)
        abort = threading.Thread(target=rig.ask, args=(CopyOperationAbort(1),))
        abort.start()
        assert rig.target._manager._operations[ME, 1].cancel.wait(20)
        go_on.set()
        abort.join(20)
        copy.join(20)
        assert ended[0].code == codes.COMMANDS_CLEARED_BY_DEVICE_SERVER
        assert disk_bytes(disk)[: len(b"".join(tape_objects(tape)))] == b"".join(tape_objects(tape))
        assert 0 < len(tape_objects(tape)) < 400
    assert went == [0]
