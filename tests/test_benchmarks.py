"""``make bench``: it finds every benchmark, each can be started, and a failure is not lost."""

import subprocess
import sys

import pytest

from benchmarks import __main__ as benchmarks


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    root = benchmarks.FOLDER.parent
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_benchmark_starts(name):
    done = call(f"benchmarks.bench_{name}", "--help")
    assert done.returncode == 0, done.stderr
    if name in benchmarks.ON_LARGE_VOLUME:
        assert "--volume" in done.stdout


def test_those_on_the_large_volume_exist():
    assert set(benchmarks.ON_LARGE_VOLUME) <= set(benchmarks.names())


def test_the_machine_is_told():
    words = benchmarks.machine()
    for part in ("processors", "GiB", "Python 3.", "numpy", "load"):
        assert part in words
    assert "\n" not in words


def test_a_failure_is_told_and_the_others_run(monkeypatch, capsys, tmp_path):
    image = tmp_path / "large.img"
    image.write_bytes(b"")
    started = []

    def run(command, *, cwd, check):
        started.append(command[2:])
        return subprocess.CompletedProcess(command, int("plan" in command[2]))

    monkeypatch.setattr(benchmarks.subprocess, "run", run)
    assert benchmarks.main(["--large", str(image)]) == 1
    assert [words[0].removeprefix("benchmarks.bench_") for words in started] == benchmarks.names()
    assert [words[1:] for words in started if "scan" in words[0]] == [["--volume", str(image)]]
    shown = capsys.readouterr().out
    assert shown.count("FAILED, or over its budget") == 1
    assert benchmarks.main(["--only", "scan", "--only", "mover"]) == 0
    assert len(started) == len(benchmarks.names()) + 2


def test_what_is_not_there_is_said():
    for words in (("--only", "nonsense"), ("--large", "/nowhere")):
        done = call("benchmarks", *words)
        assert done.returncode == 2
        assert words[1] in done.stderr
    assert call("benchmarks", "--list").stdout.split() == benchmarks.names()
