"""Debian's ``tgtd`` as an independent iSCSI target, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.oracles.commands import OracleError, output_of

_START_S = 20.0


@dataclass(frozen=True)
class Tgtd:
    """A running tgtd with one target.

    Attributes:
        portal: ``127.0.0.1:port``.
        target: iSCSI name; LUN 1 is the unit that was asked for.
        control: number of its control channel, for tgtadm -C.
        pid: of the process, or of the words before it.
    """

    portal: str
    target: str
    control: str
    pid: int


@contextlib.contextmanager
def serve(
    backing_file: Path,
    *,
    device_type: str,
    store: str,
    host: str = "127.0.0.1",
    prefix: tuple[str, ...] = (),
) -> Iterator[Tgtd]:
    """Serve one file as LUN 1: ``device_type`` tape with ``store`` ssc, or disk with rdwr.

    ``host`` is an address of the network namespace that ``prefix`` (``ip netns exec NAME``) enters.
    """
    port = free_port()
    # The control channel is a socket named by a number of 15 bits.
    control, target = str(port & 0x7FFF), f"iqn.2026-11.test.sbtk:t{port}"
    daemon = subprocess.Popen(
        [*prefix, "tgtd", "-f", "-C", control, "--iscsi", f"portal={host}:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_listener(daemon, host, port)
        target_words = ("--lld", "iscsi", "--mode", "target", "--tid", "1")
        unit_words = ("--lld", "iscsi", "--mode", "logicalunit", "--tid", "1", "--lun", "1")
        output_of("tgtadm", "-C", control, "--op", "new", *target_words, "-T", target)
        output_of(
            *("tgtadm", "-C", control, "--op", "new", *unit_words, "-b", backing_file),
            *("--device-type", device_type, "--bstype", store),
        )
        output_of("tgtadm", "-C", control, "--op", "bind", *target_words, "-I", "ALL")
        yield Tgtd(f"{host}:{port}", target, control, daemon.pid)
    finally:
        daemon.send_signal(signal.SIGKILL)  # it may ignore SIGTERM
        daemon.wait()
        for name in (f"socket.{control}", f"socket.{control}.lock"):
            (Path("/var/run/tgtd") / name).unlink(missing_ok=True)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_listener(daemon: subprocess.Popen[bytes], host: str, port: int) -> None:
    """Until tgtd listens; where it cannot bind it takes 0.0.0.0:3260, and that must not be."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            raise OracleError(f"tgtd ended with {daemon.returncode}")
        listening = _listeners(daemon.pid)
        if listening:
            assert listening == {(host, port)}, f"tgtd listens on {listening}"
            return
        time.sleep(0.02)
    raise OracleError("tgtd did not start to listen")


def _listeners(pid: int) -> set[tuple[str, int]]:
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and words[9] in inodes:  # 0A: LISTEN
            address, port = words[1].split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found
