"""A read-only ntfs-3g mount: what a file system driver makes of the same bytes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.oracles.commands import output_of

OPTIONS = "ro,streams_interface=xattr,show_sys_files"


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    """``image`` on a folder of its own, hidden and system files shown, streams as xattrs."""
    with tempfile.TemporaryDirectory(prefix="sbtk-mount-") as folder:
        output_of("ntfs-3g", "-o", OPTIONS, image, folder)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)
