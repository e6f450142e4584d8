"""The catalog deleted and made again from tape and disk: the same rows, and restores as before."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from dataclasses import replace

import pytest

from sbtk import samples
from sbtk.catalog.rebuild import _entry, read_medium, rebuild
from sbtk.catalog.store import Catalog
from sbtk.errors import CatalogError, SbtkError, TargetError
from sbtk.jobs.medium import find_sets
from sbtk.jobs.restore import restore
from sbtk.jobs.session import open_medium
from sbtk.jobs.verify import verify
from sbtk.report.build import _manifest
from sbtk.report.run_log import from_lines
from sbtk.settings import settings
from tests.catalog.made import back_up, disk, tape
from tests.report import runs
from tests.state import state_dir

__all__ = ["state_dir"]


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def location_of(kind, tmp_path) -> str:
    if kind == "tape":
        return f"tape:{tape(tmp_path / 'a.tape')}"
    return str(disk(tmp_path / "a.disk"))


def forget() -> None:
    shutil.rmtree(settings().state_dir / "catalog")


@pytest.mark.parametrize("layout", ["image", "files"])
@pytest.mark.parametrize("kind", ["tape", "disk"])
def test_deleted_and_made_again_it_says_and_does_the_same(tmp_path, kind, layout):
    location = location_of(kind, tmp_path)
    names = [back_up(location, layout=layout).set_id]
    names.append(back_up(location, "array.gpt", layout=layout).set_id)  # behind the first
    before = tmp_path / "before.img"
    restore(names[0], to=before)
    with Catalog.open() as catalog:
        records = catalog.sets()
        digests = [catalog.digests(name) for name in names]
    assert sorted(record.set_id for record in records) == sorted(names)

    forget()
    medium = hashed(tmp_path, kind)
    with Catalog.open() as catalog:
        found = rebuild(location, catalog)
        assert [item.record.set_id for item in found] == names
        assert [(item.known, item.damage) for item in found] == [(False, "")] * 2
        assert catalog.sets() == records
        assert [catalog.digests(name) for name in names] == digests
        assert catalog.tables(names[0]) is None
    assert hashed(tmp_path, kind) == medium  # it was only read

    after = tmp_path / "after.img"
    result = restore(names[0], to=after)
    assert result.sound
    assert digest(after) == digest(before)
    checked = verify(names[1])
    assert checked.sound
    assert sum(check.checked_bytes for check in checked.checks) > 1 << 20


def hashed(tmp_path, kind) -> str:
    return digest(tmp_path / f"a.{kind}")


def test_a_set_that_is_known_keeps_its_tables(tmp_path):
    location = location_of("tape", tmp_path)
    name = back_up(location).set_id
    with Catalog.open() as catalog:
        before, tables = catalog.sets(), catalog.tables(name)
        (found,) = rebuild(location, catalog)
        assert (found.known, found.damage) == (True, "")
        assert catalog.sets() == before
        assert catalog.tables(name).files.equals(tables.files)


def test_files_of_the_catalog_that_are_missing_are_made_again(tmp_path):
    location = location_of("tape", tmp_path)
    name = back_up(location).set_id
    with Catalog.open() as catalog:
        digests = catalog.digests(name)
        shutil.rmtree(catalog.folder / "sets")
        with pytest.raises(CatalogError, match="are missing"):
            catalog.digests(name)
    with Catalog.open() as catalog:
        rebuild(location, catalog)
        assert catalog.digests(name) == digests


def test_a_medium_that_moved_is_found_where_it_is_now(tmp_path):
    location = location_of("tape", tmp_path)
    name = back_up(location).set_id
    (tmp_path / "a.tape").rename(tmp_path / "b.tape")
    with pytest.raises(SbtkError):
        verify(name)
    with Catalog.open() as catalog:
        rebuild(f"tape:{tmp_path}/b.tape", catalog)
        assert catalog.find_set(name).location == f"tape:{tmp_path}/b.tape"
    assert verify(name).sound


def test_reading_a_medium_changes_no_catalog(tmp_path):
    location = location_of("disk", tmp_path)
    name = back_up(location).set_id
    forget()
    with Catalog.open() as catalog:
        (found,) = read_medium(location, catalog)
        assert (found.record.set_id, found.known) == (name, False)
        assert catalog.sets() == []


def test_an_unfinished_set_is_told_and_left_out(tmp_path):
    """The closing member of the second set is damaged: the first one is whole."""
    location = location_of("disk", tmp_path)
    first, second = back_up(location).set_id, back_up(location).set_id
    image = tmp_path / "a.disk"
    content = bytearray(image.read_bytes())
    at = content.rindex(b"PAR1")
    content[at - 40] ^= 1
    image.write_bytes(content)
    forget()
    with Catalog.open() as catalog:
        found = rebuild(location, catalog)
        assert [item.record.set_id for item in found] == [first, second]
        assert found[0].damage == ""
        assert found[1].damage == "the set's digests are damaged: their own digest differs"
        assert [record.set_id for record in catalog.sets()] == [first]
        with pytest.raises(CatalogError):
            catalog.find_set(second)


def test_media_without_sets(tmp_path):
    with Catalog.open() as catalog:
        assert rebuild(str(disk(tmp_path / "blank.img")), catalog) == []
        assert rebuild(f"tape:{tape(tmp_path / 'blank.tape')}", catalog) == []
        assert rebuild(str(samples.unpack("office.ntfs")), catalog) == []
        with pytest.raises(SbtkError):
            rebuild(str(tmp_path / "nowhere"), catalog)


def test_a_manifest_that_was_made_up_costs_nothing(tmp_path):
    """Text where values should be, and a name that means something else: kept as it is."""
    location = location_of("tape", tmp_path)
    back_up(location)
    with open_medium(location) as unit:
        (found,) = find_sets(unit)
    odd = replace(found.manifest, notes=5, volume=[], quiet="x", set_id="../../last")
    odd_set = replace(found, manifest=odd, manifest_bytes=odd.to_bytes())
    with Catalog.open() as catalog:
        entry = _entry(odd_set, catalog, "tape", location, "x")
        assert entry == replace(entry, damage="", known=False)
        catalog.record_set(entry.record, found.digests)
        assert catalog.find_set("../../last") == entry.record
        assert len(list((catalog.folder / "sets").iterdir())) == 2
    log = from_lines(event.to_json() for event in [runs.start(), runs.stop(set_id="../../last")])
    assert _manifest(log) == {"not_plain": []}


def test_the_tape_of_another_program_is_refused(tmp_path):
    from sbtk.mover.cartridge import Cartridge

    path = tape(tmp_path / "other.tape")
    with Cartridge(path) as cartridge:
        cartridge.append_record(b"not ours" * 100)
    with Catalog.open() as catalog, pytest.raises(TargetError, match="did not write"):
        rebuild(f"tape:{path}", catalog)


def test_the_rows_are_those_that_the_backup_made(tmp_path):
    """Field by field, for a readable failure: a new field must be found on the medium, too."""
    location = location_of("tape", tmp_path)
    name = back_up(location).set_id
    with Catalog.open() as catalog:
        made = dataclasses.asdict(catalog.find_set(name))
    forget()
    with Catalog.open() as catalog:
        rebuild(location, catalog)
        assert dataclasses.asdict(catalog.find_set(name)) == made
