"""The Linux kernel's initiator on our SAN, and our initiator on the kernel's copy manager."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from sbtk.mover.tape_lun import TapeLun
from tests.interop.guest import run_in_guest
from tests.interop.guest_san import INITIATOR
from tests.interop.sans import San, san_command, serving

DISK_BYTES = 64 << 20
RECORD_BYTES = 512 * 512  # tar -b 512


def write_set(cartridge, folder) -> dict[str, str]:
    """A tar of a few files on a cartridge, in records of 256 KiB; sha256 of each file."""
    sums = {}
    (folder / "set" / "sub").mkdir(parents=True)
    for name, size_bytes in (("a.bin", 700_000), ("empty", 0), ("sub/b.bin", 3 << 20)):
        data = os.urandom(size_bytes)
        (folder / "set" / name).write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    tar = subprocess.run(
        ["tar", "-b", "512", "-C", folder / "set", "-cf", "-", *sorted(sums)],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    drive = TapeLun(cartridge)
    for start in range(0, len(tar), RECORD_BYTES):
        drive.write_record(tar[start : start + RECORD_BYTES])
    drive.write_filemarks(1)
    drive.close()
    return sums


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("san")
    san_command(
        "create", folder, "--disk", "a=64MiB", "--disk", "b=64MiB", "--tape", "t=64MiB",
        "--iqn", "iqn.2026-11.test:san",
    )  # fmt: skip
    sums = write_set(folder / "t", folder)
    (folder / "given").write_text("a secret of twelve")
    san_command("grant", folder, INITIATOR, "--user", "guest", "--secret-file", folder / "given")
    with serving(folder) as san:
        assert isinstance(san, San)
        found = run_in_guest(
            __file__.replace("test_san_guest", "guest_san"), folder,
            arguments=(str(san.port), san.iqn, "guest", "a secret of twelve"),
        )  # fmt: skip
    return found | {"want_sums": sums}


@pytest.mark.root
@pytest.mark.timeout(600)
class TestKernelInitiator:
    def test_it_logs_in_with_chap_and_not_with_a_wrong_secret(self, report):
        assert report["wrong_secret_refused"]
        assert report["logged_in"]

    def test_a_file_system_on_a_disk(self, report):
        assert report["file_is_the_same"]
        assert report["fsck_clean"]

    def test_sg_xcopy_and_ddpt_copy_between_our_disks(self, report):
        assert report["sg_xcopy"]
        assert report["ddpt"]

    def test_sg3_utils_decode_our_pages(self, report):
        assert "Maximum segment descriptor count: 4096" in report["copy_results"]
        assert "EXTENDED COPY(LID1)" in report["vpd_0x8f"] or "Third" in report["vpd_0x8f"]
        assert "NAA" in report["vpd_di"]
        assert "Maximum compare and write length: 255" in report["vpd_bl"]
        assert "Unmap command supported (LBPU): 1" in report["vpd_lbpv"]

    def test_mt_and_tar_on_our_tape_drive(self, report):
        assert report["listed"] == sorted(report["want_sums"])
        assert report["sums"] == report["want_sums"]
        assert {"./a.bin", "./sub/b.bin"} <= set(report["written"])
        assert "BOT" in report["mt"]


@pytest.mark.root
@pytest.mark.timeout(600)
class TestOurInitiator:
    def test_sg_io_carries_data_and_sense(self, report):
        assert report["sense"] == [5, 0x21]
        assert report["sg_reads_the_disk"]
        assert report["sg_size"] == DISK_BYTES
        assert report["sg_writes"]

    @pytest.mark.parametrize("path", ["lio_iscsi", "lio_sg"])
    def test_lio_copies_for_us_one_segment_a_command(self, report, path):
        assert report[path] == {
            "limits": [2, 1, False], "equal": True, "two_segments_refused": 57,
        }  # fmt: skip
