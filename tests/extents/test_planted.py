"""Faults planted in copies of real volumes: each is found and named, and nothing else is."""

import json
import re

import numpy as np
import pytest

from sbtk.cli.app import main
from sbtk.extents.audit import audit
from sbtk.volume import read_tables
from tests.corpus import volume
from tests.extents.plant import Plant
from tests.extents.tools import scanned
from tests.oracles.commands import output_of

VOLUMES = ["zoo", "zoo_c512", "zoo_c65536", "zoo_s4096"]


class Case:
    """A copy of a volume with two plain files of it that are in one piece."""

    def __init__(self, name, plant):
        _, self.before = scanned(name)
        self.plant = plant
        files = self.before.fragmentation().streams
        plain = files.query("stream_name == '$DATA' and extents == 1 and record >= 64")
        plain = plain[plain["record"].isin(self._unlisted(plain["record"]))]
        large = plain.sort_values(["on_disk_bytes", "record"], ascending=False)
        self.victim, self.other = (row for row in large.iloc[1::-1].itertuples())
        self.free = self.before.free_runs()

    def _unlisted(self, records):
        """Those records whose one $DATA is whole, unnamed, plain and in the base record."""
        table = self.before.owners.table.to_pandas()
        lists = set(table.query("attribute_type == 0x20")["record"])
        odd = set(table.query("flags != 0")["record"])
        return set(records) - lists - odd

    def place_of(self, file):
        ((_, lcn, clusters),) = self.plant.runs(file.record)
        return lcn, clusters

    def found(self):
        """What the audit says of the copy, in the columns that name the fault."""
        frame = audit(read_tables(self.plant.path))
        columns = ["code", "record", "lcn", "clusters", "files"]
        return [(*row[:-1], set(row[-1])) for row in frame[columns].to_numpy().tolist()]


@pytest.fixture(scope="module", params=VOLUMES)
def copied(request, tmp_path_factory):
    name = request.param
    plant = Plant(volume(name).image, tmp_path_factory.mktemp("planted") / f"{name}.img")
    yield Case(name, plant)
    plant.path.unlink()


@pytest.fixture
def case(copied):
    yield copied
    copied.plant.restore()


def resize_says(case):
    """What ``ntfsresize --info`` says of the copy: it compares runs with $Bitmap as well."""
    return output_of("ntfsresize", "--info", "-f", "-f", case.plant.path, ok=(0, 1))


def test_the_copy_itself_is_sound(case):
    assert case.found() == []
    assert "accounting failed" not in resize_says(case)


def test_a_record_written_back_is_the_same_but_for_its_sequence(case):
    record = case.plant.record(case.victim.record)
    case.plant.put_record(case.victim.record, bytearray(record))
    again = case.plant.record(case.victim.record)
    offset = int.from_bytes(record[4:6], "little")
    assert again[offset : offset + 2] != record[offset : offset + 2]
    strides = len(record) // 512
    fixups = slice(offset, offset + 2 * strides + 2)
    assert again[: fixups.start] + again[fixups.stop :] == (
        record[: fixups.start] + record[fixups.stop :]
    )


def test_a_bit_cleared(case):
    lcn, _ = case.place_of(case.victim)
    case.plant.flip(lcn)
    assert case.found() == [("owned-free", case.victim.record, lcn, 1, {case.victim.path})]
    assert f"accounting failed at {lcn} " in resize_says(case)


