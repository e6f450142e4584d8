"""The catalog: sets and runs in SQLite, what is large in Parquet files beside it, one folder a set.

A set's row names its folder. The folder is written first and the row last, inside one transaction,
so that a killed process leaves the catalog as it was; folders that no row names are swept away by
the next one that writes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, fields, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sbtk.catalog.records import LAST, RunRecord, SetRecord, absolute
from sbtk.catalog.upgrades import upgrade
from sbtk.errors import CatalogError
from sbtk.settings import settings
from sbtk.units import plural

if TYPE_CHECKING:
    from sbtk.ntfs.tables import Tables

__all__ = ["Catalog", "RunRecord", "SetRecord"]

DATABASE_NAME = "catalog.sqlite"
_SETS, _DIGESTS, _TABLES = "sets", "digests.parquet", "tables"
_BUSY_S = 60.0  # another process may be writing the tables of a large volume
_REBUILD = "Move the catalog's folder away, then `sbtk catalog rebuild LOCATION` for each medium"
_SET_COLUMNS = tuple(item.name for item in fields(SetRecord))
_RUN_COLUMNS = tuple(item.name for item in fields(RunRecord))

Row = TypeVar("Row", SetRecord, RunRecord)


class Catalog:
    """What was backed up, and where; a context manager.

    Any thread may use it, one at a time; any number of processes may.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    @classmethod
    def open(cls, path: Path | None = None) -> Catalog:
        """Open the catalog in a folder, made if missing and brought to this version's schema.

        Args:
            path: the folder; ``catalog`` in the state folder if None.

        Raises:
            CatalogError: it cannot be read or written, or belongs to something else.
        """
        folder = path if path is not None else settings().state_dir / "catalog"
        database = folder / DATABASE_NAME
        with _told(database):
            # The names of everybody's files are in it.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _SETS).mkdir(mode=0o700, exist_ok=True)
            connection = sqlite3.connect(
                database, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.text_factory = _text
                connection.execute("PRAGMA journal_mode = WAL")
                upgrade(connection, database)
            except BaseException:
                connection.close()
                raise
        return cls(folder, connection)

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- sets ----------------------------------------------------------------------------------

    def record_set(self, record: SetRecord, digests: bytes, tables: Tables | None = None) -> None:
        """Keep a set: all of it or nothing. A set of the same name is replaced.

        Args:
            record: the row; its locations are kept as absolute ones.
            digests: content of ``digests.parquet``.
            tables: scan of the snapshot, where there was one.

        Raises:
            CatalogError: it cannot be written.
        """
        with self._writing():
            folder = self.folder / _SETS / uuid.uuid4().hex
            try:
                _write_folder(folder, digests, tables)
                self._insert_set(record, folder.name)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self._sweep()

    def update_set(self, record: SetRecord) -> None:
        """Change what is said of a set; its digests and tables stay.

        Raises:
            CatalogError: the catalog does not know it, or cannot be written.
        """
        with self._writing():
            self._insert_set(record, self._folder_of(record.set_id).name)

    def _insert_set(self, record: SetRecord, folder_name: str) -> None:
        row = replace(record, source=absolute(record.source), location=absolute(record.location))
        values = [*map(_value, astuple(row)), folder_name.encode()]
        self._insert("sets", (*_SET_COLUMNS, "folder"), values)

    def sets(self, location: str = "") -> list[SetRecord]:
        """All sets, or those on one medium; the newest last."""
        if not location:
            return self._select(SetRecord, "ORDER BY created, rowid")
        return self._select(
            SetRecord,
            "WHERE location = CAST(:location AS TEXT) ORDER BY created, rowid",
            {"location": _value(absolute(location))},
        )

    def find_set(self, name: str) -> SetRecord:
        """A set by its id, by the beginning of it, or ``last``.

        Raises:
            CatalogError: none or several have this name.
        """
        return self._find(SetRecord, name, "created")

    def digests(self, set_id: str) -> bytes:
        """The content of a set's ``digests.parquet``.

        Raises:
            CatalogError: no such set, or its file is missing.
        """
        path = self._folder_of(set_id) / _DIGESTS
        with _told(path):
            return path.read_bytes()

    def tables(self, set_id: str) -> Tables | None:
        """The tables of a set's volume; None where only the medium is known.

        Raises:
            CatalogError: no such set.
            TableError: the tables are damaged.
        """
        from sbtk.ntfs.tables import Tables  # numpy and pyarrow: `sbtk sets` does without

        folder = self._folder_of(set_id) / _TABLES
        return Tables.load(folder) if folder.is_dir() else None

    # -- runs ----------------------------------------------------------------------------------

    def record_run(self, record: RunRecord) -> None:
        """Keep a run; one of the same name is replaced.

        Raises:
            CatalogError: it cannot be written.
        """
        with self._writing():
            self._insert("runs", _RUN_COLUMNS, list(map(_value, astuple(record))))

    def runs(self) -> list[RunRecord]:
        """All runs, the newest last."""
        return self._select(RunRecord, "ORDER BY started_s, rowid")

    def find_run(self, name: str) -> RunRecord:
        """A run by its id, by the beginning of it, or ``last``.

        Raises:
            CatalogError: none or several have this name.
        """
        return self._find(RunRecord, name, "started_s")

    # -- the database --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; nobody else writes meanwhile."""
        with _told(self.folder / DATABASE_NAME):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _insert(self, table: str, columns: tuple[str, ...], values: list[Any]) -> None:
        places = (
            "CAST(? AS TEXT)" if isinstance(value, bytes) and column != "manifest" else "?"
            for column, value in zip(columns, values, strict=True)
        )
        self._connection.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) "  # noqa: S608 (our own names)
            f"VALUES ({', '.join(places)})",
            values,
        )

    def _select(
        self, kind: type[Row], tail: str, values: Mapping[str, Any] | None = None
    ) -> list[Row]:
        table, columns = _TABLE_OF[kind]
        with _told(self.folder / DATABASE_NAME):
            rows = self._connection.execute(
                f"SELECT {', '.join(columns)} FROM {table} {tail}",  # noqa: S608 (our own names)
                values or {},
            ).fetchall()
        return [_record(kind, row) for row in rows]

    def _find(self, kind: type[Row], name: str, order: str) -> Row:
        _, columns = _TABLE_OF[kind]
        key, noun = columns[0], columns[0].removesuffix("_id")
        if name == LAST:
            found = self._select(kind, f"ORDER BY {order} DESC, rowid DESC LIMIT 1")
        else:
            text = "CAST(:name AS TEXT)"
            found = self._select(
                kind,
                f"WHERE {key} = {text} OR substr({key}, 1, length({text})) = {text} "
                f"ORDER BY {key} != {text} LIMIT 10",
                {"name": _value(name)},
            )
        exact = [row for row in found if astuple(row)[0] == name]
        if len(found) == 1 or exact:
            return (exact or found)[0]
        if name == LAST:
            raise CatalogError(f"the catalog has no {noun} yet", hint=_ADVICE[noun])
        if not name or not found:
            raise CatalogError(f"the catalog knows no {noun} {name!r}", hint=_ADVICE[noun])
        raise CatalogError(
            f"{plural(len(found), noun)} begin with {name!r}", hint="Give more of the name"
        )

    def _folder_of(self, set_id: str) -> Path:
        with _told(self.folder / DATABASE_NAME):
            row = self._connection.execute(
                "SELECT folder FROM sets WHERE set_id = CAST(? AS TEXT)", (_value(set_id),)
            ).fetchone()
        if row is None:
            raise CatalogError(f"the catalog knows no set {set_id!r}", hint=_ADVICE["set"])
        folder = self.folder / _SETS / str(row[0])
        if not folder.is_dir():
            raise CatalogError(
                f"the catalog's files of set {set_id} are missing",
                hint="`sbtk catalog rebuild LOCATION` makes them again from the medium",
            )
        return folder

    def _sweep(self) -> None:
        """Remove folders that no row names: of sets that were replaced, or of killed processes."""
        with self._writing():  # nobody is just filling one
            rows = self._connection.execute("SELECT folder FROM sets").fetchall()
            named = {str(row[0]) for row in rows}
            for folder in (self.folder / _SETS).iterdir():
                if folder.name not in named:
                    shutil.rmtree(folder, ignore_errors=True)


