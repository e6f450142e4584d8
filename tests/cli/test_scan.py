"""``sbtk scan``: one screen, tables on disk, and one line for everything that is no volume."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sbtk import samples
from tests.cli.running import run, run_on_terminal
from tests.device.disks import MIB, gpt_disk, loop_device
from tests.device.disks import run as run_tool

NOBODY = 65534


@pytest.fixture(scope="module")
def office():
    return samples.unpack("office.ntfs")


def truth(name):
    return json.loads((samples.FOLDER / f"{name}.truth.json").read_text())


@pytest.mark.parametrize("name", samples.names())
def test_the_screen_tells_what_the_other_tools_tell(capsys, name):
    ended = run(capsys, "scan", samples.unpack(name))
    facts = truth(name)
    plain = [
        item for item in facts["paths"]
        if not item["path"].startswith("$") and not item["is_directory"]
    ]  # fmt: skip
    records = {item["record"]: item["size_bytes"] for item in plain}
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines[0].startswith(f"{facts['volume']['label']}   NTFS 3.1, ")
    assert f"{facts['volume']['total_clusters']:,} clusters of " in ended.out
    assert f"{len(records):,} files of " in ended.out
    largest = max(plain, key=lambda item: item["size_bytes"])
    assert next(line for line in ended.lines if line.startswith("Largest")).endswith(
        largest["path"]
    )
    assert ended.lines[-1] == "Findings    none"
    assert len(ended.lines) <= 24
    assert max(map(len, ended.lines)) <= 100


def test_json_is_events_and_one_result(capsys, office, tmp_path):
    ended = run(capsys, "scan", office, "--json", "--out", tmp_path / "t")
    assert (ended.code, ended.err) == (0, "")
    *events, result = map(json.loads, ended.lines)
    assert all(event["event"] in {"progress", "finding"} for event in events)
    assert result["event"] == "scan"
    facts = truth("office.ntfs")["volume"]
    assert result["volume"]["cluster_bytes"] == facts["cluster_bytes"]
    assert result["volume"]["total_clusters"] - result["used_clusters"] == facts["free_clusters"]
    assert result["findings"] == {"error": 0, "warning": 0, "info": 0}
    assert result["out"] == str(tmp_path / "t")


def test_saved_tables_are_parquet_and_can_be_scanned_again(capsys, office, tmp_path):
    folder = tmp_path / "deep" / "tables"
    first = run(capsys, "scan", office, "--out", folder)
    assert first.lines[-1] == f"Tables saved in {folder}"
    again = run(capsys, "scan", folder)
    assert again.lines == first.lines[:-2]
    paths = pq.read_table(folder / "files.parquet")["path"].to_pylist()
    assert {item["path"] for item in truth("office.ntfs")["paths"] if item["is_directory"]} <= set(
        paths
    )
    listed = run(capsys, "files", folder)
    assert listed.lines == run(capsys, "files", office).lines


def test_findings_are_shown_the_gravest_first_and_the_code_stays_0(capsys, office, tmp_path):
    image = shutil.copy(office, tmp_path / "bad.img")
    with open(image, "r+b") as file:
        for record in range(70, 90):
            file.seek(4 * 4096 + record * 1024)
            file.write(b"BAAD")
    ended = run(capsys, "scan", image)
    assert ended.code == 0
    start = next(n for n, line in enumerate(ended.lines) if line.startswith("Findings"))
    shown = [line.split()[0] for line in ended.lines[start + 1 :]]
    assert shown[0] == "error"
    assert ended.lines[-1].strip().startswith("and ")
    order = [("error", "warning", "info").index(word) for word in shown[:-1]]
    assert order == sorted(order)
    result = json.loads(run(capsys, "scan", image, "--json").lines[-1])
    assert result["findings"]["error"] >= 20


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_every_line_fits(office, columns, tmp_path):
    code, sent = run_on_terminal("scan", office, columns=columns)
    text = strip_styles(sent)
    assert code == 0
    assert "office" in text
    assert "\x1b[1m" in sent
    assert all(len(line.rstrip()) <= columns for line in text.splitlines())


def strip_styles(sent: str) -> str:
    from rich.text import Text

    return Text.from_ansi(sent.replace("\r\n", "\n")).plain


# -- what is no volume: one line, one code ---------------------------------------------------


def put_head(head: bytes):
    def make(path: Path) -> None:
        path.write_bytes(head.ljust(MIB, b"\0"))

    return make


def make_ext4(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * MIB)
    run_tool("mkfs.ext4", "-q", path)


def truncated(length_bytes: int):
    def make(path: Path) -> None:
        shutil.copy(samples.unpack("office.ntfs"), path)
        os.truncate(path, length_bytes)

    return make


CASES = {
    "text": (lambda path: path.write_text("hello\n" * 50), 20, "it is a text file"),
    "empty": (lambda path: path.touch(), 20, r"it is empty \(0 bytes\)"),
    "blank": (put_head(b""), 20, "it is blank"),
    "ext4": (make_ext4, 20, "it is an ext4 volume"),
    "bitlocker": (put_head(b"\xeb\x58\x90-FVE-FS-"), 20, "BitLocker.*Unlock it"),
    "refs": (put_head(b"\0\0\0ReFS\0\0\0\0"), 20, "it is a ReFS volume"),
    "exfat": (put_head(b"\xeb\x76\x90EXFAT   "), 20, "it is an exFAT volume"),
    "no-mft-left": (truncated(15_000), 22, "is cut off: it has 14.6 KiB of the volume's 24.0 MiB"),
    "boot-sector-only": (truncated(512), 22, "is cut off: it has 512 B"),
    "half-a-boot-sector": (truncated(300), 22, "boot sector is cut off"),
    "folder": (os.mkdir, 11, "is a folder without the tables of a scan"),
    "fifo": (os.mkfifo, 11, "is a pipe"),
    "missing": (lambda path: None, 12, "does not exist"),
    "two-volumes": (
        lambda path: gpt_disk(path, 3, 4, ntfs=(1, 2)),
        21, "has 2 NTFS partitions: #1 'part 1' 3.00 MiB, #2 'part 2' 4.00 MiB. Choose one: .*#1",
    ),
    "packed-sample": (
        lambda path: shutil.copy(samples.FOLDER / "camera.mbr.img.xz", path), 20,
        "it is an xz file. Unpack it first",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("verb", [("scan",), ("scan", "--json"), ("files",)], ids=" ".join)
def test_what_is_no_volume_costs_one_line(capsys, tmp_path, case, verb):
    make, code, said = CASES[case]
    path = tmp_path / case
    make(path)
    ended = run(capsys, verb[0], path, *verb[1:])
    assert ended.code == code
    events = [json.loads(line)["event"] for line in ended.lines]  # of what the scan found so far
    assert set(events) <= ({"finding"} if "--json" in verb else set())
    (line,) = ended.err.splitlines()
    assert line.startswith("sbtk: ")
    assert str(path) in line
    assert re.search(said, line), line
    assert line.count(". ") >= 1, "what to do next is missing"


def test_a_truncated_volume_is_shown_as_far_as_it_is_there(capsys, tmp_path):
    image = tmp_path / "cut.img"
    truncated(10 * MIB)(image)
    ended = run(capsys, "scan", image)
    assert ended.code == 22
    assert "volume-truncated" in ended.out
    assert "85 files" in ended.out
    (line,) = ended.err.splitlines()
    assert line.startswith(f"sbtk: {image} is cut off: ")
    assert line.endswith("Copy the volume again, whole")


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="sbtk-open-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def scan_as_nobody(path: Path) -> subprocess.CompletedProcess[str]:
    """Drop every privilege after a scan of nothing, for what it imports may be root's alone."""
    script = (
        "import contextlib, io, os, sys, sbtk.cli.app as a\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):\n"
        "    a.main(['scan', '/nowhere'])\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "a.main(['scan', sys.argv[1]])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )


