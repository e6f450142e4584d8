"""The Linux kernel's initiator on our SAN, and our initiator on the kernel's copy manager."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sbtk
from sbtk import samples
from sbtk.mover.cartridge import create_cartridge
from tests.interop.guest import run_in_guest
from tests.interop.guest_san import INITIATOR
from tests.interop.sans import San, san_command, serving

DISK_BYTES = 64 << 20


def write_set(cartridge: Path, state: Path, volume: Path) -> dict[str, str]:
    """A set of a volume's files, by a backup of ours; sha256 of some of its files by path."""
    create_cartridge(cartridge, capacity_bytes=64 << 20)
    environment = os.environ | {"SBTK_STATE_DIR": str(state)}
    subprocess.run(
        [sys.executable, "-m", "sbtk", "backup", volume, "--to", f"tape:{cartridge}",
         "--layout", "files", "--snapshot", "none", "--quiet-s", "0.2", "--progress", "none"],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    files = {}
    with sbtk.open_volume(str(volume)) as opened:
        rows = opened.files.to_pandas()
        plain = rows[
            (~rows.is_directory) & (rows.size_bytes > 0) & (~rows.path.str.startswith("$"))
        ]
        odd = plain["compressed"] | plain["encrypted"] | plain["sparse"]
        plain = plain[~odd].head(20)
        for path in plain.path:
            with opened.open(path) as stream:
                files[path] = hashlib.sha256(stream.read()).hexdigest()
    return files


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("san")
    volume = samples.unpack("office.ntfs")
    sums = write_set(folder / "t", folder / "state", volume)
    san_command(
        "create", folder, "--disk", "a=64MiB", "--disk", "b=64MiB", "--tape", "t",
        "--iqn", "iqn.2026-11.test:san",
    )  # fmt: skip
    (folder / "given").write_text("a secret of twelve")
    san_command("grant", folder, INITIATOR, "--user", "guest", "--secret-file", folder / "given")
    (folder / "own").write_text("another of twelve")
    san_command("create", folder, "--user", "portal", "--secret-file", folder / "own")
    with serving(folder) as san:
        assert isinstance(san, San)
        found = run_in_guest(
            __file__.replace("test_san_guest", "guest_san"), folder,
            timeout_s=800,
            arguments=(str(san.port), san.iqn, "guest", "a secret of twelve", str(volume),
                       "portal", "another of twelve"),
        )  # fmt: skip
    return found | {"want_sums": sums}


@pytest.mark.root
@pytest.mark.timeout(900)
class TestKernelInitiator:
    def test_it_logs_in_with_mutual_chap_and_not_with_a_wrong_secret(self, report):
        assert report["wrong_secrets_refused"] == [True, True]
        assert report["logged_in"]

    def test_everything_here_goes_with_header_and_data_digests(self, report):
        assert report["digests"] == ["1", "1"]

    def test_sg_persist_decodes_our_reservations(self, report):
        told = report["reservations"]
        assert "0xabc" in told["read-keys"]
        assert "Write Exclusive, registrants only" in told["read-reservation"]
        assert "Reservation holder" in told["read-full-status"]
        assert INITIATOR in told["read-full-status"]
        assert "Persist Through Power Loss Capable(PTPL_C): 0" in told["report-capabilities"]
        assert "0 registered" in told["after"] or "there are NO registered" in told["after"]

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
        assert report["listed"][0] == "manifest.json"
        assert len(report["want_sums"]) > 5
        for path, digest in report["want_sums"].items():
            ends = [
                found for name, found in report["sums"].items() if f"/{name}".endswith(f"/{path}")
            ]
            assert ends == [digest], path
        assert "./manifest.json" in report["written"]
        assert "BOT" in report["mt"]


@pytest.mark.root
@pytest.mark.timeout(900)
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

    @pytest.mark.parametrize("path", ["backup_iscsi", "backup_sg"])
    def test_a_backup_and_restore_by_lio(self, report, path):
        found = report[path]
        assert found["same"]
        assert found["through_host"] == [0, 0]
        assert min(found["moved"]) > 1 << 20
        assert found["commands"] > 5  # one segment each
