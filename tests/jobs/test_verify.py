"""Verify finds every flipped byte, and names the file that it hits."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import sbtk
from sbtk.archive.closing import closing_bytes
from sbtk.events import Finding
from sbtk.jobs.sets import KnownSet, find_set
from sbtk.mover.cartridge import Cartridge
from sbtk.mover.medium import FIRST_OBJECT_OFFSET_BYTES, HEADER_BYTES
from sbtk.ntfs.tables import Tables
from sbtk.plan.model import INLINE, SOURCE
from tests.corpus import volume
from tests.jobs.jobs import back_up, disk, tape

FLIPS = 100


def place_on_medium(known: KnownSet, archive_bytes: int) -> tuple[Path, int]:
    """The file that holds a byte of a set, and where in it, by the cartridge's own headers."""
    kind, _, path = known.record.location.rpartition(":")
    if kind != "tape":
        return Path(path), known.record.start_bytes + archive_bytes
    cartridge = Cartridge(Path(path), writable=False)
    try:
        at, number = 0, known.record.first_object
        while True:
            offset = cartridge.offset_of(number) + FIRST_OBJECT_OFFSET_BYTES + HEADER_BYTES
            size = cartridge.offset_of(number + 1) + FIRST_OBJECT_OFFSET_BYTES - offset
            if archive_bytes < at + size:
                return Path(path), offset + archive_bytes - at
            at, number = at + size, number + 1
    finally:
        cartridge.close()


def flip(known: KnownSet, archive_bytes: int) -> None:
    """Change one bit; a second call mends it."""
    path, offset = place_on_medium(known, archive_bytes)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


@cache
def tables_of(image: Path) -> Tables:
    with sbtk.open_volume(image) as opened:
        return opened.tables


def owners(image: Path, lun_bytes: int) -> set[str]:
    """Paths of the files that own a byte of the volume: from the extents, one by one."""
    tables = tables_of(image)
    lcn = lun_bytes // tables.volume.cluster_bytes
    start = tables.extents["lcn"].to_numpy()
    end = start + tables.extents["clusters"].to_numpy()
    records = tables.extents["record"].to_numpy()[(start >= 0) & (start <= lcn) & (lcn < end)]
    paths = dict(
        zip(tables.files["record"].to_pylist(), tables.files["path"].to_pylist(), strict=True)
    )
    return {paths[int(record)] for record in records}


@pytest.fixture(params=["tape", "disk"])
def known(request, tmp_path):
    to = tape(tmp_path) if request.param == "tape" else disk(tmp_path)
    result = back_up(volume("zoo").image, to)
    return find_set(result.set_id)


def test_a_sound_set_is_sound(known):
    for through_host in (False, True):
        result = sbtk.verify(known.record.set_id, through_host=through_host)
        assert result.sound
        assert result.stop.exit_code == 0
        (check,) = result.checks
        assert check.method == ("host" if through_host else "mover")
        assert check.checked_bytes == known.rows.end_bytes
        moved = result.stop.host_data_bytes
        assert moved == (known.rows.end_bytes if through_host else 0)


def test_each_of_100_flipped_bytes_is_found_and_named(known):
    numbers = random.Random(6)
    rows = np.flatnonzero(known.rows.kind == SOURCE)
    chosen = numbers.sample(rows.tolist(), FLIPS)
    expected = []
    for row in chosen:
        skipped = numbers.randrange(int(known.rows.length_bytes[row]))
        flip(known, int(known.rows.archive_start_bytes[row]) + skipped)
        hit = owners(volume("zoo").image, int(known.rows.lun_start_bytes[row]) + skipped)
        expected.append((row, hit))
    told: list[Finding] = []
    result = sbtk.verify(
        "last", emit=lambda event: told.append(event) if isinstance(event, Finding) else None
    )
    assert result.stop.exit_code == 1
    assert result.stop.status == "flawed"
    (check,) = result.checks
    assert check.mismatches == FLIPS
    found = {item.message.split(" differ")[0].split()[-1]: item.message for item in told}
    for row, hit in expected:
        message = found[str(int(known.rows.archive_start_bytes[row]))]
        assert "differ from their digest: hits" in message
        if len(hit) == 1:
            assert next(iter(hit)) in message or " more" in message
    named = set().union(*(hit for _, hit in expected))
    assert check.files_total >= len(named)
    if check.files_total <= len(check.files):
        assert named <= set(check.files)


def test_one_flipped_byte_at_a_time_names_its_file(known):
    row = int(np.flatnonzero(known.rows.kind == SOURCE)[-40])
    at = int(known.rows.archive_start_bytes[row]) + 7
    hit = owners(volume("zoo").image, int(known.rows.lun_start_bytes[row]) + 7)
    flip(known, at)
    for through_host in (False, True):
        (check,) = sbtk.verify("last", through_host=through_host).checks
        assert check.mismatches == 1
        assert hit <= set(check.files)
    flip(known, at)
    assert sbtk.verify("last").sound


def test_a_flipped_byte_in_the_headers_is_found(known):
    headers = np.flatnonzero(known.rows.kind == INLINE)
    places = [
        int(known.rows.archive_start_bytes[headers[0]]) + 1000,  # the manifest
        int(known.rows.archive_start_bytes[headers[-1]]) + 3,
        known.rows.end_bytes + 100,  # header of the last member
        known.rows.end_bytes + 5000,  # its content
        known.rows.end_bytes + len(closing_bytes(known.content, unit_bytes=4096)) - 1,
    ]
    for at in places:
        flip(known, at)
        (check,) = sbtk.verify("last").checks
        assert check.mismatches == 1, at
        flip(known, at)
    assert sbtk.verify("last").sound


def test_a_lun_is_held_against_a_set(known, tmp_path):
    lun = tmp_path / "lun.img"
    sbtk.restore("last", to=lun)
    (check,) = sbtk.verify("last", against=lun).checks
    assert check.what == "lun"
    assert check.mismatches == 0
    own = known.rows.kind == SOURCE
    assert check.checked_bytes == int(known.rows.length_bytes[own].sum())
    row = int(np.flatnonzero(own)[123])
    at = int(known.rows.lun_start_bytes[row])
    with lun.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    result = sbtk.verify("last", against=lun)
    assert result.stop.exit_code == 1
    assert owners(volume("zoo").image, at) <= set(result.checks[0].files)


def test_a_set_without_digests_says_what_was_not_checked(tmp_path):
    result = back_up(volume("tiny").image, disk(tmp_path), limits="lio")
    (check,) = sbtk.verify(result.set_id).checks
    assert check.mismatches == 0
    assert "without a digest" in check.not_checked[0]


def test_a_manager_without_digests_has_the_host_read_the_set(known):
    told: list[Finding] = []
    result = sbtk.verify(
        "last", limits="lio" if known.record.medium == "disk" else "scst",
        emit=lambda event: told.append(event) if isinstance(event, Finding) else None,
    )  # fmt: skip
    assert result.sound
    (check,) = result.checks
    assert check.method == "host"
    assert [item.code for item in told] == ["verify-through-host"]
    assert result.stop.host_data_bytes == known.rows.end_bytes