@pytest.mark.root
@pytest.mark.parametrize("kind", ["file", "device"])
def test_a_volume_without_permission(open_folder, office, kind):
    image = shutil.copy(office, open_folder / "closed.img")
    os.chmod(image, 0)
    with contextlib.ExitStack() as stack:
        path = image if kind == "file" else stack.enter_context(loop_device(image))
        ended = scan_as_nobody(path)
    assert (ended.returncode, ended.stdout) == (13, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"sbtk: {path} may not be read by this user. Run as root")


@pytest.mark.root
def test_out_that_cannot_be_written(capsys, office):
    ended = run(capsys, "scan", office, "--out", "/proc/nowhere")
    assert (ended.code, ended.out) == (15, "")
    assert "/proc/nowhere: the tables cannot be written" in ended.err


@pytest.mark.root
def test_a_block_device_is_scanned_like_its_image(capsys, office):
    with loop_device(office) as node:
        ended = run(capsys, "scan", node)
    assert ended.code == 0
    assert [line for line in ended.lines if "Source" not in line] == [
        line for line in run(capsys, "scan", office).lines if "Source" not in line
    ]


def test_a_scan_and_the_folder_that_it_saved_tell_the_same(capsys, office, tmp_path):
    scanned = run(capsys, "scan", office, "--out", tmp_path / "tables", "--json")
    loaded = run(capsys, "scan", tmp_path / "tables", "--json")
    first, again = (json.loads(ended.out.splitlines()[-1]) for ended in (scanned, loaded))
    assert first.pop("out") == str(tmp_path / "tables")
    assert first == again
