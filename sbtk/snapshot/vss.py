"""Provider ``vss``: a shadow copy on the Windows host that mounts the volume, by diskshadow.

Nothing here can be tried on Linux: the scripts are written, and the user's hook carries them to
the host and runs ``diskshadow /s`` there (ssh, WinRM, an agent). VSS lets writers flush and holds
them for at most 60 s, its provider holds writes for 10 s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from sbtk.errors import SnapshotError, UsageError
from sbtk.settings import settings
from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.command import option, template
from sbtk.snapshot.commands import Runner, fill
from sbtk.snapshot.records import Record

_VOLUME = re.compile(r"[A-Za-z]:\\?|[A-Za-z]:\\[^\s\"<>|*?]+|\\\\\?\\Volume\{[0-9A-Fa-f-]{36}\}\\?")
_LETTER = re.compile(r"[A-Za-z]:")


def create_script(volume: str, expose: str, snapshot_id: str) -> str:
    """The diskshadow script that makes a persistent shadow copy and gives it a drive letter."""
    alias = f"sbtk_{snapshot_id}"
    return _lines(
        "SET CONTEXT PERSISTENT",
        "SET VERBOSE ON",
        "BEGIN BACKUP",
        f"ADD VOLUME {volume} ALIAS {alias}",
        "CREATE",
        f"EXPOSE %{alias}% {expose}",
        "END BACKUP",
    )


def delete_script(expose: str) -> str:
    """The diskshadow script that removes the shadow copy that is exposed at a drive letter."""
    return _lines(f"DELETE SHADOWS EXPOSED {expose}")


class VssProvider(SnapshotProvider):
    """Runs the ``hook`` with a script to create, and with another to delete.

    The hook's words may hold ``{script}`` (path of the script here), ``{action}`` (``create`` or
    ``delete``) and ``{id}``. ``location`` says where the exposed shadow copy can be read from
    here.
    """

    name: ClassVar[str] = "vss"

    def check(self) -> None:
        """Volume, letter, hook and location are given and look right."""
        self.plan("x")
        self._location("x")

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """Scripts and hook commands."""
        volume, expose = option(self.request, "volume"), option(self.request, "expose")
        # They go into a script that runs with administrator rights.
        if not _VOLUME.fullmatch(volume):
            raise UsageError(f"{volume!r} is no Windows volume", hint="Write E: or a mount folder")
        if not _LETTER.fullmatch(expose):
            raise UsageError(f"{expose!r} is no drive letter", hint="Write X:")
        folder = self.request.store or settings().state_dir / "vss"
        details: dict[str, str | list[str]] = {"volume": volume, "expose": expose}
        for action in ("create", "delete"):
            script = str(folder / f"{snapshot_id}-{action}.dsh")
            values = {"script": script, "action": action, "id": snapshot_id}
            details[f"{action}_script"] = script
            details[f"{action}_hook"] = fill(template(self.request, "hook"), values)
        return details

    def make(self, record: Record) -> Snapshot:
        """Write both scripts and let the hook run the first."""
        expose = record.text("expose")
        _write(
            record.text("create_script"), create_script(record.text("volume"), expose, record.id)
        )
        _write(record.text("delete_script"), delete_script(expose))
        self.request.run(record.words("create_hook"), self.request.timeout_s)
        return Snapshot(self, record, self._location(record.id))

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Let the hook run the second script, then delete both."""
        _write(record.text("delete_script"), delete_script(record.text("expose")))
        run(record.words("delete_hook"), settings().snapshot_timeout_s)
        for action in ("create", "delete"):
            Path(record.text(f"{action}_script")).unlink(missing_ok=True)

    def _location(self, snapshot_id: str) -> str:
        values = {
            "id": snapshot_id,
            "source": self.request.source,
            "expose": option(self.request, "expose"),
        }
        return fill([option(self.request, "location")], values)[0]


def _lines(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def _write(path: str, script: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(script.encode("ascii"))
    except OSError as error:
        raise SnapshotError(f"{path} cannot be written: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the volume's path holds {error.object[error.start]!r}, which is not ASCII"
        ) from error
