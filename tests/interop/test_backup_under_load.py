"""Ten workstations write to five LUNs of a SAN in service while ``sbtk backup`` saves one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import sbtk
from sbtk.scsi import cdb
from sbtk.transport.iscsi import Endpoint, IscsiSession
from sbtk.transport.send import send
from tests.interop.network import run
from tests.interop.sans import San, san_command, serving
from tests.interop.volumes import mounted
from tests.snapshot.stamps import IMAGE_BYTES, SLOT_BYTES, SLOTS, stamp, torn_slots

MIB = 1 << 20
VOLUME_BYTES = 160 * MIB
OTHER_BYTES = 96 * MIB
SERVER = "iqn.2026-11.test:server"
LUNS, HALVES = range(5), range(2)
SLOT_BLOCKS = SLOT_BYTES // 512


def make_volume(image: Path, folder: Path) -> list[int]:
    """An NTFS volume with a file of two times 1024 slots; the LBA of each slot."""
    with image.open("wb") as stream:
        stream.truncate(VOLUME_BYTES)
    run("mkntfs", "-Q", "-F", "-q", "-c", SLOT_BYTES, image)
    with mounted(image, folder / "m") as mount:
        (mount / "stamps").write_bytes(bytes(len(HALVES) * IMAGE_BYTES))
        (mount / "others").write_bytes(os.urandom(OTHER_BYTES))
    with sbtk.open_volume(str(image)) as volume:
        files, extents = volume.files.to_pandas(), volume.tables.extents.to_pandas()
        record = files[files.path == "stamps"].record.iloc[0]
        runs = extents[(extents.record == record) & (extents.attribute_type == 0x80)]
        places = {
            row.vcn + step: (row.lcn + step) * SLOT_BLOCKS
            for row in runs.itertuples()
            for step in range(row.clusters)
        }
    return [places[number] for number in range(len(HALVES) * SLOTS)]


class Writers:
    """Ten sessions, two a LUN, each with a half of the slots and one write under way.

    Attributes:
        counts: (LUN, half) -> writes that have ended.
        failures: what went wrong.
        first_may_write: cleared, the two of LUN 0 pause between two writes.
    """

    def __init__(self, san: San, place: Callable[[int, int], int]) -> None:
        self.counts = {(lun, half): 0 for lun in LUNS for half in HALVES}
        self.failures: list[Exception] = []
        self.first_may_write = threading.Event()
        self.first_may_write.set()
        self._san, self._place = san, place
        self._stop = threading.Event()
        self._warm = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._write, args=key) for key in self.counts]

    def start(self) -> None:
        """Return when every slot has been written by each of them."""
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._warm.acquire()

    def stop(self) -> None:
        self._stop.set()
        self.first_may_write.set()
        for thread in self._threads:
            thread.join()

    def _write(self, lun: int, half: int) -> None:
        host, _, port = self._san.address.rpartition(":")
        name = f"iqn.2026-11.test:w{lun}{half}"
        try:
            with IscsiSession(Endpoint(host, int(port), self._san.iqn, name)) as session:
                path, number = session.lun(lun), 0
                while not self._stop.is_set() or number < SLOTS:
                    if lun == 0:
                        self.first_may_write.wait()
                    lba = self._place(lun, half * SLOTS + number % SLOTS)
                    command = cdb.Write16(lba=lba, blocks=SLOT_BLOCKS)
                    send(path, command, data_out=stamp(number))
                    number += 1
                    self.counts[lun, half] = number
                    if number == SLOTS:
                        self._warm.release()
        except Exception as error:
            self.failures.append(error)
            self._warm.release()


def sbtk_command(*words: str, state: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"SBTK_STATE_DIR": str(state), "SBTK_ISCSI_INITIATOR": SERVER}
    return subprocess.Popen(
        [sys.executable, "-m", "sbtk", *words, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def back_up(san: San, writers: Writers, state: Path) -> tuple[dict, dict, dict]:
    """The backup's last event, and the writers' counts when the plan was made and at its end.

    The two writers of the LUN go on until the job has seen them, pause until the snapshot holds,
    and write as fast as they can from then on.
    """
    job = sbtk_command(
        "backup", san.locations[0], "--to", san.locations[5], "--quiet-s", "0.5", state=state
    )
    assert job.stdout is not None
    active, planned, last = 0, {}, {}
    for line in job.stdout:
        last = json.loads(line)
        if last["event"] == "quiet":
            active += 1
            if active == 3:
                writers.first_may_write.clear()
        elif last["event"] == "snapshot" and last["action"] == "held":
            assert last["provider"] == "san"
            writers.first_may_write.set()
        elif last["event"] == "plan":
            planned = dict(writers.counts)
    ended = dict(writers.counts)
    assert job.wait() == 0, job.stderr.read() if job.stderr else ""
    return last, planned, ended


@pytest.mark.root
@pytest.mark.timeout(400)
def test_ten_sessions_write_five_luns_while_one_is_backed_up(tmp_path):
    volume, folder, state = tmp_path / "volume", tmp_path / "san", tmp_path / "state"
    places = make_volume(volume, tmp_path)
    san_command(
        "create", folder, "--disk", volume, *(f"--disk=d{lun}=8MiB" for lun in LUNS[1:]),
        "--tape", "t=512MiB",
    )  # fmt: skip
    san_command("create", folder, "--disk", f"back={VOLUME_BYTES}B")
    for lun in LUNS:
        for half in HALVES:
            san_command("grant", folder, f"iqn.2026-11.test:w{lun}{half}", "--lun", lun)
    san_command("grant", folder, SERVER)
    with serving(folder) as san:
        writers = Writers(
            san, lambda lun, slot: places[slot] if lun == 0 else slot * SLOT_BLOCKS
        )  # fmt: skip
        writers.start()
        try:
            stop, planned, ended = back_up(san, writers, state)
        finally:
            writers.stop()
        assert not writers.failures
        assert all(ended[key] > planned[key] for key in planned), "nobody wrote during the copy"
        assert stop["host_data_bytes"] == 0
        assert list((folder / "snapshots").iterdir()) == []
        restored = sbtk_command(
            "restore", "last", "--to", san.locations[6], "--yes", san.locations[6], state=state
        )
        said = restored.communicate()
        assert restored.returncode == 0, said
    with mounted(folder / "back", tmp_path / "b") as mount:
        saved = (mount / "stamps").read_bytes()
        others = (mount / "others").read_bytes()
    for half in HALVES:
        assert torn_slots(saved[half * IMAGE_BYTES : (half + 1) * IMAGE_BYTES]) == 0
    with mounted(volume, tmp_path / "v") as mount:
        live = {0: (mount / "stamps").read_bytes()}
        assert (mount / "others").read_bytes() == others
    for lun in LUNS[1:]:
        live[lun] = (folder / f"d{lun}").read_bytes()
    for (lun, half), count in writers.counts.items():
        newest = sorted(range(count - SLOTS, count), key=lambda number: number % SLOTS)
        written = live[lun][half * IMAGE_BYTES : (half + 1) * IMAGE_BYTES]
        assert written == b"".join(map(stamp, newest)), (lun, half)
        if lun == 0:
            assert saved[half * IMAGE_BYTES : (half + 1) * IMAGE_BYTES] != written
    print({f"LUN {lun} half {half}": count for (lun, half), count in writers.counts.items()})
