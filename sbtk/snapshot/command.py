"""Provider ``command``: snapshots by the user's own commands, for arrays and anything else."""

from __future__ import annotations

from typing import ClassVar

from sbtk.errors import SnapshotError, UsageError
from sbtk.settings import settings
from sbtk.snapshot import records
from sbtk.snapshot.base import Snapshot, SnapshotProvider, SnapshotRequest
from sbtk.snapshot.commands import Runner, fill, split_words
from sbtk.snapshot.records import Record

_OUTPUT = "{output}"


class CommandProvider(SnapshotProvider):
    """``create`` and ``delete`` templates, and the ``location`` at which the snapshot appears.

    Templates are split like shell words, then filled: ``{source}``, ``{path}``, ``{id}``,
    ``{store}``, ``{cap_bytes}``, and in ``delete`` and ``location`` also ``{output}``, the last
    line that ``create`` printed. No shell runs. ``delete`` runs after a failed ``create`` as well.
    """

    name: ClassVar[str] = "command"

    def check(self) -> None:
        """All three templates are there and hold only placeholders that exist."""
        self.plan("x")
        self._location("x", "x")

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """Both commands; ``{output}`` stays in ``delete`` until it is known."""
        values = self._values(snapshot_id)
        return {
            "create": fill(template(self.request, "create"), values),
            "delete": fill(template(self.request, "delete"), {**values, "output": _OUTPUT}),
        }

    def make(self, record: Record) -> Snapshot:
        """Run ``create``; the location is known then."""
        printed = self.request.run(record.words("create"), self.request.timeout_s).split("\n")
        output = next((line.strip() for line in reversed(printed) if line.strip()), "")
        record.details["output"] = output
        records.write(record)
        return Snapshot(self, record, self._location(record.id, output))

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Run ``delete``."""
        output = record.text("output")
        words = record.words("delete")
        if not output and any(_OUTPUT in word for word in words):
            raise SnapshotError(
                f"snapshot {record.id} cannot be removed: its create command printed nothing",
                hint="Look for it on the array, then `sbtk snapshot clean --forget`",
            )
        run([word.replace(_OUTPUT, output) for word in words], settings().snapshot_timeout_s)

    def _location(self, snapshot_id: str, output: str) -> str:
        values = {**self._values(snapshot_id), "output": output}
        location = fill([option(self.request, "location")], values)[0].strip()
        if not location:
            raise SnapshotError(
                "the create command of the snapshot named no location",
                hint="Let it print the location, or write it into the location template",
            )
        return location

    def _values(self, snapshot_id: str) -> dict[str, str]:
        return {
            "source": self.request.source,
            "path": self.request.path,
            "id": snapshot_id,
            "store": str(self.request.store or ""),
            "cap_bytes": str(self.request.cap_bytes),
        }


def option(request: SnapshotRequest, name: str) -> str:
    """An option of a provider, from the request or from the settings.

    Raises:
        UsageError: neither has it.
    """
    text = request.options.get(name) or getattr(settings(), f"snapshot_{name}")
    if not text:
        raise UsageError(
            f"this snapshot provider needs a {name} option",
            hint=f"Set SBTK_SNAPSHOT_{name.upper()}; docs/quiesce.md has examples",
        )
    return str(text)


def template(request: SnapshotRequest, name: str) -> list[str]:
    """A command template, split like shell words.

    Raises:
        UsageError: it is missing, or has a quotation mark that is not closed.
    """
    return split_words(option(request, name), f"the {name} template")
