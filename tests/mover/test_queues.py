# ruff: noqa: E501 - a table has one row a segment type
"""CAT, PAD and the two queues: the table row by row, and random lists beside a plain model."""

import itertools
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk.mover import engine, read_ahead
from sbtk.scsi import segments as seg
from sbtk.scsi.xcopy import ParameterList
from tests.mover import model
from tests.mover.rig import Rig, disk_bytes, file_disk, file_tape, named, tape_objects

NULL_BLOCK, NULL_STREAM = 0xC000, 0xC001


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


# -- the table -------------------------------------------------------------------------------------

# (source PAD, destination PAD, CAT) -> what becomes of residual S and D; xcopy.md 4.3.
KEEP, DROP, FILL, STOP = "keep", "drop", "fill", "stop"
ROWS = {
    (False, False, True): (KEEP, KEEP),
    (True, False, True): (KEEP, KEEP),
    (False, True, True): (KEEP, KEEP),
    (True, True, True): (KEEP, KEEP),
    (True, True, False): (DROP, FILL),
    (False, True, False): (KEEP, FILL),
    (True, False, False): (DROP, DROP),
    (False, False, False): (STOP, STOP),
}


@pytest.mark.parametrize(("source_pad", "target_pad", "cat"), ROWS)
@pytest.mark.parametrize(("left_s", "left_d"), list(itertools.product((False, True), repeat=2)))
def test_every_row_with_residuals_on_both_sides(
    tmp_path, source_pad, target_pad, cat, left_s, left_d
):
    """00h of 6 blocks begins with 699 bytes in S, so 187 of its last block are left; of 3072 bytes
    72 are left where the tape takes 1000 at a time, none where it takes 1024."""
    data, record, marker = noise(16 * 512), noise(700, 2), b"x" * 187
    transfer = 1000 if left_d else 1024
    feeder = file_tape(tmp_path / "in", [record, marker] if left_s else [marker])
    tape = file_tape(tmp_path / "out")
    disk = file_disk(tmp_path / "disk", data)
    flow = record[1:] + data if left_s else data
    first = [seg.StreamToNothing(0x06, True, 0, 700, 1)] if left_s else []
    with Rig(feeder, tape, disk) as rig:
        slots = [named(feeder), named(tape, pad=target_pad), named(disk, pad=source_pad)]
        stopped = rig.copy(
            *first,
            seg.BlockToStream(0x00, cat, 2, 1, transfer, 6, 0),
            seg.EmbeddedToStream.of(b"", 1, 1, cat=True),  # shows D, one byte a record
            seg.StreamToNothing(0x0F, True, 0, 187, 187),  # shows S, or takes the marker
            cscds=slots,
        )
        shown = tape_objects(tape)
        assert shown[:3] == [flow[at : at + transfer] for at in range(0, 3 * transfer, transfer)]
        of_s, of_d = ROWS[source_pad, target_pad, cat]
        if STOP in (of_s, of_d) and (left_s or left_d):
            assert (stopped.key, stopped.code) == (0x0A, model.INEXACT)
            assert (stopped.segment_number, stopped.information) == (len(first), 0)
            assert len(shown) == 3
            return
        assert stopped is None
        if left_d and of_d == FILL:
            assert shown[3:] == [flow[3000:3072] + bytes(928)]
        else:
            assert b"".join(shown[3:]) == (flow[3000:3072] if left_d and of_d == KEEP else b"")
        assert rig.held() == (flow[3072 : 3072 + 187] if left_s and of_s == KEEP else marker)


