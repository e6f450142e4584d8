"""Ask a copy manager for its limits."""

from __future__ import annotations

from sbtk.errors import CheckConditionError
from sbtk.scsi import cdb, inquiry
from sbtk.scsi.cdb_copy import ReceiveCopyOperatingParameters
from sbtk.scsi.copy_results import OperatingParameters
from sbtk.scsi.copy_vpd import ThirdPartyCopyPage
from sbtk.scsi.limits import Limits
from sbtk.transport.base import Transport
from sbtk.transport.send import send

_ASKED_BYTES = 4096


def ask_limits(transport: Transport) -> Limits:
    """RECEIVE COPY OPERATING PARAMETERS, and VPD page 8Fh where the unit has it.

    Raises:
        CheckConditionError: the unit has no copy manager.
        RemoteScsiError: what it says is not what the layouts say.
        TransportError: it cannot be reached.
    """
    try:
        told = send(
            transport, ReceiveCopyOperatingParameters(_ASKED_BYTES), data_in_bytes=_ASKED_BYTES
        )
    except CheckConditionError as error:
        raise CheckConditionError(
            f"{transport.name} has no copy manager: {error}",
            sense=error.sense,
            status=error.status,
            hint="Copy through a mover: sbtk san serve makes one of a machine on the network",
        ) from error
    parameters = OperatingParameters.decode(told)
    page: ThirdPartyCopyPage | None = None
    try:
        question = cdb.Inquiry(True, inquiry.THIRD_PARTY_COPY, _ASKED_BYTES)
        page = ThirdPartyCopyPage.decode(send(transport, question, data_in_bytes=_ASKED_BYTES))
    except CheckConditionError:
        pass  # managers older than SPC-4 have no such page
    return Limits.from_device(transport.name, parameters, page)
