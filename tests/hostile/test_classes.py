"""Every class of hostile input, on a copy of a volume that real tools made, through ``scan``.

What is damaged costs one finding, at the record that holds it, and every other record's rows stay
as they were. What can be told from the tables only (sizes against runs, runs against each other and
against the volume) is told by the audit, once. (Headers and first attributes: test_one_record.py.)
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys

import pytest

from sbtk.extents.audit import audit
from sbtk.ntfs.scan import scan_mft
from tests import memory
from tests.corpus import REPOSITORY
from tests.hostile.isolation import assert_others_unchanged, healthy, scanned
from tests.hostile.surgery import (
    MemoryDevice,
    attribute,
    attributes,
    pairs_place,
    value_place,
)
from tests.oracles.views import inodes

NAME = "tiny"
LIST, FILE_NAME, DATA = 0x20, 0x30, 0x80
CLUSTER_BYTES = 1024
GIB = 1 << 30
PEAK_BYTES = 512 << 20


def record_of(path):
    tables = healthy(NAME).tables
    return dict(
        zip(tables.names["path"].to_pylist(), tables.names["record"].to_pylist(), strict=True)
    )[path]


def operate(number, change):
    """Change a record of the patient."""
    patient = healthy(NAME).patient
    record = patient.record(number)
    change(record)
    patient.put(number, record)


def assert_costs_one_finding(patient, number):
    tables = scanned(patient)
    rows = tables.findings.to_pylist()
    assert [row["record"] for row in rows] == [number], rows
    assert rows[0]["message"]
    assert_others_unchanged(tables, NAME, {number})
    return tables


def assert_contradicts_once(patient, number, code):
    """The scan has nothing to say or says it; the audit says it once."""
    tables = scanned(patient)
    rows = audit(tables).to_dict("records")
    assert [row["code"] for row in rows if row["record"] == number] == [code], rows
    # What the record lost is in $Bitmap still: clusters that nobody owns, told without a record.
    assert {row["code"] for row in rows if row["record"] != number} <= {"allocated-unowned"}
    assert_others_unchanged(tables, NAME, {number})


# -- attributes and run lists of one file --------------------------------------------------------


def resident_value_past_the_attribute(record):
    found = attribute(record, DATA, resident=True)
    struct.pack_into("<I", record, found.at + 0x10, 0x7FFFFFFF)


def resident_value_offset_past_the_attribute(record):
    found = attribute(record, DATA, resident=True)
    struct.pack_into("<H", record, found.at + 0x14, 0xFFF0)


def attribute_length_0(record):
    struct.pack_into("<I", record, attribute(record, DATA).at + 4, 0)


def attribute_length_huge(record):
    struct.pack_into("<I", record, attribute(record, DATA).at + 4, 0xFFFFFFF8)


def attribute_length_past_the_record(record):
    struct.pack_into("<I", record, attribute(record, DATA).at + 4, len(record))


def attribute_name_past_the_attribute(record):
    found = attribute(record, DATA)
    record[found.at + 9] = 0xFF
    struct.pack_into("<H", record, found.at + 0x0A, 0xFF00)


@pytest.mark.parametrize(
    "damage",
    [
        resident_value_past_the_attribute, resident_value_offset_past_the_attribute,
        attribute_length_0, attribute_length_huge, attribute_length_past_the_record,
        attribute_name_past_the_attribute,
    ],
)  # fmt: skip
def test_resident_attribute(patient, damage):
    number = record_of("docs/resident.txt")
    operate(number, damage)
    assert_costs_one_finding(patient, number)


def run_header_ff(record):
    at, _ = pairs_place(record, attribute(record, DATA))
    record[at] = 0xFF


def run_header_without_length_bytes(record):
    at, _ = pairs_place(record, attribute(record, DATA))
    record[at] = 0x10


def run_of_negative_length(record):
    at, _ = pairs_place(record, attribute(record, DATA))
    record[at + 1] = 0x80


def run_before_the_volume(record):
    at, _ = pairs_place(record, attribute(record, DATA))
    record[at : at + 4] = b"\x11\x01\x81\x00"


def runs_without_an_end(record):
    at, room = pairs_place(record, attribute(record, DATA))
    record[at : at + room] = (b"\x11\x01\x01" * room)[:room]


def mapping_pairs_past_the_attribute(record):
    struct.pack_into("<H", record, attribute(record, DATA).at + 0x20, 0xFFF0)


def mapping_pairs_in_the_header(record):
    struct.pack_into("<H", record, attribute(record, DATA).at + 0x20, 8)


@pytest.mark.parametrize(
    "damage",
    [
        run_header_ff, run_header_without_length_bytes, run_of_negative_length,
        run_before_the_volume, runs_without_an_end,
        mapping_pairs_past_the_attribute, mapping_pairs_in_the_header,
    ],
)  # fmt: skip
def test_run_list(patient, damage):
    number = record_of("docs/sparse.bin")
    operate(number, damage)
    tables = assert_costs_one_finding(patient, number)
    lcn, clusters = (tables.extents[name].to_numpy() for name in ("lcn", "clusters"))
    assert (clusters > 0).all()
    assert (lcn + clusters <= tables.volume.total_clusters).all()


def data_size_without_clusters(record):
    found = attribute(record, DATA)
    struct.pack_into("<QQ", record, found.at + 0x30, 8 << 40, 8 << 40)


def allocated_size_without_clusters(record):
    struct.pack_into("<Q", record, attribute(record, DATA).at + 0x28, 8 << 40)


def initialised_size_past_the_data(record):
    struct.pack_into("<Q", record, attribute(record, DATA).at + 0x38, 8 << 40)


def negative_size(record):
    struct.pack_into("<Q", record, attribute(record, DATA).at + 0x30, 1 << 63)


def first_vcn_that_is_not_0(record):
    struct.pack_into("<Q", record, attribute(record, DATA).at + 0x10, 5)


def last_vcn_past_the_runs(record):
    struct.pack_into("<Q", record, attribute(record, DATA).at + 0x18, 1 << 40)


KINDS = ["filler_002", "docs/sparse.bin", "packed/text.log"]  # plain, sparse, compressed


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "damage",
    [
        initialised_size_past_the_data, negative_size, first_vcn_that_is_not_0,
        last_vcn_past_the_runs,
    ],
)  # fmt: skip
def test_sizes_that_contradict_themselves(patient, path, damage):
    number = record_of(path)
    operate(number, damage)
    assert_costs_one_finding(patient, number)


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (data_size_without_clusters, "data-exceeds"),
        (allocated_size_without_clusters, "allocated-differs"),
    ],
)
def test_sizes_that_the_runs_do_not_bear_out(patient, path, damage, code):
    number = record_of(path)
    operate(number, damage)
    assert_contradicts_once(patient, number, code)


def test_a_run_past_the_end_of_the_volume(patient):
    number = record_of("filler_002")

    def move(record):
        at, _ = pairs_place(record, attribute(record, DATA))
        record[at : at + 6] = b"\x31\x01\xff\xff\x3f\x00"

    operate(number, move)
    assert_contradicts_once(patient, number, "run-past-end")


def test_a_sparse_file_larger_than_the_volume_is_legal(patient):
    """2 TiB of nothing on a volume of 4 MiB."""
    number = record_of("docs/sparse.bin")

    def enlarge(record):
        found = attribute(record, DATA)
        at, _ = pairs_place(record, found)
        clusters = 1 << 31
        record[at : at + 7] = b"\x05" + clusters.to_bytes(5, "little") + b"\0"
        size_bytes = clusters * CLUSTER_BYTES
        struct.pack_into("<Q", record, found.at + 0x18, clusters - 1)
        struct.pack_into("<QQQ", record, found.at + 0x28, size_bytes, size_bytes, 0)

    operate(number, enlarge)
    tables = scanned(patient)
    assert tables.findings.to_pylist() == []
    row = next(row for row in tables.files.to_pylist() if row["record"] == number)
    assert row["size_bytes"] == 1 << 41
    assert_others_unchanged(tables, NAME, {number})


def test_two_files_own_one_cluster(patient):
    """Both keep their runs: which is right, nobody can tell; the audit names both."""
    one, other = record_of("filler_000"), record_of("filler_001")

    def run_of(record):
        at, _ = pairs_place(record, attribute(record, DATA))
        return bytes(record[at : at + 8])

    stolen = run_of(patient.record(one))

    def steal(record):
        at, _ = pairs_place(record, attribute(record, DATA))
        record[at : at + 8] = stolen

    operate(other, steal)
    tables = scanned(patient)
    rows = [row for row in audit(tables).to_dict("records") if row["code"] == "cluster-shared"]
    assert len(rows) == 1
    assert rows[0]["record"] in (one, other)
    assert sorted(rows[0]["files"]) == ["filler_000", "filler_001"]
    assert_others_unchanged(tables, NAME, {other})


# -- records that point at each other ------------------------------------------------------------


def reparent(patient, number, parent):
    def change(record):
        for found in attributes(record):
            if found.attribute_type == FILE_NAME:
                at, _ = value_place(record, found)
                sequence = patient.record(parent)[0x10:0x12]
                record[at : at + 8] = parent.to_bytes(6, "little") + sequence

    operate(number, change)


@pytest.mark.parametrize("ring", [("docs",), ("docs", "packed")], ids=["itself", "each_other"])
def test_folders_that_are_their_own_parents(patient, ring):
    numbers = [record_of(path) for path in ring]
    for number, parent in zip(numbers, numbers[1:] + numbers[:1], strict=True):
        reparent(patient, number, parent)
    tables = scanned(patient)
    rows = tables.findings.to_pylist()
    assert {row["record"] for row in rows} <= set(numbers), rows
    assert 1 <= len(rows) <= len(numbers)
    assert_others_unchanged(tables, NAME, set(numbers), paths=False)
    assert all(tables.files["path"].to_pylist())


def test_a_parent_that_is_no_folder(patient):
    number = record_of("docs/empty.txt")
    reparent(patient, number, record_of("docs/resident.txt"))
    tables = scanned(patient)
    assert {row["record"] for row in tables.findings.to_pylist()} <= {number}
    assert_others_unchanged(tables, NAME, {number})


@pytest.mark.parametrize("pair", [("filler_000",), ("filler_000", "filler_001")],
                         ids=["itself", "each_other"])  # fmt: skip
def test_records_that_are_each_others_base(patient, pair):
    numbers = [record_of(path) for path in pair]
    for number, base in zip(numbers, numbers[1:] + numbers[:1], strict=True):
        reference = base.to_bytes(6, "little") + patient.record(base)[0x10:0x12]
        operate(number, lambda record, r=reference: record.__setitem__(slice(0x20, 0x28), r))
    tables = scanned(patient)
    rows = tables.findings.to_pylist()
    assert sorted(row["record"] for row in rows) == sorted(numbers), rows
    assert_others_unchanged(tables, NAME, set(numbers))


# -- attribute lists -----------------------------------------------------------------------------


def resident_list(record):
    return value_place(record, attribute(record, LIST, resident=True))


def list_entry_of_length_0(record):
    at, _ = resident_list(record)
    struct.pack_into("<H", record, at + 4, 0)


def list_entry_past_the_list(record):
    at, _ = resident_list(record)
    struct.pack_into("<H", record, at + 4, 0xFFF8)


def list_that_names_itself(record):
    """An entry for the list: it would be looked up in the list."""
    at, room = resident_list(record)
    struct.pack_into("<I", record, at + room - 32, LIST)
    struct.pack_into("<Q", record, at + room - 16, struct.unpack_from("<I", record, 0x2C)[0])


@pytest.mark.parametrize("damage", [list_entry_of_length_0, list_entry_past_the_list,
                                    list_that_names_itself])  # fmt: skip
def test_resident_attribute_list(patient, damage):
    number = record_of("docs/resident_list.bin")
    operate(number, damage)
    tables = scanned(patient)
    assert {row["record"] for row in tables.findings.to_pylist()} <= {
        number, *inodes(NAME)[number].extensions
    }  # fmt: skip
    assert len(tables.findings) <= 1
    assert_others_unchanged(tables, NAME, {number})


def test_a_list_of_gigabytes(patient):
    """Sizes that the volume cannot hold: nothing is allocated for them."""
    number = record_of("scattered.bin")

    def enlarge(record):
        found = attribute(record, LIST, resident=False)
        struct.pack_into("<QQQ", record, found.at + 0x28, 8 * GIB, 8 * GIB, 8 * GIB)

    operate(number, enlarge)
    with memory.measured() as grown:
        scanned(patient)
    assert grown.peak_bytes < 64 << 20
    assert_contradicts_once(patient, number, "allocated-differs")


def test_a_bare_mft_whose_lists_cannot_be_followed(patient):
    """Records, names and runs are all there: extension records name their base themselves."""
    mft = b"".join(patient.raw(record) for record in range(len(patient.places)))
    tables = scan_mft(MemoryDevice(mft), source="x", threads=1)
    whole = healthy(NAME).tables
    assert tables.files.drop(["path"]).equals(whole.files.drop(["path"]))
    assert tables.names.equals(whole.names)
    assert tables.extents.equals(whole.extents)
    outside = {n for n, i in inodes(NAME).items()
               if any(p.attribute_type == LIST and not p.resident for p in i.pieces)}  # fmt: skip
    assert {row["record"] for row in tables.findings.to_pylist()} <= outside


# -- all at once ---------------------------------------------------------------------------------


# getrusage of a child counts what this process held when it forked, too.
SBTK_THAT_TELLS_ITS_PEAK = """
import atexit, pathlib, runpy, sys
told = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(pathlib.Path("/proc/self/status").read_text()))
runpy.run_module("sbtk", run_name="__main__")
"""


def test_the_command_line_with_all_of_it_at_once(patient, tmp_path):
    """No traceback, bounded memory, and JSON that reads back, on a file full of damage."""
    for path, damage in (
        ("docs/resident.txt", attribute_length_0), ("docs/sparse.bin", run_header_ff),
        ("docs/resident_list.bin", list_entry_of_length_0), ("filler_002", runs_without_an_end),
        ("filler_003", mapping_pairs_past_the_attribute),
    ):  # fmt: skip
        operate(record_of(path), damage)
    reparent(patient, record_of("packed"), record_of("docs"))
    reparent(patient, record_of("docs"), record_of("packed"))
    image = tmp_path / "hostile.img"
    image.write_bytes(patient.content)
    told = tmp_path / "status"
    arguments = ["scan", str(image), "--json", "--progress", "none"]
    command = [sys.executable, "-c", SBTK_THAT_TELLS_ITS_PEAK, str(told), *arguments]
    before = image.read_bytes()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    assert image.read_bytes() == before
    peak_kib = int(re.search(r"VmHWM:\s+(\d+) kB", told.read_text())[1])
    assert 10_000 < peak_kib < PEAK_BYTES // 1024
