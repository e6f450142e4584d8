"""The file of an overlay snapshot, and how one that a killed process left is found.

The file is sparse: a header, then every saved chunk at its own place. It is locked by the process
that uses it, so a file that nobody has locked is a left-over. Nothing in it is ever needed again:
the unit always holds the latest bytes, and the snapshot ended with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from sbtk.errors import SnapshotError

HEADER_BYTES = 4096
SUFFIX = ".sbtk-overlay"

# magic, process, time of creation (ns since the epoch), the unit's designator, its size, chunk
# size, length of the unit's name, which follows in UTF-8.
_HEADER = struct.Struct("<8sQQ16sQQH")
_MAGIC = b"SBTKOVL1"
_LONGEST_NAME_BYTES = HEADER_BYTES - _HEADER.size


@dataclass(frozen=True)
class OverlayOwner:
    """Whose overlay it is.

    Attributes:
        unit: name of the logical unit.
        designator: its 16-byte designator.
        size_bytes: its size.
        chunk_bytes: what is saved at once.
        pid: the process that made it.
        created_s: when, in seconds since the epoch.
    """

    unit: str
    designator: bytes
    size_bytes: int
    chunk_bytes: int
    pid: int
    created_s: float

    def encode(self) -> bytes:
        """The header's 4096 bytes; a name that is too long is cut."""
        name = self.unit.encode()[:_LONGEST_NAME_BYTES]
        head = _HEADER.pack(
            _MAGIC,
            self.pid,
            int(self.created_s * 1e9),
            self.designator,
            self.size_bytes,
            self.chunk_bytes,
            len(name),
        )
        return (head + name).ljust(HEADER_BYTES, b"\0")


def decode_owner(raw: bytes) -> OverlayOwner | None:
    """The owner in a header, or None where the header was never written or is damaged."""
    if len(raw) != HEADER_BYTES or not raw.startswith(_MAGIC):
        return None
    _, pid, created_ns, designator, size_bytes, chunk_bytes, length = _HEADER.unpack_from(raw)
    name = raw[_HEADER.size : _HEADER.size + length].decode("utf-8", "replace")
    return OverlayOwner(name, designator, size_bytes, chunk_bytes, pid, created_ns / 1e9)


def create_store(folder: Path, unit: str, owner: OverlayOwner) -> tuple[Path, int]:
    """Make and lock the file of a new overlay.

    Returns:
        Its path and descriptor; the lock lives as long as the descriptor.

    Raises:
        SnapshotError: the folder takes no file.
    """
    path = folder / f"{Path(unit).name}.{uuid.uuid4().hex[:12]}{SUFFIX}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SnapshotError(
            f"no overlay can be made in {folder}: {error.strerror}",
            hint="Name a folder that exists, is writable and has space",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.pwrite(fd, owner.encode(), 0)
        os.ftruncate(fd, HEADER_BYTES + owner.size_bytes)
    except OSError as error:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise SnapshotError(f"no overlay can be made in {folder}: {error.strerror}") from error
    return path, fd


def new_owner(unit: str, designator: bytes, size_bytes: int, chunk_bytes: int) -> OverlayOwner:
    """The owner that this process is, from now on."""
    return OverlayOwner(unit, designator, size_bytes, chunk_bytes, os.getpid(), time.time())


@dataclass(frozen=True)
class Leftover:
    """An overlay file whose process is gone.

    Attributes:
        path: the file.
        owner: whose it was, None where its process was killed before it could say so.
        stored_bytes: what it takes on its file system.
    """

    path: Path
    owner: OverlayOwner | None
    stored_bytes: int

    def remove(self) -> None:
        """Delete it; the unit it belonged to needs nothing of it.

        Raises:
            SnapshotError: it is in use after all, or cannot be deleted.
        """
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.path.unlink()
        except FileNotFoundError:
            return
        except BlockingIOError as error:
            raise SnapshotError(f"{self.path} is in use") from error
        except OSError as error:
            raise SnapshotError(f"{self.path}: {error.strerror}") from error


def find_leftovers(folder: Path) -> list[Leftover]:
    """Every overlay file in a folder that no process uses, by name."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = decode_owner(file.read(HEADER_BYTES))
            stored_bytes = os.fstat(file.fileno()).st_blocks * 512
            found.append(Leftover(path, owner, stored_bytes))
    return found
