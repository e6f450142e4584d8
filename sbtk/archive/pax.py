"""Headers of tar members as bytes: ustar and pax of POSIX.1-2017, GNU sparse format 1.0.

The one place that knows the 512-byte header. Nothing here writes; ``layout`` gives the bytes their
addresses. What every reader of such headers does with damage is in ``reader``.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping

from sbtk.errors import ArchiveError

BLOCK_BYTES = 512

# POSIX.1-2017 pax, "ustar Interchange Format": name 100, mode 8, uid 8, gid 8, size 12, mtime 12,
# chksum 8, typeflag 1, linkname 100, magic 6, version 2, uname 32, gname 32, devmajor 8,
# devminor 8, prefix 155, and 12 bytes to fill the block.
USTAR = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s")
CHECKSUM_SLICE = slice(148, 156)

FILE = b"0"
HARD_LINK = b"1"
SYMBOLIC_LINK = b"2"
DIRECTORY = b"5"
EXTENDED = b"x"  # pax records of the next member
GLOBAL = b"g"  # pax records of all members that follow

END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)
MAX_OCTAL_SIZE = 8**11 - 1  # what the size field holds; a pax record says more
SMALLEST_COMMENT_BYTES = len(b"12 comment=\n")

# GNU tar warns of every pax keyword that it does not know, once a member, so that ours travel in
# the one keyword that all readers skip in silence: "comment=SBTK record=5 attributes=00000020 ...".
OWN_KEY = "SBTK."
OWN_COMMENT = "SBTK "

_MAX_NAME_BYTES = 100
_MAX_MTIME_S = 8**11 - 1


def padded_bytes(size_bytes: int, unit_bytes: int = BLOCK_BYTES) -> int:
    """``size_bytes`` rounded up to whole units."""
    return -(-size_bytes // unit_bytes) * unit_bytes


def pax_record(key: str, value: str | bytes) -> bytes:
    r"""One extended header record, ``"<length> <key>=<value>\n"``, its length included in itself.

    POSIX.1-2017 pax, "pax Extended Header".
    """
    body = b" " + key.encode() + b"=" + (value.encode() if isinstance(value, str) else value)
    body += b"\n"
    digits = len(str(len(body)))
    if len(str(len(body) + digits)) > digits:
        digits += 1
    return str(len(body) + digits).encode() + body


def comment_record(length_bytes: int) -> bytes:
    """A ``comment`` record of exactly ``length_bytes``, which every reader skips.

    Raises:
        ArchiveError: shorter than the shortest record.
    """
    digits = str(length_bytes).encode()
    fill_bytes = length_bytes - len(digits) - len(b" comment=\n")
    if fill_bytes < 0:
        raise ArchiveError(f"no comment record is {length_bytes} bytes short")
    return digits + b" comment=" + b" " * fill_bytes + b"\n"


def ustar_header(
    name: bytes,
    size_bytes: int,
    *,
    mtime_s: int = 0,
    typeflag: bytes = FILE,
    link_name: bytes = b"",
    mode: int = 0o644,
) -> bytes:
    """One 512-byte header. Fields that do not fit are cut: a pax record carries them in full."""
    size_bytes = size_bytes if size_bytes <= MAX_OCTAL_SIZE else 0
    mtime_s = min(max(mtime_s, 0), _MAX_MTIME_S)
    block = USTAR.pack(
        name[:_MAX_NAME_BYTES],
        b"%07o\0" % mode,
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size_bytes,
        b"%011o\0" % mtime_s,
        b"        ",
        typeflag,
        link_name[:_MAX_NAME_BYTES],
        b"ustar\0",
        b"00",
        b"",
        b"",
        b"0000000\0",
        b"0000000\0",
        b"",
        b"",
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def extended_header(records: bytes, *, name: bytes, typeflag: bytes = EXTENDED) -> bytes:
    """The pseudo member that carries pax records, padded to whole blocks."""
    head = ustar_header(name, len(records), typeflag=typeflag)
    return head + records + bytes(-len(records) % BLOCK_BYTES)


def member_head(
    name: str,
    size_bytes: int,
    *,
    mtime_ns: int = 0,
    typeflag: bytes = FILE,
    link_name: str = "",
    mode: int = 0o644,
    keys: Mapping[str, str] | None = None,
    at_bytes: int = 0,
    align_bytes: int = BLOCK_BYTES,
    lead_bytes: int = 0,
) -> bytes:
    """All header blocks of one member.

    Args:
        name: path in the archive.
        size_bytes: bytes of the member's data as they are stored.
        mtime_ns: modification time, nanoseconds since 1970; negative for earlier.
        typeflag: what the member is.
        link_name: what a link points to.
        mode: permission bits.
        keys: further pax records; those that begin with ``SBTK.`` hold no spaces in their values.
        at_bytes: address of the header in the archive, a multiple of 512.
        align_bytes: power of two; the first data byte behind ``lead_bytes`` lies on a multiple
            of it. The extended header grows by a comment to get there (archive.md, rule 1).
        lead_bytes: bytes between the header and what is to be aligned (a sparse map).

    Returns:
        A multiple of 512 bytes, to be followed by the data.
    """
    raw_name = name.encode()
    raw_link = link_name.encode()
    short_name = _short_name(name)
    records = _records(raw_name, raw_link, size_bytes, mtime_ns, keys or {}, short_name)
    own = ustar_header(
        short_name,
        size_bytes,
        mtime_s=mtime_ns // 1_000_000_000,
        typeflag=typeflag,
        link_name=raw_link,
        mode=mode,
    )
    bare_bytes = (BLOCK_BYTES + padded_bytes(len(records)) if records else 0) + BLOCK_BYTES
    missing_bytes = -(at_bytes + bare_bytes + lead_bytes) % align_bytes
    if missing_bytes and not records:
        # The block of the extended header itself is part of what fills the gap.
        missing_bytes = -(at_bytes + bare_bytes + BLOCK_BYTES + lead_bytes) % align_bytes
        missing_bytes = missing_bytes or align_bytes
    if missing_bytes:
        target_bytes = padded_bytes(len(records)) + missing_bytes
        records += comment_record(target_bytes - len(records))
    if not records:
        return own
    return extended_header(records, name=b"PaxHeaders/" + short_name[:88]) + own


def _short_name(name: str) -> bytes:
    """What the name field holds: the name where it fits, else what is readable of it.

    bsdtar composes the characters of a ``path`` record (NFC). A name that is not composed keeps its
    bytes in the name field, which no reader changes.
    """
    raw = name.encode()
    if len(raw) <= _MAX_NAME_BYTES and not unicodedata.is_normalized("NFC", name):
        return raw
    return raw.decode("ascii", "replace").replace("\ufffd", "_").encode()[:_MAX_NAME_BYTES]


def _records(
    name: bytes,
    link: bytes,
    size_bytes: int,
    mtime_ns: int,
    keys: Mapping[str, str],
    short_name: bytes,
) -> bytes:
    parts = []
    if name != short_name:
        parts.append(pax_record("path", name))
    if len(link) > _MAX_NAME_BYTES or not link.isascii():
        parts.append(pax_record("linkpath", link))
    if size_bytes > MAX_OCTAL_SIZE:
        parts.append(pax_record("size", str(size_bytes)))
    seconds, rest_ns = divmod(mtime_ns, 1_000_000_000)
    if rest_ns or not 0 <= seconds <= _MAX_MTIME_S:
        parts.append(pax_record("mtime", decimal_seconds(mtime_ns)))
    parts.extend(pax_record(key, value) for key, value in keys.items() if key[:5] != OWN_KEY)
    own = " ".join(f"{key[5:]}={value!s}" for key, value in keys.items() if key[:5] == OWN_KEY)
    if own:
        parts.append(pax_record("comment", OWN_COMMENT + own))
    return b"".join(parts)


def own_keys(comment: str) -> dict[str, str]:
    """Our own keys out of a ``comment`` record; none from any other comment."""
    if not comment.startswith(OWN_COMMENT):
        return {}
    pairs = (word.partition("=") for word in comment[len(OWN_COMMENT) :].split(" "))
    return {OWN_KEY + key: value for key, _, value in pairs}


def decimal_seconds(time_ns: int) -> str:
    """Nanoseconds since 1970 as pax writes times: ``"-1.500000000"`` is 1.5 s before."""
    sign = "-" if time_ns < 0 else ""
    seconds, rest_ns = divmod(abs(time_ns), 1_000_000_000)
    return f"{sign}{seconds}.{rest_ns:09d}"


def sparse_keys(name: str, real_bytes: int) -> dict[str, str]:
    """The pax records that make a member a GNU sparse file, format 1.0 (GNU tar manual, D.2)."""
    return {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(real_bytes),
    }


def sparse_member_name(name: str) -> str:
    """The name that a reader without sparse files sees, as GNU tar forms it."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/GNUSparseFile.0/{last}" if folder else f"GNUSparseFile.0/{last}"


def filler(length_bytes: int) -> bytes:
    """A global header that says nothing, to move what follows it.

    Args:
        length_bytes: a multiple of 512, at least 1024.

    Raises:
        ArchiveError: no filler has this length.
    """
    if length_bytes % BLOCK_BYTES or length_bytes < 2 * BLOCK_BYTES:
        raise ArchiveError(f"no filler is {length_bytes} bytes long")
    record = comment_record(length_bytes - BLOCK_BYTES)
    return extended_header(record, name=b"PaxHeaders/fill", typeflag=GLOBAL)
