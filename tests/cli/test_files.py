"""``sbtk files``: every file once, whole paths, safe to print."""

import json
import os
import re

import pytest

from sbtk import samples
from sbtk.cli.output import fit_path, printable
from tests.cli.running import run, run_on_terminal
from tests.corpus.build import WRITABLE, mounted


@pytest.fixture(scope="module")
def office():
    return samples.unpack("office.ntfs")


@pytest.fixture(scope="module")
def truth():
    return json.loads((samples.FOLDER / "office.ntfs.truth.json").read_text())


def test_every_file_is_a_line_with_its_whole_path(capsys, office, truth):
    ended = run(capsys, "files", office)
    assert (ended.code, ended.err) == (0, "")
    head, *lines = ended.lines
    assert head.split() == [
        "record",
        "size",
        "allocated",
        "extents",
        "flags",
        "modified",
        "(UTC)",
        "path",
    ]
    listed = {int(line.split()[0]): line for line in lines}
    assert sorted(listed) == [record["record"] for record in truth["records"]]
    by_path = {item["path"]: item["record"] for item in truth["paths"]}
    paths = [line[head.index("path") :] for line in lines]
    assert len(set(paths)) == len(paths)
    for path, record in by_path.items():
        if "Shared/" not in path:  # further names of a file
            assert listed[record].endswith(path)


def test_flags_and_numbers(capsys, office):
    lines = run(capsys, "files", office, "**/*").lines

    def figures(path):
        (line,) = [line for line in lines if line.endswith(f"  {path}")]
        return re.split(r"  +", line.removesuffix(path).strip())[1:5]

    assert figures("Archive 2019 (compressed)/mails.mbox") == ["586 KiB", "640 KiB", "10", "--c--"]
    assert figures("Databases/ledger.mdb") == ["7.42 MiB", "7.43 MiB", "4", "---s-"]
    assert figures("README.txt") == ["52 B", "56 B", "0", "-r---"]
    assert figures("Logs")[3][0] == "d"


def test_json_rows_equal_the_mount(capsys, office, truth):
    ended = run(capsys, "files", office, "Documents/**", "--json")
    rows = {row["path"]: row for row in map(json.loads, ended.lines)}
    expected = {
        item["path"]: item for item in truth["paths"] if item["path"].startswith("Documents/")
    }
    assert rows.keys() == expected.keys()
    for path, item in expected.items():
        assert rows[path]["record"] == item["record"]
        assert rows[path]["is_directory"] == item["is_directory"]
        assert rows[path]["size_bytes"] == item.get("size_bytes", 0)
    assert rows["Documents/Größe und Maße.txt"]["created"] == "2026-04-07T01:46:40.000000000Z"


def test_a_pattern_that_fits_nothing_prints_the_head_only(capsys, office):
    ended = run(capsys, "files", office, "*.nothing")
    assert (ended.code, len(ended.lines)) == (0, 1)
    assert run(capsys, "files", office, "*.nothing", "--json").out == ""


def test_what_is_no_text_is_refused(capsys, office, tmp_path):
    odd = os.fsdecode(b"\xff")
    for words in (
        ("files", office, odd), ("extents", office, odd), ("extents", office, f"$MFT:{odd}"),
        ("plan", office, "--to", "tape:x", "--include", odd),
        ("scan", office, "--out", tmp_path / odd),
    ):  # fmt: skip
        assert run(capsys, *words).code == 2


def test_long_paths_are_never_cut(capsys, office):
    name = "a name of 255 characters ".ljust(251, "x") + ".txt"
    assert run(capsys, "files", office, "*xxx.txt").lines[1].endswith(f"Documents/{name}")
    code, sent = run_on_terminal("files", office, "*xxx.txt", columns=80)
    assert code == 0
    assert name in sent.replace("\r\n", "")


@pytest.mark.root
def test_a_name_cannot_steer_the_terminal(capsys, tmp_path, office):
    image = tmp_path / "evil.img"
    image.write_bytes(office.read_bytes())
    with mounted(image, WRITABLE) as folder:
        (folder / "evil\x1b[2J\r\nroot\u202etxt.exe").write_bytes(b"")
    for words in (("files", image, "evil*"), ("scan", image)):
        out = run(capsys, *words).out
        assert "\x1b" not in out
        assert "\r" not in out
    assert "evil\\x1b[2J\\x0d\\x0aroot\\u202etxt.exe" in run(capsys, "files", image, "evil*").out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🎉", "plain é 日本 🎉"),
        ("a\tb", "a\\x09b"),
        ("\u2066x", "\\u2066x"),
        ("\x9b1m", "\\x9b1m"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("path", ["short.txt", "a/" * 60 + "end.txt", "日本語" * 30 + ".txt"])
def test_a_path_is_fitted_into_a_terminal(monkeypatch, path):
    from rich.cells import cell_len

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    shown = fit_path(path, 26)
    assert cell_len(shown) <= 54
    assert shown == path or ("…" in shown and path.endswith(shown.partition("…")[2]))
