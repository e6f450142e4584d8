"""Server, array and mover as hosts of their own: what goes over the server's link is counted.

Three network namespaces on one bridge. tgtd is the array; our SAN is the mover, with the array's
disk as a remote LUN and a tape drive of its own. The server backs up and restores by EXTENDED COPY.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.sans import san_command, serving
from tests.oracles import tgtd

ROOT = Path(__file__).resolve().parents[2]
VOLUME_BYTES, DATA_BYTES = 1100 << 20, 1 << 30
HOSTS = {"server": 1, "array": 2, "mover": 3}


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Network:
    """Namespaces ``server``, ``array`` and ``mover`` with a counted link each."""

    def __init__(self) -> None:
        self.tag = uuid.uuid4().hex[:6]
        self.switch = f"sw{self.tag}"
        self.names = {host: f"{host}{self.tag}" for host in HOSTS}

    def address(self, host: str) -> str:
        return f"10.77.0.{HOSTS[host]}"

    def prefix(self, host: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.names[host])

    def carried_bytes(self, host: str) -> int:
        """Both directions of a host's link since it was made."""
        folder = "/sys/class/net/eth0/statistics"
        words = run(*self.prefix(host), "cat", f"{folder}/rx_bytes", f"{folder}/tx_bytes").split()
        return sum(map(int, words))

    def up(self) -> None:
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        for host, name in self.names.items():
            run("ip", "netns", "add", name)
            far = f"p{HOSTS[host]}"
            run("ip", "-n", self.switch, "link", "add", far, "type", "veth",
                "peer", "name", "eth0", "netns", name)  # fmt: skip
            run("ip", "-n", self.switch, "link", "set", far, "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                run("ip", "-n", name, "link", "set", link, "up")

    def down(self) -> None:
        for name in (*self.names.values(), self.switch):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network()
    try:
        made.up()
        yield made
    finally:
        made.down()


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    run("ntfs-3g", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Path:
    """An NTFS volume with 1 GiB of file data."""
    folder = tmp_path_factory.mktemp("array")
    image = folder / "volume.ntfs"
    with image.open("wb") as stream:
        stream.truncate(VOLUME_BYTES)
    run("mkntfs", "-Q", "-F", "-q", image)
    piece = os.urandom(1 << 20)
    with mounted(image, folder / "m") as mount:
        for name in range(4):
            with (mount / f"file{name}").open("wb") as stream:
                for number in range(DATA_BYTES // 4 >> 20):
                    stream.write(number.to_bytes(4, "big") + piece[4:])
    return image


# The server's part, run in its namespace: back up the array's disk to the mover's tape, then
# restore it to the mover's disk; one JSON object at the end.
SERVER = """
import json, sys
import sbtk
source, tape, target, counter = sys.argv[1:5]
saved = sbtk.backup(source, to=tape, snapshot="none", quiet_s=0.3, timeout_s=20, activity=counter)
restored = sbtk.restore(saved.set_id, to=target)
print(json.dumps([vars(result.stop) for result in (saved, restored)], default=str))
"""


@pytest.mark.root
@pytest.mark.timeout(300)
def test_less_than_a_hundredth_of_the_data_goes_over_the_servers_link(network, volume, tmp_path):
    host = network.address("array")
    initiator = "iqn.2026-11.test:server"
    with tgtd.serve(
        volume, device_type="disk", store="rdwr", host=host, prefix=network.prefix("array")
    ) as array:
        san_command(
            "create", tmp_path / "san", "--disk", f"back={VOLUME_BYTES}B", "--tape", "t=4GiB",
        )  # fmt: skip
        run(
            *network.prefix("mover"), sys.executable, "-m", "sbtk", "san", "create",
            tmp_path / "san", "--remote", f"iscsi://{array.portal}/{array.target}/1",
        )  # fmt: skip
        san_command("grant", tmp_path / "san", initiator)
        address = network.address("mover")
        with serving(tmp_path / "san", "--host", address, prefix=network.prefix("mover")) as mover:
            back, tape, source = mover.locations
            before = {name: network.carried_bytes(name) for name in HOSTS}
            environment = {
                "SBTK_STATE_DIR": str(tmp_path / "state"), "SBTK_ISCSI_INITIATOR": initiator,
                "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path),
            }  # fmt: skip
            done = subprocess.run(
                [*network.prefix("server"), sys.executable, "-c", SERVER, source, tape, back,
                 f"tgt:1/1:{array.control}"],
                capture_output=True, text=True, check=False, env=environment,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
            carried = {name: network.carried_bytes(name) - before[name] for name in HOSTS}
    stops = json.loads(done.stdout.splitlines()[-1])
    moved = [stop["moved_bytes"] for stop in stops]
    print(
        f"moved {moved[0]:,} and {moved[1]:,} bytes; server's link {carried['server']:,}, "
        f"mover's {carried['mover']:,}, array's {carried['array']:,}"
    )
    assert min(moved) >= DATA_BYTES
    assert carried["server"] < sum(moved) / 100
    assert carried["array"] > DATA_BYTES
    with (
        mounted(volume, tmp_path / "a") as old,
        mounted(tmp_path / "san" / "back", tmp_path / "b") as new,
    ):
        run("diff", "-r", old, new)
