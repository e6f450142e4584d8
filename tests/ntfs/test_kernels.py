"""The compiled kernels against the NumPy twin and against the plain-Python record reader."""

from __future__ import annotations

import builtins
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sbtk.ntfs import kernels
from sbtk.ntfs.chunk import Chunk, Fault, Status
from sbtk.ntfs.kernels import load
from sbtk.ntfs.record import RecordError, parse_record
from tests.corpus import volume
from tests.ntfs import builder as b
from tests.ntfs.test_hostile_records import RECORDS

MUTANTS = 24_000
RECORD_BYTES = 1024


def decode(name: str, data: npt.NDArray[np.uint8], record_bytes: int = RECORD_BYTES) -> Chunk:
    """Rows as copies, so that both implementations can be held side by side."""
    chunk = load(name).decode(data.copy(), record_bytes)
    return Chunk(**{
        field: np.array(value) if isinstance(value, np.ndarray) else value
        for field, value in chunk._asdict().items()
    })  # fmt: skip


def assert_equal(one: Chunk, other: Chunk) -> None:
    for field in Chunk._fields:
        left, right = getattr(one, field), getattr(other, field)
        assert np.array_equal(left, right), f"{field} differs"


def seeds() -> list[bytes]:
    """Records of all shapes that the builder makes, and real ones from the zoo."""
    listed = b.volume_with_listed_mft()
    made = [raw for raw, _ in RECORDS.values()]
    made += list(listed.system_records().values()) + list(listed.records.values())
    spec: list[b.RunSpec] = [
        (1000 * i % 777 + 1, i + 1) if i % 3 else (None, 7) for i in range(100)
    ]
    made.append(b.record(0, [b.file_name(5, "x" * 60), b.nonresident(b.DATA, spec)]))
    names = [b.file_name(5, text) for text in ("é", "日本", "😀" * 9, "\ud800", "a/b")]
    made.append(b.record(0, [*names, b.resident(b.DATA, bytes(99), name="ströme/😀")]))
    image = volume("zoo").image.read_bytes()
    start = 4 * 4096
    real = [image[start + 1024 * i : start + 1024 * (i + 1)] for i in range(0, 1600, 13)]
    return made + [raw for raw in real if raw[:4] == b"FILE"]


