"""VPD page 8Fh, Third-Party Copy (SPC-4 7.8.17; xcopy.md 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from sbtk.errors import RemoteScsiError
from sbtk.scsi.cdb_copy import THIRD_PARTY_COPY_IN, THIRD_PARTY_COPY_OUT
from sbtk.scsi.inquiry import THIRD_PARTY_COPY, decode_page, encode_page
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt

BLOCK_ROD_LIMITS = 0x0000
SUPPORTED_COMMANDS = 0x0001
PARAMETER_DATA = 0x0004
SUPPORTED_DESCRIPTORS = 0x0008
SUPPORTED_CSCD_IDS = 0x000C
ROD_TOKEN_FEATURES = 0x0106
SUPPORTED_ROD_TYPES = 0x0108
GENERAL_COPY = 0x8001
STREAM_COPY = 0x9101
HELD_DATA = 0xC001

_HEAD_BYTES = 4  # type and length of every descriptor


@dataclass(frozen=True)
class BlockRodLimits(Layout):
    """0000h Block Device ROD Limits (SPC-4 7.8.17.3)."""

    SIZE_BYTES = 36
    max_ranges: Annotated[int, UInt(10, 2)] = 0
    max_inactivity_timeout_s: Annotated[int, UInt(12, 4)] = 0
    default_inactivity_timeout_s: Annotated[int, UInt(16, 4)] = 0
    max_token_transfer_blocks: Annotated[int, UInt(20, 8)] = 0
    optimal_transfer_blocks: Annotated[int, UInt(28, 8)] = 0


@dataclass(frozen=True)
class ParameterData(Layout):
    """0004h Parameter Data (SPC-4 7.8.17.5)."""

    SIZE_BYTES = 32
    max_cscds: Annotated[int, UInt(8, 2)] = 0
    max_segments: Annotated[int, UInt(10, 2)] = 0
    max_list_bytes: Annotated[int, UInt(12, 4)] = 0
    max_inline_bytes: Annotated[int, UInt(16, 4)] = 0


@dataclass(frozen=True)
class RodTokenFeatures(Layout):
    """0106h ROD Token Features, without device type specific descriptors (SPC-4 7.8.17.8)."""

    SIZE_BYTES = 48
    remote_tokens: Annotated[int, Bits(4, 3, 0)] = 0
    min_lifetime_s: Annotated[int, UInt(16, 4)] = 0
    max_lifetime_s: Annotated[int, UInt(20, 4)] = 0
    max_inactivity_timeout_s: Annotated[int, UInt(24, 4)] = 0


@dataclass(frozen=True)
class RodType(Layout):
    """One descriptor of 0108h Supported ROD Types (SPC-4 7.8.17.9)."""

    SIZE_BYTES = 64
    rod_type: Annotated[int, UInt(0, 4)] = 0
    by_extended_copy: Annotated[bool, Flag(4, 7)] = False
    token_in: Annotated[bool, Flag(4, 1)] = False
    token_out: Annotated[bool, Flag(4, 0)] = False
    preference: Annotated[int, UInt(6, 2)] = 0


@dataclass(frozen=True)
class GeneralCopy(Layout):
    """8001h General Copy Operations (SPC-4 7.8.17.10)."""

    SIZE_BYTES = 36
    total_concurrent: Annotated[int, UInt(4, 4)] = 0
    max_concurrent: Annotated[int, UInt(8, 4)] = 0
    max_segment_bytes: Annotated[int, UInt(12, 4)] = 0
    data_granularity: Annotated[int, UInt(16, 1)] = 0
    inline_granularity: Annotated[int, UInt(17, 1)] = 0


@dataclass(frozen=True)
class StreamCopy(Layout):
    """9101h Stream Copy Operations (SPC-4 7.8.17.11)."""

    SIZE_BYTES = 16
    max_stream_transfer_bytes: Annotated[int, UInt(4, 4)] = 0


@dataclass(frozen=True)
class HeldData(Layout):
    """C001h Held Data (SPC-4 7.8.17.12)."""

    SIZE_BYTES = 32
    held_data_bytes: Annotated[int, UInt(4, 4)] = 0
    held_granularity: Annotated[int, UInt(8, 1)] = 0


@dataclass(frozen=True)
class ThirdPartyCopyPage:
    """The page's descriptors; None or empty where the page has none of a kind.

    Attributes:
        commands: (operation code, service action) pairs, ascending.
        descriptors: segment and CSCD type codes, ascending.
        cscd_ids: CSCD ids above 07FFh that may be used.
        parameters: list limits.
        general: copy limits.
        stream: tape limits.
        held: held-data limits.
        rod_limits: limits of ROD tokens.
        rod_features: features of ROD tokens.
        rod_types: ROD types.
    """

    commands: tuple[tuple[int, int], ...] = ()
    descriptors: tuple[int, ...] = ()
    cscd_ids: tuple[int, ...] = ()
    parameters: ParameterData | None = None
    general: GeneralCopy | None = None
    stream: StreamCopy | None = None
    held: HeldData | None = None
    rod_limits: BlockRodLimits | None = None
    rod_features: RodTokenFeatures | None = None
    rod_types: tuple[RodType, ...] = ()

    def encode(self, device_type: int = 0) -> bytes:
        """The page with its header; descriptors in ascending order of type."""
        parts: list[tuple[int, bytes]] = [
            (SUPPORTED_COMMANDS, _encode_commands(self.commands)),
            (SUPPORTED_DESCRIPTORS, _with_length(bytes(sorted(self.descriptors)), 1)),
        ]
        if self.cscd_ids:
            ids = b"".join(item.to_bytes(2, "big") for item in sorted(self.cscd_ids))
            parts.append((SUPPORTED_CSCD_IDS, _with_length(ids, 2)))
        if self.rod_types:
            body = b"".join(item.encode() for item in self.rod_types)
            parts.append((SUPPORTED_ROD_TYPES, bytes(2) + len(body).to_bytes(2, "big") + body))
        for code, (name, _) in _FIXED.items():
            value: Layout | None = getattr(self, name)
            if value is not None:
                parts.append((code, value.encode()[_HEAD_BYTES:]))
        return encode_page(
            THIRD_PARTY_COPY,
            b"".join(_descriptor(code, body) for code, body in sorted(parts)),
            device_type,
        )

    @classmethod
    def decode(cls, data: ByteView) -> ThirdPartyCopyPage:
        """The page; descriptors of kinds that are not listed here are left out.

        Raises:
            RemoteScsiError: another page, or a descriptor ends behind the page.
        """
        body = decode_page(data, THIRD_PARTY_COPY)
        values: dict[str, Any] = {}
        position = 0
        while position + _HEAD_BYTES <= len(body):
            code = int.from_bytes(body[position : position + 2], "big")
            end = position + _HEAD_BYTES + int.from_bytes(body[position + 2 : position + 4], "big")
            if end > len(body):
                raise RemoteScsiError(
                    f"copy descriptor {code:04X}h ends behind its page",
                    byte_offset=4 + position + 2,
                )
            item = body[position:end]
            if code in _FIXED:
                name, kind = _FIXED[code]
                values[name] = kind.decode(item, 4 + position)
            elif code in _LISTS:
                name, decode = _LISTS[code]
                values[name] = decode(item)
            position = end
        return cls(**values)


def _descriptor(code: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return code.to_bytes(2, "big") + len(padded).to_bytes(2, "big") + padded


def _with_length(body: bytes, width: int) -> bytes:
    return len(body).to_bytes(width, "big") + body


def _encode_commands(commands: tuple[tuple[int, int], ...]) -> bytes:
    body = b""
    for opcode in (THIRD_PARTY_COPY_OUT, THIRD_PARTY_COPY_IN):
        actions = bytes(sorted(action for code, action in commands if code == opcode))
        if actions:
            body += bytes([opcode, len(actions)]) + actions
    return _with_length(body, 1)


def _decode_commands(item: bytes) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    position, end = 5, min(len(item), 5 + _first(item, 4))
    while position + 2 <= end:
        opcode, count = item[position], item[position + 1]
        actions = item[position + 2 : min(end, position + 2 + count)]
        found.extend((opcode, action) for action in actions)
        position += 2 + count
    return tuple(found)


def _decode_codes(item: bytes) -> tuple[int, ...]:
    return tuple(item[5 : 5 + _first(item, 4)])


def _decode_ids(item: bytes) -> tuple[int, ...]:
    body = item[6 : 6 + int.from_bytes(item[4:6], "big")]
    whole = len(body) // 2 * 2
    return tuple(int.from_bytes(body[at : at + 2], "big") for at in range(0, whole, 2))


def _decode_rod_types(item: bytes) -> tuple[RodType, ...]:
    body = item[8 : 8 + int.from_bytes(item[6:8], "big")]
    whole = len(body) // RodType.SIZE_BYTES * RodType.SIZE_BYTES
    return tuple(RodType.decode(body[at:]) for at in range(0, whole, RodType.SIZE_BYTES))


def _first(item: bytes, position: int) -> int:
    return item[position] if len(item) > position else 0


_FIXED: dict[int, tuple[str, type[Layout]]] = {
    BLOCK_ROD_LIMITS: ("rod_limits", BlockRodLimits),
    PARAMETER_DATA: ("parameters", ParameterData),
    ROD_TOKEN_FEATURES: ("rod_features", RodTokenFeatures),
    GENERAL_COPY: ("general", GeneralCopy),
    STREAM_COPY: ("stream", StreamCopy),
    HELD_DATA: ("held", HeldData),
}
_LISTS: dict[int, tuple[str, Callable[[bytes], tuple[Any, ...]]]] = {
    SUPPORTED_COMMANDS: ("commands", _decode_commands),
    SUPPORTED_DESCRIPTORS: ("descriptors", _decode_codes),
    SUPPORTED_CSCD_IDS: ("cscd_ids", _decode_ids),
    SUPPORTED_ROD_TYPES: ("rod_types", _decode_rod_types),
}
