"""The journal of a run: its plan, and ahead of each command list that it begins.

``plan.sbtkplan`` is the plan, ``job.json`` what else the job knows, ``lists.jsonl`` one line when a
list begins and one when it has ended, ``digests.bin`` what the mover answered, 32 bytes a segment.
Several lists may be under way at once and end in any order. A run that was killed goes on at the
first list that has not ended, and leaves out those behind it that have.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from sbtk.errors import JobError, SbtkError
from sbtk.plan.model import DIGEST_BYTES, Plan
from sbtk.plan.store import from_bytes, to_bytes
from sbtk.whole_file import write_whole

PLAN_NAME, JOB_NAME, LISTS_NAME, DIGESTS_NAME = (
    "plan.sbtkplan", "job.json", "lists.jsonl", "digests.bin",
)  # fmt: skip


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """What goes wrong with a write is the job's error: it does not go on without its journal."""
    try:
        yield
    except OSError as error:
        raise JobError(
            f"the journal of the run cannot be written in {folder}: {error.strerror or error}",
            hint="Make room there, or set SBTK_STATE_DIR to another folder; there is no set",
        ) from error


class Journal:
    """What a run has begun and ended; opened by one process at a time.

    Attributes:
        job: what the job knows beside its plan.
        plan: what is carried out.
        first_open: the first list that has not ended.
        ended_lists: all that have.
    """

    def __init__(self, folder: Path, job: dict[str, Any], plan: Plan, ended: set[int]) -> None:
        self.job = job
        self.plan = plan
        self.ended_lists = ended
        self.first_open = 0
        self._move_on()
        self._folder = folder
        self._lists: TextIO | None = None

    @classmethod
    def begin(cls, folder: Path, job: dict[str, Any], plan: Plan) -> Journal:
        """Put a plan on record before anything of it is carried out.

        Raises:
            JobError: the folder cannot be written.
        """
        for name, content in (
            (PLAN_NAME, to_bytes(plan)),
            (JOB_NAME, json.dumps(job, indent=1, default=str).encode()),
            (DIGESTS_NAME, b""),
            (LISTS_NAME, b""),
        ):
            with _written(folder):
                write_whole(folder / name, content)
        return cls(folder, job, plan, set())

    @classmethod
    def load(cls, folder: Path) -> Journal:
        """The journal of a run that did not end.

        Raises:
            JobError: there is none, or it is damaged.
        """
        try:
            job = json.loads((folder / JOB_NAME).read_text())
            plan = from_bytes((folder / PLAN_NAME).read_bytes())
            ended = set()
            for line in (folder / LISTS_NAME).read_text().splitlines():
                try:
                    ended.add(int(json.loads(line).get("ended", -1)))
                except ValueError:
                    break  # the line that was being written when the run was killed
        except (OSError, ValueError, SbtkError) as error:
            raise JobError(
                f"run {folder.name} cannot be resumed: it was not copying yet ({error})",
                hint="Start it again",
            ) from error
        return cls(folder, job, plan, ended)

    def reopen(self, first_open: int) -> None:
        """Take it that no list from ``first_open`` on has ended."""
        self.ended_lists &= set(range(first_open))
        self.first_open = first_open

    def begins(self, command: int) -> None:
        """Write ahead that a list is about to be sent."""
        self._line({"begins": command})

    def ended(self, command: int, first_segment: int, digests: NDArray[np.uint8]) -> None:
        """Note that a list ended well, and its digests: (segments, 32), zeros where none."""
        if digests.size and digests.any():
            with _written(self._folder), (self._folder / DIGESTS_NAME).open("r+b") as file:
                file.seek(first_segment * DIGEST_BYTES)
                file.write(digests.tobytes())
        self._line({"ended": command})
        self.ended_lists.add(command)
        self._move_on()

    def _move_on(self) -> None:
        while self.first_open in self.ended_lists:
            self.first_open += 1

    def replace(self, plan: Plan, digests: NDArray[np.uint8], first_open: int) -> None:
        """Go on with another plan whose first lists are the same.

        Args:
            plan: the plan.
            digests: (segments, 32) uint8 of it, zeros where there are none yet.
            first_open: lists that are the same, and have ended.
        """
        self.close()
        ended = "".join(json.dumps({"ended": item}) + "\n" for item in range(first_open))
        # Killed in between, the lists that are the same in both plans are all that counts.
        for name, content in (
            (LISTS_NAME, ended.encode()),
            (PLAN_NAME, to_bytes(plan)),
            (DIGESTS_NAME, digests.tobytes()),
        ):
            with _written(self._folder):
                write_whole(self._folder / name, content)
        self.ended_lists = set(range(first_open))
        self.first_open = first_open
        self.plan = plan

    def digests(self) -> NDArray[np.uint8]:
        """(segments, 32) uint8: what was noted, zeros for the rest."""
        held = np.zeros((len(self.plan.segments), DIGEST_BYTES), np.uint8)
        raw = np.frombuffer((self._folder / DIGESTS_NAME).read_bytes(), np.uint8)
        rows = min(raw.size // DIGEST_BYTES, len(held))
        held[:rows] = raw[: rows * DIGEST_BYTES].reshape(-1, DIGEST_BYTES)
        return held

    def close(self) -> None:
        """Close its files; the journal stays."""
        if self._lists is not None:
            with contextlib.suppress(OSError):  # what could not be written was told when it failed
                self._lists.close()
            self._lists = None

    def _line(self, values: dict[str, int]) -> None:
        # Not synchronised with the disk: what a power failure takes away is copied once more.
        with _written(self._folder):
            if self._lists is None:
                self._lists = (self._folder / LISTS_NAME).open("a")
            self._lists.write(json.dumps(values) + "\n")
            self._lists.flush()
