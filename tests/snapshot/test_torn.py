"""Snapshots under a writer that never pauses: prefix-consistent, every time; a copy is not."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from sbtk.mover.block_lun import BlockLun
from sbtk.snapshot import records
from sbtk.snapshot.base import SnapshotRequest
from sbtk.snapshot.registry import choose
from tests.loopfs import loop_fs
from tests.snapshot.stamps import IMAGE_BYTES, SLOT_BYTES, SLOTS, stamp, stamping, torn_slots


def test_the_measure_itself():
    """Slots after write n are whole; one write missing or half done is one torn slot."""
    image = bytearray(b"".join(stamp(number) for number in range(SLOTS)))
    for number in range(SLOTS, SLOTS + 40):
        start = number % SLOTS * SLOT_BYTES
        image[start : start + SLOT_BYTES] = stamp(number)
        assert torn_slots(bytes(image)) == 0
    image[7 * SLOT_BYTES : 7 * SLOT_BYTES + 8] = bytes(8)
    assert torn_slots(bytes(image)) == 1


def slow_copy(path: Path) -> bytes:
    """A plain copy at some 50 MB/s, as a backup of a live file reads it."""
    pieces = []
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(64 << 10):
            pieces.append(piece)
            time.sleep(0.001)
    return b"".join(pieces)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_reflinks_are_whole_50_times_of_50_and_copies_are_torn(kind, tmp_path):
    with loop_fs(kind, tmp_path) as fs:
        image = fs.path / "disk.img"
        image.write_bytes(bytes(IMAGE_BYTES))
        with stamping(image):
            provider = choose(SnapshotRequest(str(image), str(image)), "reflink")
            shown = []
            for _ in range(50):
                with provider.create() as snapshot:
                    data = Path(snapshot.location).read_bytes()
                    assert torn_slots(data) == 0
                    shown.append(data[:8])
            copies = [torn_slots(slow_copy(image)) for _ in range(10)]
        assert len(set(shown)) > 10, "the writer has been writing all the time"
        assert sum(count > 0 for count in copies) >= 9, "the control"
        assert os.listdir(fs.path) == ["disk.img"]


def test_overlays_are_whole_50_times_of_50_and_copies_are_torn(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(b"".join(stamp(number) for number in range(SLOTS)))
    stop = threading.Event()
    with contextlib.closing(BlockLun(image, block_bytes=512)) as lun:

        def write():
            number = SLOTS
            while not stop.is_set():
                lun.write_blocks(number % SLOTS * 8, memoryview(stamp(number)))
                number += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            request = SnapshotRequest(str(image), str(image), unit=lun, store=tmp_path)
            provider = choose(request)
            assert provider.name == "overlay"
            shown = []
            for _ in range(50):
                with provider.create() as snapshot:
                    time.sleep(0.005)
                    data = snapshot.device.read(0, IMAGE_BYTES)
                    assert torn_slots(data) == 0
                    snapshot.check()
                    shown.append(data[:8])
            copies = [torn_slots(slow_copy(image)) for _ in range(10)]
        finally:
            stop.set()
            thread.join()
    assert len(set(shown)) > 10
    assert sum(count > 0 for count in copies) >= 9, "the control"
    assert os.listdir(tmp_path) == ["disk.img"]
    assert records.records() == []
