"""One SCSI command on its way through the portal: the data it waits for, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sbtk.errors import RemoteScsiError
from sbtk.scsi.iscsi import DataIn, DataOut, ReadyToTransfer, ScsiCommand, ScsiResponse
from sbtk.scsi.iscsi_text import Parameters
from sbtk.transport.base import CHECK_CONDITION, GOOD, ByteView, Response
from sbtk.transport.lent import lend

_DATA_IN, _RESPONSE = DataIn(), ScsiResponse()  # quicker to change than to make


@dataclass
class Task:
    """A command from its arrival to its response.

    Attributes:
        command: its PDU.
        lun: the logical unit, -1 where the field names none.
        buffer: the data that it writes, filled as they come in.
        received_bytes: how much of ``buffer`` is there, from its start.
        solicited_bytes: up to where data have been asked for, or may come unasked.
        r2t_sn: R2Ts sent.
        data_sn: DataSN that the next Data-Out of this sequence carries.
        unsolicited_open: unsolicited Data-Out PDUs are still to come.
        aborted: a task management function has ended it: nothing is answered.
    """

    command: ScsiCommand
    lun: int
    buffer: memoryview = field(default=memoryview(b""), repr=False)
    received_bytes: int = 0
    solicited_bytes: int = 0
    r2t_sn: int = 0
    data_sn: int = 0
    unsolicited_open: bool = False
    aborted: bool = False

    @property
    def tag(self) -> int:
        """The initiator's task tag."""
        return self.command.initiator_task_tag

    @property
    def complete(self) -> bool:
        """All data that the command writes are there."""
        return self.received_bytes >= len(self.buffer)

    def destination(self, pdu: DataOut) -> memoryview:
        """Where the data segment of a Data-Out PDU goes.

        Raises:
            RemoteScsiError: it does not follow what came before (DataPDUInOrder, 13.18), or
                exceeds what was asked for, or a PDU is missing (DataSN, 11.7.5).
        """
        end_bytes = pdu.buffer_offset_bytes + pdu.data_bytes
        if pdu.buffer_offset_bytes != self.received_bytes or end_bytes > self.solicited_bytes:
            raise RemoteScsiError("Data-Out that was not asked for")
        if pdu.data_sn != self.data_sn:
            raise RemoteScsiError(f"DataSN {pdu.data_sn} where {self.data_sn} was due")
        return self.buffer[pdu.buffer_offset_bytes : end_bytes]

    def took(self, pdu: DataOut) -> None:
        """Note that a Data-Out PDU has been received into its ``destination``.

        Raises:
            RemoteScsiError: it closes its sequence before all of it is there.
        """
        self.received_bytes += pdu.data_bytes
        self.data_sn = 0 if pdu.final else self.data_sn + 1
        if self.unsolicited_open:
            self.unsolicited_open = not pdu.final
            if pdu.final:
                self.solicited_bytes = self.received_bytes
        elif pdu.final and self.received_bytes < self.solicited_bytes:
            raise RemoteScsiError("a sequence of Data-Out ends early")

    def next_request(self, parameters: Parameters, transfer_tag: int) -> ReadyToTransfer | None:
        """The R2T to send now; None while asked-for data are outstanding, or all is there."""
        if self.complete or self.unsolicited_open or self.received_bytes < self.solicited_bytes:
            return None
        desired = min(len(self.buffer) - self.received_bytes, parameters.max_burst_bytes)
        pdu = ReadyToTransfer(
            initiator_task_tag=self.tag,
            lun=self.command.lun,
            target_transfer_tag=transfer_tag,
            r2t_sn=self.r2t_sn,
            buffer_offset_bytes=self.received_bytes,
            desired_bytes=desired,
        )
        self.r2t_sn += 1
        self.solicited_bytes += desired
        return pdu


def first_data(task: Task, parameters: Parameters) -> None:
    """Set up what may come unasked for a command that writes (11.3.4, 13.10, 13.14).

    Raises:
        RemoteScsiError: immediate data that were not agreed, or more than the command writes.
    """
    command = task.command
    if command.write:
        task.buffer = lend(command.expected_transfer_bytes)
    immediate = command.data_bytes
    allowed = min(parameters.first_burst_bytes, len(task.buffer))
    if immediate > allowed or (immediate and not parameters.immediate_data):
        raise RemoteScsiError("immediate data that were not agreed")
    task.solicited_bytes = task.received_bytes = immediate
    if command.write and not command.final:
        if parameters.initial_r2t:
            raise RemoteScsiError("unsolicited data where InitialR2T=Yes")
        task.unsolicited_open = True
        task.solicited_bytes = allowed


def answers(
    task: Task, response: Response, parameters: Parameters
) -> Iterator[tuple[DataIn | ScsiResponse, ByteView]]:
    """The PDUs that carry a response: Data-In in bursts, the status in the last one if GOOD.

    Sequence numbers of the status are filled in where they are sent.
    """
    expected = task.command.expected_transfer_bytes if task.command.read else 0
    data = memoryview(response.data_in)
    moved = len(data)
    if task.command.write:
        wanted_out = response.wanted_out_bytes
        moved = len(task.buffer) if wanted_out is None else wanted_out
    wanted = task.command.expected_transfer_bytes
    overflow, underflow = moved > wanted, moved < wanted
    residual = abs(moved - wanted)
    data = data[:expected]
    good = response.status == GOOD
    position = data_sn = 0
    while position < len(data):
        in_burst = parameters.max_burst_bytes - position % parameters.max_burst_bytes
        piece = data[position : position + min(parameters.max_send_bytes, in_burst)]
        end = position + len(piece)
        last = end == len(data)
        status_here = last and good
        yield (
            _DATA_IN.changed(
                initiator_task_tag=task.tag,
                final=last or end % parameters.max_burst_bytes == 0,
                has_status=status_here,
                overflow=overflow and status_here,
                underflow=underflow and status_here,
                residual_bytes=residual if status_here else 0,
                data_sn=data_sn,
                buffer_offset_bytes=position,
            ),
            piece,
        )
        position, data_sn = end, data_sn + 1
    if good and data_sn:
        return
    sense = response.sense if response.status == CHECK_CONDITION else b""
    yield (
        _RESPONSE.changed(
            initiator_task_tag=task.tag,
            status=response.status,
            overflow=overflow,
            underflow=underflow,
            residual_bytes=residual,
            expected_data_sn=data_sn,
        ),
        len(sense).to_bytes(2, "big") + sense if sense else b"",
    )
