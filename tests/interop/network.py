"""Hosts of their own on one machine: network namespaces on a bridge, with a counted link each."""

from __future__ import annotations

import subprocess
import uuid

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

    def cut(self, host: str) -> None:
        """Take a host's link down: packets are lost, nobody is told."""
        run("ip", "-n", self.switch, "link", "set", f"p{HOSTS[host]}", "down")

    def mend(self, host: str) -> None:
        """Bring a host's link back."""
        run("ip", "-n", self.switch, "link", "set", f"p{HOSTS[host]}", "up")

    def slow(self, host: str, mbit: int) -> None:
        """Let a host send no faster than that, so that a copy has a middle on any machine."""
        run(*self.prefix(host), "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf",
            "rate", f"{mbit}mbit", "burst", "1m", "latency", "50ms")  # fmt: skip

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
