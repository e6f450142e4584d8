"""Runs in the guest as root: the kernel's initiator on our SAN, and ourselves on LIO.

Arguments: port of our portal on the host, iSCSI name of its target, CHAP user, CHAP secret,
an NTFS volume, user and secret that the SAN has to prove.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sbtk.device.location import open_device, open_transport, parse
from sbtk.device.scsi import ScsiDevice
from sbtk.errors import CheckConditionError
from sbtk.jobs.control import Control
from sbtk.jobs.copy_client import CopyClient, CopyList
from sbtk.jobs.policy import target_name
from sbtk.jobs.units import Disk, open_unit
from sbtk.scsi import cdb
from sbtk.scsi.segments import BlockToBlock
from sbtk.scsi.sense import decode
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.base import Transport
from sbtk.transport.send import send
from tests.interop.guest import MARK
from tests.interop.lio import LIO_TARGET, make_lio

HOST = "10.0.2.2"
INITIATOR = "iqn.2026-11.lab:guest"


def run(*command: str, okay: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = f"{done.stdout}{done.stderr}"
    assert done.returncode in okay, f"{command}: {done.returncode} {said}"
    return said


def wait_for(*paths: str) -> None:
    deadline = time.monotonic() + 30
    while not all(map(os.path.exists, paths)):
        assert time.monotonic() < deadline, f"{paths}: {sorted(os.listdir('/dev'))}"
        time.sleep(0.1)


def digest(path: str, length_bytes: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read(length_bytes)).hexdigest()


DIGESTS = [
    word
    for name in ("HeaderDigest", "DataDigest")
    for word in ("-P", f"node.conn[0].iscsi.{name}=CRC32C")
]


def log_in(
    port: str, target: str, user: str, secret: str, _volume: str, own_user: str, own_secret: str
) -> dict[str, object]:
    """Wrong secrets first, ours and the SAN's: refused; then the right ones, with digests."""
    words = ["iscsistart", "-i", INITIATOR, "-t", target, "-g", "1", "-a", HOST, "-p", port,
             *DIGESTS]  # fmt: skip
    refused = []
    for ours, theirs in (("not-the-secret-1", own_secret), (secret, "not-the-secret-2")):
        wrong = subprocess.run(
            [*words, "-u", user, "-w", ours, "-U", own_user, "-W", theirs],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = wrong.stdout + wrong.stderr
        refused.append("ogin" in said and not os.path.exists("/dev/sda"))
    run(*words, "-u", user, "-w", secret, "-U", own_user, "-W", own_secret)
    wait_for("/dev/sda", "/dev/sdb", "/dev/nst0", "/dev/sg2")
    connection = next(Path("/sys/class/iscsi_connection").iterdir())
    digests = [(connection / f"{name}_digest").read_text().strip() for name in ("header", "data")]
    return {"wrong_secrets_refused": refused, "logged_in": True, "digests": digests}


def reservations() -> dict[str, object]:
    """sg_persist registers, reserves, reads what is told of it, and lets go."""
    out = ("sg_persist", "--out", "--param-rk=0xabc")
    run("sg_persist", "--out", "--register", "--param-sark=0xabc", "/dev/sg0")
    run(*out, "--reserve", "--prout-type=5", "/dev/sg0")
    told = {
        word: run("sg_persist", "--in", f"--{word}", "/dev/sg0")
        for word in ("read-keys", "read-reservation", "read-full-status", "report-capabilities")
    }
    run(*out, "--release", "--prout-type=5", "/dev/sg0")
    run(*out, "--clear", "/dev/sg0")
    told["after"] = run("sg_persist", "--in", "--read-keys", "/dev/sg0")
    return {"reservations": told}


def file_system() -> dict[str, object]:
    run("mkfs.ext4", "-q", "-F", "/dev/sda")
    os.makedirs("/run/m", exist_ok=True)
    run("mount", "/dev/sda", "/run/m")
    data = os.urandom(3 << 20)
    Path("/run/m/file").write_bytes(data)
    run("umount", "/run/m")
    Path("/proc/sys/vm/drop_caches").write_text("3")
    run("mount", "/dev/sda", "/run/m")
    same = Path("/run/m/file").read_bytes() == data
    run("umount", "/run/m")
    checked = run("e2fsck", "-f", "-n", "/dev/sda")
    return {"file_is_the_same": same, "fsck_clean": "clean" in checked or "files" in checked}


def copies() -> dict[str, object]:
    """sg_xcopy and ddpt between our disks; what lies there is compared."""
    mib = 8
    found: dict[str, object] = {}
    tools: dict[str, Callable[[], str]] = {
        "sg_xcopy": lambda: run(
            "sg_xcopy", "if=/dev/sg0", "of=/dev/sg1", f"count={mib * 2048}", "bs=512"
        ),
        "ddpt": lambda: run(
            "ddpt", "--xcopy", "if=/dev/sg0", "of=/dev/sg1", f"count={mib * 2048}", "bs=512"
        ),
    }
    for name, copy in tools.items():
        run("dd", "if=/dev/zero", "of=/dev/sdb", "bs=1M", f"count={mib}", "oflag=direct")
        copy()
        Path("/proc/sys/vm/drop_caches").write_text("3")
        run("blockdev", "--flushbufs", "/dev/sdb")
        found[name] = digest("/dev/sda", mib << 20) == digest("/dev/sdb", mib << 20)
    found["copy_results"] = run("sg_copy_results", "--params", "/dev/sg0")
    for page in ("0x8f", "di", "bl", "lbpv", "sv"):
        found[f"vpd_{page}"] = run("sg_vpd", f"--page={page}", "/dev/sg0")
    return found


def tape() -> dict[str, object]:
    run("mt", "-f", "/dev/nst0", "rewind")
    status = run("mt", "-f", "/dev/nst0", "status")
    run("mt", "-f", "/dev/nst0", "asf", "1")  # behind the label: the set
    listed = run("tar", "-b", "512", "-tf", "/dev/nst0").split()
    run("mt", "-f", "/dev/nst0", "asf", "1")
    os.makedirs("/run/out", exist_ok=True)
    run("tar", "-b", "512", "-C", "/run/out", "-xf", "/dev/nst0")
    sums = {
        str(path.relative_to("/run/out")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("/run/out").rglob("*"))
        if path.is_file()
    }
    run("mt", "-f", "/dev/nst0", "eod")
    run("tar", "-b", "512", "-cf", "/dev/nst0", "-C", "/run/out", ".")
    run("mt", "-f", "/dev/nst0", "asf", "2")
    again = run("tar", "-b", "512", "-tf", "/dev/nst0").split()
    return {"mt": status, "listed": listed, "sums": sums, "written": sorted(again)}


def sg_io() -> dict[str, object]:
    """Our SG_IO transport on the kernel's nodes: data, sense, a disk as a source."""
    transport = open_transport(parse("/dev/sg0"))
    response = transport.execute(cdb.Read16(lba=1 << 40, blocks=1).encode(), data_in_bytes=512)
    sense = decode(response.sense)
    disk = open_device("/dev/sg0")
    whole = hashlib.sha256(disk.read(0, 8 << 20)).hexdigest()
    found = {
        "sense": [sense.key, sense.asc],
        "sg_reads_the_disk": whole == digest("/dev/sda", 8 << 20),
        "sg_size": disk.size_bytes,
    }
    data = os.urandom(1 << 20)
    out = open_transport(parse("/dev/sg1"))
    send(out, cdb.Write16(lba=2048, blocks=2048), data_out=data)
    found["sg_writes"] = bytes(ScsiDevice(out).read(1 << 20, 1 << 20)) == data
    disk.close()
    transport.close()
    return found


def lio_copy(source: Transport, target: Transport) -> dict[str, object]:
    """One disk of LIO to another by its copy manager: one segment a command, LID1."""
    limits = ask_limits(source)
    first, second = open_unit(source), open_unit(target)
    assert isinstance(first, Disk)
    assert isinstance(second, Disk)
    data = os.urandom(4 << 20)
    first.write(0, data)
    second.write(0, bytes(len(data)))
    first.flush()
    client = CopyClient(source, limits)
    blocks = (1 << 20) // 512
    for start in range(0, len(data) // 512, blocks):
        segment = BlockToBlock(
            source=0, destination=1, blocks=blocks, source_lba=start, destination_lba=start
        )
        cscds = first.cscd() + second.cscd()
        client.run(CopyList(cscds, segment.encode(), segment_count=1), Control())
    try:
        two = segment.encode() * 2
        client.run(CopyList(cscds, two, segment_count=2), Control())
        refused = 0
    except CheckConditionError as error:
        refused = error.exit_code
    return {
        "limits": [limits.max_cscds, limits.max_segments, limits.lid4],
        "equal": second.read(0, len(data)) == data,
        "two_segments_refused": refused,
    }


def files_of(image: str) -> dict[str, str]:
    """sha256 of every file on a volume, as far as a set carries it: no paging files."""
    import sbtk

    with sbtk.open_volume(image) as volume:
        rows = volume.files.to_pandas()
        paths = rows[~rows["is_directory"] & ~rows["path"].str.startswith("$")]["path"]
        found = {}
        for path in paths[~paths.isin(["pagefile.sys", "hiberfil.sys", "swapfile.sys"])]:
            try:
                with volume.open(path) as stream:
                    found[path] = hashlib.sha256(stream.read()).hexdigest()
            except sbtk.SbtkError as error:  # encrypted: the same on both sides
                found[path] = type(error).__name__
    assert len(found) > 10
    return found


def backup_on_lio(source: str, target: str, volume: bytes) -> dict[str, object]:
    """A volume from one disk of LIO to the other as a set, wiped, restored, compared."""
    import sbtk

    with contextlib.closing(open_transport(parse(source))) as path:
        disk = open_unit(path)
        assert isinstance(disk, Disk)
        disk.write(0, volume)
        disk.flush()
        saved = sbtk.backup(
            source, to=target, snapshot="none", quiet_s=0.3, timeout_s=30,
            activity="/run/lio0", yes=target_name(target),
        )  # fmt: skip
        disk.write(0, bytes(len(volume)))
        disk.flush()
        restored = sbtk.restore(saved.set_id, to=source, yes=target_name(source))
        Path("/run/back").write_bytes(disk.read(0, len(volume)))
    same = files_of("/run/back") == files_of(sys.argv[5])
    Path("/run/back").unlink()
    return {
        "same": same,
        "commands": saved.stop.commands,
        "through_host": [saved.stop.host_data_bytes, restored.stop.host_data_bytes],
        "moved": [saved.stop.moved_bytes, restored.stop.moved_bytes],
    }


def our_copies_on_lio() -> dict[str, object]:
    nodes = make_lio()
    location = f"iscsi://127.0.0.1:3260/{LIO_TARGET}/"
    by_iscsi = [open_transport(parse(f"{location}{lun}")) for lun in (0, 1)]
    over_iscsi = lio_copy(*by_iscsi)
    by_sg = [open_transport(parse(node)) for node in nodes]
    over_sg = lio_copy(*by_sg)
    for transport in (*by_iscsi, *by_sg):
        transport.close()
    volume = Path(sys.argv[5]).read_bytes()
    return {
        "lio_iscsi": over_iscsi,
        "lio_sg": over_sg,
        "backup_iscsi": backup_on_lio(location + "0", location + "1", volume),
        "backup_sg": backup_on_lio(nodes[0], nodes[1], volume),
    }


def main() -> None:
    report: dict[str, object] = dict(log_in(*sys.argv[1:8]))
    for part in (file_system, copies, reservations, tape, sg_io, our_copies_on_lio):
        started = time.monotonic()
        report |= part()
        report[f"{part.__name__}_s"] = round(time.monotonic() - started, 1)
    print(MARK + json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
