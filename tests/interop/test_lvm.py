"""What takes a kernel with device-mapper and LIO: the lvm provider, LIO's counters, bad sectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sbtk
from sbtk import samples
from tests.interop.guest import run_in_guest

BAD_BYTES = 4096  # a page: less than that the kernel's cache does not read by itself


def a_file_of(image: Path) -> tuple[str, int]:
    """A file in one run of several pages, and a byte behind its beginning, on a page."""
    with sbtk.open_volume(image) as opened:
        size = opened.info.cluster_bytes
        for row in opened.files.to_pylist():
            if row["is_directory"] or row["extents"] != 1 or row["record"] < 30:
                continue
            runs = opened.runs_of(opened.find(row["path"]).row)
            behind = (int(runs.lcn[0]) * size // BAD_BYTES + 1) * BAD_BYTES
            if int(runs.clusters[0]) * size >= 4 * BAD_BYTES:
                return str(row["path"]), behind
    raise AssertionError("the sample has no such file")


@pytest.mark.root
@pytest.mark.timeout(600)
def test_lvm_snapshots_lio_counters_and_bad_sectors_in_a_guest(tmp_path):
    """One boot serves all of it: software emulation takes its time."""
    image = samples.unpack("office.ntfs")
    path, at_bytes = a_file_of(image)
    report = run_in_guest(
        Path(__file__).with_name("guest_lvm.py"), tmp_path,
        arguments=(str(image), path, str(at_bytes), str(BAD_BYTES)), timeout_s=500,
    )  # fmt: skip
    assert report["lio_stands_still"]
    assert report["lio_sees_4_kib"]
    assert report["provider"] == "lvm"
    assert report["old_kept"]
    assert report["origin_new"]
    assert (report["volumes_during"], report["volumes_after"]) == (2, ["data"])
    assert report["torn"] == [0] * 3
    assert (report["full"], report["full_after"]) == (44, ["data"])
    assert (report["left"], report["left_before"], report["left_after"]) == (1, 2, ["data"])
    assert_backed_up_or_not_by_choice(report["bad"], path)


def assert_backed_up_or_not_by_choice(bad: dict[str, Any], path: str) -> None:
    """The kernel answers EIO for a page of a file: files named, codes, and the set says so."""
    assert bad["kernel"] == "Input/output error"
    stopped = bad["stop"]
    assert stopped["code"] == 14, stopped
    (line,) = stopped["err"].splitlines()
    assert "cannot be read at LBA" in line
    assert path in line
    assert "--on-error skip" in line
    assert "unfinished" in bad["after_stop"]["out"]
    assert bad["skip"]["code"] == 1, bad["skip"]
    assert "with flaws" in bad["skip"]["out"]
    (told,) = [text for text in bad["skip"]["out"].splitlines() if "unreadable-block" in text]
    assert "(4.00 KiB)" in told
    assert path in told
    assert bad["sets"]["out"].count("flawed") == 1
    assert bad["verify"]["code"] == 0, bad["verify"]
    assert "4.00 KiB that could not be read from the source" in bad["verify"]["out"]
    assert bad["extract"]["code"] == 1
    assert "could not be read when the set was made" in bad["extract"]["out"]
    assert bad["restore"]["code"] == 0, bad["restore"]
    assert bad["zeros"]
    assert bad["around_equal"]
