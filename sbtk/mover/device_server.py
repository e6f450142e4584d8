"""The commands that disks and tapes of the mover answer alike, and how a command is dispatched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sbtk.errors import RemoteScsiError
from sbtk.mover.attentions import UnitAttentions
from sbtk.mover.base import CheckCondition, Counters
from sbtk.mover.reservations import RESERVING, Reservations
from sbtk.scsi import cdb, inquiry, log, mode, mode_pages, reports, sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.designator import Designator
from sbtk.scsi.layout import Layout
from sbtk.transport.base import CHECK_CONDITION, RESERVATION_CONFLICT, ByteView, Response

VENDOR = b"SBTK"

Handler = Callable[[Any, ByteView], ByteView | Response]
"""Takes the decoded CDB and the data-out; returns data-in, or a response that reports something."""


def refuse(code: tuple[int, int], byte: int, *, in_cdb: bool = True) -> CheckCondition:
    """ILLEGAL REQUEST with a pointer to the byte that is wrong."""
    return CheckCondition(sense.invalid_field(code, byte, in_cdb=in_cdb))


def check(key: int, code: tuple[int, int], **fields: Any) -> CheckCondition:
    """CHECK CONDITION with fixed-format sense data."""
    return CheckCondition(sense.fixed(key, *code, **fields))


class DeviceServer:
    """Dispatches commands of one unit and answers the common ones.

    A subclass adds its commands to ``handlers`` and its pages to ``vpd_pages``.

    Attributes:
        attentions: what initiators have to be told.
        reservations: who may use the unit, of those that the target lets in.
        handlers: CDB class -> what executes it.
        vpd_pages: page code -> the whole page.
    """

    def __init__(
        self, *, device_type: int, designator: bytes, product: str, removable: bool
    ) -> None:
        self._device_type = device_type
        self._designator = designator
        self._product = product.encode("ascii")
        self._removable = removable
        self._third_party: tuple[type[Cdb], ...] = ()
        self.attentions = UnitAttentions()
        self.reservations = Reservations(self.attentions)
        self.handlers: dict[type[Cdb], Handler] = {
            cdb.TestUnitReady: self._test_unit_ready,
            cdb.RequestSense: self._request_sense,
            cdb.Inquiry: self._inquiry,
            cdb.ModeSense6: self._mode_sense,
            cdb.ModeSense10: self._mode_sense,
            cdb.LogSense: self._log_sense,
            cdb.PreventAllowRemoval: lambda _command, _data: b"",
            cdb.ReportSupportedOperationCodes: self._report_commands,
        }
        for item in RESERVING:  # listed here; ``reservations`` executes them, it knows the nexus
            self.handlers[item] = lambda _command, _data: b""
        self.vpd_pages: dict[int, Callable[[], bytes]] = {
            inquiry.SUPPORTED_PAGES: lambda: inquiry.supported_pages(
                list(self.vpd_pages), device_type
            ),
            inquiry.UNIT_SERIAL_NUMBER: lambda: inquiry.unit_serial_number(
                designator.hex(), device_type
            ),
            inquiry.DEVICE_IDENTIFICATION: lambda: inquiry.device_identification(
                [Designator(designator)], device_type
            ),
        }

    # -- what a unit tells about itself ----------------------------------------------------------

    def ready(self) -> None:
        """Raise CheckCondition unless the unit can work now."""

    def counters(self) -> tuple[Counters, int]:
        """The unit's counters, and bytes a logical block for LOG SENSE."""
        raise NotImplementedError

    def mode_header(self) -> dict[str, Any]:
        """Fields of the mode parameter header beside the lengths."""
        return {}

    def mode_descriptor(self) -> mode.BlockDescriptor:
        """The mode block descriptor."""
        raise NotImplementedError

    def mode_pages(self) -> Sequence[tuple[int, Layout]]:
        """(page code, page) of every mode page, ascending."""
        raise NotImplementedError

    def announce(
        self, vpd_pages: Mapping[int, Callable[[], bytes]], commands: Sequence[type[Cdb]]
    ) -> None:
        """See ``LogicalUnit.announce``."""
        self.vpd_pages.update(vpd_pages)
        self._third_party = tuple(commands)

    @property
    def at_ease(self) -> bool:
        """Nothing is reserved, and no initiator has to be told anything: a read is just that."""
        return not self.reservations.active and not self.attentions.waiting

    # -- dispatch --------------------------------------------------------------------------------

    def execute(
        self, raw: bytes, data_out: ByteView, data_in_bytes: int, initiator: str
    ) -> Response:
        """Decode one command, run it, and cut what it returns to what was asked for."""
        try:
            try:
                command = cdb.decode(raw, self._device_type)
            except RemoteScsiError as error:
                raise refuse(
                    error.code or codes.INVALID_FIELD_IN_CDB, error.byte_offset or 0
                ) from error
            answer = self._answer(command, data_out, initiator)
        except CheckCondition as stopped:
            return Response(CHECK_CONDITION, b"", stopped.sense)
        if isinstance(answer, Response):
            return replace(answer, data_in=_first(answer.data_in, data_in_bytes))
        limit = min(data_in_bytes, getattr(command, "allocation_bytes", data_in_bytes))
        return Response(data_in=_first(answer, limit))

    def _answer(self, command: Cdb, data_out: ByteView, initiator: str) -> ByteView | Response:
        handler = self.handlers.get(type(command))
        if handler is None:
            raise refuse(codes.INVALID_COMMAND_OPERATION_CODE, 0)
        if isinstance(command, cdb.RequestSense):
            return self._request_sense(command, data_out, self.attentions.take(initiator))
        # A conflict is told before a unit attention (SAM-5 5.3.3).
        if self.reservations.active and self.reservations.conflicts(initiator, command.OPCODE):
            return Response(RESERVATION_CONFLICT)
        if not isinstance(command, cdb.Inquiry | cdb.ReportLuns):
            code = self.attentions.take(initiator)
            if code is not None:
                raise check(codes.UNIT_ATTENTION, code)
        if isinstance(command, RESERVING):
            return self.reservations.execute(command, data_out, initiator)
        return handler(command, data_out)

    # -- common commands -------------------------------------------------------------------------

    def _test_unit_ready(self, _command: cdb.TestUnitReady, _data: ByteView) -> bytes:
        self.ready()
        return b""

    def _request_sense(
        self,
        command: cdb.RequestSense,
        _data: ByteView,
        attention: tuple[int, int] | None = None,
    ) -> bytes:
        if attention is not None:
            data = sense.SenseData(codes.UNIT_ATTENTION, *attention)
        else:
            data = sense.SenseData(codes.NO_SENSE)
            try:
                self.ready()
            except CheckCondition as stopped:
                data = sense.decode(stopped.sense)
        return sense.encode(replace(data, descriptor_format=command.desc))

    def _inquiry(self, command: cdb.Inquiry, _data: ByteView) -> bytes:
        if command.evpd:
            page = self.vpd_pages.get(command.page_code)
            if page is None:
                raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.Inquiry.byte_of("page_code"))
            return page()
        if command.page_code:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.Inquiry.byte_of("page_code"))
        return inquiry.StandardInquiry(
            device_type=self._device_type,
            removable=self._removable,
            third_party_copy=inquiry.THIRD_PARTY_COPY in self.vpd_pages,
            vendor=VENDOR,
            product=self._product,
            revision=b"1",
            version_descriptor_1=0x0460,  # SPC-4
            version_descriptor_2=0x0960,  # iSCSI
            version_descriptor_3=0x04C0 if self._device_type == inquiry.DISK else 0x0480,
        ).encode()

    def _mode_sense(self, command: cdb.ModeSense6 | cdb.ModeSense10, _data: ByteView) -> bytes:
        if command.page_control == mode_pages.SAVED:
            raise refuse(codes.SAVING_PARAMETERS_NOT_SUPPORTED, 2)
        if command.subpage_code not in (0x00, 0xFF):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 3)
        chosen = [
            page.encode()
            for code, page in self.mode_pages()
            if command.page_code in (code, mode_pages.ALL_PAGES)
        ]
        if not chosen and command.page_code not in (0, mode_pages.ALL_PAGES):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 2)
        if command.page_control == mode_pages.CHANGEABLE:  # nothing is
            chosen = [page[:2] + bytes(len(page) - 2) for page in chosen]
        descriptor = None if command.disable_block_descriptors else self.mode_descriptor()
        header: mode.ModeHeader6 | mode.ModeHeader10
        if isinstance(command, cdb.ModeSense6):
            header = mode.ModeHeader6(**self.mode_header())
        else:
            header = mode.ModeHeader10(**self.mode_header())
        return mode.ModeParameters(header, descriptor, b"".join(chosen)).encode()

    def _log_sense(self, command: cdb.LogSense, _data: ByteView) -> bytes:
        if command.subpage_code:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.LogSense.byte_of("subpage_code"))
        if command.page_code == log.SUPPORTED_LOG_PAGES:
            return log.supported_log_pages(bytes((log.SUPPORTED_LOG_PAGES, log.GENERAL_STATISTICS)))
        if command.page_code != log.GENERAL_STATISTICS:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.LogSense.byte_of("page_code"))
        if command.parameter_pointer > 1:
            raise refuse(codes.INVALID_FIELD_IN_CDB, cdb.LogSense.byte_of("parameter_pointer"))
        moved, block_bytes = self.counters()
        with moved.lock:
            statistics = log.GeneralStatistics(
                read_commands=moved.read_commands,
                write_commands=moved.write_commands,
                blocks_received=moved.write_bytes // block_bytes,
                blocks_transmitted=moved.read_bytes // block_bytes,
            )
        return log.general_statistics(statistics)

    def _report_commands(
        self, command: cdb.ReportSupportedOperationCodes, _data: ByteView
    ) -> bytes:
        known = [*self.handlers, *self._third_party]
        option, opcode = command.reporting_options, command.requested_opcode
        if option == reports.ALL_COMMANDS:
            return reports.all_commands(known, timeouts=command.timeouts)
        if option > reports.ONE_OF_EITHER:
            raise refuse(codes.INVALID_FIELD_IN_CDB, 2)
        same = [item for item in known if opcode == item.OPCODE]
        with_actions = any(item.SERVICE_ACTION is not None for item in same)
        if (option == reports.ONE_OPCODE and with_actions) or (
            option == reports.ONE_SERVICE_ACTION and same and not with_actions
        ):
            raise refuse(codes.INVALID_FIELD_IN_CDB, 2)
        if with_actions:
            action = command.requested_service_action
            same = [item for item in same if action == item.SERVICE_ACTION]
        return reports.one_command(same[0] if same else None, timeouts=command.timeouts)


def _first(data: ByteView, most_bytes: int) -> ByteView:
    """``data``, cut to what was asked for."""
    return data if len(data) <= most_bytes else memoryview(data)[:most_bytes]
