# ruff: noqa: E501 - one row of the table a line
"""Every row of xcopy.md 5: key, code, pointer, segment number; and the LUNs afterwards."""

import random
from dataclasses import dataclass, replace

import pytest

from sbtk.errors import TransportError
from sbtk.mover.base import CheckCondition, TapeTransfer
from sbtk.scsi import segments as seg
from sbtk.scsi import sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cscd import FibreChannelNameCscd, IdentificationCscd
from sbtk.scsi.limits import limits
from sbtk.scsi.sense import Origin
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import BUSY, CHECK_CONDITION, Response
from tests.mover.rig import Rig, disk_bytes, file_disk, file_tape, named, tape_objects

ILLEGAL, ABORTED = 0x05, 0x0A
D0, D1, T2, T3 = range(4)
HEAD, SLOT = 16, 32
DATA = random.Random(5).randbytes(64 << 10)
RECORDS = [DATA[at : at + 1000] for at in range(0, 5000, 1000)]


@pytest.fixture
def rig(tmp_path):
    """Two disks and two tapes, slots 0 to 3; T2 holds five records of 1000, a filemark, one more."""
    disks = [file_disk(tmp_path / "d0", DATA), file_disk(tmp_path / "d1", bytes(64 << 10))]
    tapes = [file_tape(tmp_path / "t2", [*RECORDS, None, b"z" * 100]), file_tape(tmp_path / "t3")]
    with Rig(*disks, *tapes) as made:
        yield made


def slots(rig, **changes):
    """The four slots, some with other fields: ``slots(rig, s0={"device_type": 1})``."""
    made = [named(unit) for unit in rig.units]
    for name, fields in changes.items():
        made[int(name[1:])] = replace(made[int(name[1:])], **fields)
    return made


GOOD_STEP = seg.BlockToBlock(0x02, False, False, False, D0, D1, 2, 0, 0)  # D1 0-1 := D0 0-1


def check(rig, stopped, key, code, *, segment=None, pointer=None, in_segment=None, copied=0):
    """The sense data, and disk 1 as the segments that were copied left it."""
    assert stopped is not None, "the copy went through"
    assert (stopped.key, stopped.code) == (key, code), stopped.text
    assert stopped.segment_number == segment
    assert stopped.field_pointer == pointer
    if in_segment is not None:
        assert stopped.key_specific.flag is in_segment
    if key == ILLEGAL:
        assert stopped.information is None
    assert disk_bytes(rig.units[D1]) == DATA[:copied] + bytes((64 << 10) - copied)
    assert disk_bytes(rig.units[D0]) == DATA


# -- phase 1: before the first segment ---------------------------------------------------------------


def phase1(rig, items, code, pointer, *, lid4=False, cut=0):
    wire = items.encode() if isinstance(items, ParameterList) else items
    response = rig.send(wire[: len(wire) - cut], lid4=lid4)
    assert response.status == CHECK_CONDITION
    check(rig, sense.decode(response.sense), ILLEGAL, code, pointer=pointer)


def a_list(rig, *steps, cscds=None, **fields):
    fields.setdefault("list_id", 1)
    return ParameterList(tuple(cscds or slots(rig)), steps or (GOOD_STEP,), **fields)


@pytest.mark.parametrize("cut", [1, 28, 60, 160, 171])
def test_truncated_list(rig, cut):
    wire = a_list(rig).encode()
    assert len(wire) == 16 + 4 * 32 + 28
    phase1(rig, wire, codes.PARAMETER_LIST_LENGTH_ERROR, len(wire) - cut, cut=cut)


