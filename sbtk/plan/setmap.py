"""The map of a set: what lies where in its archive, in which records, with which digest.

It is the content of the closing member ``digests.parquet``, one row a segment of the backup, and
all that a restore or a verify needs besides the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sbtk.errors import ArchiveError
from sbtk.ntfs.columns import arrow_table, numpy_values
from sbtk.plan.model import DIGEST_BYTES, INLINE, REPEAT, Int64Array, Plan, UInt8Array

FORMAT_VERSION = 1
SCHEMA = pa.schema(
    [
        ("archive_start_bytes", pa.int64()),
        ("length_bytes", pa.int64()),
        ("kind", pa.uint8()),  # 0 source, 1 inline, 2 repeat
        ("lun_start_bytes", pa.int64()),  # -1: inline
        ("record_bytes", pa.int64()),  # of the tape records that hold the row; 0 on disk
        ("digest", pa.binary(DIGEST_BYTES)),  # BLAKE3 of the row's bytes; null: not made
    ]
)


@dataclass(frozen=True)
class SetMap:
    """Rows ascend by ``archive_start_bytes`` and do not overlap.

    Attributes:
        archive_start_bytes, length_bytes: (n,) where in the archive.
        kind: (n,) uint8, as ``Pieces.kind``.
        lun_start_bytes: (n,) where on the source LUN; -1 for inline rows.
        record_bytes: (n,) bytes a tape record, 0 on disk.
        digest: (n, 32) uint8 BLAKE3 digests; None where none were made.
        has_digest: (n,) bool.
    """

    archive_start_bytes: Int64Array
    length_bytes: Int64Array
    kind: UInt8Array
    lun_start_bytes: Int64Array
    record_bytes: Int64Array
    digest: UInt8Array | None = None
    has_digest: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return int(self.archive_start_bytes.size)

    @property
    def end_bytes(self) -> int:
        """Address behind the last row: the closing member's."""
        return int(self.archive_start_bytes[-1] + self.length_bytes[-1]) if len(self) else 0


def map_of(plan: Plan, digests: dict[int, bytes] | NDArray[np.uint8] | None = None) -> SetMap:
    """The map of the set that a backup plan writes.

    Args:
        plan: a backup plan that was executed.
        digests: the digest of each segment, ``(segments, 32)`` uint8 in the order of the plan, or
            a dictionary segment -> 32 bytes where some are missing.
    """
    segments = plan.segments
    pieces = plan.pieces
    order = np.argsort(segments.archive_start_bytes, kind="stable")
    start = segments.archive_start_bytes[order]
    piece = np.searchsorted(pieces.archive_start_bytes, start, side="right") - 1
    kind = pieces.kind[piece]
    lun = pieces.origin_bytes[piece] + start - pieces.archive_start_bytes[piece]
    digest, known = _digest_rows(digests, len(segments))
    return SetMap(
        start,
        segments.length_bytes[order],
        kind,
        np.where(kind == INLINE, -1, lun),
        segments.transfer_bytes[order],
        digest[order] if digest is not None else None,
        known[order] if known is not None else None,
    )


def _digest_rows(
    digests: dict[int, bytes] | NDArray[np.uint8] | None, rows: int
) -> tuple[UInt8Array | None, NDArray[np.bool_] | None]:
    if digests is None:
        return None, None
    if not isinstance(digests, dict):
        return digests.reshape(rows, DIGEST_BYTES), np.ones(rows, np.bool_)
    table = np.zeros((rows, DIGEST_BYTES), np.uint8)
    known = np.zeros(rows, np.bool_)
    for row, value in digests.items():
        table[row] = np.frombuffer(value, np.uint8)
        known[row] = True
    return table, known


def to_parquet(rows: SetMap, facts: dict[str, str] | None = None) -> bytes:
    """The closing member's content: the rows, and facts that are known only at the end.

    Args:
        rows: the map.
        facts: further keys of the file's metadata (times, unreadable blocks, findings).
    """
    columns: list[Any] = [
        rows.archive_start_bytes, rows.length_bytes, rows.kind, rows.lun_start_bytes,
        rows.record_bytes, _digest_column(rows),
    ]  # fmt: skip
    metadata = {"sbtk.format": str(FORMAT_VERSION), **(facts or {})}
    table = arrow_table(columns, SCHEMA).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=False, write_page_checksum=True,
        column_encoding=dict.fromkeys(SCHEMA.names[:2], "DELTA_BINARY_PACKED"),
    )  # fmt: skip
    return bytes(sink.getvalue())


