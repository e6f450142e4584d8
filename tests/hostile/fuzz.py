"""Scan damaged volumes by the thousand, in a process of its own; prints what happened as JSON.

usage: python -m tests.hostile.fuzz --seed S --volumes N --records M

Each mutated volume is scanned by the compiled kernels, some by their NumPy twin, too; the streams
of some are read. Nothing but the project's own errors may come out, the tables must keep what they
promise, and both kernels must give the same. A case that takes longer than CASE_S ends the process
with the traceback of where it was. Cases are numbered and each has its own generator: ``--only N``
repeats one.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import json
import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

from sbtk.device.location import OpenedVolume
from sbtk.errors import SbtkError
from sbtk.ntfs import kernels
from sbtk.ntfs.findings import STATES
from sbtk.ntfs.scan import scan, scan_mft
from sbtk.ntfs.tables import Tables
from sbtk.ntfs.volume import Volume
from tests.hostile.mutations import ON_RECORDS, ON_VOLUMES
from tests.hostile.surgery import MemoryDevice, Patient

CASE_S = 20
ADDRESS_SPACE_BYTES = 3 << 30  # an allocation of gigabytes fails, touched or not
MUTATED_RECORDS_A_CASE = 40
COMPARE_EVERY = 3  # the twin takes ten times as long on a volume as small as this
READ_EVERY = 8
READ_BYTES = 1 << 20
TABLES = ("files", "names", "streams", "extents", "findings")


@dataclass
class Outcome:
    """What a run of the fuzzer found."""

    seed: int
    volumes: int = 0
    records: int = 0
    refused: int = 0  # volumes that ended in one of the project's errors
    findings: int = 0
    streams_read: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    escapes: list[str] = field(default_factory=list)


def with_kernels(name: str, act: Callable[[], Tables]) -> Tables | str:
    """The tables, or the words of the error; ``name`` is numba or numpy."""
    with mock.patch("sbtk.ntfs.scan.load", return_value=kernels.load(name)):
        try:
            return act()
        except SbtkError as error:
            return f"{type(error).__name__}: {error.line}"


def difference(one: Tables | str, other: Tables | str) -> str:
    """Where two scans of the same bytes disagree; empty if nowhere."""
    if isinstance(one, str) or isinstance(other, str):
        return "" if one == other else f"{one!r:.200} and {other!r:.200}"
    for name in TABLES:
        if not getattr(one, name).equals(getattr(other, name)):
            return f"{name} differs"
    if asdict(one.volume) != asdict(other.volume):
        return "volume differs"
    return "" if np.array_equal(one.bitmap, other.bitmap) else "bitmap differs"


def broken_promises(tables: Tables, most_rows: int) -> str:
    """What the tables promise whatever the volume holds; empty if they keep it.

    ``most_rows``: of findings that are no remarks and not about the volume's state.
    """
    record = tables.files["record"].to_numpy()
    lcn, clusters = (tables.extents[name].to_numpy() for name in ("lcn", "clusters"))
    damaged = [
        row["record"]
        for row in tables.findings.to_pylist()
        if row["record"] >= 0 and row["code"] not in STATES
    ]
    worse = [
        row
        for row in tables.findings.to_pylist()
        if row["severity"] != "info" and row["code"] not in STATES
    ]
    promises = {
        "records sorted, each once": bool((np.diff(record.astype(np.int64)) > 0).all()),
        "runs have clusters": bool((clusters > 0).all()),
        "a place or a hole": bool((lcn >= -1).all()),
        "extents sorted": bool((np.diff(lcn.view(np.uint64).astype(float)) >= 0).all()),
        "one finding a record": len(damaged) == len(set(damaged)),
        "one finding for one damaged record": len(worse) <= most_rows,
        "paths": tables.files["path"].null_count == tables.names["path"].null_count == 0,
        "streams numbered": tables.streams["stream"].to_pylist() == [*range(len(tables.streams))],
        "text": all(isinstance(word, str) for word in tables.names["path"].to_pylist()),
    }
    return ", ".join(promise for promise, kept in promises.items() if not kept)


def examine(
    outcome: Outcome, case: str, act: Callable[[], Tables], compare: bool,
    most_rows: int = sys.maxsize,
) -> Tables | str:  # fmt: skip
    """One case, with both kernels if asked; what must not happen is noted in ``outcome``."""
    faulthandler.dump_traceback_later(CASE_S, exit=True)
    started_s = time.monotonic()
    try:
        compiled = with_kernels("numba", act)
        if compare and (found := difference(compiled, with_kernels("numpy", act))):
            outcome.escapes.append(f"{case}: numba and numpy: {found}")
        if not isinstance(compiled, str) and (found := broken_promises(compiled, most_rows)):
            outcome.escapes.append(f"{case}: not kept: {found}")
    except Exception:
        outcome.escapes.append(f"{case}: {traceback.format_exc(limit=-3)}")
        compiled = ""
    outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - started_s)
    faulthandler.cancel_dump_traceback_later()
    if isinstance(compiled, str):
        outcome.refused += 1
    else:
        outcome.findings += compiled.findings.num_rows
    return compiled


def generator(seed: int, kind: str, number: int) -> random.Random:
    return random.Random(f"{seed} {kind} {number}")


def fuzz_volumes(patient: Patient, outcome: Outcome, numbers: Iterable[int]) -> None:
    """Damage the volume in one to three ways; now and then cut it off; scan it as a volume."""
    for number in numbers:
        rnd = generator(outcome.seed, "volume", number)
        chosen = rnd.choices(ON_VOLUMES, k=rnd.choice((1, 1, 2, 3)))
        for mutation in chosen:
            mutation(patient, rnd)
        device = patient.device
        most_rows = 1 if len(chosen) == 1 and chosen[0] in ON_RECORDS else sys.maxsize
        words = "+".join(mutation.__name__ for mutation in chosen)
        if rnd.random() < 0.06:
            device = MemoryDevice(bytes(patient.content[: rnd.randrange(len(patient.content))]))
            words += f"+cut at {device.size_bytes}"
            most_rows = sys.maxsize
        case = f"volume {number} ({words})"
        act = functools.partial(scan, device, source="fuzz", threads=1)
        compare = number % COMPARE_EVERY == 0
        tables = examine(outcome, case, act, compare, most_rows)
        if number % READ_EVERY == 0 and not isinstance(tables, str):
            read_streams(outcome, case, device, tables)
        outcome.volumes += 1
        patient.heal()


def read_streams(outcome: Outcome, case: str, device: MemoryDevice, tables: Tables) -> None:
    """Open every $DATA that the tables hold and read the start of each."""
    volume = Volume(OpenedVolume("fuzz", device, device, None))
    volume.__dict__["tables"] = tables
    faulthandler.dump_traceback_later(CASE_S, exit=True)
    rows = tables.streams.select(["record", "attribute_type", "attribute_name"]).to_pylist()
    for row in rows:
        if row["attribute_type"] != 0x80:
            continue
        try:
            volume.open(row["record"], row["attribute_name"]).read(READ_BYTES)
        except SbtkError:
            pass
        except Exception:
            outcome.escapes.append(f"{case}: reading {row}: {traceback.format_exc(limit=-3)}")
        outcome.streams_read += 1
    faulthandler.cancel_dump_traceback_later()


def fuzz_records(patient: Patient, outcome: Outcome, numbers: Iterable[int]) -> None:
    """Damage many records of one $MFT, each in one way; scan it as a bare $MFT."""
    for number in numbers:
        rnd = generator(outcome.seed, "records", number)
        for _ in range(MUTATED_RECORDS_A_CASE):
            rnd.choice(ON_RECORDS)(patient, rnd)
        mft = b"".join(patient.raw(record) for record in range(len(patient.places)))
        device = MemoryDevice(mft)
        act = functools.partial(scan_mft, device, source="fuzz", threads=1)
        examine(outcome, f"records {number}", act, compare=True)
        outcome.records += MUTATED_RECORDS_A_CASE
        patient.heal()


def peak_bytes() -> int:
    """The most that this program held; getrusage counts what the one before it did, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--only", type=int, default=None, help="repeat one case")
    given = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    faulthandler.enable()
    patient, outcome = Patient("tiny"), Outcome(given.seed)
    cases = -(-given.records // MUTATED_RECORDS_A_CASE)
    one = None if given.only is None else range(given.only, given.only + 1)
    if given.volumes:
        fuzz_volumes(patient, outcome, one or range(given.volumes))
    if given.records:
        fuzz_records(patient, outcome, one or range(cases))
    outcome.peak_bytes = peak_bytes()
    print(json.dumps(asdict(outcome), ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
