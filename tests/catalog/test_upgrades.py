"""Upgrades of the catalog's schema: from every older version, all steps or none."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from sbtk.catalog.records import RunRecord, SetRecord
from sbtk.catalog.store import DATABASE_NAME, Catalog
from sbtk.catalog.upgrades import APPLICATION_ID, UPGRADES, upgrade
from sbtk.errors import CatalogError
from tests.catalog.test_store import RUN, SET


def connect(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)


def state(connection):
    """Version, whose it is, and the whole content."""
    return (
        connection.execute("PRAGMA user_version").fetchone()[0],
        connection.execute("PRAGMA application_id").fetchone()[0],
        list(connection.iterdump()),
    )


@pytest.mark.parametrize("version", range(len(UPGRADES)))
def test_every_older_version_is_brought_up_with_its_content(tmp_path, version):
    connection = connect(tmp_path)
    upgrade(connection, tmp_path, UPGRADES[:version])
    if version >= 1:
        values = [*dataclasses.astuple(SET), "folder"]
        connection.execute(f"INSERT INTO sets VALUES ({', '.join('?' * len(values))})", values)
    connection.close()
    with Catalog.open(tmp_path) as catalog:
        assert catalog.sets() == ([SET] if version >= 1 else [])
        catalog.record_run(RUN)
        assert catalog.runs() == [RUN]
    assert state(connect(tmp_path))[:2] == (len(UPGRADES), APPLICATION_ID)


def test_all_steps_or_none(tmp_path):
    connection = connect(tmp_path)
    upgrade(connection, tmp_path, UPGRADES[:1])
    before = state(connection)

    def breaks(own):
        own.execute("DROP TABLE sets")
        own.execute("SELECT nonsense FROM nowhere")

    with pytest.raises(sqlite3.OperationalError):
        upgrade(connection, tmp_path, (*UPGRADES, breaks))
    assert state(connection) == before
    upgrade(connection, tmp_path)
    assert state(connection)[0] == len(UPGRADES)


def test_opening_again_changes_nothing(tmp_path):
    Catalog.open(tmp_path).close()
    connection = connect(tmp_path)
    before = state(connection)
    Catalog.open(tmp_path).close()
    assert state(connection) == before


def test_a_newer_version_is_refused_and_left_alone(tmp_path):
    Catalog.open(tmp_path).close()
    connection = connect(tmp_path)
    connection.execute(f"PRAGMA user_version = {len(UPGRADES) + 1}")
    before = state(connection)
    with pytest.raises(CatalogError, match=f"has version {len(UPGRADES) + 1}, this sbtk knows"):
        Catalog.open(tmp_path)
    assert state(connection) == before


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path):
    connection = connect(tmp_path)
    connection.execute("CREATE TABLE cookies (name)")
    before = state(connection)
    with pytest.raises(CatalogError, match="another program"):
        Catalog.open(tmp_path)
    assert state(connection) == before


def test_the_schema_has_a_column_for_every_field(tmp_path):
    """In the order of the dataclasses: a field that is added needs a step."""
    connection = connect(tmp_path)
    upgrade(connection, tmp_path)
    for table, kind, more in (("sets", SetRecord, ["folder"]), ("runs", RunRecord, [])):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        assert columns == [item.name for item in dataclasses.fields(kind)] + more
