"""Server, array and mover as hosts of their own: what goes over the server's link is counted.

Three network namespaces on one bridge. tgtd is the array; our SAN is the mover, with the array's
disk as a remote LUN and a tape drive of its own. The server backs up and restores by EXTENDED COPY.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.network import HOSTS, run
from tests.interop.sans import san_command, serving
from tests.interop.volumes import mounted, ntfs_with_data
from tests.oracles import tgtd

ROOT = Path(__file__).resolve().parents[2]
DATA_BYTES = 1 << 30


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
def test_less_than_a_hundredth_of_the_data_goes_over_the_servers_link(network, tmp_path):
    volume = ntfs_with_data(tmp_path, DATA_BYTES)
    host = network.address("array")
    initiator = "iqn.2026-11.test:server"
    with tgtd.serve(
        volume, device_type="disk", store="rdwr", host=host, prefix=network.prefix("array")
    ) as array:
        san_command(
            "create", tmp_path / "san", "--tape", "t=4GiB",
            "--disk", f"back={volume.stat().st_size}B",
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