def mutants(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Records with one to eight bytes changed, half of them below fixups that fit again."""
    random = np.random.default_rng(seed)
    pool = seeds()
    out = np.empty((count, RECORD_BYTES), np.uint8)
    odd = np.array([0, 1, 2, 7, 8, 0x10, 0x20, 0x30, 0x40, 0x7F, 0x80, 0xFE, 0xFF], np.uint8)
    for i in range(count):
        raw = bytearray(pool[random.integers(len(pool))])
        below_fixups = i % 2 == 0 and raw[4:8] == b"\x30\0\3\0"
        if below_fixups:
            raw = bytearray(b.unprotect(bytes(raw)))
        # Headers and run lists lie near the start: most changes go there.
        reach = 300 if random.random() < 0.8 else RECORD_BYTES
        for at in random.integers(8 if below_fixups else 0, reach, random.integers(1, 9)):
            raw[at] = (
                odd[random.integers(len(odd))] if random.random() < 0.5 else random.integers(256)
            )
        if below_fixups and raw[4:8] == b"\x30\0\3\0":
            raw = bytearray(b.protect(bytes(raw)))
        out[i] = np.frombuffer(bytes(raw), np.uint8)
    return out.ravel()


def test_twin_agrees_on_every_mutant() -> None:
    data = mutants(MUTANTS, seed=20261123)
    compiled = decode("numba", data)
    assert_equal(compiled, decode("numpy", data))
    seen = {Fault(code) for code in np.unique(compiled.fault)}
    assert seen == set(Fault), f"the mutants never met {set(Fault) - seen}"
    assert {Status(code) for code in np.unique(compiled.status)} >= {
        Status.FREE, Status.BASE, Status.EXTENSION, Status.DAMAGED,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_twin_agrees_on_noise_behind_sound_headers(seed: int) -> None:
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (400, 4096), dtype=np.uint8)
    header = np.frombuffer(b.record(0, [], record_bytes=4096)[:0x50], np.uint8)
    data[:, :0x50] = header
    data[:, 510::512], data[:, 511::512] = 0xAD, 0x0B
    data[:, 0x18:0x1C] = np.array([0, 0x10, 0, 0])  # all 4096 bytes in use
    assert_equal(decode("numba", data.ravel(), 4096), decode("numpy", data.ravel(), 4096))


def test_kernels_agree_with_the_record_reader() -> None:
    """Same attributes and runs as the plain-Python reader, for every record that it finds sound."""
    data = mutants(3000, seed=7)
    chunk = decode("numba", data)
    stream_rows = np.split(
        np.arange(len(chunk.stream_index)),
        np.searchsorted(chunk.stream_index, np.arange(1, 3000)),
    )
    first_run = np.cumsum(chunk.runs) - chunk.runs
    compared = 0
    for number in range(3000):
        raw = data[number * RECORD_BYTES : (number + 1) * RECORD_BYTES].tobytes()
        try:
            record = parse_record(raw, number)
        except RecordError:
            assert chunk.status[number] in (Status.DAMAGED, Status.BLANK, Status.FREE)
            continue
        if chunk.fault[number] not in (Fault.NONE, Fault.NAME_TEXT) or not record.in_use:
            continue
        expected: list[tuple[Any, ...]] = []
        for item in record.attributes:
            if item.attribute_type not in (b.SI, b.NAME):
                runs = [(run.vcn, run.lcn, run.clusters) for run in item.runs]
                expected.append((item.attribute_type, item.resident, item.data_bytes, runs))
        found = []
        for row in stream_rows[number]:
            part = slice(first_run[row], first_run[row] + chunk.runs[row])
            runs = list(
                zip(
                    *(c[part].tolist() for c in (chunk.vcn, chunk.lcn, chunk.clusters)), strict=True
                )
            )
            found.append(
                (chunk.attribute_type[row], bool(chunk.resident[row]), chunk.data_bytes[row], runs)
            )
        assert found == expected
        compared += 1
    assert compared > 200


@pytest.mark.parametrize("name", ["zoo", "zoo_c512", "zoo_s4096"])
def test_twin_gives_the_same_tables_of_real_volumes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sbtk.ntfs.scan as scan_module
    from sbtk.device.file import FileDevice

    tables = []
    for kind in ("numba", "numpy"):
        monkeypatch.setattr(scan_module, "load", lambda kind=kind: kernels.load(kind))
        with FileDevice(volume(name).image) as device:
            tables.append(scan_module.scan(device, source=name, threads=2))
    for table in ("files", "names", "streams", "extents", "findings"):
        assert getattr(tables[0], table).equals(getattr(tables[1], table)), table


def test_numpy_runs_where_numba_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **keywords: Any) -> Any:
        if name == "numba":
            raise ImportError("numba needs NumPy 1.x")
        return real_import(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "sbtk.ntfs.kernels_numba", raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # nothing is compiled there
    load.cache_clear()
    try:
        assert load("numba").name == "numpy"
    finally:
        load.cache_clear()


BOUNDS_CHECKED = """
from tests.ntfs.test_kernels import MUTANTS, PACKED, decode, mutants, packed
for kind in PACKED:  # first: scratch is made for exactly these bytes, and kept while it is enough
    decode("numba", packed(kind))
print(len(decode("numba", mutants(MUTANTS, seed=3)).status))
"""


def name_in_its_header() -> bytes:
    """A $FILE_NAME whose value begins at its attribute's first byte: no name takes less room."""
    value = b.name_value(b.ROOT, "a")
    attribute = bytearray(b.resident(b.NAME, value[:44]))
    struct.pack_into("<IH", attribute, 16, len(value), 0)
    attribute[0x40:0x44] = value[0x40:]
    return bytes(attribute)


PACKED = {
    "names": [b.file_name(b.ROOT, "a")] * 10,
    "names in their headers": [name_in_its_header()] * 13,
    "streams": [b.resident(b.DATA, b"")] * 40,
    "lists": [b.resident(b.LIST, b"")] * 40,
    "runs": [b.nonresident(b.DATA, b"\x01\x01" * 440)],
    "escapes": [b.resident(b.DATA, b"", name="\ud800" * 255)],
}


def packed(kind: str) -> npt.NDArray[np.uint8]:
    """2 MiB of records with as many rows of one kind as there is room for."""
    return np.frombuffer(b.record(30, PACKED[kind]) * 2048, np.uint8).copy()


@pytest.mark.parametrize("kind", PACKED)
def test_twin_agrees_on_records_packed_with_rows_of_one_kind(kind: str) -> None:
    assert_equal(decode("numba", packed(kind)), decode("numpy", packed(kind)))


def test_no_mutant_makes_the_compiled_loops_leave_their_buffers(tmp_path: Path) -> None:
    """The same loops, compiled with a check of every index: an index outside is an exception."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDS_CHECKED],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == MUTANTS
