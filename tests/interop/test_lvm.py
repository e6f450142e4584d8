"""The lvm provider and LIO's statistics on a kernel that has device-mapper and LIO."""

from pathlib import Path

import pytest

from tests.interop.guest import run_in_guest


@pytest.mark.root
@pytest.mark.timeout(600)
def test_lvm_snapshots_and_lio_counters_in_a_guest(tmp_path):
    report = run_in_guest(Path(__file__).with_name("guest_lvm.py"), tmp_path)
    assert report["lio_stands_still"]
    assert report["lio_sees_4_kib"]
    assert report["provider"] == "lvm"
    assert report["old_kept"]
    assert report["origin_new"]
    assert (report["volumes_during"], report["volumes_after"]) == (2, ["data"])
    assert report["torn"] == [0] * 3
    assert (report["full"], report["full_after"]) == (44, ["data"])
    assert (report["left"], report["left_before"], report["left_after"]) == (1, 2, ["data"])
