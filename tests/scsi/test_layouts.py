# ruff: noqa: E501 - a table has one row a layout
"""decode(encode(x)) == x for every layout of the codec, and bytes where the reference puts them."""

from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi import cdb, copy_results, cscd, designator, luns, sense, xcopy
from sbtk.scsi import copy_vpd as vpd
from sbtk.scsi import segments as seg
from sbtk.scsi.layout import Bits, Flag, Raw, UInt
from sbtk.scsi.segment_base import decode_segment
from tests.scsi.strategies import all_layouts, fields_of, segments, values

LAYOUTS = all_layouts()
# What a header's constants or a command's own bytes leave no freedom for is in CONSTANT.
names = [f"{cls.__module__.removeprefix('sbtk.scsi.')}.{cls.__name__}" for cls in LAYOUTS]


def test_the_layouts_were_found():
    assert len(LAYOUTS) > 100
    assert {cdb.Read16, seg.BlockToBlock, cscd.RodCscd, xcopy.HeaderLid4} <= set(LAYOUTS)


@pytest.mark.parametrize("cls", LAYOUTS, ids=names)
def test_round_trip(cls):
    @given(values(cls))
    @settings(max_examples=12, deadline=None)
    def holds(value):
        wire = value.encode()
        assert len(wire) >= cls.SIZE_BYTES
        assert cls.decode(wire) == value

    holds()


@pytest.mark.parametrize("cls", LAYOUTS, ids=names)
def test_fields_do_not_overlap_and_lie_inside(cls):
    taken: dict[tuple[int, int], str] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for place in getattr(hint, "__metadata__", ()):
            if isinstance(place, Flag):
                bits = [(place.byte, place.bit)]
            elif isinstance(place, Bits):
                bits = [(place.byte, bit) for bit in range(place.low, place.high + 1)]
            elif isinstance(place, UInt | Raw):
                span = range(place.byte, place.byte + place.width)
                bits = [(byte, bit) for byte in span for bit in range(8)]
            else:
                continue
            for bit in bits:
                assert bit not in taken, f"{name} and {taken.get(bit)} share byte {bit[0]}"
                assert bit[0] < cls.SIZE_BYTES
                taken[bit] = name
    for byte, value in cls.CONSTANT:
        for bit in range(8):
            assert not (value >> bit & 1 and (byte, bit) in taken), f"constant in byte {byte}"


@pytest.mark.parametrize("cls", LAYOUTS, ids=names)
def test_a_cut_layout_is_refused(cls):
    wire = bytes(cls.SIZE_BYTES - 1)
    with pytest.raises(RemoteScsiError) as caught:
        cls.decode(wire, 100)
    assert caught.value.byte_offset == 100 + len(wire)


@pytest.mark.parametrize(
    ("value", "field", "too_much"),
    [
        (cdb.Read10, "lba", 1 << 32),
        (cdb.Space6, "count", 1 << 23),
        (cdb.Space6, "count", -(1 << 23) - 1),
        (cdb.ModeSense6, "page_code", 64),
        (seg.BlockToStream, "stream_transfer", 1 << 24),
        (cscd.IdentificationCscd, "designator_padded", bytes(21)),
        (xcopy.HeaderLid1, "list_id", 256),
        (copy_results.StatusLid1, "segments_processed", -1),
    ],
)
def test_what_does_not_fit_is_our_error(value, field, too_much):
    with pytest.raises(LocalScsiError, match=field):
        value(**{field: too_much}).encode()