def test_a_bit_set(case):
    lcn = int(case.free.lcn[len(case.free) // 2])
    case.plant.flip(lcn)
    assert case.found() == [("allocated-unowned", -1, lcn, 1, set())]
    assert f"accounting failed at {lcn} " in resize_says(case)


def test_many_bits(case):
    rng = np.random.default_rng(5)
    owned, free = case.before.owned, case.before.free_runs()
    cleared = sorted({int(lcn) for lcn in rng.choice(owned.lcn[2:], 6)})
    for lcn in (*cleared, *(chosen := sorted({int(lcn) for lcn in rng.choice(free.lcn, 6)}))):
        case.plant.flip(lcn)
    found = case.found()
    assert [row[2] for row in found if row[0] == "owned-free"] == cleared
    assert [row[2] for row in found if row[0] == "allocated-unowned"] == chosen
    assert len(found) == len(cleared) + len(chosen)
    owners = case.before.owner_of(cleared)
    assert [row[1] for row in found[: len(cleared)]] == owners["record"].tolist()


def test_a_run_moved_onto_another_file(case):
    (lcn, clusters), (other_lcn, other_clusters) = map(case.place_of, (case.victim, case.other))
    assert clusters <= other_clusters
    case.plant.set_runs(case.victim.record, [(other_lcn, clusters)])
    both = {case.victim.path, case.other.path}
    first = min(case.victim.record, case.other.record)
    assert case.found() == [
        ("allocated-unowned", -1, lcn, clusters, set()),
        ("cluster-shared", first, other_lcn, clusters, both),
    ]
    said = resize_says(case)
    assert f"{clusters} clusters are referenced multiple times" in said
    told = [int(lcn) for lcn in re.findall(r"Cluster (\d+) is referenced multiple", said)]
    assert told == list(range(other_lcn, other_lcn + min(clusters, 10)))  # it lists ten


@pytest.mark.parametrize("beyond", [0, 1, 1 << 30])
def test_a_run_past_the_end(case, beyond):
    lcn, clusters = case.place_of(case.victim)
    far = case.plant.total_clusters + beyond
    case.plant.set_runs(case.victim.record, [(far, clusters)])
    assert case.found() == [
        ("allocated-unowned", -1, lcn, clusters, set()),
        ("run-past-end", case.victim.record, far, clusters, {case.victim.path}),
    ]
    told = f"Outside of the volume reference for inode {case.victim.record} at {far}:{clusters}"
    assert told in resize_says(case)


def test_a_wrong_allocated_size(case):
    lcn, _ = case.place_of(case.victim)
    allocated = case.plant.sizes(case.victim.record)["allocated"]
    for wrong in (allocated + case.plant.cluster_bytes, allocated - case.plant.cluster_bytes):
        case.plant.set_sizes(case.victim.record, allocated=wrong)
        assert case.found() == [
            ("allocated-differs", case.victim.record, lcn, 0, {case.victim.path})
        ]


def test_sizes_that_exceed_one_another(case):
    lcn, _ = case.place_of(case.victim)
    sizes = case.plant.sizes(case.victim.record)
    case.plant.set_sizes(case.victim.record, data=sizes["allocated"] + 1)
    assert case.found() == [("data-exceeds", case.victim.record, lcn, 0, {case.victim.path})]
    # The scan sees this one in the record alone; it is told once.
    case.plant.set_sizes(case.victim.record, data=sizes["data"], initialized=sizes["data"] + 1)
    assert case.found() == [("attribute-sizes", case.victim.record, -1, 0, {case.victim.path})]


def test_bad_clusters(case):
    lcn = int(case.free.lcn[0])
    total = case.plant.total_clusters
    case.plant.flip(lcn)
    case.plant.set_runs(8, [(-1, lcn), (lcn, 1), (-1, total - lcn - 1)], name="$Bad")
    assert case.found() == [("bad-clusters", 8, lcn, 1, {"$BadClus:$Bad"})]


def test_check_returns_1_and_names_the_file(case, capsys):
    lcn, _ = case.place_of(case.victim)
    case.plant.flip(lcn)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(case.plant.path), "--json"])
    assert ended.value.code == 1
    finding, verdict = map(json.loads, capsys.readouterr().out.splitlines())
    assert finding["files"] == [case.victim.path]
    assert (finding["event"], finding["lcn"]) == ("finding", lcn)
    assert (verdict["event"], verdict["errors"]) == ("check", 1)
