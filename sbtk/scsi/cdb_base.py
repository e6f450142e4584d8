"""The base of all command descriptor blocks, and the table that they enter themselves into."""

from __future__ import annotations

from typing import ClassVar

from sbtk.scsi.layout import Layout

# SPC-4 4.2.5.1 table 23: bits 7-5 of byte 0. Group 6 is the vendor's: ours have 16 bytes.
_GROUP_BYTES = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12, 6: 16}


class Cdb(Layout):
    """Base of all CDBs.

    Attributes:
        OPCODE: operation code, byte 0.
        SERVICE_ACTION: bits 4-0 of byte 1, None where the command has none.
        NAME: as the standards write it.
        DEVICE_TYPE: None for all devices, 00h or 01h where the code depends on it.
    """

    OPCODE: ClassVar[int]
    SERVICE_ACTION: ClassVar[int | None] = None
    NAME: ClassVar[str]
    DEVICE_TYPE: ClassVar[int | None] = None

    def __init_subclass__(cls, **keywords: object) -> None:
        """Take the length from the operation code and enter the command into ``COMMANDS``."""
        super().__init_subclass__(**keywords)
        cls.SIZE_BYTES = _GROUP_BYTES[cls.OPCODE >> 5]
        cls.CONSTANT = ((0, cls.OPCODE), (1, cls.SERVICE_ACTION or 0))
        COMMANDS[cls.OPCODE, cls.SERVICE_ACTION, cls.DEVICE_TYPE] = cls


COMMANDS: dict[tuple[int, int | None, int | None], type[Cdb]] = {}
"""(operation code, service action, device type) -> the command's layout."""
