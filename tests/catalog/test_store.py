"""The catalog: what is kept is found again, all of it or nothing, whatever happens in between."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk import samples
from sbtk.catalog import store
from sbtk.catalog.records import RunRecord, SetRecord, absolute
from sbtk.catalog.store import DATABASE_NAME, Catalog
from sbtk.errors import CatalogError, TableError
from sbtk.volume import read_tables

SET = SetRecord(
    set_id="20261123-190000-ab12", run_id="r1", created="2026-11-23T19:00:00Z", status="complete",
    source="/luns/office.img", layout="image", volume_serial="0123456789ABCDEF",
    volume_label="Büro", medium="tape", location="tape:/tapes/a.tape", medium_label="cart-1",
    start_bytes=0, first_object=7, file_number=2, archive_bytes=1 << 40, moved_bytes=12345,
    has_digests=True, manifest=b'{"a": 1}\n',
)  # fmt: skip
RUN = RunRecord(run_id="run-1", verb="backup", status="running", started_s=100.5, folder="/runs/1")


@pytest.fixture
def catalog(tmp_path):
    with Catalog.open(tmp_path / "catalog") as opened:
        yield opened


@pytest.fixture(scope="module")
def tables():
    return read_tables(str(samples.unpack("office.ntfs")))


def folders(catalog):
    return sorted((catalog.folder / "sets").iterdir())


def another(**changes):
    return dataclasses.replace(SET, **changes)


def test_a_set_comes_back_as_it_was(catalog, tables):
    catalog.record_set(SET, b"digests", tables)
    with Catalog.open(catalog.folder) as again:
        assert again.sets() == [SET]
        assert again.find_set(SET.set_id) == again.find_set("last") == again.find_set("2026") == SET
        assert again.digests(SET.set_id) == b"digests"
        loaded = again.tables(SET.set_id)
    assert loaded.volume == tables.volume
    for name in ("files", "names", "streams", "extents", "findings"):
        assert getattr(loaded, name).equals(getattr(tables, name))


def test_without_tables_there_are_none(catalog):
    catalog.record_set(SET, b"digests")
    assert catalog.tables(SET.set_id) is None


def test_the_newest_is_the_last_whatever_was_recorded_last(catalog):
    newer = another(set_id="n", created="2026-11-24T00:00:00Z")
    catalog.record_set(newer, b"")
    catalog.record_set(SET, b"")
    assert [record.set_id for record in catalog.sets()] == [SET.set_id, "n"]
    assert catalog.find_set("last") == newer


def test_a_set_of_the_same_name_is_replaced_and_its_files_go(catalog, tables):
    catalog.record_set(SET, b"old", tables)
    (old,) = folders(catalog)
    catalog.record_set(another(status="flawed"), b"new")
    assert catalog.sets() == [another(status="flawed")]
    assert catalog.digests(SET.set_id) == b"new"
    assert folders(catalog) != [old]
    assert len(folders(catalog)) == 1


def test_a_row_changes_and_its_files_stay(catalog, tables):
    catalog.record_set(SET, b"digests", tables)
    before = folders(catalog)
    moved = another(location="tape:/tapes/b.tape")
    catalog.update_set(moved)
    assert catalog.sets() == [moved]
    assert catalog.digests(SET.set_id) == b"digests"
    assert folders(catalog) == before
    with pytest.raises(CatalogError, match="knows no set"):
        catalog.update_set(another(set_id="unknown"))


def test_names_may_be_shortened_while_they_are_clear(catalog):
    for name in ("abc", "abcd", "x%", "x_"):
        catalog.record_set(another(set_id=name), b"")
    assert catalog.find_set("abc").set_id == "abc"  # exact, though another begins so
    assert catalog.find_set("abcd").set_id == "abcd"
    assert catalog.find_set("x%").set_id == "x%"  # no wildcard
    for name, words in (("ab", "2 sets begin with"), ("y", "knows no set 'y'"), ("", "no set ''")):
        with pytest.raises(CatalogError, match=words):
            catalog.find_set(name)


def test_what_is_not_there_is_said(catalog):
    for call, words in (
        (lambda: catalog.find_set("last"), "the catalog has no set yet"),
        (lambda: catalog.find_run("last"), "the catalog has no run yet"),
        (lambda: catalog.digests("x"), "knows no set 'x'"),
        (lambda: catalog.tables("x"), "knows no set 'x'"),
    ):
        with pytest.raises(CatalogError, match=words) as raised:
            call()
        assert raised.value.hint


def test_locations_mean_the_same_from_every_folder(catalog, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    catalog.record_set(another(location="tape:link/a.tape", source="disk.img#2"), b"")
    (record,) = catalog.sets("tape:real/a.tape")
    assert record.location == f"tape:{tmp_path}/real/a.tape"
    assert record.source == f"{tmp_path}/disk.img#2"
    assert catalog.sets("real/a.tape") == []
    for text in ("", "/dev/sg3", "iscsi://array:3261/iqn.2026-01.org.example:a/4#2"):
        assert absolute(text) == text


def test_a_run_is_updated_in_place(catalog):
    catalog.record_run(RUN)
    catalog.record_run(dataclasses.replace(RUN, run_id="run-0", started_s=50.0))
    done = dataclasses.replace(RUN, status="done", ended_s=200.25, exit_code=0, set_id="s")
    catalog.record_run(done)
    assert [run.run_id for run in catalog.runs()] == ["run-0", "run-1"]
    assert catalog.find_run("last") == catalog.find_run("run-1") == done
    with pytest.raises(CatalogError, match="2 runs begin with"):
        catalog.find_run("run-")


TEXT = st.text(st.characters(exclude_characters="\0"), min_size=1)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(
    label=TEXT, name=TEXT, source=TEXT, start=st.integers(0, (1 << 63) - 1), manifest=st.binary()
)
def test_any_name_is_kept(catalog, label, name, source, start, manifest):
    """Labels come from damaged volumes, paths from file systems: both may be no valid text."""
    record = another(
        set_id=name, volume_label=label, source=f"/luns/{source}", start_bytes=start,
        manifest=manifest,
    )  # fmt: skip
    record = dataclasses.replace(record, source=absolute(record.source))
    catalog.record_set(record, manifest)
    if name != "last":
        assert catalog.find_set(name) == record
    assert record in catalog.sets()
    assert catalog.digests(name) == manifest


def test_surrogates_are_kept(catalog):
    record = another(volume_label="\ud800x", source="/luns/\udcff.img")
    catalog.record_set(record, b"")
    assert catalog.sets() == [record]


def test_a_failure_in_the_middle_leaves_everything_as_it_was(catalog, tables, monkeypatch):
    catalog.record_set(SET, b"old")
    before = folders(catalog)
    monkeypatch.setattr(
        type(tables), "save", lambda self, folder: folder.write_bytes(b"x") and 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        catalog.record_set(another(status="flawed"), b"new", tables)
    assert catalog.sets() == [SET]
    assert folders(catalog) == before
    assert catalog.digests(SET.set_id) == b"old"


def test_a_full_disk_is_one_error(catalog, monkeypatch):
    def full(folder, digests, tables):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write_folder", full)
    with pytest.raises(CatalogError, match="No space left on device"):
        catalog.record_set(SET, b"x")
    assert catalog.sets() == []


def _killed_before_the_row(folder):
    with Catalog.open(folder) as catalog:
        catalog._insert = lambda *_: os._exit(9)
        catalog.record_set(another(status="flawed"), b"new")


def test_a_killed_process_leaves_the_old_set_and_its_rest_is_swept(catalog):
    catalog.record_set(SET, b"old")
    process = multiprocessing.get_context("fork").Process(
        target=_killed_before_the_row, args=(catalog.folder,)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert len(folders(catalog)) == 2
    assert catalog.sets() == [SET]
    assert catalog.digests(SET.set_id) == b"old"
    catalog.record_set(another(set_id="next"), b"")
    assert len(folders(catalog)) == 2  # one a set


def _record_many(folder, first):
    with Catalog.open(folder) as catalog:
        for number in range(first, first + 10):
            catalog.record_set(another(set_id=f"s{number}"), str(number).encode())
            catalog.record_run(dataclasses.replace(RUN, run_id=f"r{number}"))


def test_processes_do_not_disturb_each_other(tmp_path):
    folder = tmp_path / "new"  # its very making is raced for
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_record_many, args=(folder, 10 * n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with Catalog.open(folder) as catalog:
        assert len(catalog.sets()) == len(catalog.runs()) == 30
        assert catalog.digests("s17") == b"17"


def test_files_that_were_taken_away_are_named(catalog, tables):
    catalog.record_set(SET, b"x", tables)
    (folder,) = folders(catalog)
    (folder / "tables" / "files.parquet").write_bytes(b"nonsense")
    with pytest.raises(TableError, match=r"files\.parquet"):
        assert catalog.tables(SET.set_id).files
    (folder / "digests.parquet").unlink()
    with pytest.raises(CatalogError, match=r"digests\.parquet"):
        catalog.digests(SET.set_id)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(CatalogError, match="are missing"):
        catalog.digests(SET.set_id)


def test_others_may_not_look_into_it(catalog):
    assert stat.S_IMODE(catalog.folder.stat().st_mode) == 0o700


def test_another_program_can_read_it(catalog):
    """The database alone, with nothing of ours: SQLite's own consistency check, and plain text."""
    catalog.record_set(SET, b"x")
    catalog.record_run(RUN)
    connection = sqlite3.connect(catalog.folder / DATABASE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    row = connection.execute("SELECT set_id, volume_label, typeof(source) FROM sets").fetchone()
    assert row == (SET.set_id, "Büro", "text")
    connection.close()


@pytest.mark.parametrize(
    "damage", [b"", b"no database at all, but long enough to be looked at" * 40]
)
def test_a_damaged_database_is_one_error(tmp_path, damage):
    folder = tmp_path / "catalog"
    with Catalog.open(folder) as catalog:
        catalog.record_set(SET, b"x")
    database = folder / DATABASE_NAME
    if damage:
        database.write_bytes(damage)
    else:
        content = bytearray(database.read_bytes())
        content[4096:] = os.urandom(len(content) - 4096)
        database.write_bytes(content)
    with pytest.raises(CatalogError, match="damaged") as raised, Catalog.open(folder) as catalog:
        catalog.sets()
    assert "rebuild" in raised.value.hint


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match="Not a directory"):
        Catalog.open(tmp_path / "file" / "catalog")
