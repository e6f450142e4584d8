"""Runbooks: strict parameters, locks, exit codes, no secrets, pages that open without a network."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from sbtk import runbooks, samples, schedule
from sbtk.catalog.store import Catalog
from sbtk.errors import LocationNotFoundError, RunbookError, UsageError, VolumeBusyError
from sbtk.jobs.verify import verify
from sbtk.mover.cartridge import create_cartridge
from sbtk.runbook_cancel import Cancel
from tests.state import state_dir  # noqa: F401


def sbtk(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sbtk", "runbook", *words],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def made_notebook(folder: Path, code: str, parameters: str = "") -> Path:
    """A runbook of two cells."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = {"kernelspec": {"name": "python3", "language": "python",
                                        "display_name": "Python 3"}}  # fmt: skip
    cell = nbformat.v4.new_code_cell(parameters or 'source: str = ""  # what it works on')
    cell.metadata["tags"] = ["parameters"]
    notebook.cells = [nbformat.v4.new_markdown_cell("# Test\n\nReads only"), cell,
                      nbformat.v4.new_code_cell(code)]  # fmt: skip
    path = folder / "made.ipynb"
    nbformat.write(notebook, path)
    return path


# -- parameters --------------------------------------------------------------------------------


def test_a_mistyped_parameter_is_refused_before_anything_starts(tmp_path):
    ended = sbtk("run", "nightly_backup", "-p", "qiet_s=3", "--out", str(tmp_path / "out"))
    assert ended.returncode == 2
    assert "there is no parameter 'qiet_s'. Did you mean quiet_s?" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("quiet_s", "soon"), ("resume", "maybe"), ("quiet_s", "")]
)
def test_a_wrong_type_is_refused(name, text):
    with pytest.raises(UsageError, match=f"{name} is "):
        runbooks.run("nightly_backup", {name: text})


def test_what_a_notebook_cannot_keep_is_refused_in_a_line(tmp_path):
    ended = sbtk("run", "volume_survey", "-p", b"source=bad\xff.img", "--out", str(tmp_path / "o"))
    assert ended.returncode == 2
    assert "is no UTF-8" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_types_are_taken_from_the_cell():
    known = runbooks.parameters(runbooks.find("nightly_backup"))
    chosen = runbooks.values(known, {"quiet_s": "5", "resume": "no"})
    assert chosen["quiet_s"] == 5.0
    assert chosen["resume"] is False
    assert chosen["layout"] == "image"


def test_an_unknown_runbook_names_the_nearest():
    with pytest.raises(LocationNotFoundError) as caught:
        runbooks.find("nightly_bakup")
    assert "nightly_backup" in caught.value.line


def test_a_secret_is_no_parameter(tmp_path):
    path = made_notebook(tmp_path, "1", 'chap_secret: str = ""  # of the target')
    with pytest.raises(RunbookError, match="would be kept in the output"):
        runbooks.parameters(path)


# -- locks -------------------------------------------------------------------------------------


def test_a_busy_volume_says_who_works_on_it(tmp_path):
    image = str(tmp_path / "disk.img")
    with runbooks.lock(os.path.realpath(image), "restore_drill"):
        ended = sbtk(
            "run", "nightly_backup", "-p", f"source={image}", "-p", f"to=tape:{tmp_path}/t"
        )
    assert ended.returncode == VolumeBusyError.exit_code
    assert "is busy: restore_drill (process" in ended.stderr
    with runbooks.lock(os.path.realpath(image), "again"):
        pass  # a lock that was given back can be taken


def test_places_are_those_that_are_worked_on():
    found = runbooks.places(
        {"source": "a.img#1", "to": "tape:b.tape", "layout": "c", "scratch": ""}
    )
    assert found == sorted(os.path.realpath(name) for name in ("a.img", "b.tape"))