# The first bytes that the reference names, layout by layout (xcopy.md 3, 4.1): value, {byte: wire}.
SPARSE = [
    (seg.BlockToStream(0x0B, True, 0x102, 0x304, 0x50607, 0x809, 0x10), {0: 0x0B, 1: 1, 3: 0x14, 4: 1, 5: 2, 6: 3, 7: 4, 9: 5, 10: 6, 11: 7, 14: 8, 15: 9, 23: 0x10}),
    (seg.StreamToBlock(0x01, False, 1, 2, 3, 4, 5), {0: 1, 3: 0x14, 5: 1, 7: 2, 11: 3, 15: 4, 23: 5}),
    (seg.BlockToBlock(0x0D, True, True, True, 1, 2, 3, 4, 5), {0: 0x0D, 1: 7, 3: 0x18, 5: 1, 7: 2, 11: 3, 19: 4, 27: 5}),
    (seg.StreamToStream(0x03, False, 1, 2, 3, 4, 5), {3: 0x10, 5: 1, 7: 2, 11: 3, 15: 4, 19: 5}),
    (seg.InlineToStream(0x04, False, 2, 3, 4, 5), {3: 0x10, 5: 0, 7: 2, 11: 3, 15: 4, 19: 5}),
    (seg.EmbeddedToStream.of(b"abcde", 2, 3, cat=True), {1: 1, 3: 20, 7: 2, 11: 3, 13: 5, 16: 97, 20: 101, 23: 0}),
    (seg.StreamToNothing(0x0F, False, 1, 2, 3), {0: 0x0F, 3: 0x0C, 5: 1, 11: 2, 15: 3}),
    (seg.VerifyDevice(0x07, 1, True), {3: 8, 5: 1, 8: 1}),
    (seg.BlockBytesToStream(0x08, False, 1, 2, 3, 4, 5, 6), {3: 0x18, 5: 1, 7: 2, 11: 3, 15: 4, 23: 5, 27: 6}),
    (seg.StreamToBlockBytes(0x09, False, 1, 2, 3, 4, 5, 6), {3: 0x18, 5: 1, 7: 2, 11: 3, 15: 4, 23: 5, 27: 6}),
    (seg.BlockBytesToBlockBytes(0x0A, False, 1, 2, 3, 4, 5, 6, 7), {3: 0x1C, 5: 1, 7: 2, 11: 3, 19: 4, 27: 5, 29: 6, 31: 7}),
    (seg.WriteFilemarks(0x10, 1, True, 2), {3: 8, 7: 1, 8: 1, 11: 2}),
    (seg.Space(0x11, 1, 3, -2), {3: 8, 7: 1, 8: 3, 9: 0xFF, 11: 0xFE}),
    (seg.Locate(0x12, 1, 2), {3: 8, 7: 1, 11: 2}),
    (seg.TapeImageCopy(0x13, 1, 2, 3), {3: 8, 5: 1, 7: 2, 11: 3}),
    (seg.RegisterKey(0x14, 1, 2, 3), {3: 0x18, 7: 1, 15: 2, 23: 3}),
    (seg.ThirdPartyReservation(0x15, 1, 2, 3, True, True, 4, 4, b"abcd"), {3: 32, 7: 1, 15: 2, 23: 3, 25: 3, 27: 4, 31: 4, 32: 97}),
    (seg.PopulateRodOne(0xBF, 1, 2, 3, 4), {3: 0x10, 5: 1, 7: 2, 15: 3, 19: 4}),
    (cscd.IdentificationCscd(2, False, 1, 3, True, True, 4, 1, 2, 3, 16), {0: 0xE4, 1: 0x81, 3: 3, 4: 1, 5: 0x23, 7: 16, 28: 5, 31: 4}),
    (cscd.FibreChannelBothCscd(port_name=1, port_id=2), {0: 0xE2, 19: 1, 23: 2}),
    (cscd.RodCscd(producer_id=1, rod_type=2, lifetime_s=3, token_offset_bytes=4), {0: 0xFE, 5: 1, 11: 2, 15: 3, 27: 4}),
    (cscd.Ipv6Cscd(tcp_port=3260), {0: 0xEA, 32: 0xFF, 34: 12, 35: 188, 39: 6}),
    (cdb.Locate16(destination_type=3, logical_identifier=7), {0: 0x92, 1: 0x18, 11: 7}),
    (cdb.Space6(1, -1), {0: 0x11, 1: 1, 2: 0xFF, 4: 0xFF}),
    (cdb.TapeRead6(True, True, 5), {0: 8, 1: 3, 4: 5}),
    (cdb.WriteFilemarks6(True, 2), {0: 0x10, 1: 1, 4: 2}),
    (cdb.ReadCapacity16(allocation_bytes=32), {0: 0x9E, 1: 0x10, 13: 32}),
    (cdb.cdb_copy.CopyOperationAbort(0x01020304), {0: 0x83, 1: 0x1C, 2: 1, 5: 4}),
    (cdb.cdb_copy.ReceiveCopyStatusLid1(7, 12), {0: 0x84, 1: 0, 2: 7, 13: 12}),
    (cdb.cdb_copy.ReceiveCopyDataLid4(7, 12), {0: 0x84, 1: 6, 5: 7, 13: 12}),
    (copy_results.StatusLid1(True, 1, 2, 1, 3), {3: 8, 4: 0x81, 6: 2, 7: 1, 11: 3}),
    (copy_results.StatusLid4(1, True, 2, 3, 4, 2, 1, 5, 6, b"abcde"), {3: 36, 4: 1, 5: 0x82, 7: 3, 11: 4, 12: 2, 13: 8, 14: 5, 15: 1, 23: 5, 25: 6, 32: 97}),
    (copy_results.FailureDetails(2, b"ab"), {3: 58, 56: 2, 59: 2, 60: 97}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wire"), SPARSE, ids=[type(v).__name__ for v, _ in SPARSE])
def test_fields_lie_where_the_reference_puts_them(value, wire):
    encoded = value.encode()
    assert {byte: encoded[byte] for byte in wire} == wire


@given(segments())
@settings(max_examples=300, deadline=None)
def test_segments_are_found_by_their_type(segment):
    assert decode_segment(segment.encode()) == segment


@given(
    st.lists(segments(), max_size=6),
    st.lists(values(cscd.IdentificationCscd) | values(cscd.Ipv6Cscd), max_size=4),
    st.binary(max_size=40),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whole_lists(steps, devices, inline, lid4):
    slots = []
    for device in devices:
        slots += [device] + [None] * (device.SIZE_BYTES // 32 - 1)
    value = xcopy.ParameterList(
        tuple(slots), tuple(steps), inline, list_id=7, usage=2, priority=3, lid4=lid4,
        immediate=lid4, good_sense=lid4,
    )  # fmt: skip
    wire = value.encode()
    decoded = xcopy.ParameterList.decode(wire, lid4=lid4)
    assert decoded == value
    assert [wire[start] for start in decoded.segment_starts] == [s.type_code for s in steps]


@given(
    st.builds(
        vpd.ThirdPartyCopyPage,
        commands=st.sets(
            st.tuples(st.sampled_from([0x83, 0x84]), st.integers(0, 31)), max_size=20
        ).map(lambda pairs: tuple(sorted(pairs))),
        descriptors=st.sets(st.integers(0, 255), max_size=200).map(lambda s: tuple(sorted(s))),
        cscd_ids=st.sets(st.integers(0, 0xFFFF), max_size=9).map(lambda s: tuple(sorted(s))),
        parameters=st.none() | values(vpd.ParameterData),
        general=st.none() | values(vpd.GeneralCopy),
        stream=st.none() | values(vpd.StreamCopy),
        held=st.none() | values(vpd.HeldData),
        rod_limits=st.none() | values(vpd.BlockRodLimits),
        rod_features=st.none() | values(vpd.RodTokenFeatures),
        rod_types=st.lists(values(vpd.RodType), max_size=3).map(tuple),
    )
)
@settings(max_examples=100, deadline=None)
def test_copy_page(page):
    wire = page.encode()
    assert len(wire) % 4 == 0
    assert vpd.ThirdPartyCopyPage.decode(wire) == page


KEYS = st.integers(0, 15)
BYTE = st.integers(0, 255)


@st.composite
def sense_values(draw):
    key, descriptor = draw(KEYS), draw(st.booleans())
    copying = key == 0xA
    width = 64 if descriptor else 32
    pointer = st.builds(
        sense.KeySpecific, st.integers(0, 0xFFFF), st.booleans(), st.none() | st.integers(0, 7)
    )
    forwarded = st.lists(
        st.builds(sense.ForwardedSense, st.just(1), BYTE, st.binary(max_size=30)), max_size=1
    )
    parts = [sense.ForwardedSense(sense.Origin(1 + n), f.status, f.sense)
             for n, f in enumerate(draw(forwarded) + draw(forwarded))]  # fmt: skip
    return sense.SenseData(
        key, draw(BYTE), draw(BYTE),
        information=draw(st.none() | st.integers(0, (1 << width) - 1)),
        command_specific=0 if copying else draw(st.integers(0, (1 << width) - 1)),
        filemark=draw(st.booleans()), eom=draw(st.booleans()), ili=draw(st.booleans()),
        key_specific=draw(st.none() | pointer) if key in (5, 0xA) else None,
        segment_number=draw(st.integers(0, 0xFFFF)) if copying else None,
        forwarded=tuple(parts) if copying else (),
        deferred=draw(st.booleans()), descriptor_format=descriptor,
    )  # fmt: skip


@given(sense_values())
@settings(max_examples=300, deadline=None)
def test_sense(value):
    assert sense.decode(sense.encode(value)) == value
    assert value.text.isprintable()


@given(st.binary(max_size=64))
@settings(max_examples=500, deadline=None)
def test_any_bytes_as_sense(raw):
    assert sense.describe(raw).isprintable()
    for code in (0x70, 0x71, 0x72, 0x73, 0xF0):
        assert sense.describe(bytes([code]) + raw).isprintable()


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_residual_keeps_its_sign(residual):
    assert sense.decode(sense.fixed(0, 0, 0, information=residual, ili=True)).residual == residual


@given(st.integers(0, luns.MAX_LUN))
def test_luns(lun):
    assert luns.decode_lun(luns.encode_lun(lun)) == lun
    assert luns.decode_report(luns.encode_report([lun, 5])) == tuple(sorted([lun, 5]))


@given(st.lists(st.builds(
    designator.Designator, st.binary(max_size=255), st.integers(0, 15), st.integers(0, 15),
    st.integers(0, 3), st.integers(0, 15), st.booleans()), max_size=5))  # fmt: skip
def test_designators(items):
    wire = b"".join(item.encode() for item in items)
    assert designator.decode_list(wire) == tuple(items)


def test_the_designator_for_a_cscd_is_the_one_that_others_take():
    vendor, t10, eui, naa, long, port = (
        designator.Designator(b"v", 0, 2), designator.Designator(b"t10", 1, 2),
        designator.Designator(bytes(8), 2), designator.Designator(bytes(16), 3),
        designator.Designator(bytes(21), 3), designator.Designator(bytes(16), 3, 1, 1),
    )  # fmt: skip
    assert designator.best_for_cscd([vendor, port, t10, long, eui, naa]) == naa
    assert designator.best_for_cscd([vendor, t10, eui]) == eui
    assert designator.best_for_cscd([vendor, t10]) == t10
    assert designator.best_for_cscd([long, vendor]) == vendor
    with pytest.raises(LocalScsiError, match="no designator"):
        designator.best_for_cscd([long, port])


@pytest.mark.parametrize("count", [0, 1, (1 << 32) - 1, 1 << 32, 5 << 40, 1 << 62])
def test_transfer_counts(count):
    units, value = copy_results.scale_count(count, 4)
    assert value < 1 << 32
    assert 0 <= count - copy_results.unscale_count(units, value) < 1 << 10 * units
    assert copy_results.unscale_count(copy_results.UNITS_BLOCKS, 1) is None


@given(values(copy_results.StatusLid4), st.binary(max_size=600))
def test_held_data(status, held):
    assert copy_results.decode_held_lid4(copy_results.encode_held_lid4(status, held)) == (
        status,
        held,
    )
    assert copy_results.decode_held_lid1(copy_results.encode_held_lid1(held)) == held


def test_rod_tokens():
    status = copy_results.StatusLid4(sense=b"abc")
    tokens = [(1, b"t".ljust(512, b"\0")), (2, bytes(512))]
    wire = copy_results.encode_rod_tokens(status, tokens)
    assert copy_results.decode_rod_tokens(wire) == (status, tokens)


def test_failure_details():
    value = copy_results.FailureDetails(2, b"sense")
    assert copy_results.FailureDetails.decode(value.encode()) == value
    assert copy_results.FailureDetails.decode(bytes(4)) is None


def test_every_command_is_found_by_its_bytes():
    for (opcode, action, kind), cls in cdb.COMMANDS.items():
        decoded = cdb.decode(cls().encode(), kind or 0)
        assert type(decoded) is cls, f"{opcode:02X}h/{action} for device type {kind}"
        assert fields_of(cls).keys() <= set(vars(decoded))


@pytest.mark.parametrize(
    ("raw", "kind", "code", "byte"),
    [
        (b"", 0, (0x20, 0), 0),
        (b"\xff" + bytes(15), 0, (0x20, 0), 0),
        (b"\x92" + bytes(15), 0, (0x20, 0), 0),  # LOCATE(16) on a disk
        (b"\x88" + bytes(15), 1, (0x20, 0), 0),  # READ(16) on a tape
        (b"\x83\x1f" + bytes(14), 0, (0x24, 0), 1),
        (b"\x88" + bytes(9), 0, None, 10),  # cut off
    ],
)
def test_what_is_no_command(raw, kind, code, byte):
    with pytest.raises(RemoteScsiError) as caught:
        cdb.decode(raw, kind)
    assert (caught.value.code, caught.value.byte_offset) == (code, byte)
