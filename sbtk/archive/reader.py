"""Read a set from any byte source: its members, its manifest, its map, its image.

Nothing that the bytes say is believed before it is checked: no length is allocated for, no address
is gone to, unless the source has bytes there. A damaged header costs one ``ArchiveError`` that says
where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sbtk.archive import pax, sparse_map
from sbtk.archive.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from sbtk.archive.source import ReadAt
from sbtk.errors import ArchiveError

Int64Array = NDArray[np.int64]

MAX_EXTENDED_BYTES = 64 << 20  # of one extended header; ours hold the runs of one stream
MAX_MAP_BYTES = 1 << 31
_MAP_STEP_BYTES = 1 << 20
_KNOWN_TYPES = b"\x000123456789xgLKSDMNV"


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Attributes:
        name: path in the archive; of a sparse file its real name.
        typeflag: what it is, one byte (``pax.FILE`` and its neighbours).
        header_start_bytes: address of its first header block.
        data_start_bytes: address of its data (of a sparse file: of its map).
        stored_bytes: bytes of data as stored, without padding.
        real_bytes: size of the file when extracted.
        link_name: what a link points to.
        mtime_ns: modification time, nanoseconds since 1970.
        sparse: GNU sparse format 1.0.
        keys: all pax records of the member.
    """

    name: str
    typeflag: bytes
    header_start_bytes: int
    data_start_bytes: int
    stored_bytes: int
    real_bytes: int
    link_name: str = ""
    mtime_ns: int = 0
    sparse: bool = False
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def end_bytes(self) -> int:
        """Address behind the data and its padding: of the next header."""
        return self.data_start_bytes + pax.padded_bytes(self.stored_bytes)


def iterate_members(
    read_at: ReadAt, *, start_bytes: int = 0, limit_bytes: int | None = None
) -> Iterator[Member]:
    """The members of one archive, until two empty blocks or the end of the source.

    Args:
        read_at: the source.
        start_bytes: address of the first header.
        limit_bytes: address behind which no member may end (size of the LUN); None: unknown.

    Raises:
        ArchiveError: a header is damaged; the message has its address.
    """
    at = start_bytes
    while True:
        head = read_at(at, 2 * pax.BLOCK_BYTES)
        if len(head) < pax.BLOCK_BYTES or head == pax.END_OF_ARCHIVE:
            return
        if not any(head[: pax.BLOCK_BYTES]):
            raise ArchiveError(f"one empty block at byte {at} of the archive, where two end it")
        found = _read_member(read_at, at, limit_bytes)
        if isinstance(found, Member):
            yield found
            at = found.end_bytes
        else:
            at = found


def _read_member(read_at: ReadAt, start_bytes: int, limit_bytes: int | None) -> Member | int:
    """The member that begins here, or the address behind a global header that stands alone."""
    records: dict[str, str] = {}
    at = start_bytes
    while True:
        block = read_at(at, pax.BLOCK_BYTES)
        fields = _ustar_fields(block, at)
        typeflag, size_bytes = fields[7], _number(fields[4], at)
        at += pax.BLOCK_BYTES
        if typeflag not in (pax.EXTENDED, pax.GLOBAL):
            return _member(
                fields, records, start_bytes, data_start_bytes=at, size_bytes=size_bytes,
                limit_bytes=limit_bytes,
            )  # fmt: skip
        if size_bytes > MAX_EXTENDED_BYTES:
            raise ArchiveError(f"the extended header at byte {start_bytes} claims {size_bytes} B")
        body = read_at(at, size_bytes)
        if len(body) < size_bytes:
            raise ArchiveError(f"the archive ends in the extended header at byte {start_bytes}")
        if typeflag == pax.EXTENDED:
            records = _parse_records(body, at)
        at += pax.padded_bytes(size_bytes)
        if typeflag == pax.GLOBAL and not records:
            return at


def _member(
    fields: tuple[bytes, ...],
    records: dict[str, str],
    header_start_bytes: int,
    *,
    data_start_bytes: int,
    size_bytes: int,
    limit_bytes: int | None,
) -> Member:
    typeflag = fields[7]
    stored = _decimal(records, "size", size_bytes, header_start_bytes)
    if typeflag in (pax.HARD_LINK, pax.SYMBOLIC_LINK, pax.DIRECTORY):
        stored = 0
    if typeflag not in _KNOWN_TYPES:
        raise ArchiveError(f"the header at byte {header_start_bytes} has type {typeflag!r}")
    sparse = records.get("GNU.sparse.major") == "1" and records.get("GNU.sparse.minor") == "0"
    name = records.get("path") or _text(fields[0])
    if sparse:
        name = records.get("GNU.sparse.name", name)
    member = Member(
        name=name,
        typeflag=pax.FILE if typeflag == b"\0" else typeflag,
        header_start_bytes=header_start_bytes,
        data_start_bytes=data_start_bytes,
        stored_bytes=stored,
        real_bytes=_decimal(records, "GNU.sparse.realsize", stored, header_start_bytes),
        link_name=records.get("linkpath") or _text(fields[8]),
        mtime_ns=_time_ns(records.get("mtime"), _number(fields[5], header_start_bytes)),
        sparse=sparse,
        keys=records,
    )
    if limit_bytes is not None and member.end_bytes > limit_bytes:
        raise ArchiveError(f"the member at byte {header_start_bytes} ends behind the medium")
    return member


