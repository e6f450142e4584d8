from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk.ntfs.attribute_list import parse
from sbtk.ntfs.runlist import MAX_LCN, Run, RunListError, decode
from tests.ntfs.builder import encode_runs, list_entry

LCNS = st.one_of(st.none(), st.integers(0, MAX_LCN - 1), st.integers(0, 300))
LENGTHS = st.one_of(st.integers(1, 300), st.integers(1, 1 << 45))
SPECS = st.lists(st.tuples(LCNS, LENGTHS), max_size=40)


@given(SPECS, st.integers(0, 1 << 40))
def test_what_was_encoded_is_decoded(spec: list[tuple[int | None, int]], vcn: int) -> None:
    expected = []
    at = vcn
    for lcn, clusters in spec:
        expected.append(Run(at, -1 if lcn is None else lcn, clusters))
        at += clusters
    assert decode(encode_runs(spec) + b"\xff junk behind the end mark", lowest_vcn=vcn) == expected


@given(st.binary(max_size=300))
def test_any_bytes_give_runs_or_the_one_error(data: bytes) -> None:
    try:
        runs = decode(data)
    except RunListError:
        return
    assert len(runs) <= len(data) / 2
    vcn = 0
    for run in runs:
        assert run.vcn == vcn
        assert run.clusters > 0
        assert -1 <= run.lcn < MAX_LCN
        vcn += run.clusters


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "run header FFh"), (b"\x10\x05", "run header 10h"), (b"\x11\x05", "leaves"),
        (b"\x11\x00\x05", "0 clusters"), (b"\x11\x01\xff", "cluster -1"),
        (b"\x01\x80", "-128 clusters"), (b"\x19\1" + bytes(9), "run header 19h"),
    ],
)  # fmt: skip
def test_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(RunListError, match=reason):
        decode(data)


def test_list_without_end_mark_ends_with_its_bytes() -> None:
    assert decode(b"\x11\x04\x10") == [Run(0, 16, 4)]


ENTRIES = st.fixed_dictionaries({
    "kind": st.sampled_from([0x10, 0x30, 0x80, 0xA0]), "record": st.integers(0, (1 << 48) - 1),
    "name": st.text(max_size=20), "lowest_vcn": st.integers(0, 1 << 50),
    "sequence": st.integers(0, 65535), "instance": st.integers(0, 65535),
})  # fmt: skip


@given(st.lists(ENTRIES, max_size=8), st.integers(0, 25))
def test_attribute_list_entries_come_back_in_order(
    entries: list[dict[str, Any]], slack_bytes: int
) -> None:
    data = b"".join(list_entry(**entry) for entry in entries)
    found, damage = parse(data)
    assert damage == ""
    fields = ("attribute_type", "record", "lowest_vcn", "sequence", "instance")
    for item, entry in zip(found, entries, strict=True):
        assert item.name.decode("utf-16-le") == entry["name"]
        expected = {**entry, "attribute_type": entry["kind"]}
        assert all(getattr(item, field) == expected[field] for field in fields)
    if slack_bytes:
        assert parse(data + b"\1" * slack_bytes)[1] == "an attribute list that ends in an entry"


@given(st.binary(max_size=400))
def test_any_bytes_give_entries_and_a_reason(data: bytes) -> None:
    found, _ = parse(data)
    assert len(found) <= len(data) / 26
