"""iSCSI text keys and what two sides agree on (RFC 7143 clauses 6 and 13). No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sbtk.errors import RemoteScsiError

MAX_TEXT_BYTES = 64 * 1024  # of one exchange, over all its PDUs; far above what any login needs
MAX_KEY_CHARACTERS = 63  # 6.1
NOT_UNDERSTOOD, IRRELEVANT, REJECT_VALUE = "NotUnderstood", "Irrelevant", "Reject"

_MAX_24 = (1 << 24) - 1


@dataclass(frozen=True)
class Parameters:
    """What one connection runs under; the defaults are those of clause 13.

    Attributes:
        header_digest: CRC32C behind every header.
        data_digest: CRC32C behind every data segment.
        max_receive_bytes: longest data segment that this side takes.
        max_send_bytes: longest data segment that the other side takes.
        initial_r2t: no data beyond the immediate ones is sent unasked.
        immediate_data: data may travel with the command.
        max_burst_bytes: longest sequence of Data-In or solicited Data-Out.
        first_burst_bytes: most unsolicited data of a command, immediate ones counted.
        max_outstanding_r2t: R2Ts under way for one task.
    """

    header_digest: bool = False
    data_digest: bool = False
    max_receive_bytes: int = 8192
    max_send_bytes: int = 8192
    initial_r2t: bool = True
    immediate_data: bool = True
    max_burst_bytes: int = 262144
    first_burst_bytes: int = 65536
    max_outstanding_r2t: int = 1


def encode_pairs(pairs: Mapping[str, str] | list[tuple[str, str]]) -> bytes:
    """``key=value`` pairs, each ended by a zero byte."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return b"".join(f"{key}={value}\0".encode() for key, value in items)