@pytest.mark.parametrize(
    ("numbers", "code", "pointer"),
    [
        ({"max_list_bytes": 155}, codes.PARAMETER_LIST_LENGTH_ERROR, 8),
        (
            {"max_list_bytes": 155, "max_cscds": 1, "max_segments": 0},
            codes.PARAMETER_LIST_LENGTH_ERROR,
            8,
        ),
        ({"max_inline_bytes": 3}, codes.PARAMETER_LIST_LENGTH_ERROR, 12),
        ({"max_cscds": 3}, codes.TOO_MANY_TARGET_DESCRIPTORS, 2),
        ({"max_segments": 0}, codes.TOO_MANY_SEGMENT_DESCRIPTORS, 8),
        ({"max_segments": 0, "types": (0xE4,)}, codes.TOO_MANY_SEGMENT_DESCRIPTORS, 8),
    ],
)
def test_more_than_the_limits(tmp_path, numbers, code, pointer):
    disks = [file_disk(tmp_path / "d0", DATA), file_disk(tmp_path / "d1", bytes(64 << 10))]
    tapes = [file_tape(tmp_path / "t2"), file_tape(tmp_path / "t3")]
    with Rig(*disks, *tapes, profile=limits("spc", **numbers)) as rig:
        phase1(rig, a_list(rig, inline=b"four"), code, pointer)


def test_unsupported_descriptors(rig):
    odd = [*slots(rig)[:1], FibreChannelNameCscd()]
    phase1(rig, a_list(rig, cscds=odd), codes.UNSUPPORTED_TARGET_DESCRIPTOR_TYPE, HEAD + SLOT)
    steps = (GOOD_STEP, seg.StreamToStream(0x03, False, T2, T3, 1000, 1000, 1000))
    phase1(
        rig, a_list(rig, *steps), codes.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE, HEAD + 4 * SLOT + 28
    )
    for unknown in (0x17, 0x80, 0xC7, 0xD0, 0xFF):
        wire = bytearray(a_list(rig).encode())
        wire[HEAD + 4 * SLOT] = unknown
        phase1(rig, bytes(wire), codes.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE, HEAD + 4 * SLOT)


def test_digest_types_are_refused_where_they_are_not_announced(tmp_path):
    disks = [file_disk(tmp_path / "d0", DATA), file_disk(tmp_path / "d1", bytes(64 << 10))]
    with Rig(*disks, profile=limits("ctl")) as rig:
        items = a_list(rig, replace(GOOD_STEP, type_code=0xC2))
        phase1(rig, items, codes.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE, HEAD + 2 * SLOT)


@pytest.mark.parametrize(("fixed", "block_bytes"), [(True, 0), (False, 512)])
def test_fixed_and_block_length_belong_together(rig, fixed, block_bytes):
    odd = slots(rig, s2={"fixed": fixed, "block_bytes": block_bytes})
    phase1(rig, a_list(rig, cscds=odd), codes.INVALID_FIELD_IN_PARAMETER_LIST, HEAD + 2 * SLOT + 28)


def test_fields_of_the_list_that_cannot_be(rig):
    field = codes.INVALID_FIELD_IN_PARAMETER_LIST
    base = HEAD + 4 * SLOT
    phase1(rig, a_list(rig, usage=0b01), field, 1)
    phase1(rig, a_list(rig, usage=0b11, list_id=1), field, 0)
    hold = seg.BlockToStream(0x0B, True, D0, T3, 512, 1, 0)
    phase1(rig, a_list(rig, GOOD_STEP, hold, usage=0b11, list_id=0), field, base + 28)
    wire = bytearray(a_list(rig, seg.EmbeddedToStream.of(b"abcd", T3, 4)).encode())
    wire[base + 13] = 5  # one more than is there
    phase1(rig, bytes(wire), field, base + 12)
    wire = bytearray(a_list(rig).encode())
    wire[base + 3] = 0x17  # DESCRIPTOR LENGTH of 02h
    phase1(rig, bytes(wire), field, base + 2)
    wire = bytearray(a_list(rig).encode())
    wire[base + 3] = 0x19  # behind the list's end
    phase1(rig, bytes(wire), field, base + 2)
    wire = bytearray(a_list(rig).encode())
    wire[3] -= 1
    wire[11] += 1
    phase1(rig, bytes(wire), field, 2)
    wire = bytearray(a_list(rig).encode())
    wire[HEAD + 7] = 21  # DESIGNATOR LENGTH
    phase1(rig, bytes(wire), field, HEAD + 7)


