"""The end of an archive: the member that is written after all others, and the end-of-archive mark.

The bytes follow from the content and the address alone, so that verify can make them again and
compare every one of them with the medium.
"""

from __future__ import annotations

import blake3

from sbtk.archive import pax
from sbtk.archive.manifest import DIGESTS_NAME
from sbtk.archive.reader import Member, iterate_members, read_data
from sbtk.archive.source import ReadAt
from sbtk.errors import ArchiveError

MAX_CLOSING_BYTES = 1 << 32
_DIGEST_KEY = "SBTK.blake3"


def closing_bytes(
    content: bytes, *, unit_bytes: int, at_bytes: int = 0, mtime_ns: int = 0
) -> bytes:
    """What is written at the end of the planned bytes: the last member and the end of the archive.

    Args:
        content: of ``digests.parquet``.
        unit_bytes: bytes a tape record, or 4096 on a disk: the archive ends on a multiple of it,
            filled with zeros, which is what the end of a tar is made of.
        at_bytes: where these bytes begin: ``Plan.archive_bytes`` on a disk, 0 on a tape, where a
            record begins.
        mtime_ns: time that tar shows: the snapshot's.
    """
    keys = {_DIGEST_KEY: blake3.blake3(content).hexdigest()}
    head = pax.member_head(DIGESTS_NAME, len(content), keys=keys, mtime_ns=mtime_ns)
    body = head + content + bytes(-len(content) % pax.BLOCK_BYTES) + pax.END_OF_ARCHIVE
    return body + bytes(-(at_bytes + len(body)) % unit_bytes)


def read_closing(read_at: ReadAt, at_bytes: int) -> tuple[bytes, Member]:
    """The last member's content.

    Args:
        read_at: the archive.
        at_bytes: address of the closing member's header.

    Raises:
        ArchiveError: it is not there, or damaged: the set was not finished.
    """
    for member in iterate_members(read_at, start_bytes=at_bytes):
        if member.name != DIGESTS_NAME:
            break
        content = read_data(read_at, member, limit_bytes=MAX_CLOSING_BYTES)
        if blake3.blake3(content).hexdigest() != member.keys.get(_DIGEST_KEY):
            raise ArchiveError("the set's digests are damaged: their own digest differs")
        return content, member
    raise ArchiveError("the set was not finished: its last member is missing")
