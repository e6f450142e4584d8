"""The portal beside tgtd: reads, writes, commands a second; EXTENDED COPY lists a second.

    python -m benchmarks.bench_portal [--mib N] [--seconds S] [--repeat N]

Both serve the same sparse-free file on loopback from the page cache. The same initiators measure
both in turn. Bytes a second: libiscsi, in C and in a process of its own, and ours, in Python and in
this one; client and server share the machine, so that the quicker client shows more of the server.
4 KiB commands a second: libiscsi's iscsi-perf, one and 32 in flight. Both are also counted by the
CPU time that the serving process took. The best of the repetitions counts, and the ratio to tgtd in
the same run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList
from sbtk.jobs.units import Disk, open_unit
from sbtk.scsi import cdb
from sbtk.scsi.segments import BlockToBlock
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.iscsi import Endpoint, IscsiSession
from sbtk.transport.send import send
from tests.interop.sans import san_command, serving
from tests.oracles import tgtd

MIB = 1 << 20
REQUEST_BYTES = 1 << 20
IN_FLIGHT = 4
INITIATOR = "iqn.2026-11.test:bench"


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@contextmanager
def session(portal: str, target: str) -> Iterator[IscsiSession]:
    host, _, port = portal.rpartition(":")
    with IscsiSession(Endpoint(host, int(port), target, INITIATOR)) as opened:
        yield opened


def stream(opened: IscsiSession, lun: int, mib: int, *, write: bool) -> float:
    """MiB/s of reading or writing the whole disk, 1 MiB a command, four in flight."""
    unit = opened.lun(lun)
    blocks = REQUEST_BYTES // 512
    data = os.urandom(REQUEST_BYTES)

    def one(number: int) -> None:
        lba = number * blocks
        if write:
            send(unit, cdb.Write16(lba=lba, blocks=blocks), data_out=data)
        else:
            send(unit, cdb.Read16(lba=lba, blocks=blocks), data_in_bytes=REQUEST_BYTES)

    with ThreadPoolExecutor(IN_FLIGHT) as workers:
        return mib / timed(lambda: list(workers.map(one, range(mib))))


def commands(portal: str, target: str, lun: int, seconds: int, in_flight: int) -> float:
    """4 KiB random reads a second by iscsi-perf."""
    done = subprocess.run(
        ["iscsi-perf", "-i", INITIATOR, "-b", "8", "-m", str(in_flight), "-t", str(seconds), "-r",
         f"iscsi://{portal}/{target}/{lun}"],
        capture_output=True, text=True, errors="replace", timeout=seconds + 30, check=False,
    )  # fmt: skip
    found = re.findall(r"iops average (\d+)", done.stdout)
    if not found:
        raise SystemExit(f"iscsi-perf: {done.stdout[-500:]}{done.stderr[-500:]}")
    return float(found[-1])


def lists(opened: IscsiSession) -> dict[str, float]:
    """EXTENDED COPY lists a second: one segment of 4 KiB each, with and without polling."""
    first, second = open_unit(opened.lun(0)), open_unit(opened.lun(1))
    if not isinstance(first, Disk):
        raise SystemExit("LUN 0 is no disk")
    segment = BlockToBlock(source=0, destination=1, blocks=8).encode()
    items = CopyList(first.cscd() + second.cscd(), segment, segment_count=1)
    found = {}
    for name, lid4 in (("LID1", False), ("LID4 IMMED with polling", True)):
        client = CopyClient(opened.lun(0), ask_limits(opened.lun(0)), lid4=lid4)
        control = Control()
        found[name] = 1000 / timed(
            lambda c=client, x=control: [c.run(items, x) for _ in range(1000)]
        )
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime, stime


def stream_in_c(portal: str, target: str, lun: int, mib: int, *, write: bool) -> float:
    """As ``stream``, by libiscsi in a process of its own."""
    words = (portal, target, lun, mib, "write" if write else "read", "--in-flight", IN_FLIGHT)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream_libiscsi", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return float(done.stdout)


def measure(
    portal: str, target: str, lun: int, pid: int, options: argparse.Namespace
) -> dict[str, float]:
    best: dict[str, float] = {}

    def keep(name: str, found: float) -> None:
        best[name] = max(best.get(name, 0), found)

    for _ in range(options.repeat):
        for name, write in (("write", True), ("read", False)):
            before_s = cpu_s(pid)
            keep(f"{name} in C", stream_in_c(portal, target, lun, options.mib, write=write))
            keep(f"{name} cpu", options.mib / (cpu_s(pid) - before_s))
        with session(portal, target) as opened:
            for name, write in (("write", True), ("read", False)):
                keep(name, stream(opened, lun, options.mib, write=write))
        for in_flight in (1, 32):
            before_s = cpu_s(pid)
            found = commands(portal, target, lun, options.seconds, in_flight)
            keep(f"commands {in_flight}", found)
            keep(f"cpu {in_flight}", found * options.seconds / (cpu_s(pid) - before_s))
    return best


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the disk, MiB")
    parser.add_argument("--seconds", type=int, default=3, help="of each run of iscsi-perf")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files are made; deleted afterwards")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="sbtk-bench-") as name:
        folder = Path(name)
        san_command("create", folder, "--disk", f"a={options.mib}MiB", "--disk", "b=16MiB")
        san_command("grant", folder, INITIATOR)
        other = folder / "tgtd"
        with other.open("wb") as file:
            file.truncate(options.mib * MIB)
        with serving(folder) as san, tgtd.serve(other, device_type="disk", store="rdwr") as peer:
            theirs = measure(peer.portal, peer.target, 1, peer.pid, options)
            ours = measure(san.address, san.iqn, 0, san.process.pid, options)
            with session(san.address, san.iqn) as opened:
                copies = lists(opened)
    print(f"disk of {options.mib} MiB, best of {options.repeat}")
    for key, what, unit in (
        ("write in C", "writes of 1 MiB, 4 in flight, libiscsi", "MiB/s"),
        ("write cpu", "  in a second of the server's CPU", "MiB/s"),
        ("write", "  by our initiator", "MiB/s"),
        ("read in C", "reads of 1 MiB, 4 in flight, libiscsi", "MiB/s"),
        ("read cpu", "  in a second of the server's CPU", "MiB/s"),
        ("read", "  by our initiator", "MiB/s"),
        ("commands 1", "random reads of 4 KiB, 1 in flight", "/s"),
        ("cpu 1", "  in a second of the server's CPU", "/s"),
        ("commands 32", "random reads of 4 KiB, 32 in flight", "/s"),
        ("cpu 32", "  in a second of the server's CPU", "/s"),
    ):
        print(
            f"  {what:<40} {ours[key]:10,.0f} {unit:<6} tgtd {theirs[key]:10,.0f}"
            f"  {ours[key] / theirs[key]:5.2f} of tgtd"
        )
    for key, rate in copies.items():
        print(f"  {'EXTENDED COPY lists, ' + key:<40} {rate:10,.0f} /s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
