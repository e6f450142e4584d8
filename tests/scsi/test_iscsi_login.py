"""The two sides of a login, against each other and against transcripts of the standard's rules."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.errors import RemoteScsiError, TransportError
from sbtk.scsi import iscsi, iscsi_text
from sbtk.scsi.iscsi_login import (
    AUTHENTICATION_FAILED,
    INITIATOR_ERROR,
    MISSING_PARAMETER,
    TARGET_NOT_FOUND,
    Access,
    Chap,
    InitiatorLogin,
    TargetLogin,
)  # fmt: skip
from sbtk.scsi.iscsi_text import Parameters, decode_pairs, encode_pairs

USER = Chap("alice", "a secret of 16 b")
TARGET = Chap("array", "another secret16")


def randomness(seed=1):
    counter = itertools.count(seed)
    return lambda count: hashlib.sha256(bytes([next(counter)])).digest()[:count]


def log_in(access: Access | None, *, target_name="iqn.x:t", own=None, theirs=None, **initiator):
    """Run both sides to the end; returns them. Raises what the initiator raises."""
    target = TargetLogin(lambda _i, _t: access, own or Parameters(), randomness())
    client = InitiatorLogin(
        initiator="iqn.x:i", target=target_name, own=theirs or Parameters(), isid=1,
        random_bytes=randomness(100), **initiator,
    )  # fmt: skip
    step = client.first()
    for _ in range(20):
        response, text = target.receive(*step)
        step = client.receive(response, text)
        if step is None:
            return client, target
    raise AssertionError("the login does not end")


def test_plain_login():
    client, target = log_in(Access())
    assert client.complete
    assert target.complete
    assert (target.initiator, target.target, target.discovery) == ("iqn.x:i", "iqn.x:t", False)


def test_discovery():
    _, target = log_in(Access(), target_name="")
    assert target.discovery


@pytest.mark.parametrize("mutual", [None, TARGET])
def test_chap(mutual):
    access = Access(incoming=USER, outgoing=TARGET)
    client, target = log_in(access, chap=USER, mutual=mutual)
    assert client.complete
    assert target.complete


@pytest.mark.parametrize(
    ("access", "chap", "mutual"),
    [
        (Access(incoming=USER), None, None),
        (Access(incoming=USER), Chap("alice", "wrong"), None),
        (Access(incoming=USER), Chap("bob", USER.secret), None),
        (Access(incoming=USER), USER, TARGET),  # the target cannot prove itself
        (Access(incoming=USER, outgoing=Chap("array", "wrong")), USER, TARGET),
        (Access(), USER, TARGET),  # the target would skip security altogether
    ],
)
def test_chap_refused(access, chap, mutual):
    with pytest.raises(TransportError):
        log_in(access, chap=chap, mutual=mutual)


def test_chap_response_is_rfc_1994():
    challenge = bytes(range(16))
    expected = hashlib.md5(b"\x07" + USER.secret.encode() + challenge).digest()
    assert USER.response("5", 7, challenge) == expected
    assert "secret" not in repr(USER)


def test_no_such_target():
    with pytest.raises(TransportError, match="no target of this name"):
        log_in(None)


def request(pairs, **fields) -> tuple[iscsi.LoginRequest, bytes]:
    defaults = {"transit": True, "current_stage": 1, "next_stage": 3, "initiator_task_tag": 0}
    return iscsi.LoginRequest(**(defaults | fields)), encode_pairs(pairs)


NAMES = {"InitiatorName": "iqn.x:i", "TargetName": "iqn.x:t"}


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (request({"InitiatorName": "iqn.x:i"}), MISSING_PARAMETER),
        (request({"TargetName": "iqn.x:t"}), MISSING_PARAMETER),
        (request(NAMES, current_stage=2), INITIATOR_ERROR),
        (request(NAMES, next_stage=1), INITIATOR_ERROR),
        (request(NAMES, next_stage=2), INITIATOR_ERROR),
        (request(NAMES, more=True), INITIATOR_ERROR),
        (request(NAMES, version_min=1, version_max=1), (2, 5)),
        (request({**NAMES, "MaxBurstLength": "lots"}), INITIATOR_ERROR),
        (request({**NAMES, "MaxBurstLength": "511"}), INITIATOR_ERROR),
        (request({**NAMES, "ImmediateData": "Maybe"}), INITIATOR_ERROR),
        (request({**NAMES, "CHAP_R": "0x00"}), INITIATOR_ERROR),
        ((iscsi.LoginRequest(transit=True, current_stage=1, next_stage=3), b"\xff\xfe\0"), (2, 0)),
        ((iscsi.LoginRequest(transit=True, current_stage=1, next_stage=3), b"nothing\0"), (2, 0)),
    ],
)
def test_a_bad_first_request_is_refused(step, status):
    target = TargetLogin(lambda _i, _t: Access(), Parameters(), randomness())
    response, text = target.receive(*step)
    assert (response.status_class, response.status_detail) == status
    assert not target.complete
    assert text == b""


def test_security_cannot_be_passed_over():
    target = TargetLogin(lambda _i, _t: Access(incoming=USER), Parameters(), randomness())
    response, _ = target.receive(*request(NAMES))
    assert (response.status_class, response.status_detail) == AUTHENTICATION_FAILED


def test_an_unknown_initiator_learns_nothing_of_targets():
    target = TargetLogin(lambda _i, _t: None, Parameters(), randomness())
    response, _ = target.receive(*request(NAMES))
    assert (response.status_class, response.status_detail) == TARGET_NOT_FOUND


def test_reflected_challenge_is_refused():
    """12.1.3: an initiator that sends our own challenge back must not get its answer from us."""
    access = Access(incoming=USER, outgoing=USER)
    target = TargetLogin(lambda _i, _t: access, Parameters(), randomness())
    first = request({**NAMES, "AuthMethod": "CHAP"}, current_stage=0, transit=False, next_stage=0)
    target.receive(*first)
    _, text = target.receive(
        *request({"CHAP_A": "5"}, current_stage=0, transit=False, next_stage=0)
    )
    offered = dict(decode_pairs(text))
    challenge = iscsi_text.binary(offered["CHAP_C"])
    proof = USER.response("5", int(offered["CHAP_I"]), challenge)
    pairs = {
        "CHAP_N": "alice", "CHAP_R": f"0x{proof.hex()}", "CHAP_I": "1", "CHAP_C": offered["CHAP_C"],
    }  # fmt: skip
    response, text = target.receive(*request(pairs, current_stage=0, next_stage=1))
    assert (response.status_class, response.status_detail) == AUTHENTICATION_FAILED
    assert text == b""


def test_text_over_several_requests():
    target = TargetLogin(lambda _i, _t: Access(), Parameters(), randomness())
    whole = encode_pairs(NAMES)
    response, text = target.receive(iscsi.LoginRequest(more=True, current_stage=1), whole[:20])
    assert (response.status_class, response.transit, text) == (0, False, b"")
    response, _ = target.receive(
        iscsi.LoginRequest(transit=True, current_stage=1, next_stage=3), whole[20:]
    )
    assert response.transit
    assert target.complete


def test_a_login_that_never_ends_is_ended():
    target = TargetLogin(lambda _i, _t: Access(), Parameters(), randomness())
    for _ in range(200):
        response, _ = target.receive(iscsi.LoginRequest(more=True, current_stage=1), b"x" * 1000)
        if response.status_class:
            break
    assert (response.status_class, response.status_detail) == INITIATOR_ERROR


sizes = st.integers(512, (1 << 24) - 1)
parameters = st.builds(
    Parameters, header_digest=st.booleans(), data_digest=st.booleans(), max_receive_bytes=sizes,
    initial_r2t=st.booleans(), immediate_data=st.booleans(), max_burst_bytes=sizes,
    first_burst_bytes=sizes, max_outstanding_r2t=st.integers(1, 8),
)  # fmt: skip


@given(parameters, parameters)
def test_both_sides_agree(ours, theirs):
    client, target = log_in(Access(), own=ours, theirs=theirs)
    a, b = client.parameters, target.parameters
    assert (a.max_send_bytes, b.max_send_bytes) == (
        ours.max_receive_bytes,
        theirs.max_receive_bytes,
    )
    for name in ("header_digest", "data_digest", "initial_r2t", "immediate_data",
                 "max_burst_bytes", "first_burst_bytes", "max_outstanding_r2t"):  # fmt: skip
        assert getattr(a, name) == getattr(b, name), name
    assert a.initial_r2t == (ours.initial_r2t or theirs.initial_r2t)
    assert a.immediate_data == (ours.immediate_data and theirs.immediate_data)
    assert a.max_burst_bytes == min(ours.max_burst_bytes, theirs.max_burst_bytes)


@given(st.binary(max_size=300))
def test_any_text_decodes_or_is_refused(data):
    try:
        pairs = decode_pairs(data)
    except RemoteScsiError:
        return
    assert decode_pairs(encode_pairs(pairs)) == pairs


def test_unknown_and_repeated_keys():
    assert iscsi_text.answer("X-new", "1", Parameters())[0] == iscsi_text.NOT_UNDERSTOOD
    target = TargetLogin(lambda _i, _t: Access(), Parameters(), randomness())
    step = request({**NAMES, "ImmediateData": "Yes"}, transit=False, next_stage=0)
    target.receive(*step)
    response, _ = target.receive(*request({"ImmediateData": "Yes"}))
    assert (response.status_class, response.status_detail) == INITIATOR_ERROR
