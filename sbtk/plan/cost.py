"""What a plan costs: commands, segments, bytes and, from a calibration, seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from sbtk.errors import PlanError, SbtkError
from sbtk.plan import batch
from sbtk.plan import layout as layouts
from sbtk.plan.encode import descriptor_bytes
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    BLOCK_OFFSET_TO_STREAM,
    COPY,
    HOST,
    LOCATE,
    MOVING_TYPES,
    STREAM_DISCARD,
    Plan,
    base_type,
)
from sbtk.scsi.limits import Limits

LID4_HEADER_BYTES, LID1_HEADER_BYTES = 48, 16


@dataclass(frozen=True)
class Calibration:
    """What one device needs for each kind of work; the job measures it and keeps it.

    Attributes:
        command_s: seconds a command list, status queries included.
        segment_s: seconds a segment, without its bytes.
        byte_s: seconds a byte that the mover moves.
        host_command_s: seconds an ordinary command of the host.
        host_byte_s: seconds a byte that the host sends or reads.
        locate_s: seconds a LOCATE.
        digest_byte_s: seconds a byte that a digest adds.
    """

    command_s: float = 0.5e-3
    segment_s: float = 10e-6
    byte_s: float = 1 / 400e6
    host_command_s: float = 0.3e-3
    host_byte_s: float = 1 / 100e6
    locate_s: float = 0.05
    digest_byte_s: float = 1 / 2e9

    def to_json(self) -> str:
        """The values as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read what ``to_json`` wrote.

        Raises:
            PlanError: something else.
        """
        try:
            values = json.loads(text)
            known = {item.name for item in fields(cls)}
            made = cls(**{key: float(value) for key, value in values.items() if key in known})
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise PlanError(f"the calibration cannot be read: {error}") from error
        if not all(0 <= value < 1e6 for value in asdict(made).values()):
            raise PlanError("the calibration holds times that make no sense")
        return made


@dataclass(frozen=True)
class Cost:
    """A plan in numbers.

    Attributes:
        commands: EXTENDED COPY lists.
        host_commands: ordinary writes of the host, one a run of bytes.
        segments: segment descriptors in the lists.
        moved_bytes: bytes that the mover moves.
        discarded_bytes: bytes that it reads and drops, to get to what is wanted.
        inline_bytes: bytes that the host sends inside lists or writes itself.
        fetched_bytes: file data among them, that the host has to read first.
        list_bytes: bytes of the parameter lists, inline and embedded data included.
        records: tape records.
        seconds: predicted, nothing overlapping.
    """

    commands: int
    host_commands: int
    segments: int
    moved_bytes: int
    discarded_bytes: int
    inline_bytes: int
    fetched_bytes: int
    list_bytes: int
    records: int
    seconds: float


def price(plan: Plan, calibration: Calibration = Calibration()) -> Cost:
    """What the plan costs."""
    segments, commands = plan.segments, plan.commands
    base = base_type(segments.type_code)
    by_host = np.repeat(commands.kind, np.diff(commands.first_segment)) == HOST
    length = segments.length_bytes
    moving = np.isin(base, MOVING_TYPES) | ((base == STREAM_DISCARD) & (segments.type_code != base))
    moved = int(length[moving & ~by_host].sum())
    host_moved = int(length[moving & by_host].sum())
    discarded = int(length[(base == STREAM_DISCARD) & (segments.type_code == base)].sum())
    copies = int((commands.kind == COPY).sum())
    header = LID4_HEADER_BYTES if plan.lid4 else LID1_HEADER_BYTES
    sent = descriptor_bytes(segments.type_code, length)
    list_bytes = copies * (header + batch.CSCD_LIST_BYTES) + int(sent[~by_host].sum())
    list_bytes += int(length[(base == 0x04) & ~by_host].sum())
    host_commands = int(by_host.sum())
    counted = int((~by_host).sum())
    digested = moved if plan.digests else 0
    seconds = (
        copies * calibration.command_s
        + counted * calibration.segment_s
        + (moved + discarded) * calibration.byte_s
        + digested * calibration.digest_byte_s
        + host_commands * calibration.host_command_s
        + (plan.inline_bytes + host_moved) * calibration.host_byte_s
        + int((base == LOCATE).sum()) * calibration.locate_s
    )
    return Cost(
        commands=copies,
        host_commands=host_commands,
        segments=counted,
        moved_bytes=moved,
        discarded_bytes=discarded,
        inline_bytes=plan.inline_bytes,
        fetched_bytes=plan.fetches.total_bytes + host_moved,
        list_bytes=list_bytes,
        records=_records(plan),
        seconds=seconds,
    )


def _records(plan: Plan) -> int:
    if plan.target.medium != "tape" or plan.kind != "backup":
        return 0
    first = plan.commands.first_segment[:-1]
    total = np.add.reduceat(plan.segments.length_bytes, first) if first.size else first
    return int((total // plan.segments.transfer_bytes[first]).sum())


@dataclass(frozen=True)
class WhatIf:
    """The plan under another limit.

    Attributes:
        limit: name of the limit.
        value: its other value.
        cost: what the plan costs then.
    """

    limit: str
    value: int
    cost: Cost


def with_limits(plan: Plan, limits: Limits) -> Plan:
    """The same archive in command lists for other limits (a backup).

    Raises:
        PlanError: it cannot be planned under them.
    """
    geometry, target = plan.geometry, plan.target
    tape = target.medium == "tape"
    unit = layouts.unit_bytes(geometry, target, 1 << limits.data_granularity)
    limit = batch.rules(
        limits,
        block_bytes=geometry.block_bytes,
        unit_bytes=unit,
        part_type=BLOCK_OFFSET_TO_STREAM if tape else BLOCK_OFFSET_TO_BLOCK,
        lid4=plan.lid4,
        digests=plan.digests,
    )
    pack = batch.to_tape if tape else batch.to_disk
    segments, commands, fetches = pack(plan.pieces, plan.inline.size, target, limit)
    return replace(
        plan, limits=limits, segments=segments, commands=commands, fetches=fetches, owners=None
    )


def what_if(plan: Plan, calibration: Calibration = Calibration()) -> list[WhatIf]:
    """What each limit costs: the plan with one limit at a time at other values.

    Values under which it cannot be planned are left out. Of a restore or verify: none.
    """
    if plan.kind != "backup":
        return []
    own = plan.limits
    tries: list[tuple[str, int, dict[str, Any]]] = []
    for count in (1, 8, 64, 1000, 4096):
        if count != own.max_segments:
            room = max(own.max_list_bytes, batch.CSCD_LIST_BYTES + 32 * count)
            held = max(own.held_data_bytes, 32 * count if plan.digests else 0)
            values: dict[str, Any] = {
                "max_segments": count,
                "max_list_bytes": room,
                "held_data_bytes": held,
            }
            tries.append(("max_segments", count, values))
    for size in (1 << 20, 16 << 20, 256 << 20):
        if size != own.max_segment_bytes:
            tries.append(("max_segment_bytes", size, {"max_segment_bytes": size}))
    if plan.target.medium == "tape":
        for size in (1024, 65536):
            if size != own.max_inline_bytes:
                tries.append(("max_inline_bytes", size, {"max_inline_bytes": size}))
    found = []
    for name, value, values in tries:
        try:
            cost = price(with_limits(plan, replace(own, **values)), calibration)
        except SbtkError:
            continue
        found.append(WhatIf(name, value, cost))
    return found
