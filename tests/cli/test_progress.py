"""Progress: lines at steps, JSON events, a bar; with a clock that is passed in."""

import io
import json
import sys
import threading

import pytest

from sbtk.cli.options import ProgressStyle
from sbtk.cli.progress import reporter
from sbtk.events import Finding, Progress


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def drive(style, json_lines=False, *, step_s=0.05, count=100, stage="reading", total=1000, **more):
    """Emit ``count`` progress events, ``step_s`` apart, and one finding at the end."""
    clock = Clock()
    with reporter(style, json_lines, clock=clock, tick_s=0, **more) as emit:
        for number in range(1, count + 1):
            clock.now_s += step_s
            done = number * 1000 // count
            emit(Progress(stage=stage, done=done, total=total, unit="records"))
        emit(Finding(severity="warning", code="x", message="y"))


def test_lines_come_at_each_tenth(capsys):
    drive(ProgressStyle.LINES)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "reading:   1%  10 of 1,000 records"
    assert lines[1:] == [
        f"reading: {percent:3d}%  {percent * 10:,} of 1,000 records"
        for percent in range(10, 101, 10)
    ]


def test_lines_without_a_total_come_by_time(capsys):
    drive(ProgressStyle.LINES, total=0, step_s=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading: 10 records"
    assert 9 <= len(lines) <= 11


def test_short_work_in_a_pipe_says_nothing(capsys):
    drive(ProgressStyle.AUTO, step_s=0.01)
    assert capsys.readouterr().err == ""


def test_long_work_in_a_pipe_says_something(capsys):
    drive(ProgressStyle.AUTO, step_s=0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("reading:  2")
    assert lines[-1] == "reading: 100%  1,000 of 1,000 records"


def test_a_stage_that_is_over_at_once_is_not_worth_a_line_in_a_pipe(capsys):
    drive(ProgressStyle.AUTO, step_s=3.0, count=1)
    assert capsys.readouterr().err == ""
    drive(ProgressStyle.LINES, step_s=3.0, count=1)
    assert capsys.readouterr().err == "reading: 100%  1,000 of 1,000 records\n"


def test_none_says_nothing(capsys):
    drive(ProgressStyle.NONE)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("style", [ProgressStyle.AUTO, ProgressStyle.NONE])
def test_json_is_one_event_a_line(capsys, style):
    drive(style, True)
    out, err = capsys.readouterr()
    assert err == ""
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "finding"
    progress = events[:-1]
    if style is ProgressStyle.NONE:
        assert progress == []
    else:
        assert progress[-1]["done"] == 1000
        assert 10 <= len(progress) <= 13  # 5 s, two a second


def test_json_goes_where_the_verb_says(capsys):
    stream = io.StringIO()
    drive(ProgressStyle.AUTO, True, events=stream)
    assert capsys.readouterr().out == ""
    assert json.loads(stream.getvalue().splitlines()[0])["event"] == "progress"


class Heard(io.StringIO):
    """A stream that tells when something was written to it."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal
        self.written = threading.Event()

    def isatty(self):
        return self.terminal

    def write(self, text):
        count = super().write(text)
        if "looking" in self.getvalue():
            self.written.set()
        return count


@pytest.mark.parametrize("terminal", [False, True])
def test_one_long_step_that_tells_nothing_is_shown_too(terminal, monkeypatch):
    screen, clock = Heard(terminal), Clock()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with reporter(ProgressStyle.AUTO, clock=clock, tick_s=0.01) as emit:
        emit(Progress(stage="looking", done=0, total=7, unit="records"))
        assert not screen.getvalue()
        clock.now_s += 3
        assert screen.written.wait(60)  # no further event has come


def test_a_bar_on_a_terminal_is_gone_at_the_end(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    clock = Clock()
    with reporter(ProgressStyle.AUTO, clock=clock) as emit:
        emit(Progress(stage="reading", done=1, total=10))
        assert screen.getvalue() == ""  # too early for a bar
        clock.now_s += 1
        emit(Progress(stage="reading", done=2048, total=4096))
        emit(Progress(stage="writing", done=4096, total=4096))
    assert "writing" in screen.getvalue()
    assert "4.00 KiB" in screen.getvalue()
    assert "\x1b[2K" in screen.getvalue().rpartition("writing")[2]  # erased


def test_the_bar_stops_when_the_work_fails(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    clock = Clock()

    def work():
        with reporter(ProgressStyle.AUTO, clock=clock) as emit:
            clock.now_s += 1
            emit(Progress(stage="reading", done=1, total=2))
            raise RuntimeError("work failed")

    with pytest.raises(RuntimeError, match="work failed"):
        work()
    with reporter(ProgressStyle.AUTO, clock=clock) as emit:  # a second bar may start
        clock.now_s += 1
        emit(Progress(stage="again", done=1, total=2))
