"""Rules that hold for every module: who imports whom, how long it may be, what it names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sbtk"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a package may import of sbtk. Data flows downwards: a package never imports one below it.
COMMON = {"errors", "units", "events", "settings", "whole_file"}
MAY_IMPORT = {
    "ntfs": {"ntfs", "device"},
    "extents": {"extents", "ntfs"},
    "scsi": {"scsi"},
    "transport": {"transport", "scsi"},
    "device": {"device", "transport", "scsi", "ntfs"},
    "mover": {"mover", "scsi", "transport", "device"},
    "quiesce": {"quiesce", "snapshot", "scsi", "transport", "device", "mover"},
    "snapshot": {"snapshot", "device", "mover"},
    "archive": {"archive"},
    "plan": {"plan", "archive", "extents", "device", "ntfs", "scsi"},
    "catalog": {"catalog", "jobs", "plan", "ntfs", "device"},
    "report": {"report", "archive", "catalog", "cli"},
}
# Codecs and planners do no I/O and know no tables for people.
PURE = ["scsi", "plan", "quiesce/window.py", "ntfs/layout.py", "ntfs/boot.py", "ntfs/runlist.py"]
NOT_PURE = {"os", "io", "socket", "subprocess", "pathlib", "asyncio", "pandas", "mmap", "tempfile"}


def imports_of(path: Path) -> set[str]:
    """Full names of everything a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_is_short(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_data_flows_downwards(package):
    allowed = MAY_IMPORT[package] | COMMON
    for path in (PACKAGE / package).rglob("*.py"):
        used = {name.split(".")[1] for name in imports_of(path) if name.startswith("sbtk.")}
        assert used <= allowed, f"{relative(path)} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("pure", PURE)
def test_codecs_and_planners_do_no_io(pure):
    place = PACKAGE / pure
    for path in [place] if pure.endswith(".py") else sorted(place.rglob("*.py")):
        used = {name.split(".")[0] for name in imports_of(path)}
        assert not used & NOT_PURE, f"{relative(path)} imports {sorted(used & NOT_PURE)}"
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls, f"{relative(path)} opens files"


def test_widgets_and_plots_are_imported_by_the_view_only():
    for path in MODULES:
        used = {name.split(".")[0] for name in imports_of(path)}
        if used & {"ipywidgets", "anywidget", "matplotlib"}:
            assert path.is_relative_to(PACKAGE / "view"), relative(path)


def test_help_and_import_load_nothing_heavy():
    script = (
        "import sys, sbtk, sbtk.cli.app\n"
        "try: sbtk.cli.app.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'numpy', 'numba', 'pandas', 'pyarrow', 'typer', 'rich', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"
    assert "Verbs:" in run.stdout


def test_nothing_committed_names_a_machine():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    own_paths = re.compile(r"(?<![\w.])/(?:work|farm|root)/")
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".xz", ".png", ".parquet"} or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        assert not own_paths.search(text), f"{name} holds a path of one machine"