@pytest.mark.parametrize("byte", [0, 3, 16])
def test_constants_of_a_lid4_header(rig, byte):
    wire = bytearray(a_list(rig, lid4=True).encode())
    wire[byte] ^= 0x40
    phase1(rig, bytes(wire), codes.INVALID_FIELD_IN_PARAMETER_LIST, byte, lid4=True)


@pytest.mark.parametrize("fields", [{"good_sense": True}, {"usage": 0b11, "list_id": 0}])
def test_immediate_excludes(rig, fields):
    items = a_list(rig, lid4=True, immediate=True, **fields)
    phase1(rig, items, codes.INVALID_FIELD_IN_CDB, None, lid4=True)


def test_lu_id_type_is_ignored(rig):
    """SPC-4: for E4h LU ID TYPE shall be ignored; iscsi-test-cu checks it."""
    assert rig.copy(GOOD_STEP, cscds=slots(rig, s0={"lu_id_type": 2})) is None


# -- phase 2: segment by segment ---------------------------------------------------------------------


@dataclass
class Row:
    """One copy: a good segment, then ``step``, which stops it."""

    name: str
    step: seg.Segment
    code: tuple[int, int]
    pointer: int | None
    in_segment: bool = False
    change: dict | None = None
    inline: bytes = b""
    forwarded: tuple | None = None  # (origin, key, code) of what the device had said


def slot_of(index: int) -> int:
    return HEAD + SLOT * index


