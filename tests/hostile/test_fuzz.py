"""Thousands of damaged volumes and records: nothing but SbtkError escapes, memory and time bounded.

``SBTK_FUZZ=200000 pytest tests/hostile/test_fuzz.py`` mutates that many records, and a tenth as
many volumes, from a new seed; ``SBTK_FUZZ_SEED`` repeats one. The seed stands in every failure.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys

import pytest

from sbtk.ntfs import kernels
from tests.corpus import REPOSITORY
from tests.hostile import fuzz

DEFAULT_RECORDS = 20_000
RECORDS = int(os.environ.get("SBTK_FUZZ", DEFAULT_RECORDS))
NEW_SEED = secrets.randbelow(1 << 32) if "SBTK_FUZZ" in os.environ else 1
SEED = int(os.environ.get("SBTK_FUZZ_SEED", NEW_SEED))
PEAK_BYTES = 512 << 20
S_A_CASE = 0.25  # on average, with both kernels: ten times what it takes
WORK = {"volumes": ("volumes", RECORDS // 10), "records": ("records", RECORDS)}


def run_fuzz(*arguments, timeout_s=None):
    return subprocess.run(
        [sys.executable, "-m", "tests.hostile.fuzz", *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels():
    """In the cache before anything is measured: the compiler takes more than all that follows."""
    done = run_fuzz("--volumes", fuzz.READ_EVERY, "--records", 1)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", WORK)
def test_mutated(kind):
    what, count = WORK[kind]
    other = "records" if what == "volumes" else "volumes"
    cases = count if what == "volumes" else count // fuzz.MUTATED_RECORDS_A_CASE
    done = run_fuzz(
        "--seed", SEED, f"--{what}", count, f"--{other}", 0, timeout_s=60 + S_A_CASE * cases
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-4000:]}"
    outcome = json.loads(done.stdout)
    escapes = outcome["escapes"]
    assert not escapes, f"seed {SEED}: {len(escapes)} escapes, first:\n" + "\n".join(escapes[:5])
    assert outcome[what] >= count
    assert outcome["peak_bytes"] < PEAK_BYTES
    assert outcome["slowest_s"] < fuzz.CASE_S
    # The mutations hit something, and most volumes survive them.
    assert outcome["findings"] > cases
    assert outcome["refused"] < cases // 2


@pytest.fixture
def patient():
    return fuzz.Patient("tiny")


def test_the_same_seed_makes_the_same_damage(patient):
    def damaged():
        for mutation in fuzz.ON_VOLUMES:
            mutation(patient, fuzz.generator(3, "volume", 14))
        content = bytes(patient.content)
        patient.heal()
        return content

    first = damaged()
    assert first != patient.pristine
    assert damaged() == first
    assert patient.content == patient.pristine


def test_a_healthy_volume_passes_the_examination(patient):
    outcome = fuzz.Outcome(seed=1)
    tables = fuzz.examine(
        outcome, "healthy", lambda: fuzz.scan(patient.device, source="x"), compare=True
    )
    assert outcome.escapes == []
    assert len(tables.files) > 50


def test_the_examination_notices_an_exception():
    outcome = fuzz.Outcome(seed=1)
    fuzz.examine(outcome, "case 7", lambda: 1 // 0, compare=False)
    assert "ZeroDivisionError" in outcome.escapes[0]
    assert outcome.escapes[0].startswith("case 7")


def test_the_examination_notices_a_twin_that_differs(patient, monkeypatch):
    """A NumPy twin that loses a record must not pass for equal."""
    real = kernels.load

    def load(name=""):
        found = real(name)
        if name != "numpy":
            return found

        def lossy(buffer, record_bytes):
            buffer[:4] = 0
            return found.decode(buffer, record_bytes)

        return found._replace(decode=lossy)

    monkeypatch.setattr(kernels, "load", load)
    outcome = fuzz.Outcome(seed=1)
    fuzz.examine(outcome, "case", lambda: fuzz.scan(patient.device, source="x"), compare=True)
    assert "numba and numpy" in outcome.escapes[0]


def test_the_examination_notices_a_broken_promise(patient):
    tables = fuzz.scan(patient.device, source="x")
    broken = fuzz.Tables(
        tables.volume, tables.files.take([1, 0]), tables.names, tables.streams, tables.extents,
        tables.findings,
    )  # fmt: skip
    outcome = fuzz.Outcome(seed=1)
    fuzz.examine(outcome, "case", lambda: broken, compare=False)
    assert "records sorted" in outcome.escapes[0]
