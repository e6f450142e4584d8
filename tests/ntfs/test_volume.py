"""Volumes: the samples against the truth of other tools; what cannot be read, and why."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sbtk
from sbtk import samples
from sbtk.errors import (
    DeviceReadError,
    NotNtfsError,
    StreamNotFoundError,
    StreamUnreadableError,
    UsageError,
    VolumeDamagedError,
)
from sbtk.events import Finding
from sbtk.ntfs import globs
from sbtk.ntfs.bitmap import allocated_clusters
from tests.corpus.build import WRITABLE, mounted
from tests.ntfs.records import change
from tests.oracles import mount

DATA = 0x80
IN_OTHER_TABLES = {0x10, 0x20, 0x30}  # times, the attribute list, names
MAIL = "Archive 2019 (compressed)/mails.mbox"
OPENED = {}


def sample(name: str):
    """The opened sample and its truth, once a process."""
    if name not in OPENED:
        truth = json.loads((samples.FOLDER / f"{name}.truth.json").read_text())
        OPENED[name] = sbtk.open_volume(samples.unpack(name)), truth
    return OPENED[name]


every_sample = pytest.mark.parametrize("name", samples.names())


@pytest.fixture
def office():
    return sample("office.ntfs")[0]


@pytest.fixture
def copy(tmp_path):
    """A copy of the office sample that may be changed."""
    return shutil.copy(samples.unpack("office.ntfs"), tmp_path / "copy.img")


# -- the samples against the truth of ntfsinfo and a mount -----------------------------------


@every_sample
def test_geometry_and_free_clusters(name):
    volume, truth = sample(name)
    facts, info = truth["volume"], volume.info
    assert (info.label, info.version) == (facts["label"], facts["version"])
    assert info.serial == facts["serial"]
    for field in ("sector_bytes", "cluster_bytes", "record_bytes", "total_clusters"):
        assert getattr(info, field) == facts[field]
    used = allocated_clusters(volume.tables.bitmap, info.total_clusters)
    assert info.total_clusters - used == facts["free_clusters"]
    assert (info.dirty, info.mirror, info.hibernated) == (False, "equal", False)
    assert volume.findings.num_rows == 0


@every_sample
def test_the_partition_is_where_sfdisk_says(name):
    volume, truth = sample(name)
    expected = truth["partition"]
    found = volume.device.partition
    if expected is None:
        assert found is None
        assert volume.info.partition_start_lba == 0
    else:
        assert (found.number, found.first_lba, found.blocks) == (
            expected["number"], expected["first_lba"], expected["blocks"],
        )  # fmt: skip
        assert volume.info.partition_start_lba == expected["first_lba"]
        assert volume.location.endswith("#1")


@every_sample
def test_every_attribute_and_run_as_ntfsinfo_says(name):
    volume, truth = sample(name)
    streams = volume.streams.to_pylist()
    ours = {}
    for row in streams:
        runs = np.stack(volume.runs_of(row["stream"]), axis=1).tolist()
        sizes = {} if row["resident"] else {
            key: row[key] for key in ("data_bytes", "allocated_bytes", "initialized_bytes")
        }  # fmt: skip
        key = row["record"], row["attribute_type"], row["attribute_name"]
        ours.setdefault(key, []).append((row["resident"], runs, sizes))
    theirs = {}
    for record in truth["records"]:
        for item in record["attributes"]:
            if item["type"] in IN_OTHER_TABLES:
                continue
            sizes = {} if item["resident"] else {
                key: item[key] for key in ("data_bytes", "allocated_bytes", "initialized_bytes")
            }  # fmt: skip
            key = record["record"], item["type"], item["name"]
            theirs.setdefault(key, []).append((item["resident"], item["runs"], sizes))
    assert ours == theirs


@every_sample
def test_every_path_and_its_content_as_on_the_mount(name):
    volume, truth = sample(name)
    paths = {(row["path"], row["record"]) for row in volume.names.to_pylist()}
    with_data = {
        record["record"]
        for record in truth["records"]
        if any((item["type"], item["name"]) == (DATA, "") for item in record["attributes"])
    }
    for item in truth["paths"]:
        path, record = item["path"], item["record"]
        assert (path, record) in paths
        for stream, digest in item["streams"].items():
            with volume.open(f"{path}:{stream}") as content:
                assert hashlib.sha256(content.read()).hexdigest() == digest
        if "sha256" in item and record in with_data:
            with volume.open(path) as content:
                data = content.read()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (
                item["size_bytes"], item["sha256"],
            )  # fmt: skip
    hidden = {".", "$MFT"}  # by the mount
    assert {item["path"] for item in truth["paths"]} == {path for path, _ in paths} - hidden


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [MAIL, "Databases/ledger.mdb", "Databases/journal.db", "Logs/server.log", "README.txt"]
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_seek_and_read_is_a_slice_of_the_whole(path, data):
    volume, _ = sample("office.ntfs")
    with volume.open(path) as content:
        whole = content.read()
        at = data.draw(st.integers(0, len(whole) + 10))
        length = data.draw(st.integers(0, 200_000))
        assert content.seek(at) == at
        assert content.read(length) == whole[at : at + length]
        assert content.seek(-min(7, len(whole)), io.SEEK_END) == max(0, len(whole) - 7)
        assert content.read() == whole[-7:]


def test_a_stream_is_read_only_and_ends(office):
    with office.open(MAIL) as content:
        assert (content.readable(), content.seekable(), content.writable()) == (True, True, False)
        content.seek(0, io.SEEK_END)
        assert content.read(10) == b""
        with pytest.raises(ValueError, match="seek"):
            content.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        content.read(1)


def test_many_threads_read_at_once():
    path = samples.unpack("office.ntfs")
    with sbtk.open_volume(path) as volume, ThreadPoolExecutor(4) as pool:

        def digest(target: str) -> str:
            with volume.open(target) as content:
                return hashlib.sha256(content.read()).hexdigest()

        targets = [MAIL, "Databases/ledger.mdb", "Logs/mail.log", "README.txt"] * 8
        found = list(pool.map(digest, targets))
    assert found[:4] * 8 == found
    truth = {item["path"]: item.get("sha256") for item in sample("office.ntfs")[1]["paths"]}
    assert found[:4] == [truth[target] for target in targets[:4]]


@pytest.mark.root
def test_stale_bytes_behind_the_initialised_size_read_as_zero(copy):
    path = "Databases/journal.db"
    with sbtk.open_volume(copy) as volume:
        stream, cluster_bytes = volume.find(path), volume.info.cluster_bytes
        runs = volume.runs_of(stream.row)
    assert stream.initialized_bytes == 4500
    with open(copy, "r+b") as file:
        for vcn, lcn, clusters in zip(*runs, strict=True):
            skipped = max(0, stream.initialized_bytes - int(vcn) * cluster_bytes)
            file.seek(int(lcn) * cluster_bytes + skipped)
            file.write(b"\xa5" * (int(clusters) * cluster_bytes - skipped))
    with sbtk.open_volume(copy) as volume, volume.open(path) as content:
        ours = content.read()
    with mount.mounted(Path(copy)) as folder:
        assert ours == (folder / path).read_bytes()
    assert ours[:4500].strip(b"\0")
    assert ours[4500:] == bytes(150_000 - 4500)


def test_a_compressed_stream_ends_at_its_initialised_size_too(copy):
    def shorten(record: bytearray, at: int) -> None:
        record[at + 0x38 : at + 0x40] = (100_001).to_bytes(8, "little")

    whole = sample("office.ntfs")[0].open(MAIL).read()
    with damaged(copy, MAIL, shorten) as volume, volume.open(MAIL) as content:
        ours = content.read()
    assert ours == whole[:100_001].ljust(len(whole), b"\0")


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_both_kernels_decompress_alike(monkeypatch, kernels):
    from sbtk import settings as sbtk_settings

    monkeypatch.setenv("SBTK_KERNELS", kernels)
    sbtk_settings.settings.cache_clear()
    try:
        volume, truth = sample("office.ntfs")
        with volume.open(MAIL) as content:
            digest = hashlib.sha256(content.read()).hexdigest()
    finally:
        sbtk_settings.settings.cache_clear()
    assert digest in {item.get("sha256") for item in truth["paths"] if item["path"] == MAIL}


def test_any_value_by_its_row(office):
    streams = office.streams.to_pylist()
    for row in streams:
        if row["attribute_type"] == DATA and row["attribute_name"] != "$Bad":
            name = row["attribute_name"]
            with office.open(row["record"], name) as content:
                assert office.read_value(row["stream"], 5000) == content.read(5000)
    index_root = next(row for row in streams if row["attribute_type"] == 0x90)
    assert len(office.read_value(index_root["stream"], 10_000)) == index_root["data_bytes"]
    for row in (-1, len(streams)):
        with pytest.raises(StreamNotFoundError, match="does not exist"):
            office.read_value(row, 1)


# -- finding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("README.txt", "README.txt"),
        ("/README.txt", "README.txt"),
        ("./readme.TXT", "README.txt"),
        ("logs\\MAIL.log", "Logs/mail.log"),
        ("documents/GRÖSSE UND MASSE.txt", None),  # ß has no upper case of one letter
        ("documents/GRÖßE UND MAßE.txt", "Documents/Größe und Maße.txt"),
        ("Shared/contract for print.pdf", "Documents/contract.pdf"),
    ],
)
def test_paths_are_found_as_windows_finds_them(office, target, found):
    if found is None:
        with pytest.raises(StreamNotFoundError, match="is not on"):
            office.find(target)
    else:
        assert office.find(target).record == office.find_record(found)


def test_streams_are_found_by_name_and_type(office):
    zone = office.find("Downloads/setup.exe:Zone.Identifier")
    assert zone == office.find("Downloads/setup.exe", "Zone.Identifier")
    assert office.find("Downloads/setup.exe:zone.identifier:$DATA").row == zone.row
    assert office.find(zone.record).attribute_name == ""
    assert office.find("downloads:VIEW.settings").attribute_name == "view.settings"
    index = office.find("Documents:$I30:$INDEX_ALLOCATION")
    assert (index.attribute_type, index.resident) == (0xA0, False)
    with office.open("Documents:$I30:$INDEX_ALLOCATION") as content:
        assert content.read(4) == b"INDX"


def test_what_is_not_there_says_what_is(office):
    with pytest.raises(StreamNotFoundError, match=r"'nope' of type \$DATA") as caught:
        office.open("Downloads/setup.exe:nope")
    assert "'scan.report', 'Zone.Identifier'" in caught.value.hint
    with pytest.raises(StreamNotFoundError, match="no unnamed stream"):
        office.open("Documents")
    for record in (-1, 100_000, 1 << 70):
        with pytest.raises(StreamNotFoundError, match="is not in use"):
            office.open(record)


@pytest.mark.root
def test_names_that_differ_in_case_only(copy):
    with mounted(copy, WRITABLE) as folder:
        (folder / "Note.txt").write_bytes(b"upper")
        (folder / "note.TXT").write_bytes(b"lower")
        (folder / "a:b").write_bytes(b"colon")
    with sbtk.open_volume(copy) as volume:
        assert volume.open("Note.txt").read() == b"upper"
        assert volume.open("note.TXT").read() == b"lower"
        assert volume.open("a:b").read() == b"colon"
        with pytest.raises(StreamNotFoundError, match="fits 2 files") as caught:
            volume.open("NOTE.TXT")
        assert "'Note.txt' (record" in caught.value.args[0]


# -- what cannot be read -----------------------------------------------------------------------


def damaged(copy, path, edit):
    """The copy with an edit of the record of ``path``, opened again."""
    with sbtk.open_volume(copy) as volume:
        stream, info = volume.find(path), volume.info
        mft_byte = info.mft_lcn * info.cluster_bytes
    change(copy, mft_byte, stream, edit)
    return sbtk.open_volume(copy)


def test_efs_is_named(copy):
    def encrypt(record: bytearray, at: int) -> None:
        record[at + 12 : at + 14] = struct.pack("<H", 0x4000)

    with damaged(copy, "Logs/mail.log", encrypt) as volume:
        assert volume.files.to_pandas().set_index("path").encrypted["Logs/mail.log"]
        with pytest.raises(StreamUnreadableError, match=r"^Logs/mail.log is encrypted \(EFS\)"):
            volume.open("Logs/mail.log")
        assert len(volume.open("Logs/server.log").read()) > 0


@pytest.mark.root
@pytest.mark.parametrize(
    ("tag", "said"),
    [(0x80000017, "WOF"), (0x80000013, "deduplicated"), (0x9000301A, "cloud"), (0xC0000004, "HSM")],
)
def test_content_that_lies_elsewhere_is_named(copy, tag, said):
    with mounted(copy, WRITABLE) as folder:
        path = folder / "elsewhere.bin"
        with path.open("wb") as file:
            file.truncate(100_000)
        value = struct.pack("<IHH", tag, 16, 0) + bytes(16)
        os.setxattr(path, "system.ntfs_reparse_data", value)
    with sbtk.open_volume(copy) as volume:
        with pytest.raises(StreamUnreadableError, match=said) as caught:
            volume.open("elsewhere.bin")
        assert caught.value.args[0].startswith("elsewhere.bin ")
        assert caught.value.exit_code == 24


def test_damaged_compression_names_path_and_place_and_spares_the_rest(copy):
    with sbtk.open_volume(copy) as volume:
        stream = volume.find(MAIL)
        whole = volume.open(MAIL).read()
        runs = volume.runs_of(stream.row)
        cluster_bytes = volume.info.cluster_bytes
    second = int(runs.lcn[runs.vcn == 16][0]) * cluster_bytes  # the unit at byte 65536
    with open(copy, "r+b") as file:
        file.seek(second)
        file.write(b"\xff\x0f")
    with sbtk.open_volume(copy) as volume, volume.open(MAIL) as content:
        assert content.read(65536) == whole[:65536]
        with pytest.raises(StreamUnreadableError, match=r"mails.mbox.* byte 65536 .*signature"):
            content.read(1)
        content.seek(131_072)
        assert content.read() == whole[131_072:]


def test_a_lying_compression_unit_is_refused(copy):
    def lie(record: bytearray, at: int) -> None:
        record[at + 0x22] = 40

    with (
        damaged(copy, MAIL, lie) as volume,
        pytest.raises(StreamUnreadableError, match="compressed in units of"),
    ):
        volume.open(MAIL).read()


def test_a_run_list_that_ends_early_is_refused(copy):
    def cut(record: bytearray, at: int) -> None:
        pairs = at + int.from_bytes(record[at + 0x20 : at + 0x22], "little")
        header = record[pairs]
        record[pairs + 1 + (header & 15) + (header >> 4)] = 0

    with damaged(copy, "Logs/mail.log", cut) as volume:
        with pytest.raises(StreamUnreadableError, match="run list has a gap at cluster"):
            volume.open("Logs/mail.log")
        assert volume.findings.num_rows == 1


def test_a_stream_past_a_cut_is_a_device_error_and_the_rest_reads(copy):
    os.truncate(copy, 15 << 20)
    with sbtk.open_volume(copy) as volume:
        assert "volume-truncated" in volume.findings["code"].to_pylist()
        with (
            volume.open("pagefile.sys") as content,
            pytest.raises(DeviceReadError, match="ends at"),
        ):
            content.read()
        assert volume.open("README.txt").read().startswith(b"Office share")


def test_a_cut_before_the_mft_is_named(copy):
    os.truncate(copy, 10_000)
    with (
        sbtk.open_volume(copy) as volume,
        pytest.raises(VolumeDamagedError, match=r"copy.img is cut off: it has 9.77 KiB of .* 24.0"),
    ):
        _ = volume.tables


def test_a_bare_mft_has_tables_and_no_content(tmp_path, office):
    dump = tmp_path / "office.mft"
    with office.open("$MFT") as content:
        dump.write_bytes(content.read())
    with sbtk.open_volume(dump) as volume:
        assert volume.info.bare_mft
        assert volume.files["path"].equals(office.files["path"])
        with pytest.raises(StreamUnreadableError, match=r"bare \$MFT"):
            volume.open("README.txt")


def test_backup_boot_sector_stands_in(copy):
    with open(copy, "r+b") as file:
        file.write(bytes(512))
    with sbtk.open_volume(copy) as volume:
        assert volume.findings["code"].to_pylist() == ["boot-damaged"]
        assert volume.open("README.txt").read().startswith(b"Office share")


def test_a_damaged_gpt_is_a_finding_of_the_volume(tmp_path):
    image = shutil.copy(samples.unpack("array.gpt"), tmp_path / "disk.img")
    with open(image, "r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    with sbtk.open_volume(image) as volume:
        assert volume.findings["code"].to_pylist() == ["gpt-primary-damaged"]


# -- opening -----------------------------------------------------------------------------------


def test_opening_reads_no_tables_and_the_scan_reports(copy):
    os.truncate(copy, 15 << 20)
    seen = []
    with sbtk.open_volume(copy, emit=seen.append) as volume:
        assert not seen
        assert "tables" not in volume.__dict__
        assert volume.tables is volume.tables
    assert [event.code for event in seen if isinstance(event, Finding)] == (
        volume.findings["code"].to_pylist()
    )


def test_what_is_no_volume_is_refused_when_it_is_opened(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("text")
    with pytest.raises(NotNtfsError, match="a text file"):
        sbtk.open_volume(text)


def test_saved_tables_come_back(tmp_path, office):
    office.tables.save(tmp_path / "saved")
    loaded = sbtk.read_tables(tmp_path / "saved")
    assert loaded.volume == office.info
    assert loaded.files.equals(office.files)
    assert np.array_equal(loaded.bitmap, office.tables.bitmap)


def test_the_image_is_never_written(copy):
    os.chmod(copy, 0o444)
    image = Path(copy)
    before = image.stat().st_mtime_ns, image.read_bytes()
    with sbtk.open_volume(copy) as volume:
        for path in volume.files["path"].to_pylist():
            try:
                volume.open(path).read(10)
            except StreamNotFoundError:
                continue
    assert before == (image.stat().st_mtime_ns, image.read_bytes())


# -- globs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*.docx", 12), ("*.DOCX", 12), ("Documents/*", 7), ("documents/**", 44),
        ("**/letters/*", 24), ("/Documents/Reports/2025*", 4), ("letter 00[1-3].txt", 3),
        ("letter 00[!1-3].txt", 6), ("IMG_000?.JPG", 5), ("予算*", 1), ("nothing", 0),
    ],
)  # fmt: skip
def test_globs(office, pattern, count):
    assert globs.match(office.files["path"], pattern).to_numpy().sum() == count


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("Projects", ["Projects", "projects/a/x.doc", "old/Projects/y"]),
        ("/Projects", ["Projects", "projects/a/x.doc"]),
        ("Projects/*", ["projects/a/x.doc"]),
        ("*o*/**/*.doc", ["projects/a/x.doc"]),
        ("*.doc", ["projects/a/x.doc"]),
    ],
)
def test_a_folder_may_stand_for_what_is_in_it(pattern, paths):
    known = pa.array(["Projects", "projects/a/x.doc", "old/Projects/y", "Projects2/z"])
    found = pc.match_substring_regex(known, globs.to_regex(pattern, below=True), ignore_case=True)
    assert known.filter(found).to_pylist() == paths


@given(st.text(alphabet="a.*?[]!^$(){}|+\\-/é", min_size=1, max_size=12))
def test_any_glob_compiles_or_is_refused(pattern):
    volume, _ = sample("office.ntfs")
    with contextlib.suppress(UsageError):
        found = globs.match(volume.files["path"][:3], pattern).to_pylist()
        below = globs.to_regex(pattern, below=True)
        also = pc.match_substring_regex(volume.files["path"][:3], below, ignore_case=True)
        assert all(more or not one for one, more in zip(found, also.to_pylist(), strict=True))
