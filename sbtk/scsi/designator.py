"""Designators: the names by which a logical unit is known to everybody (SPC-4 7.8.6; VPD page 83h).

An EXTENDED COPY names its source and destination by designator, not by LUN: a copy manager's own
LUN numbers mean nothing to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt

BINARY, ASCII, UTF8 = 1, 2, 3
LOGICAL_UNIT, TARGET_PORT, TARGET_DEVICE = 0, 1, 2
VENDOR, T10_VENDOR, EUI64, NAA, RELATIVE_PORT, PORT_GROUP, LU_GROUP, MD5, SCSI_NAME = range(9)

MAX_CSCD_DESIGNATOR_BYTES = 20  # SPC-4 6.4.5.6 table 140: bytes 8-27 of an E4h descriptor

# sbtk has no IEEE company identifier: the locally administered bit says that nobody assigned it.
_LOCAL_COMPANY_ID = 0x025B7B


@dataclass(frozen=True)
class _Header(Layout):
    """Designation descriptor header (SPC-4 7.8.6.1 table 589)."""

    SIZE_BYTES = 4
    protocol: Annotated[int, Bits(0, 7, 4)]
    code_set: Annotated[int, Bits(0, 3, 0)]
    piv: Annotated[bool, Flag(1, 7)]
    association: Annotated[int, Bits(1, 5, 4)]
    kind: Annotated[int, Bits(1, 3, 0)]
    length: Annotated[int, UInt(3, 1)]


@dataclass(frozen=True)
class Designator:
    """One designation descriptor.

    Attributes:
        identifier: the name itself, at most 255 bytes.
        kind: DESIGNATOR TYPE, 3 is NAA.
        code_set: 1 binary, 2 ASCII, 3 UTF-8.
        association: 0 logical unit, 1 target port, 2 target device.
        protocol: PROTOCOL IDENTIFIER, only where ``piv``.
        piv: PROTOCOL IDENTIFIER VALID.
    """

    identifier: bytes
    kind: int = NAA
    code_set: int = BINARY
    association: int = LOGICAL_UNIT
    protocol: int = 0
    piv: bool = False

    def encode(self) -> bytes:
        """Header and identifier.

        Raises:
            LocalScsiError: the identifier is longer than 255 bytes, or a field does not fit.
        """
        head = _Header(
            self.protocol,
            self.code_set,
            self.piv,
            self.association,
            self.kind,
            len(self.identifier),
        )
        return head.encode() + self.identifier


def decode_list(data: ByteView) -> tuple[Designator, ...]:
    """All designation descriptors of a list, as in VPD page 83h behind its header.

    Raises:
        RemoteScsiError: a descriptor ends behind the list.
    """
    found: list[Designator] = []
    position = 0
    while position < len(data):
        head = _Header.decode(data[position:], position)
        end = position + _Header.SIZE_BYTES + head.length
        if end > len(data):
            raise RemoteScsiError(
                f"a designator of {head.length} bytes ends behind its page",
                byte_offset=position + _Header.byte_of("length"),
            )
        found.append(
            Designator(
                bytes(data[position + _Header.SIZE_BYTES : end]),
                head.kind,
                head.code_set,
                head.association,
                head.protocol,
                head.piv,
            )
        )
        position = end
    return tuple(found)


def best_for_cscd(designators: Sequence[Designator]) -> Designator:
    """The logical unit's designator to name it by in an E4h descriptor.

    NAA before EUI-64, T10 vendor and vendor-specific, at most 20 bytes: the order of sg_xcopy,
    ddpt and libiscsi (xcopy.md 3.1).

    Raises:
        LocalScsiError: none of them will do.
    """
    order = (NAA, EUI64, T10_VENDOR, VENDOR)
    fitting = [
        item
        for item in designators
        if item.association == LOGICAL_UNIT
        and item.kind in order
        and 0 < len(item.identifier) <= MAX_CSCD_DESIGNATOR_BYTES
    ]
    if not fitting:
        raise LocalScsiError(
            "the logical unit has no designator that EXTENDED COPY can name it by",
            hint="It needs an NAA, EUI-64 or T10 designator of at most 20 bytes",
        )
    return min(fitting, key=lambda item: order.index(item.kind))


def naa6(seed: bytes) -> bytes:
    """A 16-byte NAA 6h name made from ``seed``: equal seeds give equal names (SPC-4 7.8.6.6.5)."""
    digest = hashlib.blake2s(seed, digest_size=13).digest()
    vendor = int.from_bytes(digest, "big") >> 4
    return (0x6 << 124 | _LOCAL_COMPANY_ID << 100 | vendor).to_bytes(16, "big")
