"""Writes a file so that it is there whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, in place of what is there: all of it, and on the medium.

    It is written beside ``path`` under another name, synced and renamed; a failure leaves what was
    there as it was. A link stays one: what it leads to is replaced.

    Raises:
        OSError: it cannot be written, or what is there is no file (a folder, ``/dev/null``).
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "what is there is no file", str(path))
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)
