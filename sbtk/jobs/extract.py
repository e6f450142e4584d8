"""Extract files of a set to a local folder: the one job that brings data through this host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sbtk.errors import DeviceWriteError, LocationError, SbtkError, StreamNotFoundError
from sbtk.events import Finding, Listener, Progress, ignore
from sbtk.jobs.chosen import chosen_records
from sbtk.jobs.control import Control
from sbtk.jobs.results import JobResult
from sbtk.jobs.run import Run, run_of
from sbtk.jobs.session import End, open_session
from sbtk.jobs.sets import KnownSet, SetDevice, find_set
from sbtk.ntfs.columns import numpy_values
from sbtk.ntfs.tables import Tables
from sbtk.plan.selection import FIRST_USER_RECORD
from sbtk.volume import Volume

_STEP_BYTES = 4 << 20


@dataclass(frozen=True)
class ExtractResult(JobResult):
    """Files that were extracted.

    Attributes:
        files: paths below the folder.
        failed: path and reason of each file that could not be.
    """

    files: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def extract(
    name: str,
    paths: Sequence[str],
    *,
    to: str | Path,
    location: str | Path = "",
    control: Control | None = None,
    emit: Listener = ignore,
) -> ExtractResult:
    """Extract files; their data are read through this host, and ``run_stop`` says how much.

    Args:
        name: id of the set, or ``last``.
        paths: globs of paths; a folder's name means all below it.
        to: folder, made if missing; files that exist there are not touched.
        location: of the medium, where it is not where the catalog says.
        control: cancels and pauses it.
        emit: listener for its events.

    Raises:
        CatalogError: the catalog does not know the set.
        StreamNotFoundError: a glob matches no file.
        LocationError: a file exists already, or the folder cannot be made.
        CancelledError: it was cancelled.
    """
    known = find_set(name)
    options = {"paths": list(paths)}
    done: list[str] = []
    failed: list[tuple[str, str]] = []
    with run_of(
        "extract", known.record.set_id, str(to), options, control=control, emit=emit
    ) as run:
        run.set_id = known.record.set_id
        end = End(str(location) or known.record.location)
        with open_session([end], emit=run.emit) as session:
            unit = session.units[0]
            known.require_medium(unit)
            tables = known.tables(unit, run.emit)
            volume = known.open_volume(unit)
            volume.__dict__["tables"] = tables
            job = _Extract(run, known, tables, volume, Path(to))
            done, failed = job.carry_out(tuple(paths))
    assert run.stop is not None  # noqa: S101 - run_of has ended
    return ExtractResult(run.run_id, run.set_id, run.folder, run.stop, tuple(done), tuple(failed))


@dataclass
class _Extract:
    run: Run
    known: KnownSet
    tables: Tables
    volume: Volume
    folder: Path

    def carry_out(self, globs: tuple[str, ...]) -> tuple[list[str], list[tuple[str, str]]]:
        records = set(chosen_records(self.tables, globs).tolist())
        rows = [
            row
            for row in self.tables.files.select(["record", "path", "is_directory", "size_bytes",
                                                 "modified"]).filter(
                pa.array([number in records for number in
                          self.tables.files.column("record").to_pylist()])
            ).to_pylist()
            if row["record"] >= FIRST_USER_RECORD
        ]  # fmt: skip
        if not rows:
            raise StreamNotFoundError("nothing of the set matches but files of NTFS itself")
        files = [row for row in rows if not row["is_directory"]]
        total = sum(row["size_bytes"] for row in files)
        for row in rows:
            if row["is_directory"]:
                self._make(self._place(row["path"]))
        done: list[str] = []
        failed: list[tuple[str, str]] = []
        for row in files:
            self.run.control.between_lists()
            try:
                self._one(row, total)
                done.append(row["path"])
            except (DeviceWriteError, LocationError):
                raise
            except SbtkError as error:
                failed.append((row["path"], error.line))
                self.run.flawed = True
                self.run.emit(
                    Finding(
                        severity="error",
                        code="not-extracted",
                        record=row["record"],
                        message=f"{row['path']}: {error.line}",
                    )
                )
        return done, failed

    def _one(self, row: dict[str, object], total: int) -> None:
        path = self._place(str(row["path"]))
        self._make(path.parent)
        self._note_flaws(row)
        with self.volume.open(int(str(row["record"]))) as content:
            try:
                with path.open("xb") as file:
                    while piece := content.read(_STEP_BYTES):
                        file.write(piece)
                        self.run.figures.host_data_bytes += len(piece)
                        self.run.emit(
                            Progress(
                                stage="extracting through this host",
                                done=self.run.figures.host_data_bytes,
                                total=total,
                            )
                        )
            except FileExistsError as error:
                raise LocationError(
                    f"{path} exists", hint="Extract to another folder; nothing there is touched"
                ) from error
            except SbtkError:
                path.unlink(missing_ok=True)
                raise
            except OSError as error:
                path.unlink(missing_ok=True)
                raise DeviceWriteError(
                    f"{path} cannot be written: {error.strerror or error}",
                    hint="Choose a folder with room on a file system that takes this name",
                ) from error
        modified = row["modified"]
        stamp = int(modified.value) if hasattr(modified, "value") else 0
        if stamp:
            os.utime(path, ns=(stamp, stamp))

    def _note_flaws(self, row: dict[str, object]) -> None:
        """Nothing passes for a file's content that was never read from the source."""
        import json

        flaws = json.loads(self.known.facts.get("unreadable", "[]"))
        if not flaws:
            return
        geometry = self.known.manifest.geometry
        for stream_row in self._data_rows(int(str(row["record"]))):
            runs = self.volume.runs_of(stream_row)
            for lcn, clusters in zip(runs.lcn.tolist(), runs.clusters.tolist(), strict=True):
                start = lcn * geometry.cluster_bytes + geometry.volume_start_bytes
                end = start + clusters * geometry.cluster_bytes
                if lcn >= 0 and any(at < end and at + size > start for at, size in flaws):
                    raise SbtkError(
                        "parts of it could not be read when the set was made",
                        hint="Restore the volume to get what there is, zeros in its place",
                    )

    def _data_rows(self, record: int) -> list[int]:
        streams = self.tables.streams
        own = (numpy_values(streams.column("record")) == record) & (
            numpy_values(streams.column("attribute_type")) == 0x80
        )
        return [int(item) for item in own.nonzero()[0]]

    def _place(self, path: str) -> Path:
        """Where a file goes: below the folder, whatever its name says."""
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        return self.folder.joinpath(*parts)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocationError(
                f"{folder} cannot be made: {error.strerror or error}", hint="Choose another folder"
            ) from error


__all__ = ["ExtractResult", "SetDevice", "extract"]
