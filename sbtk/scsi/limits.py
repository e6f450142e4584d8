"""What a copy manager can do: the values a plan is cut to, and the profiles of known managers.

``Limits`` holds both what RECEIVE COPY OPERATING PARAMETERS says and what VPD page 8Fh adds. The
planner reads it, our own mover obeys it; neither asks a device here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sbtk.errors import UsageError
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import copy_vpd as vpd
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.copy_results import OperatingParameters
from sbtk.scsi.cscd import CSCDS, IDENTIFICATION, RECEIVING_UNIT_ID
from sbtk.scsi.segments import DIGEST_BASE, is_digest
from sbtk.scsi.xcopy import USAGE_MAY_DROP, USAGE_NO_ID, USAGE_RETAIN
from sbtk.units import format_bytes

Command = type[Cdb]

_RETRIEVE: tuple[Command, ...] = (
    c.ReceiveCopyStatusLid1,
    c.ReceiveCopyFailureDetailsLid1,
)
_ALL: tuple[Command, ...] = (
    c.ExtendedCopyLid1,
    c.ExtendedCopyLid4,
    c.CopyOperationAbort,
    *_RETRIEVE,
    c.ReceiveCopyDataLid1,
    c.ReceiveCopyOperatingParameters,
    c.ReceiveCopyStatusLid4,
    c.ReceiveCopyDataLid4,
)


def _pairs(*commands: Command) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((item.OPCODE, item.SERVICE_ACTION or 0) for item in commands))


@dataclass(frozen=True)
class Limits:
    """A copy manager's limits.

    Attributes:
        name: of the profile, or of the device that was asked.
        max_cscds: CSCD descriptors a list.
        max_segments: segment descriptors a list.
        max_list_bytes: CSCD and segment descriptors together.
        max_segment_bytes: bytes written by one segment, 0 no limit.
        max_inline_bytes: inline data a list.
        held_data_bytes: held data that is kept, 0 none.
        max_stream_transfer_bytes: one record, 0 no tapes.
        total_concurrent: copies at a time, those without a list id included.
        max_concurrent: copies at a time with a list id.
        data_granularity: log2 of bytes that a segment's count is a multiple of.
        inline_granularity: the same for inline and embedded data.
        held_granularity: the same for held data.
        types: segment and CSCD type codes that are implemented, ascending.
        commands: (operation code, service action) of the third-party copy commands it has.
        usages: values of LIST ID USAGE it accepts.
        cscd_ids: ids above 07FFh it accepts.
    """

    name: str = "spc"
    max_cscds: int = 64
    max_segments: int = 4096
    max_list_bytes: int = 256 * 1024
    max_segment_bytes: int = 0
    max_inline_bytes: int = 8 << 20
    held_data_bytes: int = 1 << 20
    max_stream_transfer_bytes: int = (1 << 24) - 1
    total_concurrent: int = 16
    max_concurrent: int = 16
    data_granularity: int = 0
    inline_granularity: int = 0
    held_granularity: int = 0
    types: tuple[int, ...] = ()
    commands: tuple[tuple[int, int], ...] = _pairs(*_ALL)
    usages: tuple[int, ...] = (USAGE_RETAIN, USAGE_MAY_DROP, USAGE_NO_ID)
    cscd_ids: tuple[int, ...] = (RECEIVING_UNIT_ID,)

    def supports(self, type_code: int) -> bool:
        """Whether a segment or CSCD type is implemented."""
        return type_code in self.types

    def has(self, command: Command) -> bool:
        """Whether a third-party copy command is implemented."""
        return (command.OPCODE, command.SERVICE_ACTION) in self.commands

    @property
    def digests(self) -> bool:
        """Whether it has any of our digest types C0h + n."""
        return any(is_digest(item) for item in self.types)

    @property
    def lid4(self) -> bool:
        """Whether lists with 32-bit identifiers, and so background copies, are possible."""
        return self.has(c.ExtendedCopyLid4)

    def operating_parameters(self) -> OperatingParameters:
        """The answer to RECEIVE COPY OPERATING PARAMETERS."""
        no_id = USAGE_NO_ID in self.usages
        return OperatingParameters(
            supports_no_list_id=no_id,
            max_cscds=self.max_cscds,
            max_segments=self.max_segments,
            max_list_bytes=self.max_list_bytes,
            max_segment_bytes=self.max_segment_bytes,
            max_inline_bytes=self.max_inline_bytes,
            held_data_bytes=self.held_data_bytes,
            max_stream_transfer_bytes=self.max_stream_transfer_bytes,
            total_concurrent=self.total_concurrent if no_id else 0,
            max_concurrent=min(self.max_concurrent, 255),
            data_granularity=self.data_granularity,
            inline_granularity=self.inline_granularity,
            held_granularity=self.held_granularity,
            types=self.types,
        )

    def vpd_page(self) -> vpd.ThirdPartyCopyPage:
        """VPD page 8Fh."""
        stream = self.max_stream_transfer_bytes
        return vpd.ThirdPartyCopyPage(
            commands=self.commands,
            descriptors=self.types,
            cscd_ids=self.cscd_ids,
            parameters=vpd.ParameterData(
                self.max_cscds, self.max_segments, self.max_list_bytes, self.max_inline_bytes
            ),
            general=vpd.GeneralCopy(
                self.total_concurrent,
                self.max_concurrent,
                self.max_segment_bytes,
                self.data_granularity,
                self.inline_granularity,
            ),
            stream=vpd.StreamCopy(stream) if stream else None,
            held=(
                vpd.HeldData(self.held_data_bytes, self.held_granularity)
                if self.held_data_bytes
                else None
            ),
        )

    @classmethod
    def from_device(
        cls, name: str, parameters: OperatingParameters, page: vpd.ThirdPartyCopyPage | None
    ) -> Limits:
        """The limits that a device told; without VPD page 8Fh, LID1 alone is taken for granted."""
        commands = page.commands if page else _pairs(*_LID1)
        known = {field.name for field in fields(OperatingParameters)}
        same = {
            item.name: getattr(parameters, item.name) for item in fields(cls) if item.name in known
        }
        usages: tuple[int, ...] = (USAGE_RETAIN, USAGE_MAY_DROP)
        if parameters.supports_no_list_id:
            usages += (USAGE_NO_ID,)
        same["total_concurrent"] = max(parameters.total_concurrent, parameters.max_concurrent)
        return cls(
            name=name,
            commands=tuple(sorted(commands)),
            usages=usages,
            cscd_ids=page.cscd_ids if page else (),
            **same,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with type codes and commands as hexadecimal text."""
        document = asdict(self)
        document["types"] = [f"{item:02X}h" for item in self.types]
        document["commands"] = [f"{code:02X}h/{action:02X}h" for code, action in self.commands]
        document["cscd_ids"] = [f"{item:04X}h" for item in self.cscd_ids]
        return document | {"digests": self.digests, "lid4": self.lid4}

    def describe(self) -> list[tuple[str, str]]:
        """(what, value with its unit) for people."""
        segment = format_bytes(self.max_segment_bytes) if self.max_segment_bytes else "no limit"
        segments = [item for item in self.types if item not in CSCDS]
        cscds = [item for item in self.types if item in CSCDS]
        return [
            ("CSCD descriptors a list", f"{self.max_cscds:,}"),
            ("segments a list", f"{self.max_segments:,}"),
            ("descriptors a list", format_bytes(self.max_list_bytes)),
            ("bytes a segment", segment),
            ("inline data a list", format_bytes(self.max_inline_bytes)),
            ("held data", format_bytes(self.held_data_bytes)),
            ("record on tape", format_bytes(self.max_stream_transfer_bytes)),
            ("copies at a time", f"{self.max_concurrent:,} of {self.total_concurrent:,}"),
            ("granularity of data", format_bytes(1 << self.data_granularity)),
            ("segment types", " ".join(f"{item:02X}" for item in segments) or "none"),
            ("CSCD types", " ".join(f"{item:02X}" for item in cscds) or "none"),
            ("32-bit list ids, background copies", "yes" if self.lid4 else "no"),
            ("digests", "yes" if self.digests else "no"),
        ]


