"""The catalog's schema as numbered steps: step N makes version N + 1 out of version N.

A catalog is brought to the newest version when it is opened: all steps or none. A step that was
released is never changed; what changes the schema is a new step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from sbtk.errors import CatalogError

APPLICATION_ID = int.from_bytes(b"sbtk", "big")  # PRAGMA application_id: whose database it is

Upgrade = Callable[[sqlite3.Connection], None]


def _sets(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE sets (
            set_id TEXT PRIMARY KEY,
            run_id TEXT NOT NULL,
            created TEXT NOT NULL,
            status TEXT NOT NULL,
            source TEXT NOT NULL,
            layout TEXT NOT NULL,
            volume_serial TEXT NOT NULL,
            volume_label TEXT NOT NULL,
            medium TEXT NOT NULL,
            location TEXT NOT NULL,
            medium_label TEXT NOT NULL,
            start_bytes INTEGER NOT NULL,
            first_object INTEGER NOT NULL,
            file_number INTEGER NOT NULL,
            archive_bytes INTEGER NOT NULL,
            moved_bytes INTEGER NOT NULL,
            has_digests INTEGER NOT NULL,
            manifest BLOB NOT NULL,
            folder TEXT NOT NULL UNIQUE
        )
        """
    )
    connection.execute("CREATE INDEX sets_created ON sets (created)")
    connection.execute("CREATE INDEX sets_location ON sets (location)")


def _runs(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            verb TEXT NOT NULL,
            status TEXT NOT NULL,
            started_s REAL NOT NULL,
            ended_s REAL NOT NULL,
            source TEXT NOT NULL,
            target TEXT NOT NULL,
            set_id TEXT NOT NULL,
            exit_code INTEGER NOT NULL,
            message TEXT NOT NULL,
            folder TEXT NOT NULL
        )
        """
    )
    connection.execute("CREATE INDEX runs_started ON runs (started_s)")


UPGRADES: tuple[Upgrade, ...] = (_sets, _runs)


def upgrade(
    connection: sqlite3.Connection, path: Path, upgrades: Sequence[Upgrade] = UPGRADES
) -> None:
    """Bring a database to the newest version; on an error it stays as it was.

    Args:
        connection: in autocommit mode, so that the transaction is ours.
        path: of the database, for messages.
        upgrades: the steps.

    Raises:
        CatalogError: another program's database, or one of a newer version of sbtk.
        sqlite3.Error: it cannot be read or written.
    """
    if _value(connection, "application_id") == APPLICATION_ID and (
        _value(connection, "user_version") == len(upgrades)
    ):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again: another process may have been quicker.
        version = _version(connection, path, newest=len(upgrades))
        for number in range(version, len(upgrades)):
            upgrades[number](connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(upgrades)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    version = _value(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if _value(connection, "application_id") != APPLICATION_ID and (tables or version):
        raise CatalogError(
            f"{path} is the database of another program",
            hint="Set SBTK_STATE_DIR to a folder of sbtk's own",
        )
    if version > newest:
        raise CatalogError(
            f"{path} has version {version}, this sbtk knows {newest}",
            hint="Use the newer sbtk that wrote it, or another SBTK_STATE_DIR",
        )
    return version


def _value(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