@pytest.mark.parametrize("kind", [0x01, 0x09, 0x0A, 0x02])
def test_a_rest_behind_a_full_range_is_no_padding(tmp_path, kind):
    """The exception to the rows with destination PAD: 01h, 09h, 0Ah and 02h with DC."""
    disk = file_disk(tmp_path / "disk", noise(8192))
    target = file_disk(tmp_path / "target", bytes(8192))
    tape = file_tape(tmp_path / "tape", [noise(512, 3)] * 4)
    step = {
        0x01: seg.StreamToBlock(0x01, False, 2, 1, 512, 1, 4),
        0x09: seg.StreamToBlockBytes(0x09, False, 2, 1, 512, 512, 4, 0),
        0x0A: seg.BlockBytesToBlockBytes(0x0A, False, 0, 1, 512, 0, 4),
        0x02: seg.BlockToBlock(0x02, False, True, False, 0, 1, 1, 0, 4),
    }[kind]
    with Rig(disk, target, tape) as rig:
        slots = [named(disk), named(target, pad=True), named(tape)]
        rest = noise(600, 4)
        # 600 bytes wait in D: the range of 512 is filled with them and 88 are left.
        stopped = rig.copy(seg.EmbeddedToStream.of(rest, 2, 4096, cat=True), step, cscds=slots)
        assert (stopped.code, stopped.segment_number, stopped.information) == (model.INEXACT, 1, 0)
        assert disk_bytes(target)[2048:2560] == rest[:512]
        assert not any(disk_bytes(target)[2560:])


def test_the_null_devices_flush_what_is_left(tmp_path):
    """xcopy.md 3.4: 06h from C001h with count 0 and CAT 0 drops both queues."""
    tape = file_tape(tmp_path / "tape")
    disk = file_disk(tmp_path / "disk", noise(4096))
    with Rig(disk, tape) as rig:
        flush = seg.StreamToNothing(0x06, False, NULL_STREAM, 0, 0)
        assert rig.copy(seg.EmbeddedToStream.of(b"lost", 1, 512, cat=True), flush,
                        seg.BlockToStream(0x00, False, 0, 1, 512, 1, 0)) is None  # fmt: skip
        assert tape_objects(tape) == [noise(4096)[:512]]


# -- random lists beside the model -----------------------------------------------------------------

BLOCKS = {0: 512, 1: 512, 2: 4096}
DISKS, TAPES = [0, 1, 2], [3, 4, 5]
SIZE = 64 << 10
CAT = st.booleans()
TRANSFER = st.sampled_from([1, 100, 512, 700, 1000, 4096])
FIXED_TRANSFER = st.integers(1, 4)  # slot 5 has fixed blocks of 512


def transfer_of(slot):
    return FIXED_TRANSFER if slot == 5 else TRANSFER


@st.composite
def steps(draw, sources=DISKS, targets=DISKS):
    kind = draw(st.sampled_from([0x00, 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A,
                                 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x12]))  # fmt: skip
    disk, other, tape = (
        draw(st.sampled_from(sources)),
        draw(st.sampled_from(targets)),
        draw(st.sampled_from(TAPES)),
    )
    code = kind + (0xC0 if kind < 0x10 and kind != 0x07 and draw(st.booleans()) else 0)
    null = code >= 0xC0 and draw(st.integers(0, 4)) == 0
    to_tape, to_disk = (NULL_STREAM, NULL_BLOCK) if null else (tape, other)
    transfer = draw(transfer_of(tape))
    cat, blocks, lba = draw(CAT), draw(st.integers(0, 5)), draw(st.integers(0, 10))
    count, offset = draw(st.integers(0, 6000)), draw(st.integers(0, 700))
    to = draw(st.integers(0, 10))
    base = kind & 0x0F if kind < 0x10 else kind
    makers = {
        0x00: lambda: seg.BlockToStream(code, cat, disk, to_tape, transfer, blocks, lba),
        0x01: lambda: seg.StreamToBlock(code, cat, tape, other, transfer, blocks, to),
        0x02: lambda: seg.BlockToBlock(code, cat, draw(CAT), False, disk, other, blocks, lba, to),
        0x04: lambda: seg.InlineToStream(code, cat, to_tape, transfer, offset, count % 900),
        0x05: lambda: seg.EmbeddedToStream.of(noise(count % 2000, count), to_tape, transfer, cat=cat, type_code=code),
        0x06: lambda: seg.StreamToNothing(code, cat, tape, transfer, count % 3000),
        0x07: lambda: seg.VerifyDevice(code, disk, draw(CAT)),
        0x08: lambda: seg.BlockBytesToStream(code, cat, disk, to_tape, transfer, count, lba, offset),
        0x09: lambda: seg.StreamToBlockBytes(code, cat, tape, other, transfer, count % 3000, to, offset),
        0x0A: lambda: seg.BlockBytesToBlockBytes(code, cat, disk, to_disk, count, lba, to, offset, draw(st.integers(0, 700))),
        0x0B: lambda: seg.BlockToStream(code, cat, disk, to_tape, transfer, blocks, lba),
        0x0C: lambda: seg.StreamToBlock(code, cat, tape, other, transfer, blocks, to),
        0x0D: lambda: seg.BlockToBlock(code, cat, draw(CAT), False, disk, other, blocks, lba, to),
        0x0F: lambda: seg.StreamToNothing(code, cat, tape, transfer, count % 3000),
        0x10: lambda: seg.WriteFilemarks(code, tape, False, draw(st.integers(0, 2))),
        0x12: lambda: seg.Locate(code, tape, draw(st.integers(0, 6))),
    }  # fmt: skip
    return makers[base if kind >= 0x10 or kind in makers else kind]()


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    disks = [file_disk(folder / f"disk{n}", bytes(SIZE), BLOCKS[n]) for n in DISKS]
    tapes = [file_tape(folder / f"tape{n}") for n in TAPES]
    with Rig(*disks, *tapes) as made:
        yield made


