"""The check finds every kind of damage to a plan, and nothing in a plan that is right."""

from dataclasses import replace

import numpy as np
import pytest

from sbtk.errors import PlanError
from sbtk.plan import archive_check
from sbtk.plan.check import check_plan, find_faults
from sbtk.plan.model import COPY, HOST_WRITE, Ranges, Target
from sbtk.plan.restore import plan_restore
from sbtk.plan.setmap import map_of
from sbtk.scsi.limits import limits
from tests.plan.volumes import TAPE, shape

GAPS = [(3, 5), (1, 70), (2, 1), (9, 300), (1, 2), (4, 8)] * 20


def plan(medium="tape", layout="image", **numbers):
    volume = shape(GAPS, start_bytes=1 << 20, table=True)
    target = TAPE if medium == "tape" else Target("disk", 512, 0, 0, 1 << 30)
    return volume.plan(target, limits("spc", max_segments=50, **numbers), layout=layout)


def restore(medium):
    made = plan(medium)
    return plan_restore(map_of(made), made.geometry, made.target, made.limits)


def with_segments(made, **columns):
    return replace(made, segments=replace(made.segments, **columns))


def changed(values, row, value):
    copy = values.copy()
    copy[row] = value(copy[row])
    return copy


def segment(column, value, *, row=-2):
    """Change one value of one segment."""

    def damage(made):
        column_values = getattr(made.segments, column)
        return with_segments(made, **{column: changed(column_values, row, value)})

    return damage


def piece(column, value, *, row=-3):
    def damage(made):
        values = changed(getattr(made.pieces, column), row, value)
        return replace(made, pieces=replace(made.pieces, **{column: values}))

    return damage


def drop_segment(made):
    keep = np.arange(len(made.segments)) != 7
    names = ("type_code", "archive_start_bytes", "length_bytes", "origin_bytes", "transfer_bytes")
    segments = {name: getattr(made.segments, name)[keep] for name in names}
    offsets = made.commands.first_segment
    commands = replace(made.commands, first_segment=offsets - (offsets > 7))
    return replace(with_segments(made, **segments), commands=commands)


def double_segment(made):
    """The same blocks twice, in the place of others."""
    copied = np.flatnonzero(made.segments.length_bytes == 5 * 4096)
    origin = made.segments.origin_bytes.copy()
    origin[copied[1]] = origin[copied[0]]
    return with_segments(made, origin_bytes=origin)


def swap_segments(made):
    order = np.arange(len(made.segments))
    order[[7, 8]] = order[[8, 7]]
    names = ("type_code", "archive_start_bytes", "length_bytes", "origin_bytes", "transfer_bytes")
    return with_segments(made, **{name: getattr(made.segments, name)[order] for name in names})


def tighter(**numbers):
    return lambda made: replace(made, limits=replace(made.limits, **numbers))


def join_commands(made):
    offsets = made.commands.first_segment
    commands = replace(
        made.commands,
        first_segment=np.delete(offsets, -2),
        kind=made.commands.kind[:-1],
    )
    return replace(made, commands=commands)


def select_more(made):
    length = changed(made.selected.length_bytes, 4, lambda value: value + 512)
    return replace(made, selected=replace(made.selected, length_bytes=length))


def select_other(made):
    start = changed(made.selected.start_bytes, 4, lambda value: value + 512)
    return replace(made, selected=Ranges(start, made.selected.length_bytes))


def flip_inline(at):
    def damage(made):
        return replace(made, inline=changed(made.inline, at, lambda value: value ^ 1))

    return damage


def without_type(code):
    return lambda made: replace(
        made, limits=replace(made.limits, types=tuple(c for c in made.limits.types if c != code))
    )


