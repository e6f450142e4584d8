"""libiscsi's conformance suite on our portal, on tgtd and on Linux's LIO, in one run.

    python -m tests.interop.conformance [FAMILY[.SUITE] ...]

prints what each of them passes, and of everything that fails or is skipped at ours, why. LIO runs
in the lab's guest, whose processor is emulated: the whole takes about ten minutes of two cores.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sbtk.mover.block_lun import BlockLun
from tests.interop.guest import LAB, built
from tests.mover.portals import served
from tests.oracles import tgtd

DISK_BYTES = 256 << 20
_LIO_TARGET = "iqn.2026-11.lab.lio:san"
_LONGEST_S = 1500


@dataclass(frozen=True)
class Outcome:
    """What iscsi-test-cu said of one target.

    Attributes:
        total: tests that ran.
        passed: those that did not fail; the tool counts what it skipped among them.
        failed: name -> the first thing that was wrong.
        skipped: name -> why.
    """

    total: int
    passed: int
    failed: dict[str, str]
    skipped: dict[str, str]

    @property
    def really_passed(self) -> int:
        """Tests that ran to their end and found nothing wrong."""
        return self.passed - len(self.skipped.keys() - self.failed.keys())

    def __str__(self) -> str:
        return (
            f"{self.really_passed} passed, {len(self.skipped)} skipped, {len(self.failed)} failed"
        )


def conformance(url: str, family: str) -> Outcome:
    """Run a family of tests; -d allows data loss, without which the copy tests are skipped."""
    done = subprocess.run(
        ["iscsi-test-cu", "-d", "-V", "-t", family, url],
        capture_output=True, text=True, errors="replace", timeout=_LONGEST_S, check=False,
    )  # fmt: skip
    return outcome_of(done.stdout)


def outcome_of(text: str) -> Outcome:
    """What the tool's output tells."""
    suite = test = ""
    failed: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for line in text.splitlines():
        if found := re.match(r"Suite: (\S+)", line):
            suite = found[1]
        if found := re.match(r"\s+Test: (\S+) \.\.\.", line):
            test = f"{suite}.{found[1]}"
        if test and "[SKIPPED]" in line:
            skipped.setdefault(test, line.partition("[SKIPPED]")[2].strip())
        if line.endswith("FAILED") and "[" not in line:
            failed[test] = ""
        elif test in failed and not failed[test] and (why := re.match(r"\s+1\. (\S.*)", line)):
            failed[test] = why[1].split("    Send ")[0].strip()
    numbers = re.search(r"^\s+tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text, re.MULTILINE)
    assert numbers, text[-2000:]
    assert int(numbers[4]) == len(failed)
    return Outcome(int(numbers[1]), int(numbers[3]), failed, skipped)


def empty_disk(folder: Path) -> Path:
    """A sparse file for a target to serve."""
    path = folder / "disk.img"
    with path.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    return path


@contextlib.contextmanager
def our_portal(folder: Path) -> Iterator[str]:
    """The location of a disk that we serve."""
    with served(BlockLun(empty_disk(folder))) as portal:
        yield f"iscsi://{portal.address}/{portal.iqn}/0"


@contextlib.contextmanager
def tgtd_portal(folder: Path) -> Iterator[str]:
    """The location of a disk that tgtd serves."""
    with tgtd.serve(empty_disk(folder), device_type="disk", store="rdwr") as other:
        yield f"iscsi://{other.portal}/{other.target}/1"


@contextlib.contextmanager
def lio_portal(folder: Path) -> Iterator[str]:
    """The location of a disk that LIO serves, in a guest whose port is forwarded."""
    del folder
    port = tgtd.free_port()
    guest = subprocess.Popen(
        ["bash", LAB / "run.sh", built(), LAB / "job-lio.sh", str(2 * _LONGEST_S), f"{port}:3260"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    try:
        assert guest.stdout is not None
        said = []
        for line in guest.stdout:
            said.append(line)
            if "LIO-READY" in line:
                break
        else:
            raise AssertionError("".join(said))
        yield f"iscsi://127.0.0.1:{port}/{_LIO_TARGET}/0"
    finally:
        guest.terminate()
        guest.communicate()


TARGETS = {"sbtk": our_portal, "tgtd": tgtd_portal, "LIO": lio_portal}


def compare(families: list[str]) -> dict[str, dict[str, Outcome]]:
    """Target -> family -> outcome; one target after another."""
    found: dict[str, dict[str, Outcome]] = {}
    for name, portal in TARGETS.items():
        with tempfile.TemporaryDirectory() as folder, portal(Path(folder)) as url:
            found[name] = {family: conformance(url, family) for family in families}
    return found


def main(families: list[str]) -> int:
    """Print the comparison; 1 where another target really passes more than ours."""
    found = compare(families)
    worse = False
    for family in families:
        ours = found["sbtk"][family]
        print(f"{family}: {ours.total} tests")
        for name, outcomes in found.items():
            print(f"  {name:<5} {outcomes[family]}")
            worse |= outcomes[family].really_passed > ours.really_passed
    for name, outcomes in found.items():
        print(f"\nfails at {name}:")
        for outcome in outcomes.values():
            for test, why in sorted(outcome.failed.items()):
                print(f"  {test}: {why}")
    print("\nskipped at sbtk:")
    for outcome in found["sbtk"].values():
        for test, why in sorted(outcome.skipped.items()):
            print(f"  {test}: {why}")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["SCSI", "iSCSI"]))
