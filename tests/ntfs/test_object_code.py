"""Loops whose object code is kept: compiled once, called without Numba, never when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbtk.ntfs.object_code import load_loop

LOOP = """
import numba as nb

@nb.njit(nogil=True, _nrt=False)
def add_up(values, factor, total):
    if factor > 1000:
        raise ValueError("too much")
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            total[0] += values[i, j] * factor
"""


def example() -> tuple[Any, ...]:
    values = np.zeros((1, 1), np.int32)
    values.flags.writeable = False
    return values, 1, np.zeros(1, np.int64)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a loop, and an empty folder for its object code."""
    name = f"loop_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(LOOP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return name


def add_up(module: str, factor: int = 3) -> int:
    values = np.arange(12, dtype=np.int32).reshape(3, 4)
    values.flags.writeable = False
    total = np.zeros(1, np.int64)
    load_loop(module, "add_up", example())(values, factor, total)
    return int(total[0])


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").glob("*.o"))


def test_a_loop_that_was_kept_is_called_without_numba(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add_up(module) == 66 * 3
    assert len(kept(tmp_path)) == 1
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it is an error from now on
    assert add_up(module, 5) == 66 * 5


def test_a_scan_imports_no_numba_once_its_loops_are_compiled() -> None:
    script = (
        "import sys, numpy as np\n"
        "from sbtk.ntfs.kernels import load\n"
        "kernels = load('numba')\n"
        "assert len(kernels.decode(np.zeros(4096, np.uint8), 1024).status) == 4\n"
        "print(kernels.name, 'numba' in sys.modules)\n"
    )
    for _ in range(2):  # the first one may have to compile
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["numba", "False"]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_damaged_object_code_is_compiled_again(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    add_up(module)
    (file,) = kept(tmp_path)
    sound = file.read_bytes()
    changed = bytearray(sound)
    changed[len(changed) // 2] ^= 0x55
    file.write_bytes({"cut": sound[:-100], "changed": bytes(changed), "empty": b""}[damage])
    assert add_up(module) == 66 * 3
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, module)
    assert add_up(module, 5) == 66 * 5, "what was compiled again was not kept"


def test_another_source_is_compiled_again(module: str, tmp_path: Path) -> None:
    assert add_up(module) == 66 * 3
    source = tmp_path / f"{module}.py"
    source.write_text(LOOP.replace("* factor", "* factor + 1"))
    os.utime(source, (1, 1))
    sys.modules.pop(module)
    assert add_up(module) == 66 * 3 + 12
    assert len(kept(tmp_path)) == 2


def test_a_folder_that_takes_nothing_costs_only_time(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert add_up(module) == 66 * 3


def test_arguments_of_another_kind_are_refused(module: str) -> None:
    loop = load_loop(module, "add_up", example())
    good, total = np.zeros((2, 2), np.int32), np.zeros(1, np.int64)
    frozen = np.zeros(1, np.int64)
    frozen.flags.writeable = False
    loop(good, 1, total)
    for wrong in (
        (good.astype(np.int64), 1, total), (good[0], 1, total), (good[:, ::2], 1, total),
        (good, 1.5, total), (good, 1, frozen),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="a compiled loop takes"):
            loop(*wrong)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        loop(good, 1)


def test_an_exception_in_a_loop_is_one(module: str) -> None:
    with pytest.raises(RuntimeError, match="status"):
        add_up(module, 1001)


def test_numba_itself_runs_where_its_options_are_set(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "0")
    assert add_up(module) == 66 * 3
    assert not kept(tmp_path)
