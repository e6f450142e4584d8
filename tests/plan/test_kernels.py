"""The compiled loops and the plain ones make the same plans."""

import dataclasses

import numpy as np
import pytest

from sbtk.plan import kernels
from sbtk.plan.backup import owners_of
from sbtk.plan.model import Target
from sbtk.plan.restore import plan_restore
from sbtk.plan.setmap import map_of
from sbtk.scsi.limits import limits
from tests.plan.volumes import corpus_plan, opened, shape

MANAGERS = [
    limits("spc"),
    limits("spc", max_segments=1),
    limits("spc", max_segments=7, max_inline_bytes=0),
    limits("spc", data_granularity=16),
]
GAPS = [(index * 7 % 5 + 1, index * 13 % 40 + 1) for index in range(300)]


def columns(plan):
    parts = (plan.segments, plan.commands, plan.fetches, plan.owners)
    return [
        getattr(part, item.name)
        for part in parts
        if part is not None
        for item in dataclasses.fields(part)
    ]


def plans(manager):
    volume = shape(GAPS, start_bytes=63 * 512, table=True)
    for target in (Target("tape", 1, 65536), Target("disk", 4096, 0, 4096)):
        made = volume.plan(target, manager)
        yield made
        yield plan_restore(map_of(made), made.geometry, made.target, manager)


@pytest.mark.parametrize("manager", MANAGERS)
def test_compiled_and_plain_loops_agree(manager, monkeypatch):
    monkeypatch.setattr(kernels, "COMPILED_FROM", 1 << 60)
    plain = [columns(plan) for plan in plans(manager)]
    monkeypatch.setattr(kernels, "COMPILED_FROM", 0)
    compiled = [columns(plan) for plan in plans(manager)]
    for one, other in zip(plain, compiled, strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize("layout", ["image", "files"])
def test_each_segment_knows_its_extents(layout):
    """Against a plain scan of all rows, for segments that ascend on the disk and that do not."""
    plan = corpus_plan("zoo", Target("tape", 1), "spc", layout)
    extents = opened("zoo").tables.extents
    real = extents.filter(extents["lcn"].to_numpy() >= 0)
    start = real["lcn"].to_numpy() * plan.geometry.cluster_bytes
    end = start + real["clusters"].to_numpy() * plan.geometry.cluster_bytes
    owners = owners_of(extents, plan.segments, plan.fetches, plan.geometry)
    moving = plan.segments.type_code == 0xC0
    assert moving.any()
    for row in range(len(plan.segments)):
        first, last = int(owners.first_extent[row]), int(owners.end_extent[row])
        if not moving[row]:
            assert first == last
            continue
        begin = int(plan.segments.origin_bytes[row])
        stop = begin + int(plan.segments.length_bytes[row])
        touched = np.flatnonzero((start < stop) & (end > begin))
        assert touched.tolist() == list(range(first, last))


def test_owners_of_overlapping_rows_hold_all_of_them():
    volume = shape([(0, 10), (5, 3)])
    volume = dataclasses.replace(volume, lcn=np.array([0, 2, 15]), clusters=np.array([10, 3, 3]))
    plan = volume.plan(Target("disk"), limits("spc", max_segment_bytes=4096))
    owners = plan.owners
    assert owners is not None
    lun = plan.segments.origin_bytes // 4096
    for cluster, expected in ((1, {0}), (3, {0, 1}), (7, {0}), (16, {2})):
        row = int(np.flatnonzero((lun == cluster) & (plan.segments.type_code == 0xC2))[0])
        assert expected <= set(range(owners.first_extent[row], owners.end_extent[row]))
