"""``sbtk extents``: the runs that ntfsinfo tells, on the volume and on the LUN."""

import json
import re

import pytest

import sbtk
from sbtk import samples
from tests.cli.running import run

STREAMS = [
    ("office.ntfs", "Logs/mail.log", 0x80, ""),
    ("office.ntfs", "Archive 2019 (compressed)/mails.mbox", 0x80, ""),
    ("office.ntfs", "Downloads/setup.exe:scan.report", 0x80, "scan.report"),
    ("office.ntfs", "Documents:$I30:$INDEX_ALLOCATION", 0xA0, "$I30"),
    ("array.gpt", "db/table1.dat", 0x80, ""),
    ("camera.mbr", "DCIM/100MEDIA/CLIP0001.MP4", 0x80, ""),
]


@pytest.mark.parametrize(("name", "target", "kind", "attribute"), STREAMS)
def test_runs_equal_ntfsinfo(capsys, name, target, kind, attribute):
    truth = json.loads((samples.FOLDER / f"{name}.truth.json").read_text())
    ended = run(capsys, "extents", samples.unpack(name), target, "--json")
    head, *rows = map(json.loads, ended.lines)
    runs = next(
        item["runs"]
        for record in truth["records"]
        if record["record"] == head["record"]
        for item in record["attributes"]
        if (item["type"], item["name"]) == (kind, attribute)
    )
    assert [[row["vcn"], row["lcn"], row["clusters"]] for row in rows] == runs
    start = truth["partition"]["first_lba"] if truth["partition"] else 0
    blocks = truth["volume"]["cluster_bytes"] // 512
    assert [row["lba"] for row in rows] == [
        start + lcn * blocks if lcn >= 0 else None for _, lcn, _ in runs
    ]
    assert head["extents"] == len(runs)


def test_the_lba_is_where_the_bytes_are(capsys):
    image = samples.unpack("array.gpt")
    rows = run(capsys, "extents", image, "p00.bin", "--json").lines[1:]
    data = b"".join(
        image.read_bytes()[row["lba"] * 512 :][: row["size_bytes"]] for row in map(json.loads, rows)
    )
    with sbtk.open_volume(image) as volume, volume.open("p00.bin") as content:
        assert data.startswith(content.read())


def test_text_is_a_headline_and_columns(capsys):
    image = samples.unpack("office.ntfs")
    lines = run(capsys, "extents", image, "databases/LEDGER.mdb").lines
    assert lines[0].startswith("databases/LEDGER.mdb: record ")
    assert lines[0].endswith("7.42 MiB in 4 extents and 3 holes")
    assert lines[1].split() == ["vcn", "lcn", "clusters", "size", "lba", "on", "the", "LUN"]
    assert sum("hole" in line and line.endswith(" -") for line in lines) == 3
    assert len({len(line) for line in lines[1:]}) == 1
    journal = run(capsys, "extents", image, "Databases/journal.db").lines[0]
    assert journal.endswith("zeros from byte 4,500 on")


def test_of_a_bare_mft_only_clusters_are_known(capsys, tmp_path):
    dump = tmp_path / "office.mft"
    with sbtk.open_volume(samples.unpack("office.ntfs")) as volume, volume.open("$MFT") as content:
        dump.write_bytes(content.read())
    ended = run(capsys, "extents", dump, "Databases/journal.db", "--json")
    row = json.loads(ended.lines[1])
    assert (row["size_bytes"], row["lba"]) == (None, None)
    assert row["lcn"] > 0
    text = run(capsys, "extents", dump, "Databases/journal.db").lines[2]
    assert text.split()[3:] == ["-", "-"]


def test_a_record_number_and_a_resident_stream(capsys):
    image = samples.unpack("office.ntfs")
    ended = run(capsys, "extents", image, "64")
    assert ended.lines == [
        "README.txt: record 64, 52 B, resident (its bytes lie in the record, it owns no clusters)"
    ]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nothing.txt", "'nothing.txt' is not on "),
        ("999999", "'999999' is not on|record 999999 of .* is not in use"),
        ("README.txt:nope", "has no stream 'nope' of type \\$DATA. It has the unnamed one"),
        ("Documents", "has no unnamed stream"),
    ],
)
def test_what_is_not_there_is_23(capsys, target, said):
    ended = run(capsys, "extents", samples.unpack("office.ntfs"), target)
    assert (ended.code, ended.out) == (23, "")
    assert re.search(said, ended.err)