TAPE_DAMAGE = {
    "archive-gap": [drop_segment],
    "lun-twice": [double_segment],
    "tape-order": [swap_segments],
    "piece-origin": [segment("origin_bytes", lambda value: value + 512), double_segment],
    "piece-end": [segment("length_bytes", lambda value: value + 512)],
    "archive-twice": [segment("length_bytes", lambda value: value + 512)],
    "blocks": [segment("length_bytes", lambda value: value - 100)],
    "lun-block": [segment("origin_bytes", lambda value: value + 100)],
    "outside-lun": [
        segment("origin_bytes", lambda value: value + (1 << 40)),
        segment("origin_bytes", lambda value: -4096),
    ],
    "outside-archive": [segment("archive_start_bytes", lambda value: value + (1 << 40))],
    "outside-inline": [segment("origin_bytes", lambda value: 1 << 40, row=0)],
    "empty": [
        segment("length_bytes", lambda value: 0),
        segment("length_bytes", lambda value: -512),
    ],
    "type-unknown": [segment("type_code", lambda value: np.uint8(0x33))],
    "type-medium": [segment("type_code", lambda value: np.uint8(0x02))],
    "type-host": [segment("type_code", lambda value: np.uint8(HOST_WRITE), row=0)],
    "type-not-implemented": [without_type(0xC0)],
    "type-digest": [lambda made: replace(made, digests=False)],
    "piece-kind": [
        piece("kind", lambda value: np.uint8(1)),
        segment("type_code", lambda value: np.uint8(0xC0), row=0),
    ],
    "piece": [
        piece("length_bytes", lambda value: 0),
        piece("kind", lambda value: np.uint8(9)),
        piece("origin_bytes", lambda value: -1),
    ],
    "record": [
        segment("transfer_bytes", lambda value: 1000),
        segment("transfer_bytes", lambda value: 1 << 25),
    ],
    "record-mixed": [segment("transfer_bytes", lambda value: 512), join_commands],
    "record-boundary": [
        lambda made: with_segments(
            made, transfer_bytes=np.full(len(made.segments), 65536 + 512)
        )
    ],
    "segments": [tighter(max_segments=10)],
    "list-length": [tighter(max_list_bytes=512)],
    "inline": [tighter(max_inline_bytes=512)],
    "held": [tighter(held_data_bytes=320)],
    "segment-length": [tighter(max_segment_bytes=65536)],
    "granularity": [tighter(data_granularity=16), tighter(inline_granularity=16)],
    "selection": [select_more, select_other],
    "command-empty": [
        lambda made: replace(
            made,
            commands=replace(
                made.commands,
                first_segment=changed(made.commands.first_segment, 1, lambda value: 0),
            ),
        )
    ],
    "command-kind": [
        lambda made: replace(
            made,
            commands=replace(
                made.commands, kind=changed(made.commands.kind, 0, lambda value: np.uint8(7))
            ),
        )
    ],
    "shape": [
        lambda made: with_segments(made, length_bytes=made.segments.length_bytes[:-1]),
        lambda made: replace(
            made,
            commands=replace(made.commands, first_segment=made.commands.first_segment + 1),
        ),
    ],
}  # fmt: skip
TAPE_CASES = [
    (code, damage, number)
    for code, damages in TAPE_DAMAGE.items()
    for number, damage in enumerate(damages)
]


def test_right_plans_pass():
    for made in (
        plan(), plan("disk"), plan("disk", "mirror"), restore("tape"), restore("disk"),
    ):  # fmt: skip
        assert find_faults(made) == []
        assert archive_check.find_archive_faults(made) == []


@pytest.mark.parametrize(
    ("code", "damage"),
    [case[:2] for case in TAPE_CASES],
    ids=[f"{c}-{n}" for c, _, n in TAPE_CASES],
)
def test_damage_to_a_tape_plan_is_found(code, damage):
    broken = damage(plan())
    codes = {fault.code for fault in find_faults(broken)}
    assert code in codes
    with pytest.raises(PlanError):
        check_plan(broken)


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("archive-block", segment("archive_start_bytes", lambda value: value + 100)),
        ("lun-twice", double_segment),
        ("archive-gap", drop_segment),
        ("type-not-implemented", without_type(0xC2)),
        ("capacity", lambda made: replace(made, target=replace(made.target, capacity_bytes=9999))),
        ("block-count", tighter(max_segment_bytes=0)),
    ],
)
def test_damage_to_a_disk_plan_is_found(code, damage):
    made = plan("disk")
    if code == "block-count":
        long = changed(made.segments.length_bytes, -2, lambda value: 65536 * 512)
        made = with_segments(made, length_bytes=long)
    assert code in {fault.code for fault in find_faults(damage(made))}


@pytest.mark.parametrize("medium", ["tape", "disk"])
@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("outside-lun", segment("origin_bytes", lambda value: 1 << 40)),
        ("lun-twice", double_segment),
        ("selection", drop_segment),
        ("selection", select_more),
        ("type-not-implemented", lambda made: replace(made, limits=limits("ctl", types=(0xE4,)))),
    ],
)
def test_damage_to_a_restore_is_found(medium, code, damage):
    assert code in {fault.code for fault in find_faults(damage(restore(medium)))}


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("headers", flip_inline(0)),
        ("headers", flip_inline(260)),
        ("manifest", lambda made: replace(made, manifest=made.manifest[:-1])),
        ("map", piece("origin_bytes", lambda value: value + 512)),
        ("map", piece("length_bytes", lambda value: value + 512)),
    ],
)
def test_headers_that_tell_another_story_are_found(code, damage):
    assert code in {fault.code for fault in archive_check.find_archive_faults(damage(plan()))}


def test_every_command_of_a_plan_is_a_copy_or_the_hosts():
    made = plan("disk")
    assert set(made.commands.kind.tolist()) == {0, 1}
    assert set(plan().commands.kind.tolist()) == {COPY}


@pytest.mark.parametrize("medium", ["tape", "disk"])
def test_a_digest_stands_for_a_mebibyte_where_that_costs_no_command(medium):
    target = TAPE if medium == "tape" else Target("disk", 512, 0, 0, 1 << 30)
    long_runs = shape([(1, 20_000), (5, 7_000)])
    fine, plain = (
        long_runs.plan(target, limits("spc"), digests=digests) for digests in (True, False)
    )
    assert fine.segments.length_bytes.max() == 1 << 20
    assert plain.segments.length_bytes.max() > 16 << 20
    assert len(fine.commands) == len(plain.commands)
    short_lists = long_runs.plan(target, limits("spc", max_segments=4), digests=True)
    assert short_lists.segments.length_bytes.max() > 16 << 20
