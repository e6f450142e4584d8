"""A plan is saved and comes back as it was; damage is named, and never executed."""

import contextlib
import dataclasses
import random

import numpy as np
import pyarrow as pa
import pytest

from sbtk.errors import ArchiveError, PlanError
from sbtk.plan import setmap, store
from sbtk.plan.check import find_faults
from sbtk.plan.cost import Calibration, price, what_if
from sbtk.plan.model import Target
from sbtk.scsi.limits import limits
from tests.plan.volumes import shape

VOLUME = shape([(1, 3), (2, 5), (1, 1)] * 40, start_bytes=1 << 20, table=True)


def made(medium: str = "tape"):
    target = Target("tape", 1, 65536) if medium == "tape" else Target("disk", 512, 0, 4096, 1 << 30)
    return VOLUME.plan(target, limits("spc", max_segments=20))


def assert_equal(one, other):
    for item in dataclasses.fields(one):
        left, right = getattr(one, item.name), getattr(other, item.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)
        elif dataclasses.is_dataclass(left):
            assert_equal(left, right)
        else:
            assert left == right


@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_saved_and_loaded_plans_are_equal(medium):
    plan = made(medium)
    assert_equal(plan, store.from_bytes(store.to_bytes(plan)))


def test_damaged_plans_are_refused_or_harmless():
    content = store.to_bytes(made())
    rng = random.Random(5)
    for _ in range(300):
        data = bytearray(content)
        for _ in range(rng.choice([1, 5])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        with contextlib.suppress(PlanError):
            find_faults(store.from_bytes(bytes(data)))


@pytest.mark.parametrize("values", [["a"], [[1]], [{"a": 1}]])
def test_columns_of_another_kind_are_damage(monkeypatch, values):
    """Text, lists and structs where numbers stand: Arrow refuses each with an error of its own."""

    def arrow(columns):
        sink = pa.BufferOutputStream()
        table = pa.table({name: pa.array(values) for name in columns})
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()

    monkeypatch.setattr(store, "_arrow", arrow)
    with pytest.raises(PlanError, match="damaged"):
        store.from_bytes(store.to_bytes(made()))


@pytest.mark.parametrize("content", [b"", b"no plan", bytes(4096)])
def test_what_is_no_plan_is_named(content):
    with pytest.raises(PlanError, match="no saved plan"):
        store.from_bytes(content)


def test_costs_follow_the_calibration_and_the_limits():
    plan = made()
    slow = price(plan, Calibration(command_s=1.0, segment_s=0.0, byte_s=0.0, host_byte_s=0.0,
                                   digest_byte_s=0.0))  # fmt: skip
    assert slow.seconds == pytest.approx(slow.commands)
    assert slow.segments == len(plan.segments)
    assert slow.moved_bytes == plan.selected.total_bytes == plan.moved_bytes
    assert slow.inline_bytes + slow.moved_bytes == plan.archive_bytes
    others = {(item.limit, item.value): item.cost for item in what_if(plan)}
    assert others["max_segments", 1].commands >= len(plan.pieces)
    assert others["max_segments", 1000].commands < slow.commands
    kept = Calibration.from_json(Calibration(command_s=2.0).to_json())
    assert kept == Calibration(command_s=2.0)
    for text in ("", "[]", '{"command_s": "x"}', '{"command_s": -1}'):
        with pytest.raises(PlanError):
            Calibration.from_json(text)


def test_digest_tables_that_lie_are_refused():
    rows = setmap.map_of(made())
    good = setmap.to_parquet(rows)
    setmap.from_parquet(good)
    rng = random.Random(6)
    for _ in range(200):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with contextlib.suppress(ArchiveError):
            setmap.from_parquet(bytes(data))
    overlapping = dataclasses.replace(rows, length_bytes=rows.length_bytes + 512)
    with pytest.raises(ArchiveError, match="overlap"):
        setmap.from_parquet(setmap.to_parquet(overlapping))
    with pytest.raises(ArchiveError, match="no tape records"):
        setmap.record_runs(setmap.map_of(made("disk")))


def test_records_are_found_by_their_bytes():
    plan = made()
    runs = setmap.record_runs(setmap.map_of(plan))
    seen = []
    at = 0
    while at < plan.archive_bytes:
        number, start, size = setmap.record_at(runs, at)
        assert start == at
        seen.append(number)
        at += size
    assert seen == list(range(len(seen)))
    assert len(seen) == price(plan).records
