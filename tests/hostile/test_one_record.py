"""One damaged record is one row in ``findings``; the rows of all other records are unchanged."""

from __future__ import annotations

import random
import struct

import pytest

from sbtk.ntfs.scan import scan
from tests.hostile.isolation import assert_others_unchanged, healthy, scan_with
from tests.hostile.surgery import attributes

SEED = 99
CHOICES = 12
SPREAD = ("tiny", "zoo", "zoo_s4096")  # they have files with extension records
VOLUMES = ("tiny", "zoo", "mft_list", "zoo_s4096")


def no_signature(raw):
    raw[0:4] = b"JUNK"


def marked_bad_by_chkdsk(raw):
    raw[0:4] = b"BAAD"


def torn(raw):
    raw[510] ^= 0xFF


def fixups_out_of_range(raw):
    struct.pack_into("<H", raw, 4, 0xFFF0)


def too_many_fixups(raw):
    struct.pack_into("<H", raw, 6, 0xFFFF)


def first_attribute_past_the_record(raw):
    struct.pack_into("<H", raw, 0x14, 0xFFF8)


def first_attribute_of_length_0(raw):
    struct.pack_into("<I", raw, attributes(raw)[0].at + 4, 0)


def first_attribute_past_the_end(raw):
    struct.pack_into("<I", raw, attributes(raw)[0].at + 4, 0x7FFFFFF8)


def zeros_where_a_record_was(raw):
    raw[:] = bytes(len(raw))


UNREADABLE = (no_signature, marked_bad_by_chkdsk, torn, fixups_out_of_range, too_many_fixups)
EMPTIED = (
    first_attribute_past_the_record, first_attribute_of_length_0, first_attribute_past_the_end,
)  # fmt: skip
DAMAGE = UNREADABLE + EMPTIED


def choose(name, kind):
    records = sorted(getattr(healthy(name), kind))
    rnd = random.Random(f"{SEED} {name} {kind}")
    chosen = rnd.sample(records, min(CHOICES, len(records)))
    assert chosen
    return [(record, DAMAGE[i % len(DAMAGE)]) for i, record in enumerate(chosen)]


@pytest.mark.parametrize("name", VOLUMES)
def test_a_file(name):
    for record, damage in choose(name, "leaves"):
        tables = scan_with(name, record, damage)
        rows = tables.findings.to_pylist()
        assert [row["record"] for row in rows] == [record], (damage.__name__, rows)
        assert rows[0]["severity"] == "error"
        # Where only its attributes cannot be followed, the record is still known to be in use.
        assert (record in tables.files["record"].to_pylist()) == (damage in EMPTIED)
        assert_others_unchanged(tables, name, {record})


@pytest.mark.parametrize("name", VOLUMES)
def test_a_folder_costs_its_children_their_paths_only(name):
    for record, damage in choose(name, "folders"):
        tables = scan_with(name, record, damage)
        rows = tables.findings.to_pylist()
        assert [row["record"] for row in rows] == [record], (damage.__name__, rows)
        children = set(healthy(name).children(record))
        if children:
            assert rows[0]["message"].endswith(f"$Orphans/{record}: {len(children)}")
        assert_others_unchanged(tables, name, {record}, paths=False)


@pytest.mark.parametrize("name", SPREAD)
def test_an_extension_costs_its_file_what_was_in_it(name):
    for record, damage in choose(name, "extensions"):
        tables = scan_with(name, record, damage)
        rows = tables.findings.to_pylist()
        assert [row["record"] for row in rows] == [record], (damage.__name__, rows)
        base = healthy(name).extensions[record]
        assert f"record {base}" in rows[0]["message"]
        assert_others_unchanged(tables, name, {base}, paths=not healthy(name).is_folder(base))
        assert base in tables.files["record"].to_pylist()


@pytest.mark.parametrize("name", VOLUMES)
def test_many_damaged_records_are_as_many_findings(name):
    patient, rnd = healthy(name).patient, random.Random(SEED)
    chosen = rnd.sample(healthy(name).leaves, min(40, len(healthy(name).leaves)))
    for i, record in enumerate(chosen):
        raw = patient.raw(record)
        DAMAGE[i % len(DAMAGE)](raw)
        patient.put_raw(record, raw)
    tables = scan(patient.device, source="x", threads=1)
    patient.heal()
    assert sorted(tables.findings["record"].to_pylist()) == sorted(chosen)
    assert_others_unchanged(tables, name, set(chosen))


@pytest.mark.parametrize("name", VOLUMES)
def test_a_record_in_use_that_was_zeroed_is_a_finding(name):
    """Zeros look like a record never used; $MFT's bitmap says that one was here."""
    record = random.Random(SEED).choice(healthy(name).leaves)
    tables = scan_with(name, record, zeros_where_a_record_was)
    assert tables.findings["record"].to_pylist() == [record]
    assert_others_unchanged(tables, name, {record})
