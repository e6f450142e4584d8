"""Streams all of $MFT through the kernels, chunk by chunk, in order, on one or more threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import local

import numpy as np

from sbtk.errors import DeviceReadError
from sbtk.events import Listener, Progress
from sbtk.ntfs.chunk import U8, Chunk
from sbtk.ntfs.findings import FindingList
from sbtk.ntfs.kernels import Kernels
from sbtk.ntfs.rows import Rows, RowsBuilder

CHUNK_BYTES = 2 * 1024 * 1024
_PROGRESS_EVERY_S = 0.5

ReadInto = Callable[[int, memoryview], None]
"""(offset_bytes within $MFT, buffer): fills the buffer; raises DeviceReadError."""


class Decoder:
    """One pass over an $MFT."""

    def __init__(
        self, read_into: ReadInto, record_bytes: int, record_count: int, kernels: Kernels,
        findings: FindingList,
    ) -> None:  # fmt: skip
        self._read_into = read_into
        self._record_bytes = record_bytes
        self._record_count = record_count
        self._kernels = kernels
        self._findings = findings
        self._step = max(CHUNK_BYTES // record_bytes, 1)
        self._local = local()
        self._unread: list[tuple[int, str]] = []

    def run(self, emit: Listener, threads: int) -> Rows:
        """Decode every record; those that cannot be read are findings and count as blank."""
        builder = RowsBuilder(self._record_count)
        told_s = time.monotonic()
        for done in self._steps(builder, threads):
            if time.monotonic() - told_s >= _PROGRESS_EVERY_S:
                told_s = time.monotonic()
                emit(Progress(stage="reading $MFT", done=done, total=self._record_count,
                              unit="records"))  # fmt: skip
        self._report_unread()
        return builder.finish()

    def _report_unread(self) -> None:
        """One finding a stretch of records: what fails is a sector, a cluster, or all the rest."""
        self._unread.sort()
        stretches: list[tuple[int, int, str]] = []
        for number, reason in self._unread:
            if stretches and stretches[-1][1] == number - 1:
                stretches[-1] = (stretches[-1][0], number, stretches[-1][2])
            else:
                stretches.append((number, number, reason))
        for first, last, reason in stretches:
            what = f"records {first} to {last} cannot" if last > first else "the record cannot"
            self._findings.add("error", "record-unread", f"{what} be read: {reason}", record=first)
            for number in range(first + 1, last + 1):
                self._findings.explain(number, by=first)

    def _steps(self, builder: RowsBuilder, threads: int) -> Iterator[int]:
        """Decode into ``builder``, telling after each chunk how many records are done."""
        starts = range(0, self._record_count, self._step)
        if threads <= 1:
            for first in starts:
                self._gather(first, builder, None)
                yield min(first + self._step, self._record_count)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="sbtk-scan") as pool:
            before: Future[None] | None = None
            pending: deque[Future[None]] = deque()
            try:
                for first in starts:
                    before = pool.submit(self._gather, first, builder, before)
                    pending.append(before)
                for first in starts:
                    pending.popleft().result()
                    yield min(first + self._step, self._record_count)
            finally:
                for future in pending:
                    future.cancel()

    def _gather(self, first: int, builder: RowsBuilder, before: Future[None] | None) -> None:
        """Decode a chunk, and add its rows when those of the chunk before it are there.

        The pool starts chunks in their order: whoever waits, waits for one that runs.
        """
        chunk = self._decode(first)
        if before is not None:
            before.result()
        builder.add(first, chunk)

    def _decode(self, first: int) -> Chunk:
        count = min(self._step, self._record_count - first)
        buffer: U8 | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = np.empty(self._step * self._record_bytes, np.uint8)
            self._local.buffer = buffer
        buffer = buffer[: count * self._record_bytes]
        try:
            self._read_into(first * self._record_bytes, buffer.data)
        except DeviceReadError:
            self._read_singly(first, buffer)
        return self._kernels.decode(buffer, self._record_bytes)

    def _read_singly(self, first: int, buffer: U8) -> None:
        """Read record by record where a whole chunk cannot be read."""
        for at in range(0, len(buffer), self._record_bytes):
            part = buffer[at : at + self._record_bytes]
            number = first + at // self._record_bytes
            try:
                self._read_into(number * self._record_bytes, part.data)
            except DeviceReadError as error:
                part[:] = 0
                self._unread.append((number, str(error.args[0])))
