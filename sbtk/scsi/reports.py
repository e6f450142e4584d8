"""What a unit tells about its commands (SPC-4 6.35)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.layout import Bits, ByteView, Flag, Layout, UInt

ALL_COMMANDS, ONE_OPCODE, ONE_SERVICE_ACTION, ONE_OF_EITHER = range(4)  # REPORTING OPTIONS

_NOT_SUPPORTED, _SUPPORTED = 0b001, 0b011  # SUPPORT field (SPC-4 6.35.3 table 277)


@dataclass(frozen=True)
class CommandDescriptor(Layout):
    """Command descriptor of the all_commands format (SPC-4 6.35.2 table 275)."""

    SIZE_BYTES = 8
    opcode: Annotated[int, UInt(0, 1)] = 0
    service_action: Annotated[int, UInt(2, 2)] = 0
    timeouts_follow: Annotated[bool, Flag(5, 1)] = False
    service_action_valid: Annotated[bool, Flag(5, 0)] = False
    cdb_bytes: Annotated[int, UInt(6, 2)] = 6


@dataclass(frozen=True)
class OneCommand(Layout):
    """Head of the one_command format (SPC-4 6.35.3 table 276); CDB USAGE DATA follows."""

    SIZE_BYTES = 4
    timeouts_follow: Annotated[bool, Flag(1, 7)] = False
    support: Annotated[int, Bits(1, 2, 0)] = _NOT_SUPPORTED
    cdb_bytes: Annotated[int, UInt(2, 2)] = 0


@dataclass(frozen=True)
class CommandTimeouts(Layout):
    """Command timeouts descriptor (SPC-4 6.35.4 table 278); 0 s: not indicated."""

    SIZE_BYTES = 12
    CONSTANT = ((1, 0x0A),)
    nominal_s: Annotated[int, UInt(4, 4)] = 0
    recommended_s: Annotated[int, UInt(8, 4)] = 0


def usage_data(command: type[Cdb]) -> bytes:
    """CDB USAGE DATA: the operation code and service action, and 1 in every bit that is used."""
    ones = {
        name: _all_ones(place)
        for name, hint in get_type_hints(command, include_extras=True).items()
        for place in getattr(hint, "__metadata__", ())
    }
    return command(**ones).encode()


def _all_ones(place: object) -> Any:
    if isinstance(place, UInt):
        return -1 if place.signed else (1 << 8 * place.width) - 1
    if isinstance(place, Bits):
        return (1 << (place.high - place.low + 1)) - 1
    return True


def all_commands(commands: Iterable[type[Cdb]], *, timeouts: bool) -> bytes:
    """Every supported command, the all_commands format (SPC-4 6.35.2)."""
    ordered = sorted(commands, key=lambda item: (item.OPCODE, item.SERVICE_ACTION or 0))
    body = b"".join(
        CommandDescriptor(
            item.OPCODE,
            item.SERVICE_ACTION or 0,
            timeouts,
            item.SERVICE_ACTION is not None,
            item.SIZE_BYTES,
        ).encode()
        + (CommandTimeouts().encode() if timeouts else b"")
        for item in ordered
    )
    return len(body).to_bytes(4, "big") + body


def one_command(command: type[Cdb] | None, *, timeouts: bool) -> bytes:
    """One command, or that it is not supported (None): the one_command format."""
    if command is None:
        return OneCommand().encode()
    head = OneCommand(timeouts, _SUPPORTED, command.SIZE_BYTES).encode()
    return head + usage_data(command) + (CommandTimeouts().encode() if timeouts else b"")


def is_supported(data: ByteView) -> bool:
    """Whether an answer in the one_command format says that the command is there.

    Raises:
        RemoteScsiError: it is too short.
    """
    return OneCommand.decode(data).support == _SUPPORTED
