"""A link is cut, or the mover killed, in the middle of a copy: named errors, or the job goes on.

The array's link is slow, so that a copy has a middle; what it has carried tells when that is.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.network import Network
from tests.interop.sans import San, san_command, serving
from tests.interop.volumes import ntfs_with_data
from tests.oracles import tgtd

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
DATA_BYTES = 192 * MIB
MIDDLE_BYTES = 32 * MIB
SLOW_MBIT, QUICK_MBIT = 250, 8000
INITIATOR = "iqn.2026-11.test:server"
SILENCE_S = 4
LONGEST_S = 90.0  # a job whose link is gone has ended by then, on a machine that has other work
NO_PATH, COPY_STOPPED = 34, 57


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Path:
    return ntfs_with_data(tmp_path_factory.mktemp("array"), DATA_BYTES)


@dataclass
class Site:
    """The hosts with what runs on them.

    Attributes:
        network: their links.
        folder: of the mover's SAN; its tape is LUN 0, the array's disk LUN 1.
        mover: in service.
        counter: the array's write counter.
        state: folder of the server's state.
    """

    network: Network
    folder: Path
    mover: San
    counter: str
    state: Path

    def environment(self, silence_s: float) -> dict[str, str]:
        return os.environ | {
            "SBTK_STATE_DIR": str(self.state), "SBTK_ISCSI_INITIATOR": INITIATOR,
            "SBTK_ISCSI_SILENCE_S": str(silence_s), "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def server(self, *words: str, silence_s: float = SILENCE_S) -> subprocess.Popen[str]:
        """Start ``sbtk`` on the server."""
        return subprocess.Popen(
            [*self.network.prefix("server"), sys.executable, "-m", "sbtk", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(silence_s),
        )  # fmt: skip

    def backup(self, silence_s: float = SILENCE_S) -> subprocess.Popen[str]:
        tape, source = self.mover.locations
        return self.server(
            "backup", source, "--to", tape, "--snapshot", "none", "--activity", self.counter,
            "--quiet-s", "0.2", "--json", silence_s=silence_s,
        )  # fmt: skip

    def until_copied(self, process: subprocess.Popen[str], more_bytes: int) -> None:
        """Wait until the array has sent so much more; the job must still be at it then."""
        goal = self.network.carried_bytes("array") + more_bytes
        while self.network.carried_bytes("array") < goal:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        assert process.poll() is None

    def until_in_the_middle(self, process: subprocess.Popen[str]) -> None:
        """Wait until the plan is made, and then until the copy is well under way."""
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "plan":
                break
        self.until_copied(process, MIDDLE_BYTES)

    def nothing_is_called_done(self) -> None:
        """Neither the catalog nor the medium has a set; the run is on record as failed."""
        with contextlib.ExitStack() as stack:
            from sbtk.catalog.store import Catalog

            stack.callback(os.environ.__setitem__, "SBTK_STATE_DIR", os.environ["SBTK_STATE_DIR"])
            os.environ["SBTK_STATE_DIR"] = str(self.state)
            _forget_settings()
            stack.callback(_forget_settings)
            with Catalog.open() as catalog:
                assert catalog.sets() == []
                assert catalog.runs()[-1].status == "failed"

    def whole_backup(self) -> None:
        """What failed is made again, to the same tape."""
        self.network.slow("array", QUICK_MBIT)
        process = self.backup()
        said = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 0, said
        tape = self.mover.locations[0]
        listed = self.server("sets", tape, "--json").communicate(timeout=LONGEST_S)[0]
        states = [json.loads(line)["status"] for line in listed.splitlines()]
        assert states == ["unfinished", "complete"], listed


def _forget_settings() -> None:
    from sbtk.settings import settings

    settings.cache_clear()


@pytest.fixture
def site(network, volume, tmp_path, monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv("SBTK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SBTK_ISCSI_SILENCE_S", str(SILENCE_S))  # of the mover
    network.slow("array", SLOW_MBIT)
    folder = tmp_path / "san"
    array_host, prefix = network.address("array"), network.prefix("array")
    with tgtd.serve(
        volume, device_type="disk", store="rdwr", host=array_host, prefix=prefix
    ) as array:
        san_command("create", folder, "--tape", "t=1GiB")
        san_command("create", folder, "--remote", f"iscsi://{array.portal}/{array.target}/1")
        san_command("grant", folder, INITIATOR)
        with serving(
            folder, "--host", network.address("mover"), prefix=network.prefix("mover")
        ) as mover:
            yield Site(network, folder, mover, f"tgt:1/1:{array.control}", tmp_path / "state")
    for host in ("server", "array", "mover"):
        network.mend(host)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and the one line that says why."""
    _, said = process.communicate(timeout=LONGEST_S)
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    print(process.returncode, lines[0])
    return process.returncode, lines[0]


@pytest.mark.root
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("host", "code"), [("server", NO_PATH), ("mover", NO_PATH), ("array", COPY_STOPPED)]
)
def test_a_link_that_stays_cut_ends_the_job(site, host, code):
    """Server: it loses the mover. Mover: it loses both. Array: the mover loses its source."""
    process = site.backup()
    site.until_in_the_middle(process)
    site.network.cut(host)
    found, why = ended(process)
    assert found == code, why
    site.nothing_is_called_done()
    site.network.mend(host)
    site.whole_backup()  # mover and tape are fit for use at once


@pytest.mark.root
@pytest.mark.timeout(400)
def test_a_link_that_comes_back_in_time_is_no_error(site):
    """The mover copies on while the server is cut off; then the server asks again."""
    process = site.backup(silence_s=60)
    site.until_in_the_middle(process)
    site.network.cut("server")
    site.until_copied(process, 16 * MIB)
    site.network.mend("server")
    said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, said


@pytest.mark.root
@pytest.mark.timeout(400)
def test_a_mover_that_is_killed(site):
    process = site.backup()
    site.until_in_the_middle(process)
    site.mover.process.kill()
    found, why = ended(process)
    assert found == NO_PATH, why
    site.nothing_is_called_done()
    prefix = site.network.prefix("mover")
    with serving(site.folder, "--host", site.network.address("mover"), prefix=prefix) as mover:
        site.mover = mover
        site.whole_backup()