UNKNOWN = {"designator_padded": b"\x60" + bytes(19)}
TAPE_TO_DISK = seg.StreamToBlock(0x01, False, T2, D1, 1000, 2, 8)
ROWS = [
    Row(
        "designator that nobody has",
        seg.BlockToBlock(0x02, source=D0, destination=T3, blocks=1),
        codes.UNREACHABLE_COPY_TARGET,
        slot_of(3),
        change={"s3": {**UNKNOWN, "device_type": 0}},
    ),
    Row(
        "source that nobody has",
        seg.BlockToBlock(0x02, source=T2, destination=D1, blocks=1),
        codes.UNREACHABLE_COPY_TARGET,
        slot_of(2),
        change={"s2": {**UNKNOWN, "device_type": 0}},
    ),
    Row(
        "EUI-64 designator",
        seg.VerifyDevice(0x07, T2),
        codes.UNREACHABLE_COPY_TARGET,
        slot_of(2),
        change={"s2": {"designator_type": 2}},
    ),
    Row(
        "index behind the slots",
        seg.BlockToBlock(0x02, source=D0, destination=4, blocks=1),
        codes.UNREACHABLE_COPY_TARGET,
        6,
        True,
    ),
    Row(
        "source index behind the slots",
        seg.BlockToBlock(0x02, source=0x7FF, destination=D1, blocks=1),
        codes.UNREACHABLE_COPY_TARGET,
        4,
        True,
    ),
    Row(
        "reserved id",
        seg.BlockToBlock(0x02, source=0x0800, destination=D1, blocks=1),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        4,
        True,
    ),
    Row(
        "ROD token id",
        seg.BlockToBlock(0x02, source=D0, destination=0xF800, blocks=1),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        6,
        True,
    ),
    Row(
        "another device type",
        seg.VerifyDevice(0x07, D0 + 2),
        codes.INCORRECT_COPY_TARGET_TYPE,
        slot_of(2),
        change={"s2": {"device_type": 0}},
    ),
    Row(
        "tape named as disk",
        seg.BlockToBlock(0x02, source=T2, destination=D1, blocks=1),
        codes.INCORRECT_COPY_TARGET_TYPE,
        slot_of(2),
        change={"s2": {"device_type": 0}},
    ),
    Row(
        "another block length",
        seg.BlockToBlock(0x02, source=T2, destination=D1, blocks=1),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        slot_of(0) + 29,
        change={"s0": {"block_bytes": 4096}},
    ),
    Row(
        "02h from a tape",
        seg.BlockToBlock(0x02, source=T2, destination=D1, blocks=1),
        codes.INVALID_OPERATION_FOR_COPY,
        4,
        True,
    ),
    Row(
        "00h to a disk",
        seg.BlockToStream(0x00, False, D0, D1, 512, 1, 0),
        codes.INVALID_OPERATION_FOR_COPY,
        6,
        True,
    ),
    Row(
        "filemarks on a disk",
        seg.WriteFilemarks(0x10, D1, False, 1),
        codes.INVALID_OPERATION_FOR_COPY,
        6,
        True,
    ),
    Row("space on a disk", seg.Space(0x11, D1, 0, 1), codes.INVALID_OPERATION_FOR_COPY, 6, True),
    Row("locate on a disk", seg.Locate(0x12, D1, 0), codes.INVALID_OPERATION_FOR_COPY, 6, True),
    Row(
        "tape image from a disk",
        seg.TapeImageCopy(0x13, D0, T3, 0),
        codes.INVALID_OPERATION_FOR_COPY,
        4,
        True,
    ),
    Row(
        "tape image to a disk",
        seg.TapeImageCopy(0x13, T2, D1, 0),
        codes.INVALID_OPERATION_FOR_COPY,
        6,
        True,
    ),
    Row(
        "behind the source's end",
        seg.BlockToBlock(
            0x02, source=D0, destination=D1, blocks=2, source_lba=127, destination_lba=8
        ),
        codes.COPY_TARGET_NOT_REACHABLE,
        12,
        True,
        forwarded=(Origin.COPY_SOURCE, ILLEGAL, codes.LBA_OUT_OF_RANGE),
    ),
    Row(
        "behind the destination's end",
        seg.BlockToBlock(0x02, source=D0, destination=D1, blocks=2, destination_lba=127),
        codes.COPY_TARGET_NOT_REACHABLE,
        20,
        True,
        forwarded=(Origin.COPY_DESTINATION, ILLEGAL, codes.LBA_OUT_OF_RANGE),
    ),
    Row(
        "far behind any end",
        seg.BlockBytesToBlockBytes(0x0A, False, D0, D1, 1, (1 << 64) - 1, 0),
        codes.COPY_TARGET_NOT_REACHABLE,
        12,
        True,
        forwarded=(Origin.COPY_SOURCE, ILLEGAL, codes.LBA_OUT_OF_RANGE),
    ),
    Row(
        "behind a tape restore's end",
        seg.StreamToBlock(0x01, False, T2, D1, 1000, 2, 127),
        codes.COPY_TARGET_NOT_REACHABLE,
        16,
        True,
        forwarded=(Origin.COPY_DESTINATION, ILLEGAL, codes.LBA_OUT_OF_RANGE),
    ),
    Row(
        "filemark in the way",
        seg.StreamToNothing(0x06, True, T2, 1000, 5001),
        codes.THIRD_PARTY_DEVICE_FAILURE,
        slot_of(2),
        forwarded=(Origin.COPY_SOURCE, 0, codes.FILEMARK_DETECTED),
    ),
    Row(
        "record of another length",
        seg.StreamToBlock(0x01, True, T2, D1, 999, 1, 8),
        codes.THIRD_PARTY_DEVICE_FAILURE,
        slot_of(2),
        forwarded=(Origin.COPY_SOURCE, 0, codes.NO_ADDITIONAL_SENSE),
    ),
    Row(
        "end of data",
        seg.StreamToNothing(0x06, True, T3, 1000, 1),
        codes.THIRD_PARTY_DEVICE_FAILURE,
        slot_of(3),
        forwarded=(Origin.COPY_SOURCE, 8, codes.END_OF_DATA),
    ),
    Row(
        "locate behind the end",
        seg.Locate(0x12, T3, 9),
        codes.THIRD_PARTY_DEVICE_FAILURE,
        slot_of(3),
        forwarded=(Origin.COPY_DESTINATION, 8, codes.END_OF_DATA),
    ),
    Row(
        "space over a filemark",
        seg.Space(0x11, T2, 0, 6),
        codes.THIRD_PARTY_DEVICE_FAILURE,
        slot_of(2),
        forwarded=(Origin.COPY_DESTINATION, 0, codes.FILEMARK_DETECTED),
    ),
    Row(
        "inline data overflows",
        seg.InlineToStream(0x04, False, T3, 4, 4, 8),
        codes.INLINE_DATA_LENGTH_EXCEEDED,
        12,
        True,
        inline=b"eleven bytes"[:11],
    ),
    Row(
        "residual of 2 bytes",
        seg.EmbeddedToStream.of(b"abcdef", T3, 4),
        codes.UNEXPECTED_INEXACT_SEGMENT,
        None,
    ),
    Row(
        "tape record of 0 bytes",
        seg.BlockToStream(0x00, False, D0, T3, 0, 1, 0),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        9,
        True,
    ),
    Row(
        "null device as destination",
        seg.BlockToStream(0x00, False, D0, 0xC001, 512, 1, 0),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        6,
        True,
    ),
    Row(
        "null device as source",
        seg.StreamToNothing(0x06, False, 0xC001, 512, 1),
        codes.INVALID_FIELD_IN_PARAMETER_LIST,
        4,
        True,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("before", [0, 1])
def test_copy_aborted(rig, row, before):
    first = (GOOD_STEP,) * before
    devices = slots(rig, **(row.change or {}))
    if row.change and "s0" in row.change:
        first, before = (), 0
        row = replace(row, step=replace(row.step, source=D0))
    stopped = rig.copy(*first, row.step, cscds=devices, inline=row.inline)
    check(rig, stopped, ABORTED, row.code, segment=before, pointer=row.pointer,
          in_segment=row.in_segment if row.pointer is not None else None, copied=1024 * before)  # fmt: skip
    heard = [(part.origin, sense.decode(part.sense).key, sense.decode(part.sense).code, part.status)
             for part in stopped.forwarded]  # fmt: skip
    assert heard == ([(*row.forwarded, CHECK_CONDITION)] if row.forwarded else [])
    wanted = [b"abcd"] if row.name == "residual of 2 bytes" else []
    assert tape_objects(rig.units[T3]) == wanted
    assert stopped.information == (0 if wanted else None)
    assert tape_objects(rig.units[T2]) == [*RECORDS, None, b"z" * 100]
    status = rig.status()
    assert (status.status, status.segments_processed) == (2, before + 1)
    assert status.transferred_bytes == 1024 * before + (4 if wanted else 0)


@pytest.mark.parametrize(("bits", "data_ok", "inline_ok"), [(9, False, True), (2, True, True)])
def test_granularity(tmp_path, bits, data_ok, inline_ok):
    disk, tape = file_disk(tmp_path / "d", DATA), file_tape(tmp_path / "t")
    profile = limits("spc", data_granularity=bits, inline_granularity=3)
    with Rig(disk, tape, profile=profile) as rig:
        step = seg.BlockBytesToStream(0x08, True, 0, 1, 100, 100, 0, 0)
        stopped = rig.copy(step)
        if data_ok:
            assert stopped is None
        else:
            assert (stopped.code, stopped.field_pointer) == (
                codes.COPY_SEGMENT_GRANULARITY_VIOLATION,
                12,
            )
        stopped = rig.copy(seg.EmbeddedToStream.of(b"abcd", 1, 4))
        assert (stopped.key, stopped.code) == (ABORTED, codes.COPY_SEGMENT_GRANULARITY_VIOLATION)
        assert (stopped.field_pointer, stopped.key_specific.flag) == (12, True)
        assert rig.copy(seg.EmbeddedToStream.of(b"abcdefgh", 1, 4)) is None


def test_longer_than_a_segment_may_be(tmp_path):
    disk, tape = file_disk(tmp_path / "d", DATA), file_tape(tmp_path / "t")
    profile = limits("spc", max_segment_bytes=2048, max_stream_transfer_bytes=1024)
    with Rig(disk, tape, profile=profile) as rig:
        assert rig.copy(seg.BlockToStream(0x00, False, 0, 1, 1024, 4, 0)) is None
        stopped = rig.copy(seg.BlockToStream(0x00, False, 0, 1, 1024, 6, 0))
        assert (stopped.code, stopped.field_pointer) == (codes.INVALID_FIELD_IN_PARAMETER_LIST, 14)
        stopped = rig.copy(seg.BlockToStream(0x00, False, 0, 1, 1025, 2, 0))
        assert (stopped.code, stopped.field_pointer) == (codes.INVALID_FIELD_IN_PARAMETER_LIST, 9)
        fixed = [named(disk), named(tape, fixed=True, block_bytes=512)]
        stopped = rig.copy(seg.BlockToStream(0x00, False, 0, 1, 3, 2, 0), cscds=fixed)
        assert (stopped.code, stopped.field_pointer) == (codes.INVALID_FIELD_IN_PARAMETER_LIST, 9)


class Odd:
    """A unit that misbehaves in one way; everything else is the real one's."""

    def __init__(self, unit, **odd):
        self._unit, self._odd = unit, odd

    def __getattr__(self, name):
        if name in self._odd:
            value = self._odd[name]
            if isinstance(value, Exception):
                raise value
            return value
        return getattr(self._unit, name)


def failing(error):
    def call(*_arguments, **_options):
        raise error

    return call


MEDIUM = CheckCondition(sense.fixed(codes.MEDIUM_ERROR, *codes.UNRECOVERED_READ_ERROR))
ODD = [
    (
        "read error",
        D0,
        {"read_blocks": failing(MEDIUM)},
        codes.THIRD_PARTY_DEVICE_FAILURE,
        (3, codes.UNRECOVERED_READ_ERROR),
    ),
    (
        "write error",
        D1,
        {"write_blocks": failing(MEDIUM)},
        codes.THIRD_PARTY_DEVICE_FAILURE,
        (3, codes.UNRECOVERED_READ_ERROR),
    ),
    (
        "path lost at reading",
        D0,
        {"read_blocks": failing(TransportError("gone"))},
        codes.COPY_TARGET_NOT_REACHABLE,
        None,
    ),
    (
        "path lost at writing",
        D1,
        {"write_blocks": failing(TransportError("gone"))},
        codes.COPY_TARGET_NOT_REACHABLE,
        None,
    ),
    (
        "OS error",
        D0,
        {"read_blocks": failing(OSError(5, "I/O"))},
        codes.THIRD_PARTY_DEVICE_FAILURE,
        (4, codes.INTERNAL_TARGET_FAILURE),
    ),
    (
        "no INQUIRY answer",
        D1,
        {"block_bytes": TransportError("gone")},
        codes.COPY_TARGET_NOT_REACHABLE,
        None,
    ),
]


@pytest.mark.parametrize(
    ("name", "which", "odd", "code", "inner"), ODD, ids=[row[0] for row in ODD]
)
def test_devices_that_fail(tmp_path, name, which, odd, code, inner):
    units = [file_disk(tmp_path / "d0", DATA), file_disk(tmp_path / "d1", bytes(64 << 10))]
    units[which] = Odd(units[which], **odd)
    with Rig(*units) as rig:
        stopped = rig.copy(seg.VerifyDevice(0x07, 0), replace(GOOD_STEP, source_lba=4))
        assert (stopped.key, stopped.code, stopped.segment_number) == (ABORTED, code, 1)
        assert (stopped.field_pointer, stopped.key_specific.flag) == (slot_of(which), False)
        heard = [
            (sense.decode(part.sense).key, sense.decode(part.sense).code)
            for part in stopped.forwarded
        ]
        assert heard == ([inner] if inner else [])
        assert [part.origin for part in stopped.forwarded] == ([Origin(1 + which)] if inner else [])
        assert not any((tmp_path / "d1").read_bytes())


def test_a_unit_that_cannot_be_asked_for_its_type(tmp_path):
    disk, lost = file_disk(tmp_path / "d", DATA), file_disk(tmp_path / "e", DATA)
    odd = Odd(lost)
    with Rig(disk, odd) as rig:
        slot = named(lost)
        odd._odd["peripheral_device_type"] = TransportError("gone")
        stopped = rig.copy(seg.VerifyDevice(0x07, 1), cscds=[named(disk), slot])
        assert (stopped.code, stopped.field_pointer) == (
            codes.COPY_TARGET_NOT_REACHABLE,
            slot_of(1),
        )


@pytest.mark.parametrize(
    ("length", "code"), [(999, codes.COPY_TARGET_UNDERRUN), (1001, codes.COPY_TARGET_OVERRUN)]
)
def test_good_but_not_as_many_bytes(tmp_path, length, code):
    disk = file_disk(tmp_path / "d", bytes(64 << 10))
    tape = Odd(file_tape(tmp_path / "t"), read_record=lambda _view: (length, TapeTransfer()))
    with Rig(disk, tape) as rig:
        stopped = rig.copy(seg.StreamToBlock(0x01, True, 1, 0, 1000, 1, 0))
        assert (stopped.code, stopped.field_pointer, stopped.forwarded) == (code, slot_of(1), ())
        assert not any(disk_bytes(disk))


@pytest.mark.parametrize(("status", "data"), [(BUSY, b""), (CHECK_CONDITION, MEDIUM.sense)])
def test_verify_asks_the_device(tmp_path, status, data):
    disk = file_disk(tmp_path / "d", DATA)
    odd = Odd(disk, execute=lambda *_a, **_k: Response(status, b"", data))
    with Rig(odd) as rig:
        assert rig.copy(seg.VerifyDevice(0x07, 0, test_unit_ready=False)) is None
        stopped = rig.copy(seg.VerifyDevice(0x07, 0, test_unit_ready=True))
        assert (stopped.code, stopped.field_pointer) == (
            codes.THIRD_PARTY_DEVICE_FAILURE,
            slot_of(0),
        )
        assert [(p.origin, p.status, p.sense) for p in stopped.forwarded] == [(1, status, data)]


def test_an_internal_fault_ends_the_copy_and_nothing_else(tmp_path, caplog):
    disk = file_disk(tmp_path / "d", DATA)
    odd = Odd(disk, read_blocks=failing(ZeroDivisionError()))
    with Rig(odd, file_disk(tmp_path / "e", bytes(4096))) as rig:
        stopped = rig.copy(replace(GOOD_STEP))
        assert (stopped.key, stopped.code) == (4, codes.INTERNAL_TARGET_FAILURE)
        assert "internal fault" in caplog.text
        assert rig.status().status == 2


# -- INFORMATION: what was not written -----------------------------------------------------------------


@pytest.mark.parametrize("fixed", [False, True])
def test_residual_at_early_warning_and_at_the_end(tmp_path, fixed):
    """Early warning: the record counts as written. Physical end: what is left, bytes or blocks."""
    data = random.Random(6).randbytes(4 << 20)
    disk = file_disk(tmp_path / "d", data)
    tape = file_tape(tmp_path / "t", capacity_bytes=1 << 20, early_warning_bytes=128 << 10)
    slots = [named(disk), named(tape, fixed=fixed, block_bytes=16384 if fixed else 0)]
    transfer, unit = (1, 16384) if fixed else (16384, 1)
    step = seg.BlockToStream(0x00, False, 0, 1, transfer, 7 * 32, 0)  # 7 records
    written, warnings = 0, 0
    with Rig(disk, tape) as rig:
        while True:
            stopped = rig.copy(replace(step, lba=written // 512), cscds=slots)
            now = len(b"".join(tape_objects(tape))) - written
            written += now
            if stopped is None:
                assert now == 7 * 16384
                continue
            assert (stopped.code, stopped.segment_number) == (codes.THIRD_PARTY_DEVICE_FAILURE, 0)
            assert stopped.field_pointer == slot_of(1)
            assert stopped.forwarded[0].origin is Origin.COPY_DESTINATION
            told = sense.decode(stopped.forwarded[0].sense)
            assert told.eom
            if told.key == codes.VOLUME_OVERFLOW:
                assert (now, stopped.information) == (0, None)
                break
            assert (told.key, told.code) == (0, codes.END_OF_MEDIUM)
            assert stopped.information == (7 * 16384 - now) // unit
            warnings += 1
        assert warnings >= 5
        assert b"".join(tape_objects(tape)) == data[:written]


def test_residual_in_blocks_of_a_disk(tmp_path):
    disk, tape = (
        file_disk(tmp_path / "d", bytes(64 << 10)),
        file_tape(tmp_path / "t", [*RECORDS, None]),
    )
    with Rig(disk, tape) as rig:
        stopped = rig.copy(seg.StreamToBlock(0x01, False, 1, 0, 1000, 12, 3))
        assert stopped.code == codes.THIRD_PARTY_DEVICE_FAILURE
        assert stopped.information == 12 - 9  # 5000 bytes are 9 whole blocks
        assert disk_bytes(disk)[3 * 512 : 12 * 512] == b"".join(RECORDS)[: 9 * 512]
        assert not any(disk_bytes(disk)[12 * 512 :])
        rig.units[1].locate(0)
        stopped = rig.copy(seg.StreamToBlockBytes(0x09, False, 1, 0, 1000, 6000, 60, 100))
        assert stopped.information == 3  # blocks 60 to 71, of which 69 is half written
        assert disk_bytes(disk)[60 * 512 + 100 :][:5000] == b"".join(RECORDS)


def test_write_protection_is_forwarded(tmp_path):
    disk, path = file_disk(tmp_path / "d", DATA), tmp_path / "t"
    file_tape(path).close()
    from sbtk.mover.tape_lun import TapeLun

    with Rig(disk, TapeLun(path, writable=False)) as rig:
        stopped = rig.copy(seg.WriteFilemarks(0x10, 1, False, 1))
        assert sense.decode(stopped.forwarded[0].sense).code == codes.WRITE_PROTECTED
        stopped = rig.copy(seg.BlockToStream(0x00, False, 0, 1, 512, 1, 0))
        assert sense.decode(stopped.forwarded[0].sense).code == codes.WRITE_PROTECTED
        assert stopped.information is None


def test_an_extension_slot_is_no_device(rig):
    """An id of an FFh slot: A/2600h. No announced type has one, so the resolver is asked itself."""
    from sbtk.mover.copy_abort import CopyAbort
    from sbtk.mover.endpoint import Resolver

    resolver = Resolver((None,), 16, rig.units[0], lambda _name: None, ())
    with pytest.raises(CopyAbort) as caught:
        resolver.resolve(0, 6, Origin.COPY_DESTINATION)
    assert caught.value.sense.code == codes.INVALID_FIELD_IN_PARAMETER_LIST
    assert isinstance(named(rig.units[0]), IdentificationCscd)
