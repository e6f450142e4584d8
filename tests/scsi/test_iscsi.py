"""iSCSI headers: bytes as RFC 7143 draws them, and back."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi import iscsi
from sbtk.scsi.layout import Bits, Flag, Raw, UInt

KINDS = [
    iscsi.NopOut, iscsi.ScsiCommand, iscsi.TaskManagementRequest, iscsi.LoginRequest,
    iscsi.TextRequest, iscsi.DataOut, iscsi.LogoutRequest, iscsi.SnackRequest, iscsi.NopIn,
    iscsi.ScsiResponse, iscsi.TaskManagementResponse, iscsi.LoginResponse, iscsi.TextResponse,
    iscsi.DataIn, iscsi.LogoutResponse, iscsi.ReadyToTransfer, iscsi.AsyncMessage, iscsi.Reject,
]  # fmt: skip


def values_of(place) -> st.SearchStrategy:
    if isinstance(place, UInt):
        return st.integers(0, (1 << 8 * place.width) - 1)
    if isinstance(place, Bits):
        return st.integers(0, (1 << (place.high - place.low + 1)) - 1)
    if isinstance(place, Flag):
        return st.booleans()
    assert isinstance(place, Raw)
    return st.binary(min_size=place.width, max_size=place.width)


def any_pdu(kind) -> st.SearchStrategy:
    from typing import get_type_hints

    hints = get_type_hints(kind, include_extras=True)
    fields = {item.name: hints[item.name].__metadata__[0] for item in dataclasses.fields(kind)}
    if kind is iscsi.LoginRequest:
        fields.pop("immediate")  # a login request is always immediate (11.12)
        strategies = {name: values_of(place) for name, place in fields.items()}
        return st.builds(kind, immediate=st.just(True), **strategies)
    return st.builds(kind, **{name: values_of(place) for name, place in fields.items()})


@given(st.sampled_from(KINDS).flatmap(any_pdu))
def test_round_trip(pdu):
    header = pdu.encode()
    assert len(header) == iscsi.BHS_BYTES
    assert iscsi.decode(header) == pdu


@given(st.binary(min_size=48, max_size=60))
def test_any_header_decodes_or_is_refused(header):
    try:
        pdu = iscsi.decode(header)
    except RemoteScsiError:
        assert header[0] & 0x3F not in {kind.OPCODE for kind in KINDS}
        return
    assert iscsi.decode(pdu.encode()).data_bytes == int.from_bytes(header[5:8], "big")


def test_a_command_lies_where_the_standard_says():
    pdu = iscsi.ScsiCommand(
        read=True, lun=iscsi.encode_lun(5), initiator_task_tag=0xAABBCCDD, command_sn=7,
        expected_status_sn=9, expected_transfer_bytes=512,
        cdb=bytes.fromhex("28000000001000000100"),
    )  # fmt: skip
    header = pdu.encode()
    sparse = {0: 0x01, 1: 0xC1, 9: 5, 16: 0xAA, 19: 0xDD, 22: 2, 27: 7, 31: 9, 32: 0x28, 37: 0x10}
    for byte, value in enumerate(header):
        assert value == {**sparse, 17: 0xBB, 18: 0xCC, 40: 1}.get(byte, 0), byte


def test_a_status_lies_where_the_standard_says():
    header = iscsi.ScsiResponse(status=2, underflow=True, residual_bytes=0x1234).encode()
    assert (header[0], header[1], header[3], header[46:48]) == (0x21, 0x82, 2, b"\x12\x34")


@pytest.mark.parametrize(("lun", "field"), [(0, 0), (255, 255 << 48), (256, 0x4100 << 48)])
def test_lun_field(lun, field):
    assert iscsi.encode_lun(lun) == field
    assert iscsi.decode_lun(field) == lun


def test_lun_out_of_range():
    with pytest.raises(LocalScsiError):
        iscsi.encode_lun(1 << 14)
    assert iscsi.decode_lun(1) == -1
    assert iscsi.decode_lun(0x0100 << 48) == -1  # a bus number: no peripheral addressing of ours


@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 0x7FFFFFFF))
def test_serial_numbers_wrap(sn, step):
    later = (sn + step) & 0xFFFFFFFF
    assert iscsi.serial_after(later, sn)
    assert not iscsi.serial_after(sn, later)
    assert not iscsi.serial_after(sn, sn)
