"""The asking side of ``snapshot_luns``: the mover behind a location makes a snapshot of a LUN."""

from __future__ import annotations

from sbtk.device.location import Location, open_transport
from sbtk.errors import CheckConditionError, RemoteScsiError
from sbtk.scsi import cdb, inquiry, reports
from sbtk.scsi.cdb_snapshot import CreateSnapshot, DeleteSnapshot, ReportSnapshot, SnapshotState
from sbtk.transport.send import send

_VENDOR = b"SBTK"
_ANSWER_BYTES = 96


class SnapshotClient:
    """A session with one LUN, by which its snapshots are made, watched and ended.

    The mover ends the snapshots of sessions that are gone, so it stays open as long as they.
    """

    def __init__(self, place: Location) -> None:
        """Log in.

        Raises:
            TransportError: no path to the LUN.
        """
        self._transport = open_transport(place)

    def close(self) -> None:
        """Log out; safe to call twice."""
        self._transport.close()

    def can(self) -> bool:
        """Whether the unit is ours and announces the commands; elsewhere they mean other things."""
        question = cdb.ReportSupportedOperationCodes(
            reporting_options=reports.ONE_SERVICE_ACTION,
            requested_opcode=CreateSnapshot.OPCODE,
            requested_service_action=CreateSnapshot.SERVICE_ACTION or 0,
            allocation_bytes=_ANSWER_BYTES,
        )
        asked = cdb.Inquiry(allocation_bytes=_ANSWER_BYTES)
        try:
            told = inquiry.StandardInquiry.decode_any(
                send(self._transport, asked, data_in_bytes=_ANSWER_BYTES)
            )
            return told.vendor.startswith(_VENDOR) and reports.is_supported(
                send(self._transport, question, data_in_bytes=_ANSWER_BYTES)
            )
        except (CheckConditionError, RemoteScsiError):
            return False

    def create(self, number: int, cap_mib: int) -> SnapshotState:
        """Have a snapshot made under a number of one's own choice.

        Raises:
            CheckConditionError: there is none.
            TransportError: whether there is one is unknown; ``delete`` makes sure.
        """
        send(self._transport, CreateSnapshot(number, cap_mib))
        return self.state(number)

    def state(self, number: int) -> SnapshotState:
        """Where a snapshot is and whether it is whole; it lives for this session from now on.

        Raises:
            CheckConditionError: it is gone.
            TransportError: the mover cannot be asked.
        """
        size = SnapshotState.SIZE_BYTES
        command = ReportSnapshot(number, size)
        return SnapshotState.decode(send(self._transport, command, data_in_bytes=size))

    def delete(self, number: int) -> None:
        """End a snapshot; one that is not there is ended already.

        Raises:
            CheckConditionError, TransportError: it may still be there.
        """
        send(self._transport, DeleteSnapshot(number))