_LID1 = (c.ExtendedCopyLid1, c.ReceiveCopyOperatingParameters)
_SEGMENTS = (*range(0x03), *range(0x04, 0x0E), 0x0F, *range(0x10, 0x14))
_DIGESTED = tuple(DIGEST_BASE + item for item in _SEGMENTS if item < 0x10 and item != 0x07)

PROFILES: dict[str, Limits] = {
    # Everything that our mover can do.
    "spc": Limits(types=tuple(sorted((*_SEGMENTS, *_DIGESTED, IDENTIFICATION)))),
    # drivers/target/target_core_xcopy.c: one segment, no list ids, no status.
    "lio": Limits(
        name="lio",
        max_cscds=2,
        max_segments=1,
        max_list_bytes=1024,
        max_segment_bytes=256 << 20,
        max_inline_bytes=0,
        held_data_bytes=0,
        max_stream_transfer_bytes=0,
        total_concurrent=1,
        max_concurrent=1,
        data_granularity=9,
        types=(0x02, IDENTIFICATION),
        commands=_pairs(*_LID1),
        cscd_ids=(),
    ),
    # scst/src/scst_copy_mgr.c: two pages of 28-byte segments; 65,535 copies are told as 255.
    "scst": Limits(
        name="scst",
        max_cscds=5,
        max_segments=2 * 4096 // 28,
        max_list_bytes=65535,
        max_segment_bytes=256 << 20,
        max_inline_bytes=0,
        held_data_bytes=0,
        max_stream_transfer_bytes=0,
        total_concurrent=65535,
        max_concurrent=255,
        data_granularity=16,
        types=(0x02, IDENTIFICATION),
        commands=_pairs(*_LID1, *_RETRIEVE),
        cscd_ids=(),
    ),
    # sys/cam/ctl/ctl_tpc.c: LID4 in the foreground, no tapes.
    "ctl": Limits(
        name="ctl",
        max_cscds=64,
        max_segments=64,
        max_list_bytes=8192,
        max_segment_bytes=0,
        max_inline_bytes=0,
        held_data_bytes=0,
        max_stream_transfer_bytes=0,
        total_concurrent=255,
        max_concurrent=255,
        types=(0x02, 0x07, IDENTIFICATION),
        commands=_pairs(
            *_LID1,
            *_RETRIEVE,
            c.ExtendedCopyLid4,
            c.CopyOperationAbort,
            c.ReceiveCopyDataLid1,
            c.ReceiveCopyStatusLid4,
        ),
    ),
    # tcmu-runner tcmur_cmd_handler.c: only LIST ID USAGE 11b.
    "tcmu": Limits(
        name="tcmu",
        max_cscds=2,
        max_segments=1,
        max_list_bytes=1024,
        max_segment_bytes=16 << 20,
        max_inline_bytes=0,
        held_data_bytes=0,
        max_stream_transfer_bytes=0,
        total_concurrent=1,
        max_concurrent=1,
        data_granularity=9,
        types=(0x02, IDENTIFICATION),
        commands=_pairs(*_LID1),
        usages=(USAGE_NO_ID,),
        cscd_ids=(),
    ),
}
"""Copy managers by name; what the reference (xcopy.md 7) found in their sources."""


def limits(profile: str = "spc", **numbers: Any) -> Limits:
    """The limits of a profile, with single values replaced: ``limits("spc", max_segments=8)``.

    Raises:
        UsageError: no such profile or value.
    """
    if profile not in PROFILES:
        raise UsageError(
            f"{profile!r} is no profile", hint=f"Known ones are {', '.join(sorted(PROFILES))}"
        )
    names = [item.name for item in fields(Limits)]
    for name in numbers:
        if name not in names:
            raise UsageError(f"{name!r} is no limit", hint=f"Limits are {', '.join(names)}")
    return replace(PROFILES[profile], **numbers)