_TABLE_OF: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    SetRecord: ("sets", _SET_COLUMNS),
    RunRecord: ("runs", _RUN_COLUMNS),
}
_ADVICE = {
    "set": "`sbtk sets` lists them; `sbtk catalog rebuild LOCATION` reads them from a medium",
    "run": "`sbtk report` lists them",
}
_MAKERS: dict[str, Callable[[Any], Any]] = {"has_digests": bool}


def _record(kind: type[Row], values: tuple[Any, ...]) -> Row:
    _, columns = _TABLE_OF[kind]
    named = zip(columns, values, strict=True)
    return kind(**{name: _MAKERS.get(name, lambda value: value)(value) for name, value in named})


def _value(value: Any) -> Any:
    """Text as bytes: a name may hold what UTF-8 cannot."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _write_folder(folder: Path, digests: bytes, tables: Tables | None) -> None:
    folder.mkdir(mode=0o700)
    (folder / _DIGESTS).write_bytes(digests)
    if tables is not None:
        tables.save(folder / _TABLES)
    # The row must not be there before what it names.
    for name, _, files in os.walk(folder):
        for path in (*(os.path.join(name, file) for file in files), name):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong in files and in SQLite, as one error of ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # Locked, read-only, disk full, cannot be opened: the database itself is whole.
        raise CatalogError(
            f"{path}: {error}", hint="Check its permissions, the free space, and who else uses it"
        ) from error
    except sqlite3.DatabaseError as error:
        raise CatalogError(f"{path} is damaged: {error}", hint=_REBUILD) from error
    except OSError as error:
        raise CatalogError(
            f"{path}: {error.strerror or error}", hint="Check the folder, or set SBTK_STATE_DIR"
        ) from error
