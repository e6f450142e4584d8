"""Mutated tiny volumes: no exception but the project's own, and tables that hold together.

``SBTK_FUZZ_VOLUMES`` sets how many; single records are mutated in test_kernels, memory
is watched in tests/hostile.
"""

from __future__ import annotations

import os
import time

import numpy as np

from sbtk.errors import DeviceReadError, NotNtfsError, VolumeDamagedError
from sbtk.ntfs.boot import BootSector
from sbtk.ntfs.mft import MftReader
from sbtk.ntfs.record import RecordError
from sbtk.ntfs.scan import scan
from sbtk.ntfs.tables import Tables
from tests.ntfs import builder as b
from tests.ntfs.test_traps import spread_file

VOLUMES = int(os.environ.get("SBTK_FUZZ_VOLUMES", "600"))
SECONDS_A_VOLUME = 2.0
ODD = np.array([0, 1, 2, 5, 8, 0x10, 0x20, 0x30, 0x48, 0x7F, 0x80, 0xF0, 0xFE, 0xFF], np.uint8)


def seed_images() -> list[bytes]:
    listed = b.volume_with_listed_mft().put(63, b.plain_file(63, "last.txt"))
    spread = spread_file().put(40, b.folder(40, "a", parent=41)).put(41, b.folder(41, "b"))
    entries = b.list_entry(b.SI, 24) + b"".join(b.list_entry(b.DATA, n) for n in (30, 31, 32))
    outside = spread_file().put_clusters(80, entries)
    outside.put(24, b.plain_file(24, "f", b.nonresident(b.LIST, [(80, 1)], data_bytes=128)))
    return [volume.image() for volume in (listed, spread, outside)]


def mutate(image: bytes, random: np.random.Generator) -> bytes:
    """Change a few bytes of the boot sector, or of records below fixups that fit again."""
    raw = bytearray(image)
    if random.random() < 0.15:
        for at in random.integers(11, 80, random.integers(1, 4)):
            raw[at] = ODD[random.integers(len(ODD))]
        if random.random() < 0.5:
            raw[-512:] = raw[:512]
    used = [at for at in range(0, 64 * 4096, 1024) if raw[at : at + 4] == b"FILE" and raw[at + 22]]
    for _ in range(random.integers(1, 4)):
        # Record 0 and its neighbours carry the whole volume: they are met most often.
        at = used[random.integers(len(used))] if random.random() < 0.6 else 4 * 4096
        fixed = bytearray(b.unprotect(bytes(raw[at : at + 1024])))
        for place in random.integers(0x10, 0x1F0, random.integers(1, 4)):
            fixed[place] = ODD[random.integers(len(ODD))]
        raw[at : at + 1024] = b.protect(bytes(fixed))
    if random.random() < 0.1:
        del raw[int(random.integers(len(raw))) :]
    return bytes(raw)


def read_singly(device: b.MemoryDevice) -> None:
    """The record reader on the same bytes."""
    reader = MftReader(device, BootSector.parse(device.read(0, 512)))
    for number in range(min(reader.record_count, 64)):
        try:
            reader.read_record(number)
        except (RecordError, DeviceReadError):
            continue


def check(tables: Tables) -> None:
    """What holds for the tables of any volume."""
    lcn = tables.extents["lcn"].to_numpy().view(np.uint64)
    assert (lcn[1:] >= lcn[:-1]).all()
    assert (tables.extents["clusters"].to_numpy() > 0).all()
    assert (tables.streams["stream"].to_numpy() == np.arange(tables.streams.num_rows)).all()
    assert set(tables.extents["record"].to_pylist()) <= set(tables.files["record"].to_pylist())
    for table in (tables.files, tables.names, tables.streams, tables.extents):
        table.validate(full=True)  # text is UTF-8, offsets lie in their buffers


def test_mutated_volumes() -> None:
    random = np.random.default_rng(20261123)
    images = seed_images()
    scanned = 0
    for number in range(VOLUMES):
        device = b.MemoryDevice(mutate(images[number % len(images)], random))
        begun_s = time.process_time()
        try:
            check(scan(device, source="mutant", threads=1))
            scanned += 1
            read_singly(device)
        except (NotNtfsError, VolumeDamagedError):
            pass
        if number:  # the first one loads the kernels
            assert time.process_time() - begun_s < SECONDS_A_VOLUME
    assert scanned > VOLUMES / 3
