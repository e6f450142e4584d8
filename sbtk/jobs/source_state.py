"""What tells whether an image file was written to since a run began."""

from __future__ import annotations

from pathlib import Path

from sbtk.device.location import parse


def state_of(location: str) -> dict[str, int] | None:
    """Inode, size and times of an image file; None for what is no file."""
    place = parse(location)
    path = Path(place.path) if place.kind == "path" else None
    if path is None or not path.is_file():
        return None
    state = path.stat()
    return {
        "inode": state.st_ino,
        "size_bytes": state.st_size,
        "modified_ns": state.st_mtime_ns,
        "changed_ns": state.st_ctime_ns,
    }
