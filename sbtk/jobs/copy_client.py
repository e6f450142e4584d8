"""The client of a copy manager: sends command lists, asks after them, fetches their digests.

LID4 lists run in the background where the manager can, and are asked after; LID1 lists end with
their status. List identifiers live on the I_T nexus, so one client keeps one transport.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

from sbtk.errors import CheckConditionError, CopyFailedError, RemoteScsiError, TransportError
from sbtk.jobs.control import Control
from sbtk.scsi import cdb_copy as cdbs
from sbtk.scsi import copy_results as results
from sbtk.scsi.limits import Limits
from sbtk.scsi.sense import decode, describe
from sbtk.scsi.xcopy import USAGE_MAY_DROP, USAGE_NO_ID, USAGE_RETAIN, assemble
from sbtk.transport.base import CHECK_CONDITION, GOOD, ByteView, Transport
from sbtk.transport.send import send

COPY_TIMEOUT_S = 600.0  # of one list in the foreground, as sg_xcopy has it (xcopy.md 11)
STALLED_S = 120.0  # a background copy that moves nothing for as long is given up
_STATUS_BYTES = 512
_ENDED_WELL = (results.LID4_DONE, results.LID4_DONE_WITH_RESIDUAL)
_LIST_IDS = range(1, 0xFF)  # fit both kinds of lists; a finished copy's id may be used again


@dataclass(frozen=True)
class CopyList:
    """One command list, ready to go.

    Attributes:
        cscds: encoded CSCD descriptors.
        segments: encoded segment descriptors.
        inline: inline data.
        segment_count: segments in the list.
        held_bytes: held data that is expected back: digests.
    """

    cscds: bytes
    segments: bytes
    inline: bytes = b""
    segment_count: int = 0
    held_bytes: int = 0


@dataclass
class Running:
    """A list that was sent.

    Attributes:
        list_id: its name on the nexus.
        copy: the list.
        status: what the manager said last; None where it runs lists in the foreground.
        moved: transfer count, when it changed last.
        moved_at_s: when that was, by the monotonic clock.
    """

    list_id: int
    copy: CopyList
    status: results.StatusLid4 | None = None
    moved: int = -1
    moved_at_s: float = field(default_factory=time.monotonic)


class CopyClient:
    """Sends command lists to one copy manager over one transport; one thread uses it."""

    def __init__(self, transport: Transport, limits: Limits, *, lid4: bool | None = None) -> None:
        """Speak to the manager behind ``transport``.

        Args:
            transport: to a unit of the copy manager; the lists are sent to it.
            limits: of the manager.
            lid4: use lists with 32-bit identifiers; None: where the manager can.
        """
        self._transport = transport
        self._limits = limits
        self._lid4 = limits.lid4 if lid4 is None else lid4
        self._background = self._lid4 and all(
            limits.has(item) for item in (cdbs.ReceiveCopyStatusLid4, cdbs.CopyOperationAbort)
        )
        self._list_ids = itertools.cycle(_LIST_IDS)

    @property
    def most_running(self) -> int:
        """Lists that may be under way at once: more than one only where they run by themselves."""
        return max(self._limits.max_concurrent, 1) if self._background else 1

    def run(self, copy: CopyList, control: Control) -> bytes:
        """Run one list to its end; returns its held data: digests in the order of their segments.

        Raises:
            CopyFailedError: it stopped; says how far it came.
            CancelledError: the user cancelled; the copy has been aborted.
            TransportError: the path to the manager broke: nobody knows how far it came.
        """
        from sbtk.jobs.in_flight import InFlight

        held: list[bytes] = []
        with InFlight(self, control, lambda _, data: held.append(data)) as flight:
            flight.start(0, copy, 1)
            flight.drain()
        return held[0]

    def start(self, copy: CopyList) -> Running:
        """Send one list; where the manager has no background, it has ended when this returns.

        Raises:
            CopyFailedError: it was refused, or it stopped.
            TransportError: the path to the manager broke.
        """
        list_id = next(self._list_ids)
        usage = self._usage(copy.held_bytes)
        if usage == USAGE_NO_ID:
            list_id = 0
        data = assemble(
            copy.cscds, copy.segments, copy.inline, list_id=list_id, usage=usage,
            priority=1, lid4=self._lid4, immediate=self._background,
        )  # fmt: skip
        kind = cdbs.ExtendedCopyLid4 if self._lid4 else cdbs.ExtendedCopyLid1
        timeout_s = 60.0 if self._background else COPY_TIMEOUT_S
        try:
            send(self._transport, kind(len(data)), data_out=data, timeout_s=timeout_s)
        except CheckConditionError as error:
            raise self._failed(error.sense, 0, copy) from error
        return Running(list_id, copy)

    def has_ended(self, running: Running) -> bool:
        """Ask after a list.

        Raises:
            TransportError: it has not moved for a long time, or the path to the manager broke.
        """
        if not self._background:
            return True
        status = running.status = self._status(running.list_id)
        if status.status not in results.LID4_RUNNING:
            return True
        if status.transfer_count != running.moved:
            running.moved, running.moved_at_s = status.transfer_count, time.monotonic()
        elif time.monotonic() - running.moved_at_s > STALLED_S:
            raise TransportError(
                f"{self._transport.name}: the copy has not moved for {STALLED_S:g} s",
                hint="Check the copy manager and both devices",
            )
        return False

    def result(self, running: Running) -> bytes:
        """The held data of a list that has ended.

        Raises:
            CopyFailedError: it stopped; says how far it came.
            RemoteScsiError: it holds other data than were asked for.
        """
        status, copy = running.status, running.copy
        if status is not None and status.status not in _ENDED_WELL:
            raise self._failed(status.sense, status.segments_processed, copy)
        return self._held(running.list_id, copy.held_bytes) if copy.held_bytes else b""

    def abort(self, running: Running) -> None:
        """End a list that is under way; one that has just ended by itself is no longer known.

        Raises:
            TransportError: the path to the manager broke.
        """
        if not self._background:
            return
        command = cdbs.CopyOperationAbort(running.list_id).encode()
        if self._transport.execute(command).status not in (GOOD, CHECK_CONDITION):
            raise TransportError(f"{self._transport.name}: COPY OPERATION ABORT failed")

    def _usage(self, held_bytes: int) -> int:
        """LIST ID USAGE (xcopy.md 2.3): keep results only where they will be fetched."""
        wanted = USAGE_RETAIN if held_bytes or self._background else USAGE_MAY_DROP
        if wanted in self._limits.usages:
            return wanted
        return next(iter(self._limits.usages))

    def _status(self, list_id: int) -> results.StatusLid4:
        command = cdbs.ReceiveCopyStatusLid4(list_id, _STATUS_BYTES)
        data = send(self._transport, command, data_in_bytes=_STATUS_BYTES)
        return results.StatusLid4.decode(data)

    # -- results -------------------------------------------------------------------------------

    def _held(self, list_id: int, held_bytes: int) -> bytes:
        most = held_bytes + _STATUS_BYTES
        data: ByteView
        if self._lid4 and self._limits.has(cdbs.ReceiveCopyDataLid4):
            command = cdbs.ReceiveCopyDataLid4(list_id, most)
            data = send(self._transport, command, data_in_bytes=most)
            _, held = results.decode_held_lid4(data)
        else:
            data = send(
                self._transport, cdbs.ReceiveCopyDataLid1(list_id, most), data_in_bytes=most
            )
            held = results.decode_held_lid1(data)
        if len(held) != held_bytes:
            raise RemoteScsiError(
                f"{self._transport.name} held {len(held)} bytes of digests, {held_bytes} were due",
                hint="Plan without digests (--no-digests), or check the copy manager's limits",
            )
        return held

    def _failed(self, sense: bytes, processed: int, copy: CopyList) -> CopyFailedError:
        # The segment in work is counted among those processed (xcopy.md 6).
        reason = decode(sense) if len(sense) >= 3 else None
        done = max(processed - 1, 0)
        if reason is not None and reason.segment_number is not None:
            done = reason.segment_number
        said = describe(sense) if reason is not None else "no reason was told"
        return CopyFailedError(
            f"{self._transport.name}: the copy stopped in segment {done} of {copy.segment_count}: "
            f"{said}",
            sense=sense,
            segments_done=done,
        )