def _digest_column(rows: SetMap) -> pa.Array:
    if rows.digest is None:
        return pa.nulls(len(rows), pa.binary(DIGEST_BYTES))
    values = pa.py_buffer(np.ascontiguousarray(rows.digest))
    valid = None
    if rows.has_digest is not None and not rows.has_digest.all():
        valid = pa.py_buffer(np.packbits(rows.has_digest, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(DIGEST_BYTES), len(rows), [valid, values])


def from_parquet(content: bytes) -> tuple[SetMap, dict[str, str]]:
    """Read a closing member that may be damaged.

    Returns:
        The map, and the facts beside it.

    Raises:
        ArchiveError: no such file, of another version, or rows that make no sense.
    """
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        raw = table.schema.metadata or {}
        facts = {key.decode(): value.decode() for key, value in raw.items()}
        if facts.pop("sbtk.format", "") != str(FORMAT_VERSION):
            raise ArchiveError("the set's digests are of another version of sbtk")
        facts.pop("ARROW:schema", None)
        table = table.select(SCHEMA.names).cast(SCHEMA).combine_chunks()
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"the set's digests are damaged: {error}") from error
    return _checked(table), facts


def _checked(table: pa.Table) -> SetMap:
    digest_column = table.column("digest").combine_chunks()
    if isinstance(digest_column, pa.ChunkedArray):
        digest_column = pa.concat_arrays(digest_column.chunks)
    known = numpy_values(digest_column.is_valid())
    digest = None
    if known.any():
        flat = np.frombuffer(digest_column.buffers()[1], np.uint8)
        at = digest_column.offset * DIGEST_BYTES
        digest = flat[at : at + len(table) * DIGEST_BYTES].reshape(-1, DIGEST_BYTES)
    if any(table.column(name).null_count for name in SCHEMA.names[:-1]):
        raise ArchiveError("the set's digests are damaged: rows without addresses")
    start, length, kind, lun, record = (
        numpy_values(table.column(name)) for name in SCHEMA.names[:-1]
    )
    limit = np.int64(1) << 62
    sane = (
        (start >= 0) & (start < limit) & (length > 0) & (length < limit) & (kind <= REPEAT)
        & (lun >= -1) & (lun < limit) & (record >= 0) & (record < 1 << 24)
    )  # fmt: skip
    if not sane.all() or (start[1:] < start[:-1] + length[:-1]).any():
        raise ArchiveError("the set's digests are damaged: rows overlap or lie outside the set")
    return SetMap(start, length, kind, lun, record, digest, known if digest is not None else None)


@dataclass(frozen=True)
class RecordRuns:
    """Where records lie on tape: runs of records of one length, ascending, without gaps.

    Attributes:
        start_bytes, end_bytes: (k,) archive bytes of each run.
        record_bytes: (k,) bytes a record.
        first_object: (k,) number of the run's first record, 0 for the set's first.
    """

    start_bytes: Int64Array
    end_bytes: Int64Array
    record_bytes: Int64Array
    first_object: Int64Array


def record_runs(rows: SetMap) -> RecordRuns:
    """The records of a set on tape.

    Raises:
        ArchiveError: the rows are not those of a tape, or do not end on records.
    """
    if not len(rows) or (rows.record_bytes == 0).any():
        raise ArchiveError("this set has no tape records", hint="It was written to a disk")
    begins = np.flatnonzero(np.diff(rows.record_bytes, prepend=-1))
    start = rows.archive_start_bytes[begins]
    end = np.append(start[1:], rows.end_bytes)
    record = rows.record_bytes[begins]
    if ((end - start) % record).any() or start[0] != 0:
        raise ArchiveError("the set's digests are damaged: rows do not end with their records")
    count = (end - start) // record
    return RecordRuns(start, end, record, np.cumsum(count) - count)


def record_at(runs: RecordRuns, archive_bytes: int) -> tuple[int, int, int]:
    """The record that holds an archive byte: ``(object, first byte, record length)``.

    Raises:
        ArchiveError: the byte lies behind the set.
    """
    run = int(np.searchsorted(runs.start_bytes, archive_bytes, side="right")) - 1
    if run < 0 or archive_bytes >= runs.end_bytes[run]:
        raise ArchiveError(f"byte {archive_bytes} lies outside the set")
    record = int(runs.record_bytes[run])
    index = (archive_bytes - int(runs.start_bytes[run])) // record
    return (
        int(runs.first_object[run]) + index,
        int(runs.start_bytes[run]) + index * record,
        record,
    )
