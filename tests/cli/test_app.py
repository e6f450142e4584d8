"""The frame of all verbs: help, unknown verbs, errors, what is imported, what the codes mean."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sbtk import errors, samples
from sbtk.cli.app import VERBS
from tests.cli.running import SBTK, run

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_help_names_every_verb(capsys):
    for words, code in (([], 2), (["--help"], 0), (["-h"], 0)):
        ended = run(capsys, *words)
        assert ended.code == code
        for verb, text in VERBS.items():
            assert re.search(rf"^  {verb} +{re.escape(text)}$", ended.out, re.MULTILINE)


@pytest.mark.parametrize("verb", ["scan", "files", "extents"])
def test_every_verb_has_help_and_the_shared_options(capsys, verb):
    ended = run(capsys, verb, "--help")
    assert ended.code == 0
    for word in ("SRC", "--json", "--progress", "--debug"):
        assert word in ended.out


def test_usage_errors_are_2(capsys):
    for words in (["nonsense"], ["scan"], ["scan", "--no-such-option", "x"], ["files", "x", "[a"]):
        ended = run(capsys, *words)
        assert (ended.code, ended.out) == (2, "")
        assert re.fullmatch(r"sbtk: .+\n", ended.err)
    assert "`sbtk tape list --help`" in run(capsys, "tape", "list").err
    assert run(capsys, "--version").out.startswith("sbtk ")


def test_an_error_is_one_line_whatever_the_name_in_it(capsys, tmp_path):
    (tmp_path / "a\nb\x1b[31m.img").write_text("no volume")
    for name in ("a\nb\x1b[31m.img", "none\n\x1b]0;title\x07"):
        ended = run(capsys, "scan", tmp_path / name)
        assert ended.code in (12, 20)
        assert re.fullmatch(r"sbtk: [^\n\x1b\x07]+\n", ended.err)


def test_debug_shows_the_traceback():
    ended = subprocess.run(
        [*SBTK, "scan", "/nowhere", "--debug"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "LocationNotFoundError" in ended.stderr


def test_exit_codes_are_documented_one_by_one():
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| (.+) \|$", (DOCS / "exit-codes.md").read_text(), re.M
    )
    documented = [(int(code), name, text) for code, name, text in rows]
    expected = [
        (cls.exit_code, cls.__name__, inspect.getdoc(cls).splitlines()[0].replace("``", "`"))
        for cls in errors.error_classes()
        if cls.exit_code >= 10 and cls.__module__ == "sbtk.errors"
    ]
    assert documented == expected


HEAVY = "{'numpy', 'numba', 'pandas', 'pyarrow', 'typer', 'rich', 'pydantic', 'asyncio'}"


@pytest.mark.parametrize(
    "statement",
    [
        "import sbtk",
        "import sbtk; dir(sbtk)",
        "import sbtk.cli.app as a; a.main(['--help'])",
        "import sbtk.cli.app as a; a.main(['--version'])",
        "import sbtk.cli.app as a; a.main(['nonsense'])",
    ],
)
def test_nothing_heavy_is_imported_before_a_verb_runs(statement):
    script = (
        f"import sys, atexit\n"
        f"atexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules))))\n{statement}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "HEAVY []" in ended.stdout


def test_the_verbs_of_tables_need_no_compiler_for_their_help():
    script = (
        "import sys, atexit, sbtk.cli.app as a\n"
        "atexit.register(lambda: print('HEAVY', 'numba' in sys.modules))\n"
        "a.main(['scan', '--help'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "HEAVY False" in ended.stdout


@pytest.mark.parametrize("words", [("files",), ("files", "--json"), ("scan",)])
def test_a_reader_that_leaves_ends_the_output_quietly(words):
    image = samples.unpack("office.ntfs")
    writer = subprocess.Popen(
        [*SBTK, words[0], str(image), "--progress", "none", *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait() == 0
    writer.stderr.close()


def test_a_full_output_is_one_line_and_no_finding():
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*SBTK, "limits", "--profile", "spc"], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (15, 1)
    assert "standard output" in ended.stderr


def test_a_closed_output_leaves_the_exit_code():
    for words, code in ((["limits", "--profile", "spc"], 0), (["scan", "/nowhere"], 12)):
        ended = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *SBTK, *words], check=False)
        assert ended.returncode == code


def test_names_that_the_encoding_lacks_are_escaped():
    image = samples.unpack("office.ntfs")
    ended = subprocess.run(
        [*SBTK, "files", str(image), "Documents/*"],
        capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert b"Documents/Gr\\xf6\\xdfe und Ma\\xdfe.txt" in ended.stdout
    assert b"\\U0001f389" in ended.stdout
