"""Part of the guest of ``guest_lvm``: a disk that answers EIO for chosen sectors, backed up.

device-mapper's error target stands in for sectors of a real disk of LIO, so that the kernel itself
fails what the mover reads.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from pathlib import Path

BAD = "/dev/mapper/bad"
_SECTOR_BYTES = 512


def make_bad_disk(disk: str, at_bytes: int, length_bytes: int) -> None:
    """``BAD`` is ``disk``, but for some bytes that cannot be read."""
    size = int(Path(f"/sys/block/{Path(disk).name}/size").read_text())
    first, count = at_bytes // _SECTOR_BYTES, length_bytes // _SECTOR_BYTES
    behind = first + count
    table = (
        f"0 {first} linear {disk} 0\n"
        f"{first} {count} error\n"
        f"{behind} {size - behind} linear {disk} {behind}\n"
    )
    for words, given in ((["create", "bad"], table), (["mknodes"], "")):
        done = subprocess.run(
            ["dmsetup", "--noudevsync", *words],
            input=given, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"dmsetup {words}: {done.stdout}{done.stderr}"


def sbtk(*words: str) -> dict[str, object]:
    """One command line, in this process: the machine is emulated, and importing takes its time."""
    from sbtk.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as stop:
            code = stop.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def back_up_bad_disk(disk: str, path: str, at_bytes: int, length_bytes: int) -> dict[str, object]:
    """What the command line says of it: stopping, going on, the set, its files."""
    make_bad_disk(disk, at_bytes, length_bytes)
    kernel = ""
    try:
        with open(BAD, "rb") as stream:
            os.pread(stream.fileno(), length_bytes, at_bytes)
    except OSError as error:
        kernel = os.strerror(error.errno or 0)
    tape, archive = "tape:/run/bad.tape", "/run/archive.img"
    assert sbtk("tape", "create", "/run/bad.tape", "--capacity", "64MiB")["code"] == 0
    with open(archive, "wb") as stream:
        stream.truncate(64 << 20)
    back_up = ("backup", BAD, "--snapshot", "none", "--quiet-s", "0.2", "--progress", "none")
    report: dict[str, object] = {
        "kernel": kernel,
        "stop": sbtk(*back_up, "--to", archive),
        "after_stop": sbtk("sets", archive),
        "skip": sbtk(*back_up, "--to", tape, "--on-error", "skip"),
        "sets": sbtk("sets"),
        "verify": sbtk("verify", "last", "--progress", "none"),
        "extract": sbtk("extract", "last", path, "--to", "/run/out", "--progress", "none"),
        "restore": sbtk("restore", "last", "--to", "/run/restored.img", "--progress", "none"),
    }
    source, restored = Path(disk).read_bytes(), Path("/run/restored.img").read_bytes()
    end = at_bytes + length_bytes
    report["zeros"] = not any(restored[at_bytes:end])
    near = 64 << 10
    report["around_equal"] = (
        source[at_bytes - near : at_bytes] == restored[at_bytes - near : at_bytes]
        and source[end : end + near] == restored[end : end + near]
    )
    return report
