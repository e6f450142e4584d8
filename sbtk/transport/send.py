"""Send one command and insist on GOOD: unit attentions are cleared, a full queue is waited for."""

from __future__ import annotations

import time

from sbtk.errors import CheckConditionError, RemoteScsiError
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.sense import decode, describe
from sbtk.scsi.sense_codes import UNIT_ATTENTION
from sbtk.transport.base import (
    BUSY,
    CHECK_CONDITION,
    GOOD,
    RESERVATION_CONFLICT,
    TASK_SET_FULL,
    ByteView,
    Transport,
)

_MOST_UNIT_ATTENTIONS = 7  # one is told for each thing that happened
_MOST_BUSY = 20
_BUSY_PAUSE_S = 0.1
_STATUS = {
    BUSY: "the unit is busy: a copy of another initiator uses it",
    TASK_SET_FULL: "the unit has no room for another command",
    RESERVATION_CONFLICT: "another initiator has reserved the unit",
}


def send(
    transport: Transport,
    command: Cdb,
    *,
    data_out: ByteView = b"",
    data_in_bytes: int = 0,
    timeout_s: float = 60.0,
) -> ByteView:
    """Send ``command`` and give the data that came back.

    Raises:
        CheckConditionError: it did not end with GOOD; ``sense`` says why.
        TransportError: it could not be carried.
    """
    cdb = command.encode()
    attentions = busy = 0
    while True:
        response = transport.execute(
            cdb, data_out=data_out, data_in_bytes=data_in_bytes, timeout_s=timeout_s
        )
        if response.status == GOOD:
            return response.data_in
        if response.status in (BUSY, TASK_SET_FULL) and busy < _MOST_BUSY:
            busy += 1
            time.sleep(_BUSY_PAUSE_S)
            continue
        stopped = response.status == CHECK_CONDITION and len(response.sense) >= 3
        if stopped and attentions < _MOST_UNIT_ATTENTIONS:
            attentions += 1
            if key_of(response.sense) == UNIT_ATTENTION:
                continue
        said = describe(response.sense) if stopped else _said(response.status)
        raise CheckConditionError(
            f"{transport.name}: {command.NAME} failed: {said}",
            sense=response.sense,
            status=response.status,
        )


def _said(status: int) -> str:
    return f"status {status:02X}h" + (f", {_STATUS[status]}" if status in _STATUS else "")


def key_of(sense: bytes) -> int | None:
    """The sense key; None where there is no sense data that can be read."""
    try:
        return decode(sense).key
    except RemoteScsiError:
        return None