def decode_pairs(text: bytes) -> list[tuple[str, str]]:
    """The pairs of one whole exchange, in their order.

    Raises:
        RemoteScsiError: no ``=``, no key, a key or text that is too long, or bytes that are no
            UTF-8.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise RemoteScsiError(f"{len(text)} bytes of iSCSI text, {MAX_TEXT_BYTES} are the most")
    pairs = []
    for item in text.split(b"\0"):
        if not item:
            continue
        try:
            key, separator, value = item.decode().partition("=")
        except UnicodeDecodeError as error:
            raise RemoteScsiError("iSCSI text that is no UTF-8") from error
        if not separator or not 0 < len(key) <= MAX_KEY_CHARACTERS:
            raise RemoteScsiError(f"iSCSI text without a key: {item[:40]!r}")
        pairs.append((key, value))
    return pairs


def number(value: str, low: int = 0, high: int = _MAX_24) -> int:
    """A decimal or 0x constant within its range (6.1).

    Raises:
        RemoteScsiError: it is none, or outside.
    """
    try:
        found = int(value, 16 if value[:2].lower() == "0x" else 10)
    except ValueError as error:
        raise RemoteScsiError(f"iSCSI text: {value[:40]!r} is no number") from error
    if not low <= found <= high:
        raise RemoteScsiError(f"iSCSI text: {found} is not in {low}-{high}")
    return found


def binary(value: str) -> bytes:
    """A 0x or 0b (base64) binary value (6.1).

    Raises:
        RemoteScsiError: it is neither.
    """
    import base64
    import binascii

    try:
        if value[:2].lower() == "0x":
            digits = value[2:]
            return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")
        if value[:2].lower() == "0b":
            return base64.b64decode(value[2:], validate=True)
    except (ValueError, binascii.Error) as error:
        raise RemoteScsiError("iSCSI text: a binary value that does not decode") from error
    raise RemoteScsiError("iSCSI text: a binary value starts with 0x or 0b")


def _yes(value: str) -> bool:
    if value not in ("Yes", "No"):
        raise RemoteScsiError(f"iSCSI text: {value[:40]!r} is neither Yes nor No")
    return value == "Yes"


def _no_yes(value: bool) -> str:
    return "Yes" if value else "No"


_Answer = tuple[str, Parameters]
_Rule = Callable[[str, Parameters], _Answer]


def _digest(field: str) -> _Rule:
    def rule(value: str, own: Parameters) -> _Answer:
        # The offering side's order decides (6.2.1); both values are supported.
        supported = [item for item in value.split(",") if item in ("CRC32C", "None")]
        if not supported:
            return REJECT_VALUE, own
        return supported[0], replace(own, **{field: supported[0] == "CRC32C"})

    return rule


def _combine(field: str, join: Callable[[bool, bool], bool]) -> _Rule:
    def rule(value: str, own: Parameters) -> _Answer:
        result = join(_yes(value), getattr(own, field))
        return _no_yes(result), replace(own, **{field: result})

    return rule


def _least(field: str, low: int, high: int) -> _Rule:
    def rule(value: str, own: Parameters) -> _Answer:
        result = min(number(value, low, high), getattr(own, field))
        return str(result), replace(own, **{field: result})

    return rule


def _fixed(result: str, check: Callable[[str], object]) -> _Rule:
    def rule(value: str, own: Parameters) -> _Answer:
        check(value)
        return result, own

    return rule


def _receive(value: str, own: Parameters) -> _Answer:
    # Declared, not negotiated: theirs is what we may send, ours is the answer (13.12).
    limit = number(value, 512)
    return str(own.max_receive_bytes), replace(own, max_send_bytes=limit)


_RULES: dict[str, _Rule] = {
    "HeaderDigest": _digest("header_digest"),  # 13.1
    "DataDigest": _digest("data_digest"),
    "MaxConnections": _fixed("1", lambda value: number(value, 1, 65535)),  # 13.2
    "InitialR2T": _combine("initial_r2t", lambda theirs, ours: theirs or ours),  # 13.10
    "ImmediateData": _combine("immediate_data", lambda theirs, ours: theirs and ours),  # 13.11
    "MaxRecvDataSegmentLength": _receive,  # 13.12
    "MaxBurstLength": _least("max_burst_bytes", 512, _MAX_24),  # 13.13
    "FirstBurstLength": _least("first_burst_bytes", 512, _MAX_24),  # 13.14
    "DefaultTime2Wait": _fixed("2", lambda value: number(value, 0, 3600)),  # 13.15
    "DefaultTime2Retain": _fixed("0", lambda value: number(value, 0, 3600)),  # 13.16
    "MaxOutstandingR2T": _least("max_outstanding_r2t", 1, 65535),  # 13.17
    "DataPDUInOrder": _fixed("Yes", _yes),  # 13.18
    "DataSequenceInOrder": _fixed("Yes", _yes),  # 13.19
    "ErrorRecoveryLevel": _fixed("0", lambda value: number(value, 0, 2)),  # 13.20
    "IFMarker": _fixed("No", _yes),  # obsolete since RFC 7143 13.22
    "OFMarker": _fixed("No", _yes),
    "IFMarkInt": lambda _value, own: (IRRELEVANT, own),
    "OFMarkInt": lambda _value, own: (IRRELEVANT, own),
    "iSCSIProtocolLevel": _fixed("1", lambda value: number(value, 0, 31)),  # 13.24
    "TaskReporting": lambda _value, own: ("RFC3720", own),  # 13.23
}


def answer(key: str, value: str, own: Parameters) -> _Answer:
    """What a target answers to one offered key, and what holds from then on.

    Raises:
        RemoteScsiError: the value is not of the key's kind.
    """
    rule = _RULES.get(key)
    return rule(value, own) if rule else (NOT_UNDERSTOOD, own)


def offer(own: Parameters) -> list[tuple[str, str]]:
    """What an initiator offers at the start of the operational stage."""
    digest = {True: "CRC32C,None", False: "None,CRC32C"}
    return [
        ("HeaderDigest", digest[own.header_digest]),
        ("DataDigest", digest[own.data_digest]),
        ("MaxConnections", "1"),
        ("InitialR2T", _no_yes(own.initial_r2t)),
        ("ImmediateData", _no_yes(own.immediate_data)),
        ("MaxRecvDataSegmentLength", str(own.max_receive_bytes)),
        ("MaxBurstLength", str(own.max_burst_bytes)),
        ("FirstBurstLength", str(own.first_burst_bytes)),
        ("DefaultTime2Wait", "2"),
        ("DefaultTime2Retain", "0"),
        ("MaxOutstandingR2T", str(own.max_outstanding_r2t)),
        ("DataPDUInOrder", "Yes"),
        ("DataSequenceInOrder", "Yes"),
        ("ErrorRecoveryLevel", "0"),
    ]


def accept(key: str, value: str, own: Parameters) -> Parameters:
    """Take a target's answer to what ``offer`` offered.

    Raises:
        RemoteScsiError: the answer is not one that the offer allows.
    """
    if value in (NOT_UNDERSTOOD, IRRELEVANT, REJECT_VALUE):
        return own
    return _RULES[key](value, own)[1] if key in _RULES else own