def _ustar_fields(block: bytes, at_bytes: int) -> tuple[bytes, ...]:
    if len(block) < pax.BLOCK_BYTES:
        raise ArchiveError(f"the archive ends in the header at byte {at_bytes}")
    fields: tuple[bytes, ...] = pax.USTAR.unpack(block)
    blanked = sum(block) - sum(block[pax.CHECKSUM_SLICE]) + 8 * ord(" ")
    if fields[9][:5] != b"ustar" or _number(fields[6], at_bytes) != blanked:
        raise ArchiveError(
            f"no tar header at byte {at_bytes} of the archive",
            hint="The medium is damaged there, or this is no set",
        )
    return fields


def _number(raw: bytes, at_bytes: int) -> int:
    text = raw.strip(b" \0")
    try:
        value = int(text, 8) if text else 0
    except ValueError as error:
        raise ArchiveError(f"the header at byte {at_bytes} holds {raw!r} as a number") from error
    if value < 0:
        raise ArchiveError(f"the header at byte {at_bytes} holds a negative number")
    return value


def _parse_records(body: bytes, at_bytes: int) -> dict[str, str]:
    records: dict[str, str] = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 10)
        digits = body[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = body[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        whole = space > at and space + 1 < at + length <= len(body)
        if not whole or not equals or record[-1:] != b"\n":
            raise ArchiveError(
                f"the extended header at byte {at_bytes} is damaged {at} bytes behind its start"
            )
        text = value.decode("utf-8", "replace")
        own = pax.own_keys(text) if key == b"comment" else {key.decode("utf-8", "replace"): text}
        records |= own
        at += length
    return records


def _decimal(records: dict[str, str], key: str, default: int, at_bytes: int) -> int:
    text = records.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ArchiveError(f"the header at byte {at_bytes} has {key}={text[:40]!r}")
    return int(text)


def _time_ns(text: str | None, seconds: int) -> int:
    if text is None:
        return seconds * 1_000_000_000
    whole, _, part = text.lstrip("-").partition(".")
    if not (whole + part).isdigit() or len(whole) > 12:
        return seconds * 1_000_000_000
    value_ns = int(whole or "0") * 1_000_000_000 + int((part + "000000000")[:9])
    return -value_ns if text.startswith("-") else value_ns


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def read_data(read_at: ReadAt, member: Member, *, limit_bytes: int) -> bytes:
    """All data of a small member.

    Raises:
        ArchiveError: it is larger than ``limit_bytes``, or the archive ends in it.
    """
    if member.stored_bytes > limit_bytes:
        raise ArchiveError(f"{member.name} claims {member.stored_bytes} B, more than it may hold")
    data = read_at(member.data_start_bytes, member.stored_bytes)
    if len(data) < member.stored_bytes:
        raise ArchiveError(f"the archive ends in {member.name}")
    return data


def read_manifest(read_at: ReadAt, *, start_bytes: int = 0) -> tuple[Manifest, Member]:
    """The manifest that an archive begins with, and its member.

    Raises:
        ArchiveError: the archive does not begin with one, or it is damaged.
    """
    for member in iterate_members(read_at, start_bytes=start_bytes):
        if member.name != MANIFEST_NAME:
            break
        document = read_data(read_at, member, limit_bytes=MAX_MANIFEST_BYTES)
        return Manifest.from_bytes(document), member
    raise ArchiveError(
        "no set of sbtk begins here", hint="Name the tape file or address where a set begins"
    )


def read_map(read_at: ReadAt, member: Member) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Where the pieces of a member are.

    Returns:
        ``(file_start_bytes, archive_start_bytes, length_bytes)``, (n,) each, ascending: a plain
        member is one piece.

    Raises:
        ArchiveError: the map is damaged, or does not fit the member.
    """
    if not member.sparse:
        rows = int(member.stored_bytes > 0)
        return (
            np.zeros(rows, np.int64),
            np.full(rows, member.data_start_bytes, np.int64),
            np.full(rows, member.stored_bytes, np.int64),
        )
    start_bytes, length_bytes, map_bytes = _decode_growing(read_at, member)
    stored = -(-length_bytes // pax.BLOCK_BYTES) * pax.BLOCK_BYTES
    archive_start = member.data_start_bytes + map_bytes + np.cumsum(stored) - stored
    held = map_bytes + int(length_bytes.sum())
    ends = int(start_bytes[-1] + length_bytes[-1]) if start_bytes.size else 0
    if pax.padded_bytes(held) != pax.padded_bytes(member.stored_bytes) or ends > member.real_bytes:
        raise ArchiveError(f"the sparse map of {member.name} does not fit its data")
    kept = length_bytes > 0
    return start_bytes[kept], archive_start[kept], length_bytes[kept]


def _decode_growing(read_at: ReadAt, member: Member) -> tuple[Int64Array, Int64Array, int]:
    """The map, read in steps that double: its size is not written anywhere."""
    limit = min(member.stored_bytes, MAX_MAP_BYTES)
    text = b""
    step = _MAP_STEP_BYTES
    while True:
        more = read_at(member.data_start_bytes + len(text), min(step, limit) - len(text))
        text += more
        try:
            return sparse_map.decode(text)
        except ArchiveError:
            if not more or len(text) >= limit:
                raise
        step *= 2
