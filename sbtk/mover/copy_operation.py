"""One copy from its first segment to the last question about it, and the answers to those."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from threading import Event

from sbtk.mover.base import LogicalUnit
from sbtk.mover.copy_abort import CopyAbort
from sbtk.mover.copy_progress import CopyProgress
from sbtk.mover.engine import Engine
from sbtk.mover.held_data import HeldData
from sbtk.scsi import copy_results as results
from sbtk.scsi import sense, xcopy
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import CHECK_CONDITION, GOOD, TASK_ABORTED, Response

_log = logging.getLogger(__name__)

_POLL_MS = 200
_INTERNAL = Response(
    CHECK_CONDITION, b"", sense.fixed(codes.HARDWARE_ERROR, *codes.INTERNAL_TARGET_FAILURE)
)


def initiator_of(nexus: str) -> str:
    """The initiator's name in that of an I_T nexus: ``iqn...,i,0x<ISID>`` (RFC 7143 4.2.7.3)."""
    return nexus.partition(",")[0]


@dataclass
class CopyOperation:
    """A copy that runs or has ended.

    Attributes:
        nexus: name of the I_T nexus it came from; its list id lives there.
        receiver: the unit it was sent to.
        command: its parameter list.
        held: what its hold and digest segments left.
        progress: how far it is.
        cancel: set to stop it.
        finished: set when no command of it is under way any more.
        response: what it ended with; GOOD until then.
        told: which of its results have been fetched and are gone (LID1 rules).
    """

    nexus: str
    receiver: LogicalUnit
    command: ParameterList
    held: HeldData
    progress: CopyProgress = field(default_factory=CopyProgress)
    cancel: Event = field(default_factory=Event)
    finished: Event = field(default_factory=Event)
    response: Response = field(default_factory=Response)
    told: set[str] = field(default_factory=set)

    @property
    def running(self) -> bool:
        """Whether it still works."""
        return not self.finished.is_set()

    def run(self, engine: Engine) -> Response:
        """Execute it; afterwards its results can be asked for."""
        try:
            engine.run()
            data = b""
            if self.command.good_sense:
                data = sense.fixed(
                    codes.COMPLETED,
                    *codes.EXTENDED_COPY_INFORMATION_AVAILABLE,
                    command_specific=len(self.command.segments),
                )
            self.response = Response(GOOD, b"", data)
        except CopyAbort as stopped:
            self.response = Response(CHECK_CONDITION, b"", sense.encode(stopped.sense))
        except Exception:
            # A fault of ours must end this copy and nothing else: the mover serves others.
            _log.exception("a copy ended with an internal fault")
            self.response = _INTERNAL
        except BaseException:  # Ctrl-C in the thread that runs a foreground copy
            self.response = _INTERNAL
            raise
        finally:
            self.finished.set()
        return self.response

    # -- answers ---------------------------------------------------------------------------------

    def status_lid1(self) -> bytes:
        """RECEIVE COPY STATUS(LID1) data."""
        status = results.LID1_IN_PROGRESS
        if not self.running:
            good = self.response.status == GOOD
            status = results.LID1_DONE if good else results.LID1_ERROR
        units, count = results.scale_count(self.progress.transferred_bytes, 4)
        return results.StatusLid1(
            self.held.discarded, status, min(self.progress.segments_processed, 0xFFFF), units, count
        ).encode()

    def failure_details(self) -> bytes:
        """RECEIVE COPY FAILURE DETAILS(LID1) data; empty details after a copy that went well."""
        if self.response.status == GOOD:
            return bytes(4)
        return results.FailureDetails(self.response.status, self.response.sense).encode()

    def status_lid4(self, *, with_held: bool) -> bytes:
        """RECEIVE COPY STATUS(LID4) data, or RECEIVE COPY DATA(LID4) data."""
        status, running = self._status_code(), self.running
        terminated = status == results.LID4_TERMINATED
        units, count = results.scale_count(self.progress.transferred_bytes, 8)
        value = results.StatusLid4(
            response_to=1 if self.command.lid4 else 0,
            held_data_discarded=with_held and self.held.discarded,
            status=status,
            operation_counter=self.progress.segments_processed & 0xFFFF,
            update_delay_ms=_POLL_MS if running else results.DELAY_FINISHED,
            completion_status=TASK_ABORTED if terminated else self.response.status,
            transfer_units=units,
            transfer_count=count,
            segments_processed=min(self.progress.segments_processed, 0xFFFF),
            sense=b"" if terminated or running else self.response.sense,
        )
        return results.encode_held_lid4(value, self.held.data) if with_held else value.encode()

    def _status_code(self) -> int:
        if self.running:
            background = self.command.immediate
            return results.LID4_BACKGROUND if background else results.LID4_FOREGROUND
        if self.cancel.is_set() and self.response.status != GOOD:
            return results.LID4_TERMINATED
        if self.response.status != GOOD:
            return results.LID4_ERROR
        if self.progress.residual_bytes:
            return results.LID4_DONE_WITH_RESIDUAL
        return results.LID4_DONE


def keeps_results(command: ParameterList) -> bool:
    """Whether the copy has an id that it can be asked about by."""
    return command.usage != xcopy.USAGE_NO_ID
