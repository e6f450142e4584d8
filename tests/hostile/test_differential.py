"""Damaged volumes that can be read: what is told without a finding is what another parser tells.

Crashes and broken promises are the fuzzer's (test_fuzz.py); this looks for silent disagreement with
dissect.ntfs: a stream or a name that is missed, a wrong size, a wrong run.
"""

from __future__ import annotations

import io
import random
import re
import struct
from collections import defaultdict

from dissect.ntfs import NTFS
from dissect.ntfs.exceptions import Error as DissectError

from tests.hostile import mutations as m
from tests.hostile.isolation import healthy, scanned
from tests.oracles.views import IN_OTHER_TABLES

VOLUMES = 40
CHANGES = (m.header_field, m.attribute_field, m.run_list, m.file_name, m.bit_flips,
           m.parents_in_a_circle)  # fmt: skip
FILE_NAME = 0x30
THEIR_ERRORS = (DissectError, EOFError, LookupError, ValueError, struct.error)


def ours(tables):
    """Streams and names of each base record, in the form of ``theirs``."""
    runs, found = defaultdict(list), defaultdict(lambda: ([], []))
    columns = ("stream", "vcn", "lcn", "clusters")
    for stream, _, lcn, clusters in sorted(
        zip(*tables.extents.select(columns).to_pydict().values(), strict=True)
    ):
        runs[stream].append((lcn, clusters))
    for row in tables.streams.to_pylist():
        sizes = (row["resident"], row["data_bytes"], row["initialized_bytes"])
        stream = (row["attribute_type"], row["attribute_name"], *sizes, tuple(runs[row["stream"]]))
        found[row["record"]][0].append(stream)
    for row in tables.names.to_pylist():
        found[row["record"]][1].append((row["parent"], row["namespace"], row["name"]))
    return {record: (sorted(streams), sorted(names)) for record, (streams, names) in found.items()}


def theirs(record):
    """Streams as (type, name, resident, data and initialised bytes, runs), and names."""
    streams, names, heads = [], [], {}
    for attribute in (one for several in record.attributes.values() for one in several):
        header = attribute.header
        kind, name = int(header.type.value), str(header.name)
        if kind == FILE_NAME:
            value = attribute.attribute
            parent = value.attr.ParentDirectory
            number = parent.SegmentNumberLowPart | parent.SegmentNumberHighPart << 32
            names.append((number, int(value.attr.Flags), value.file_name))
        elif kind in IN_OTHER_TABLES:
            continue
        elif header.resident:
            streams.append([kind, name, True, int(header.size), int(header.size), []])
        else:
            part = header.header.Form.Nonresident
            if part.LowestVcn == 0 or (kind, name) not in heads:
                sizes = (int(header.size), int(part.ValidDataLength))
                heads[kind, name] = [kind, name, False, *sizes, []]
                streams.append(heads[kind, name])
            heads[kind, name][5].extend(
                (-1 if lcn is None else lcn, clusters) for lcn, clusters in header.dataruns()
            )
    return sorted((*stream[:5], tuple(stream[5])) for stream in streams), sorted(names)


def concerned(tables):
    """Records of the findings, and all numbers in their messages."""
    rows = tables.findings.to_pylist()
    numbers = {int(word) for row in rows for word in re.findall(r"\d+", row["message"])}
    return numbers | {row["record"] for row in rows}


def test_no_silent_disagreement_with_another_parser():
    patient = healthy("tiny").patient
    compared = 0
    for number in range(VOLUMES):
        rnd = random.Random(f"differential {number}")
        for change in rnd.choices(CHANGES, k=rnd.choice((1, 3, 9))):
            change(patient, rnd)
        try:
            tables, content = scanned(patient), bytes(patient.content)
        finally:
            patient.heal()
        if "already-fixed-up" in tables.findings["code"].to_pylist():
            continue  # they refuse such records
        told, found = concerned(tables), ours(tables)
        try:
            other = NTFS(io.BytesIO(content))
        except THEIR_ERRORS:
            continue  # they need the volume's own files whole
        for record in set(tables.files["record"].to_pylist()) - told:
            expected = theirs(other.mft.get(record))
            assert found.get(record, ([], [])) == expected, f"volume {number}, record {record}"
            compared += 1
    assert compared > 40 * VOLUMES
