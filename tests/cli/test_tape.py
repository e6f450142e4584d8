"""``sbtk tape``: make a cartridge, list it, stream a tape file."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from sbtk.cli.app import main
from sbtk.mover.tape_lun import TapeLun


@dataclass
class Done:
    """What a verb printed."""

    stdout: bytes
    stderr: bytes


def sbtk_tape(*words: str | Path, ok: int = 0) -> Done:
    """Run the verb in this process; its exit code is checked."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main(["tape", *map(str, words)])
    done = Done(out.buffer.getvalue(), err.buffer.getvalue())
    assert stop.value.code == ok, done.stderr
    return done


@pytest.fixture
def tape(tmp_path):
    path = tmp_path / "weekly.tape"
    said = sbtk_tape("create", path, "--capacity", "8MiB", "--barcode", "WEEK01").stdout.decode()
    assert said == f"{path}: cartridge WEEK01, 8.00 MiB\n"
    drive = TapeLun(path)
    drive.write_record(b"LABEL weekly\n")
    drive.write_filemarks(1)
    for record in RECORDS:
        drive.write_record(record)
    drive.write_filemarks(2)
    drive.write_record(bytes(10))
    drive.close()
    return path


RECORDS = [os.urandom(300), os.urandom(70_000)]


def test_list(tape):
    lines = sbtk_tape("list", f"tape:{tape}").stdout.decode().splitlines()
    assert lines[0] == f"{tape}: cartridge WEEK01, 69.0 KiB of 8.00 MiB used, 4 tape files"
    assert [line.split() for line in lines[1:]] == [
        ["file", "object", "records", "size", "marks", "content"],
        ["0", "0", "1", "13", "B", "1", "text", "LABEL", "weekly"],
        ["1", "2", "2", "68.7", "KiB", "1", "data"],
        ["2", "5", "0", "0", "B", "1", "empty"],
        ["3", "6", "1", "10", "B", "0", "data"],
    ]


def test_list_as_json(tape):
    head, *files = map(json.loads, sbtk_tape("list", tape, "--json").stdout.splitlines())
    assert head == {
        "path": str(tape),
        "barcode": "WEEK01",
        "capacity_bytes": 8 << 20,
        "used_bytes": 13 + 300 + 70_000 + 10 + 7 * 48,
        "objects": 7,
        "tape_files": 4,
    }
    assert [(row["records"], row["data_bytes"], row["filemarks"]) for row in files] == [
        (1, 13, 1),
        (2, 70_300, 1),
        (0, 0, 1),
        (1, 10, 0),
    ]


def test_cat(tape):
    assert sbtk_tape("cat", tape).stdout == b"LABEL weekly\n"
    assert sbtk_tape("cat", tape, "--file", "1").stdout == b"".join(RECORDS)
    assert sbtk_tape("cat", tape, "--file", "2").stdout == b""
    assert sbtk_tape("cat", tape, "--file", "3").stdout == bytes(10)


@pytest.mark.parametrize("number", ["4", "99"])
def test_a_tape_file_that_is_not_there(tape, number):
    said = sbtk_tape("cat", tape, "--file", number, ok=2).stderr.decode()
    assert said.startswith(f"sbtk: {tape} has 4 tape files, none of number {number}. They are")
    assert said.count("\n") == 1


def test_a_reader_that_leaves_ends_the_output(tape):
    command = [sys.executable, "-m", "sbtk", "tape", "cat", str(tape), "--file", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cat:
        cat.stdout.read(10)
        cat.stdout.close()
        assert cat.stderr.read() == b""
    assert cat.returncode == 0


def test_create_by_default_and_twice(tmp_path):
    path = tmp_path / "my first tape.img"
    said = json.loads(sbtk_tape("create", path, "--json").stdout)
    assert (said["barcode"], said["capacity_bytes"]) == ("MYFIRSTTAPE", 100 << 30)
    assert path.stat().st_size == 1200
    before = path.read_bytes()
    assert b"exists. Choose another name" in sbtk_tape("create", path, ok=11).stderr
    assert path.read_bytes() == before


def test_a_torn_cartridge_is_listed_and_left_alone(tape):
    whole = tape.read_bytes()
    tape.write_bytes(whole[:-50])
    done = sbtk_tape("list", tape)
    assert b"warning" in done.stderr
    assert b"never finished" in done.stderr
    assert b"3 tape files" in done.stdout
    assert tape.read_bytes() == whole[:-50]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list", "missing.tape"], 12, b"nothing is at missing.tape"),
        (["list", __file__], 35, b"is no cartridge"),
        (["create", "x.tape", "--capacity", "much"], 2, b"'much' is no size"),
        (["create", "x.tape", "--capacity", "10B"], 2, b"between 1 MiB and 2 PiB"),
        (["create", "/proc/x.tape"], 12, b"nothing is at"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    stderr = sbtk_tape(*words, ok=code).stderr
    assert said in stderr
    assert stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())
