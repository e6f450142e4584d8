"""Damage to what holds a whole volume together: boot sector, record 0, $MFT's pieces, its end."""

from __future__ import annotations

import pytest

from sbtk.errors import SbtkError
from sbtk.ntfs.scan import scan
from tests.hostile.isolation import assert_others_unchanged, healthy, scanned
from tests.hostile.surgery import (
    MemoryDevice,
)
from tests.oracles.views import inodes

NAME = "tiny"
LIST, FILE_NAME, DATA = 0x20, 0x30, 0x80
CLUSTER_BYTES = 1024


def test_record_0_is_damaged_and_its_mirror_is_not(patient):
    patient.put_raw(0, b"\xff" * 1024)
    tables = scanned(patient)
    assert tables.volume.mirror == "used"
    assert {row["record"] for row in tables.findings.to_pylist()} == {0}
    assert_others_unchanged(tables, NAME, {0})


def test_both_copies_of_record_0_are_damaged(patient):
    patient.put_raw(0, b"\xff" * 1024)
    mirror_lcn = healthy(NAME).tables.volume.mft_mirror_lcn
    patient.write(mirror_lcn * CLUSTER_BYTES, b"\xff" * 1024)
    with pytest.raises(SbtkError, match=r"\$MFT"):
        scanned(patient)


def test_the_boot_sector_is_damaged_and_its_backup_is_not(patient):
    patient.write(0, bytes(512))
    tables = scanned(patient)
    assert len(tables.findings) == 1
    assert_others_unchanged(tables, NAME, set())


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_volume_that_is_cut_off(patient, part):
    """$MFT lies at the front: its records are read, and the loss is a finding, not an error."""
    cut = bytes(patient.content[: int(len(patient.content) * part) // 512 * 512])
    tables = scan(MemoryDevice(cut), source="x", threads=1)
    codes = tables.findings["code"].to_pylist()
    assert "volume-truncated" in codes
    assert len(tables.findings) < 20


def test_a_piece_of_mft_is_lost():
    """One extension record of $MFT's own run list: its stretch is lost, and the rest is read."""
    name = "mft_list"
    patient, piece = healthy(name).patient, 18
    assert piece in inodes(name)[0].extensions
    raw = patient.raw(piece)
    raw[:4] = b"JUNK"
    patient.put_raw(piece, raw)
    try:
        tables = scan(patient.device, source="x", threads=1)
    finally:
        patient.heal()
    lost = next(p for p in inodes(name)[0].pieces if p.record == piece)
    per_record = healthy(name).tables.volume.record_bytes // 512
    first, last = lost.lowest_vcn // per_record, lost.highest_vcn // per_record
    survivors = [n for n in inodes(name) if not first <= n <= last]
    assert set(survivors) <= set(tables.files["record"].to_pylist())
    told = [row["record"] for row in tables.findings.to_pylist() if row["severity"] == "error"]
    assert 18 in told or 0 in told
