"""Random runs under random limits: the check passes, and the simulated bytes are the right ones."""

import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk.archive.closing import closing_bytes
from sbtk.errors import PlanError
from sbtk.plan import archive_check, setmap, store
from sbtk.plan.check import check_plan, find_faults
from sbtk.plan.model import HOST, Ranges, Target
from sbtk.plan.restore import digest_rows, plan_restore, plan_verify
from sbtk.scsi.limits import limits
from tests.plan.simulate import Disk, Manager, digests_of, run_backup, run_restore
from tests.plan.volumes import content, shape

RUNS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40)), min_size=1, max_size=30)


@st.composite
def shapes(draw):
    cluster, block = draw(
        st.sampled_from([(512, 512), (1024, 512), (4096, 512), (4096, 4096), (65536, 512)])
    )
    start = draw(st.sampled_from([0, 63 * 512, 1 << 20]))
    return shape(
        draw(RUNS) if cluster < 65536 else draw(RUNS)[:4],
        cluster_bytes=cluster,
        block_bytes=block,
        start_bytes=-(-start // block) * block,
        spare_bytes=draw(st.sampled_from([0, 16896])),
        table=draw(st.booleans()),
    )


@st.composite
def managers(draw):
    base = limits("spc")
    drop = draw(st.sets(st.sampled_from([0x04, 0x05, 0x08, 0x09, 0x0A]), max_size=5))
    types = tuple(code for code in base.types if code not in drop and code - 0xC0 not in drop)
    segments = draw(st.sampled_from([1, 2, 3, 4, 7, 64, 1000]))
    return replace(
        base,
        types=types,
        max_segments=segments,
        max_list_bytes=draw(st.sampled_from([1024, 8192, 65535])),
        max_segment_bytes=draw(st.sampled_from([0, 65536, 1 << 20])),
        max_inline_bytes=draw(st.sampled_from([0, 512, 4096, 65536])),
        held_data_bytes=draw(st.sampled_from([32, 4096, 1 << 20])),
        max_stream_transfer_bytes=draw(st.sampled_from([65536, 1 << 20])),
        data_granularity=draw(st.sampled_from([0, 9, 12, 16])),
    )


COMMON = settings(
    max_examples=120, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def expected(plan, lun):
    """The LUN with nothing but what the plan selected."""
    out = bytearray(plan.geometry.lun_bytes)
    for start, length in zip(
        plan.selected.start_bytes.tolist(), plan.selected.length_bytes.tolist(), strict=True
    ):
        out[start : start + length] = lun[start : start + length]
    return bytes(out)


def check_all(plan):
    check_plan(plan)
    assert archive_check.find_archive_faults(plan) == []
    again = store.from_bytes(store.to_bytes(plan))
    assert find_faults(again) == []


def check_image(plan, archive, lun):
    """Python's tarfile reads the archive, and the image in it is the volume."""
    with tarfile.open(fileobj=io.BytesIO(archive + closing_bytes(b"PAR1", unit_bytes=4096))) as tar:
        image = tar.extractfile("volume.ntfs").read()
    start = plan.geometry.volume_start_bytes
    whole = expected(plan, lun)[start : start + plan.geometry.volume_bytes]
    assert image == whole


@COMMON
@given(shapes(), managers(), st.sampled_from([4096, 65536, 262144]), st.booleans())
def test_image_on_tape(volume, manager, record, digests):
    lun = content(volume.geometry)
    target = Target("tape", 1, record)
    if record < 1 << manager.data_granularity:
        with pytest.raises(PlanError, match="records of"):
            volume.plan(target, manager)
        return
    plan = volume.plan(target, manager, digests=digests, command_bytes=1 << 20)
    check_all(plan)
    archive, manager_run = run_backup(plan, lun)
    assert len(archive) == plan.archive_bytes
    check_image(plan, archive, lun)
    assert {len(item) % 512 for item in manager_run.archive.records} == {0}
    rows = setmap.map_of(plan)
    restore_and_compare(plan, rows, manager_run.archive, lun, manager)


def restore_and_compare(plan, rows, archive, lun, manager):
    back = plan_restore(rows, plan.geometry, plan.target, manager, layout=plan.layout)
    check_plan(back)
    out = Disk(plan.geometry.lun_bytes)
    run_restore(back, archive, out)
    assert bytes(out) == expected(plan, lun)


@COMMON
@given(
    shapes(), managers(), st.sampled_from(["image", "mirror"]), st.sampled_from([512, 4096]),
    st.sampled_from([0, 8192]),
)  # fmt: skip
def test_to_disk_and_back(volume, manager, layout, block, start):
    if layout == "mirror":
        block, start = volume.geometry.block_bytes, 0
    lun = content(volume.geometry)
    plan = volume.plan(Target("disk", block, 0, start), manager, layout=layout)
    check_all(plan)
    archive, run = run_backup(plan, lun)
    if layout == "mirror":
        assert archive == expected(plan, lun)[: len(archive)]
        assert not any(expected(plan, lun)[len(archive) :])
    else:
        assert archive[plan.archive_bytes :].strip(b"\0") == b""
        check_image(plan, archive[: plan.archive_bytes], lun)
    restore_and_compare(plan, setmap.map_of(plan), run.archive, lun, manager)


@COMMON
@given(shapes(), st.data())
def test_part_of_a_tape_reads_only_its_records(volume, data):
    lun = content(volume.geometry)
    manager = limits("spc", max_segments=data.draw(st.sampled_from([1, 3, 4, 10, 500])))
    plan = volume.plan(Target("tape", 1, 16384), manager)
    _, run = run_backup(plan, lun)
    picks = data.draw(
        st.lists(st.integers(0, len(plan.selected) - 1), min_size=1, max_size=5, unique=True)
    )
    rows = np.array(sorted(picks))
    wanted = Ranges(plan.selected.start_bytes[rows], plan.selected.length_bytes[rows])
    back = plan_restore(setmap.map_of(plan), plan.geometry, plan.target, manager, wanted=wanted)
    check_plan(back)
    out = Disk(plan.geometry.lun_bytes)
    run_restore(back, run.archive, out)
    for start, length in zip(
        wanted.start_bytes.tolist(), wanted.length_bytes.tolist(), strict=True
    ):
        assert out[start : start + length] == lun[start : start + length]
    assert sum(map(bool, out)) <= wanted.total_bytes
    records = wanted.total_bytes // 16384 + 2 * len(picks)
    many = 1 if manager.max_segments > 3 else 3  # a short list goes back to a record it had
    assert run.archive.reads <= records * many


@COMMON
@given(shapes(), st.sampled_from(["tape", "disk"]), st.sampled_from([1, 5, 300]))
def test_verify_makes_the_digests_of_the_backup(volume, medium, segments):
    lun = content(volume.geometry)
    manager = limits("spc", max_segments=segments)
    target = Target("tape", 1, 65536) if medium == "tape" else Target("disk", 512)
    plan = volume.plan(target, manager)
    _, run = run_backup(plan, lun)
    made = digest_rows(plan)
    digests = dict(zip(made.tolist(), run.held, strict=True))
    rows = setmap.map_of(plan, digests)
    stored, facts = setmap.from_parquet(setmap.to_parquet(rows, {"ended": "now"}))
    assert facts == {"ended": "now"}
    again = plan_verify(stored, plan.geometry, target, manager)
    check_plan(again)
    assert not (again.commands.kind == HOST).any()
    reader = Manager(again, lun, run.archive)
    reader.run()
    known = stored.has_digest
    assert len(reader.held) == len(stored) == known.size
    assert np.array_equal(digests_of(reader)[known], stored.digest[known])
