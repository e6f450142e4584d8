"""Every notebook runs headless on the samples, and its RESULT is what the tables say."""

import hashlib
import json
from pathlib import Path

import pytest

import sbtk
from sbtk import samples
from sbtk.catalog.store import Catalog
from sbtk.jobs.backup import backup
from sbtk.mover.cartridge import create_cartridge
from sbtk.ntfs.summary import summarise
from sbtk.plan.api import plan_backup
from sbtk.plan.cost import price
from tests.notebooks.running import execute


@pytest.fixture
def office():
    with sbtk.open_volume(samples.unpack("office.ntfs")) as volume:
        yield volume


@pytest.fixture
def made_set(tmp_path) -> str:
    """A set of the office sample on a new cartridge."""
    create_cartridge(tmp_path / "a.tape", capacity_bytes=1 << 30)
    source = samples.unpack("office.ntfs")
    return backup(source, to=f"tape:{tmp_path}/a.tape", snapshot="none", quiet_s=0.1).set_id


def test_volume(office, tmp_path):
    found, _ = execute("10_volume", tmp_path, export=True)
    expected = summarise(office.tables)
    assert (found["files"], found["folders"]) == (expected.files, expected.folders)
    assert found["data_bytes"] == expected.data_bytes
    assert found["used_clusters"] == expected.used_clusters
    assert found["serial"] == office.info.serial
    folder = tmp_path / "runs" / "10_volume"
    assert json.loads((folder / "result.json").read_text()) == found
    assert sbtk.read_tables(folder / "tables").files.equals(office.tables.files)
    assert len((folder / "files.csv").read_text().splitlines()) == office.files.num_rows + 1


def test_volume_without_widgets_says_everything_in_text_and_pictures(tmp_path):
    _, out = execute("10_volume", tmp_path, interactive=False, source="array.gpt")
    text = out.read_text()
    assert "image/png" in text
    assert "widget-view" not in text
    assert "Health" in text


def test_fragmentation(office, tmp_path):
    found, _ = execute("20_fragmentation", tmp_path)
    expected = office.extents.fragmentation()
    summary = expected.summary()
    for name in ("score", "files", "fragments", "seeks", "free_bytes", "free_runs"):
        assert found[name] == pytest.approx(summary[name])
    assert found["worst"] == expected.worst(1)["label"].iloc[0]


def test_fragmentation_without_widgets_has_the_map_as_a_picture(tmp_path):
    _, out = execute("20_fragmentation", tmp_path, interactive=False, mode="fragmentation")
    cells = json.loads(out.read_text())["cells"]
    texts = [json.dumps(cell.get("outputs", "")) for cell in cells]
    assert any("image/png" in text and "Disk map, clusters 0 to" in text for text in texts)


@pytest.mark.parametrize(("interactive", "profile"), [(True, "spc"), (False, "lio")])
def test_plan(office, tmp_path, interactive, profile):
    to = f"{tmp_path}/disk.img"
    found, _ = execute(
        "30_plan",
        tmp_path,
        interactive=interactive,
        profile=profile,
        to=to,
        max_segment_bytes=1 << 20,
    )
    limits = sbtk.limits(profile, max_segment_bytes=1 << 20)
    plan = plan_backup(office, to=to, limits=limits, record_bytes=1 << 18)
    cost = price(plan)
    assert (found["commands"], found["segments"]) == (cost.commands, cost.segments)
    assert found["archive_bytes"] == plan.archive_bytes
    saved = tmp_path / "runs" / "30_plan" / "plan.sbtkplan"
    assert saved.exists() == (not interactive)  # the form saves when it is asked to


def test_backup(office, tmp_path):
    found, _ = execute("40_backup", tmp_path, interactive=False, quiet_s=0.2)
    assert found["status"] == "done"
    assert found["host_data_bytes"] == 0
    with Catalog.open() as catalog:
        record = catalog.find_set(found["set_id"])
        tables = catalog.tables(found["set_id"])
    assert record.moved_bytes == found["moved_bytes"] > 4_000_000
    assert record.volume_serial == office.info.serial
    assert tables.files.equals(office.tables.files)


def test_backup_with_its_form_starts_nothing_by_itself(tmp_path):
    found, _ = execute("40_backup", tmp_path)
    assert found["status"] == "not started"
    assert not (tmp_path / "runs" / "40_backup" / "demo.tape").exists()


def test_verify_and_restore(made_set, tmp_path):
    found, _ = execute("50_restore_verify", tmp_path, interactive=False)
    assert (found["set_id"], found["mismatches"], found["status"]) == (made_set, 0, "done")
    assert found["checked_bytes"] > 4_000_000
    target = tmp_path / "back.img"
    execute("50_restore_verify", tmp_path, interactive=False, action="restore", to=str(target))
    with sbtk.open_volume(samples.unpack("office.ntfs")) as old, sbtk.open_volume(target) as new:
        assert new.tables.files.equals(old.tables.files)
        for path in ("Logs/server.log", "Databases/journal.db"):
            digests = [hashlib.sha256(v.open(path).read()).digest() for v in (old, new)]
            assert digests[0] == digests[1]


def test_extract(made_set, tmp_path):
    found, _ = execute(
        "50_restore_verify", tmp_path, interactive=False, action="extract", files="Logs/*.log",
        to=str(tmp_path / "files"),
    )  # fmt: skip
    assert found["host_data_bytes"] > 0
    with sbtk.open_volume(samples.unpack("office.ntfs")) as volume:
        expected = volume.open("Logs/server.log").read()
    assert (tmp_path / "files" / "Logs" / "server.log").read_bytes() == expected


def test_a_mismatch_is_told_and_drawn_on_the_map(made_set, tmp_path, office):
    tape = tmp_path / "a.tape"
    content = bytearray(tape.read_bytes())
    known = office.open("Logs/server.log").read()[:4096]
    at = content.index(known) + 100
    content[at] ^= 0xFF
    tape.write_bytes(content)
    found, out = execute("50_restore_verify", tmp_path, interactive=False)
    assert found["mismatches"] >= 1
    assert found["status"] == "flawed"
    text = out.read_text()
    assert "cells are marked" in text
    assert "Logs/server.log" in text


def test_audit(made_set, tmp_path):
    sbtk.verify(made_set)
    found, out = execute("60_audit", tmp_path)
    assert (found["volumes"], found["covered"], found["sets"], found["runs"]) == (1, 1, 1, 2)
    moved = 0
    with Catalog.open() as catalog:
        for run in catalog.runs():
            events = (Path(run.folder) / "events.jsonl").read_text().splitlines()
            moved += json.loads(events[-1])["moved_bytes"]
    assert found["bytes_by_path"]["Moved by the data mover"] == moved
    page = (tmp_path / "runs" / "60_audit" / "audit.html").read_text()
    assert made_set in page
    assert "http" not in page.replace("http-equiv", "")
    assert "widget-view" not in out.read_text()


def test_tour(office, tmp_path):
    found, _ = execute("00_tour", tmp_path)
    record = office.find_record("Logs/server.log")
    runs = office.extents.lcn[office.extents.rows_of(record)]
    assert found["runs"] == runs.size
    assert found["record_signature"] == "FILE"
    assert found["status"] == "done"
    assert found["host_data_bytes"] == 0
