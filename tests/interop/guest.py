"""A small virtual machine with Debian's own kernel, for what the machine's kernel lacks.

Built once into .cache/lab (tests/interop/lab/build.sh), booted by software emulation in about
10 s. The guest sees this machine's file system read-only under a throw-away overlay, so that the
checkout and its Python run there as they are.
"""

from __future__ import annotations

import fcntl
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAB = Path(__file__).parent / "lab"
CACHE = ROOT / ".cache" / "lab"
MARK = "GUEST-RESULT "


def built() -> Path:
    """The folder with the machine's kernel and first file system; made on first use."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "vmlinuz").exists():
            done = subprocess.run(
                ["bash", LAB / "build.sh", CACHE], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"the lab was not built: {done.stdout}{done.stderr}"
    return CACHE


def run_in_guest(
    script: Path | str, folder: Path, *, arguments: Sequence[str] = (), timeout_s: int = 240
) -> dict[str, Any]:
    """Boot the machine, run a Python script of ours in it, return what it reported.

    Args:
        script: a file of this checkout; it prints ``MARK`` and one JSON object at its end.
        folder: of the test, for the job file.
        arguments: of the script.
        timeout_s: after which the machine is shut off.
    """
    job = folder / "job.sh"
    job.write_text(
        "export PYTHONDONTWRITEBYTECODE=1 HOME=/run SBTK_STATE_DIR=/run/state SBTK_KERNELS=numpy\n"
        "export PATH=/usr/sbin:/sbin:/usr/bin:/bin\n"
        f"cd {shlex.quote(str(ROOT))} && "
        f"{shlex.join([sys.executable, str(script), *arguments])} 2>&1\n"
    )
    done = subprocess.run(
        ["bash", LAB / "run.sh", built(), job, str(timeout_s)],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if MARK in line:
            return dict(json.loads(line.partition(MARK)[2]))
    raise AssertionError(
        f"the guest reported nothing:\n{done.stdout[-6000:]}\n{done.stderr[-1000:]}"
    )
