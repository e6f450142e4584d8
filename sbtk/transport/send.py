"""Send one command and insist on GOOD: unit attentions are cleared, a full queue is waited for."""

from __future__ import annotations

import time

from sbtk.errors import CheckConditionError
from sbtk.scsi.cdb_base import Cdb
from sbtk.scsi.sense import decode, describe
from sbtk.scsi.sense_codes import UNIT_ATTENTION
from sbtk.transport.base import BUSY, CHECK_CONDITION, GOOD, TASK_SET_FULL, ByteView, Transport

_MOST_UNIT_ATTENTIONS = 8  # one is told for each thing that happened
_MOST_BUSY = 20
_BUSY_PAUSE_S = 0.1


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
            if decode(response.sense).key == UNIT_ATTENTION:
                continue
        said = describe(response.sense) if stopped else f"status {response.status:02X}h"
        raise CheckConditionError(
            f"{transport.name}: {command.NAME} failed: {said}",
            sense=response.sense,
            status=response.status,
        )