# -- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("raise ValueError('odd')", 60, "odd"),
        ("from sbtk.errors import QuietTimeoutError\nraise QuietTimeoutError('busy for 80 s')", 40,
         "busy for 80 s"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 62, "the kernel died"),
    ],
)  # fmt: skip
def test_each_end_has_its_code_and_message(tmp_path, code, exit_code, words):
    path = made_notebook(tmp_path, code)
    ended = sbtk("run", str(path), "--out", str(tmp_path / "out"))
    assert ended.returncode == exit_code, ended.stderr
    assert words in ended.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["exit_code"], result["status"]) == (exit_code, "failed")
    assert words in result["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_run_cleans_up_and_says_so(tmp_path, number):
    code = (
        "import time, pathlib\n"
        "try:\n    print('working', flush=True)\n    time.sleep(60)\n"
        "finally:\n    pathlib.Path('cleaned').write_text('up')"
    )
    path = made_notebook(tmp_path, code)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "sbtk", "runbook", "run", str(path), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"  # live: the cell has not ended
    process.send_signal(number)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 3, errors
    assert (out / "cleaned").read_text() == "up"
    assert json.loads((out / "result.json").read_text())["status"] == "cancelled"


def cancelled_at(moment: str, folder: Path, code: str) -> subprocess.CompletedProcess:
    """Run a notebook by the command line; one SIGINT at the moment that a patch finds."""
    path, out = made_notebook(folder, code), folder / "out"
    words = ["runbook", "run", str(path), "--out", str(out)]
    return subprocess.run(
        [sys.executable, "-c", _SIGINT_AT[moment].format(words=words)],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


_SIGINT_AT = {
    "before the kernel": """
import os, signal
from nbclient import NotebookClient
start = NotebookClient.start_new_kernel
def late(self, **named):
    os.kill(os.getpid(), signal.SIGINT)
    return start(self, **named)
NotebookClient.start_new_kernel = late
from sbtk.cli.app import main
main({words})
""",
    "while the kernel starts": """
import os, signal
from nbclient import NotebookClient
start = NotebookClient.start_new_kernel
def late(self, **named):
    start(self, **named)
    os.kill(os.getpid(), signal.SIGINT)
NotebookClient.start_new_kernel = late
from sbtk.cli.app import main
main({words})
""",
    "between cells": """
import os, signal
from papermill.engines import NotebookExecutionManager as Manager
complete = Manager.cell_complete
def late(self, cell, cell_index=None, **k):
    complete(self, cell, cell_index=cell_index, **k)
    if cell_index == 1:
        os.kill(os.getpid(), signal.SIGINT)
Manager.cell_complete = late
from sbtk.cli.app import main
main({words})
""",
    "while the page is written": """
import os, signal
from sbtk import runbook_engine
strip = runbook_engine._without_loaders
def late(body):
    os.kill(os.getpid(), signal.SIGINT)
    return strip(body)
runbook_engine._without_loaders = late
from sbtk.cli.app import main
main({words})
""",
}


@pytest.mark.parametrize("moment", list(_SIGINT_AT))
def test_ctrl_c_at_any_moment_ends_cleanly(tmp_path, moment):
    """Whenever it comes: one line, exit code 3, no half-written page, no kernel left behind."""
    code = (
        "import json, os, pathlib\n"
        "pathlib.Path('ran').write_text(str(os.getpid()))\n"
        "pathlib.Path('result.json').write_text(json.dumps({'set_id': 'made'}))"
    )
    ended = cancelled_at(moment, tmp_path, code)
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "ended with exit code 3: cancelled" in ended.stderr
    out = tmp_path / "out"
    result = json.loads((out / "result.json").read_text())
    assert (result["status"], result["exit_code"]) == ("cancelled", 3)
    assert (out / "run.html").read_text().rstrip().endswith("</html>")
    assert not [path for path in out.iterdir() if path.name.startswith(".run")]
    last = moment == "while the page is written"
    assert (out / "ran").exists() == last
    assert (result.get("set_id") == "made") == last  # what the job did stands
    if last:
        assert not Path(f"/proc/{(out / 'ran').read_text()}").exists()


def test_a_signal_just_before_a_cell_reaches_it():
    """It came when the kernel could not hear it: handed on when the cell begins, and once only."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    cancel = Cancel()
    cancel.signalled(signal.SIGINT, None)
    assert child.poll() is None
    with pytest.raises(KeyboardInterrupt):
        cancel.check()
    cancel.cell_runs(child.pid)
    assert child.wait(30) != 0
    cancel.kernel = None
    cancel.signalled(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        cancel.signalled(signal.SIGINT, None)  # a cell that hears nothing holds nobody up


def test_secrets_are_in_no_output(tmp_path):
    name = "os.environ['SBTK_ISCSI_SECRET']"
    code = f"import os\nprint('<' + {name} + '>')\n{name}"
    path = made_notebook(tmp_path, code)
    out = tmp_path / "out"
    secret = "correct-horse-battery"
    ended = sbtk("run", str(path), "--out", str(out),
                 env={**os.environ, "SBTK_ISCSI_SECRET": secret})  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "<(secret)>" in ended.stdout
    for file in out.iterdir():
        assert secret not in file.read_text(), file.name


# -- the four ----------------------------------------------------------------------------------


def test_backup_drill_verify_and_the_pages_they_leave(tmp_path):
    tape = f"tape:{tmp_path}/n.tape"
    night = runbooks.run(
        "nightly_backup", {"to": tape, "quiet_s": "0.2"}, folder=tmp_path / "night"
    )
    assert (night.exit_code, night.result["status"]) == (0, "done")
    scratch = tmp_path / "scratch.img"
    drill = runbooks.run("restore_drill", {"scratch": str(scratch)}, folder=tmp_path / "drill")
    assert (drill.exit_code, drill.result["mismatches"]) == (0, 0)
    assert drill.result["checked_bytes"] > 4_000_000
    assert drill.result["set_id"] == night.result["set_id"]
    assert not scratch.exists()
    for ended, words in (
        (night, "Which way the bytes went"),
        (drill, "What was and was not checked"),
    ):
        page = (ended.folder / runbooks.PAGE_NAME).read_text()
        assert words in page
        assert "<svg" in page
        assert night.result["set_id"] in page
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    content = bytearray((tmp_path / "n.tape").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "n.tape").write_bytes(content)
    sample = runbooks.run("verify_sample", {"count": "0"}, folder=tmp_path / "sample")
    assert sample.exit_code == 1
    assert sample.result["not_sound"] == [night.result["set_id"]]


_KILLED = """
import os, signal, sys
import sbtk
from sbtk.events import ListDone
from sbtk.jobs.backup import backup

def die(event):
    if isinstance(event, ListDone):
        os.kill(os.getpid(), signal.SIGKILL)

limits = sbtk.limits("spc", max_segments=4)
backup(sys.argv[1], to=sys.argv[2], snapshot="none", quiet_s=0.1, limits=limits, emit=die)
"""


def test_an_interrupted_backup_is_gone_on_with(tmp_path):
    create_cartridge(tmp_path / "r.tape", capacity_bytes=1 << 30)
    source, tape = str(samples.unpack("office.ntfs")), f"tape:{tmp_path}/r.tape"
    killed = subprocess.run([sys.executable, "-c", _KILLED, source, tape], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Catalog.open() as catalog:
        [broken] = catalog.runs()
    assert broken.status == "running"
    ended = runbooks.run("nightly_backup", {"to": tape, "quiet_s": "0.1"}, folder=tmp_path / "out")
    log = (tmp_path / "out" / "run.log").read_text()
    assert ended.exit_code == 0, log
    assert f"run {broken.run_id} was broken off: going on with it" in log
    assert "a new backup" not in log
    assert ended.result["run_id"] == broken.run_id
    assert verify(ended.result["set_id"]).sound


def test_survey_tells_of_what_cannot_be_read(tmp_path):
    (tmp_path / "no.img").write_bytes(bytes(1 << 20))
    places = f"office.ntfs, {tmp_path}/no.img"
    ended = runbooks.run("volume_survey", {"source": places}, folder=tmp_path / "out")
    assert ended.exit_code == 1
    assert ended.result["unfit"] == [f"{tmp_path}/no.img"]
    assert ended.result["volumes"] == 2


# -- schedules ---------------------------------------------------------------------------------


def test_schedules_quote_what_they_must():
    texts = schedule.schedule("nightly_backup", {"exclude": "*.tmp 100%"}, "01:30")
    assert texts["cron"].startswith("30 1 * * *  sbtk runbook run nightly_backup -p ")
    assert "100\\%" in texts["cron"]
    assert "OnCalendar=*-*-* 01:30:00" in texts["systemd"]
    assert "100%%" in texts["systemd"]
    compile(texts["airflow"], "airflow", "exec")


def test_schedule_checks_parameters_and_time():
    assert sbtk("schedule", "nightly_backup", "-p", "tpo=x").returncode == 2
    assert sbtk("schedule", "nightly_backup", "--at", "25:00").returncode == 2


def test_systemd_takes_the_unit(tmp_path):
    text = schedule.schedule("nightly_backup", {"to": "tape:/a b.tape"}, "01:30")["systemd"]
    sections = [line for line in text.splitlines() if line.startswith("[")]
    assert sections == ["[Unit]", "[Service]", "[Timer]", "[Install]"]


def test_list_and_show():
    listed = [json.loads(line) for line in sbtk("list", "--json").stdout.splitlines()]
    assert [item["name"] for item in listed] == runbooks.names()
    shown = [
        json.loads(line) for line in sbtk("show", "restore_drill", "--json").stdout.splitlines()
    ]
    assert {"set_id", "scratch", "keep", "overwrite", "out_dir"} == {i["name"] for i in shown}


def test_a_failed_run_has_a_page_with_what_came_before(tmp_path):
    path = made_notebook(tmp_path, "print('before')\nraise RuntimeError('after')")
    ended = runbooks.run(str(path), {}, folder=tmp_path / "out")
    assert ended.exit_code == 60
    page = (tmp_path / "out" / runbooks.PAGE_NAME).read_text()
    assert "before" in page
    assert "RuntimeError" in page