def fill(rig) -> dict:
    """The same content into the units and the model: records of every length that is asked for."""
    slots = {}
    for n in DISKS:
        data = noise(SIZE, n)
        rig.units[n].write_blocks(0, memoryview(data))
        slots[n] = model.Disk(bytearray(data), BLOCKS[n])
    for n in TAPES:
        drive, lengths = rig.units[n], [512] * 6 if n == 5 else [100, 512, 700, 1000, 4096, 1000]
        objects = [noise(length, 10 * n + length) for length in lengths] + (
            [None] if n == 4 else []
        )
        drive.locate(0)
        for item in objects:
            drive.write_filemarks(1) if item is None else drive.write_record(item)
        drive.locate(0)
        slots[n] = model.Tape(objects)
    return slots


@given(st.lists(steps(), min_size=1, max_size=8), st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_lists_beside_the_model(rig, segments, pads):
    beside_the_model(rig, segments, pads)


@pytest.fixture(scope="module")
def ahead(rig):
    """Every read of a disk is made ahead, and a handful of blocks are several reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_ahead, "SMALL_BYTES", 512)
        patch.setattr(read_ahead, "CHUNK_BYTES", 4096)
        patch.setattr(engine, "SMALL_BYTES", 512)
        patch.setattr(engine, "_MANY_BLOCKS", 1)
        yield rig


def test_a_read_that_was_announced_for_a_later_segment_is_not_taken(ahead):
    """Both begin with block 0; how much the first needs (512 bytes) depends on what waits."""
    exact = seg.BlockToBlock(0x0D, True, True, False, 2, 1, 1, 0, 0)
    digested = seg.BlockToStream(0xC0, False, 2, NULL_STREAM, 1, 1, 0)
    beside_the_model(ahead, [exact, digested], [False] * 6)


@given(
    st.lists(steps(sources=[0, 2], targets=[1]), min_size=2, max_size=8),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_lists_read_ahead_beside_the_model(ahead, segments, pads):
    beside_the_model(ahead, segments, pads)
    assert not [item for item in threading.enumerate() if item.name == read_ahead.THREAD_NAME]


def beside_the_model(rig, segments, pads):
    """A list does to the units, and leaves in the held data, what it does to the model."""
    devices = fill(rig)
    slots, cscds = {}, []
    for n, unit in enumerate(rig.units):
        fixed = n == 5
        cscds.append(named(unit, pad=pads[n], fixed=fixed, block_bytes=512 if fixed else 0))
        slots[n] = model.Slot(devices[n], pads[n], fixed, 512)
    slots[NULL_BLOCK] = slots[NULL_STREAM] = model.Slot(None, True)
    inline = noise(1200, 99)
    plain = model.Model(slots, inline)
    expected = plain.run(segments)
    items = ParameterList(tuple(cscds), tuple(segments), inline, list_id=1)
    # What a list says is the same on the wire.
    assert ParameterList.decode(items.encode()).segments == tuple(segments)
    stopped = rig.copy(*segments, cscds=cscds, inline=inline)
    assert (stopped and (stopped.code, stopped.segment_number)) == expected
    for n in DISKS:
        assert disk_bytes(rig.units[n]) == bytes(devices[n].data)
    for n in TAPES:
        assert tape_objects(rig.units[n]) == devices[n].objects
    assert rig.held() == plain.held
