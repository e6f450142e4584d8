"""Carry out the command lists of a plan, and keep the digests they bring.

On a tape they follow one another, and so they do where the host has to write in between. On a disk
several are under way at once, as many as the copy manager takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

import blake3
import numpy as np
from numpy.typing import NDArray

from sbtk.errors import JobError
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList
from sbtk.jobs.in_flight import InFlight
from sbtk.jobs.units import Disk, Tape
from sbtk.plan.encode import encode_command, host_writes, inline_of_segment, segment_range
from sbtk.plan.model import (
    BLOCK_OFFSET_TO_BLOCK,
    DIGEST,
    DIGEST_BYTES,
    EMBEDDED_TO_STREAM,
    HOST,
    HOST_WRITE,
    INLINE_TO_STREAM,
    LOCATE,
    STREAM_DISCARD,
    Plan,
    base_type,
)

MOST_IN_FLIGHT = 4
"""Lists under way at once: enough that the manager never waits for us, few enough to be aborted."""

_SENT = np.array([INLINE_TO_STREAM, EMBEDDED_TO_STREAM, HOST_WRITE], np.uint8)


@dataclass(frozen=True)
class Ended:
    """One command list that has ended well.

    Attributes:
        command: its number in the plan.
        moved_bytes: bytes that the copy manager moved for it.
        inline_bytes: headers that the host sent for it.
        host_data_bytes: file data that went through the host for it.
        took_s: how long it took.
    """

    command: int
    moved_bytes: int
    inline_bytes: int
    host_data_bytes: int
    took_s: float = 0.0


@dataclass
class Runner:
    """One plan on its units.

    Attributes:
        plan: what is carried out.
        disk: the LUN that holds the volume, or will; None for a plan that verifies.
        archive: where the archive is.
        client: of the copy manager.
        first_object: logical object of the set's first record on its tape.
        digests: (segments, 32) uint8, filled as lists end.
        has_digest: (segments,) bool.
    """

    plan: Plan
    disk: Disk | None
    archive: Disk | Tape
    client: CopyClient
    first_object: int = 0
    digests: NDArray[np.uint8] = field(init=False, repr=False)
    has_digest: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._under_way: dict[int, tuple[Ended, float]] = {}
        self._fetched_bytes = 0
        self._fetched: dict[tuple[int, int], bytes] = {}  # of one list: it may be asked twice
        rows = len(self.plan.segments)
        self.digests = np.zeros((rows, DIGEST_BYTES), np.uint8)
        self.has_digest = np.zeros(rows, np.bool_)
        archive, disk = self.archive.cscd(), self.disk.cscd() if self.disk else b""
        # CSCD 0 is what is read, 1 what is written (plan.encode); a verify writes nothing.
        self._cscds = disk + archive if self.plan.kind == "backup" else archive + disk

    def run(
        self,
        control: Control,
        done: Callable[[Ended], None],
        *,
        begin: Callable[[int], None] = lambda _command: None,
        first_command: int = 0,
        ended: Container[int] = frozenset(),
    ) -> None:
        """Carry out the lists from ``first_command`` on.

        Args:
            control: pauses between lists, cancels at any time.
            done: told of every list that has ended well, in the order in which they end.
            begin: told before every list: the journal's write ahead.
            first_command: where to begin, when a job is resumed.
            ended: lists behind it that need not be carried out again.

        Raises:
            CopyFailedError: a list stopped.
            CancelledError: the user cancelled.
            CheckConditionError: a read or write of the host failed.
            TransportError: the path to a unit broke.
        """
        most = self._most_in_flight()

        def ended_well(command: int, held: bytes) -> None:
            self._keep_digests(command, held)
            made, began_s = self._under_way.pop(command)
            done(replace(made, took_s=time.monotonic() - began_s))

        with InFlight(self.client, control, ended_well) as flight:
            for command in range(first_command, len(self.plan.commands)):
                if command in ended:
                    continue
                alone = self._goes_alone(command)
                if alone or control.paused:
                    flight.drain()
                control.between_lists()
                begin(command)
                began_s, self._fetched_bytes, self._fetched = time.monotonic(), 0, {}
                if self.plan.commands.kind[command] == HOST:
                    done(replace(self._host(command), took_s=time.monotonic() - began_s))
                    continue
                copy, made = self._list(command)
                self._under_way[command] = made, began_s
                flight.start(command, copy, most)
                if alone:
                    flight.drain()
            flight.drain()

    def _most_in_flight(self) -> int:
        if isinstance(self.archive, Tape):
            return 1  # the order of the records is the order of the lists
        return min(self.client.most_running, MOST_IN_FLIGHT)

    def _goes_alone(self, command: int) -> bool:
        """Whether nothing else may be under way with this list.

        What the host writes stands in front of the copies into the same blocks or behind them, and
        two parts of one block are read, changed and written back: not at once.
        """
        if self.plan.commands.kind[command] == HOST:
            return True
        codes = base_type(self.plan.segments.type_code[segment_range(self.plan, command)])
        return self.plan.kind != "verify" and bool((codes == BLOCK_OFFSET_TO_BLOCK).any())

    def _list(self, command: int) -> tuple[CopyList, Ended]:
        """One list as it is sent, and what it will have done when it has ended well."""
        plan = self.plan
        rows = segment_range(plan, command)
        encoded = encode_command(plan, command, self._read_disk, first_object=self.first_object)
        copy = CopyList(
            self._cscds,
            encoded.segments,
            encoded.inline,
            rows.stop - rows.start,
            encoded.digests * DIGEST_BYTES,
        )
        moved = int(plan.segments.length_bytes[rows].sum()) - self._sent_bytes(rows)
        inline = self._sent_bytes(rows) - self._fetched_bytes
        return copy, Ended(command, moved, inline, self._fetched_bytes)

    def _keep_digests(self, command: int, held: bytes) -> None:
        if held:
            rows = segment_range(self.plan, command)
            code = self.plan.segments.type_code[rows]
            made = np.flatnonzero((code >= DIGEST) & (code < 0xE0)) + rows.start
            self.digests[made] = np.frombuffer(held, np.uint8).reshape(-1, DIGEST_BYTES)
            self.has_digest[made] = True

    def _sent_bytes(self, rows: slice) -> int:
        """Bytes of a list that the host sends, inside its descriptors or behind them."""
        sent = np.isin(base_type(self.plan.segments.type_code[rows]), _SENT)
        return int(self.plan.segments.length_bytes[rows][sent].sum())

    def _read_disk(self, offset_bytes: int, length_bytes: int) -> bytes:
        if self.disk is None:
            raise JobError("a plan that verifies reads nothing of the volume")
        key = offset_bytes, length_bytes
        if key not in self._fetched:
            self._fetched[key] = self.disk.read(offset_bytes, length_bytes)
            self._fetched_bytes += length_bytes
        return self._fetched[key]

    # -- what the host does itself ---------------------------------------------------------------

    def _host(self, command: int) -> Ended:
        if self.plan.kind != "backup":
            return Ended(command, 0, 0, self._bring_back(command))
        rows = segment_range(self.plan, command)
        parts = self._inline_of(rows)
        if isinstance(self.archive, Disk):
            for offset_bytes, data in host_writes(self.plan, command, self._read_disk):
                self.archive.write(offset_bytes, data)
        else:
            self._write_records(rows, b"".join(parts))
        sent = sum(map(len, parts))
        return Ended(command, 0, sent - self._fetched_bytes, self._fetched_bytes)

    def _inline_of(self, rows: slice) -> list[bytes]:
        """What the host sends for each row, and the digest of it, made here."""
        parts = []
        for row in range(rows.start, rows.stop):
            part = inline_of_segment(self.plan, row, self._read_disk)
            self.digests[row] = np.frombuffer(blake3.blake3(part).digest(), np.uint8)
            self.has_digest[row] = True
            parts.append(part)
        return parts

    def _write_records(self, rows: slice, data: bytes) -> None:
        transfer = int(self.plan.segments.transfer_bytes[rows.start])
        if not isinstance(self.archive, Tape) or len(data) % transfer:
            raise JobError("the plan's records do not fill")
        for start in range(0, len(data), transfer):
            self.archive.write_record(data[start : start + transfer])

    def _bring_back(self, command: int) -> int:
        """Segments of a restore that no copy manager can do: read and written by the host."""
        if self.disk is None:
            raise JobError("a plan that verifies has nothing for the host to write")
        segments = self.plan.segments
        rows = segment_range(self.plan, command)
        kinds = base_type(segments.type_code[rows])
        queue, moved = bytearray(), 0
        for row, kind in zip(range(rows.start, rows.stop), kinds.tolist(), strict=True):
            length, origin = int(segments.length_bytes[row]), int(segments.origin_bytes[row])
            if kind == LOCATE and isinstance(self.archive, Tape):
                self.archive.locate(origin + self.first_object)
                queue.clear()
                continue
            data = self._take(row, length, queue)
            moved += length
            if kind != STREAM_DISCARD:
                self.disk.patch(origin, data)
        return moved

    def _take(self, row: int, length_bytes: int, queue: bytearray) -> bytes:
        segments = self.plan.segments
        if isinstance(self.archive, Disk):
            at = int(segments.archive_start_bytes[row]) + self.plan.target.start_bytes
            return self.archive.read(at, length_bytes)
        while len(queue) < length_bytes:
            record = self.archive.read_record(int(segments.transfer_bytes[row]))
            if record is None:
                raise JobError(
                    f"{self.archive.name}: the set ends before its map does",
                    hint="The tape is not the one of this set, or is damaged",
                )
            queue += record
        data = bytes(queue[:length_bytes])
        del queue[:length_bytes]
        return data
