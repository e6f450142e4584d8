"""Linux's own target in the guest: two disks, over iSCSI and as SCSI nodes of the guest itself."""

from __future__ import annotations

import time
from pathlib import Path

LIO_TARGET = "iqn.2026-11.lab.lio:san"
_CORE = Path("/sys/kernel/config/target/core")
_ISCSI = Path("/sys/kernel/config/target/iscsi") / LIO_TARGET / "tpgt_1"
_LOOP = Path("/sys/kernel/config/target/loopback/naa.5001405000000011/tpgt_1")


def make_lio(disk_bytes: int = 64 << 20) -> list[str]:
    """Serve two disks; their SCSI nodes, which tcm_loop makes."""
    before = _nodes()
    devices = []
    for number in range(2):
        place, file = _CORE / f"fileio_1{number}" / f"lab{number}", Path(f"/run/lio{number}")
        with file.open("wb") as stream:
            stream.truncate(disk_bytes)
        place.mkdir(parents=True)
        settings = f"fd_dev_name={file},fd_dev_size={disk_bytes},fd_buffered_io=1"
        (place / "control").write_text(settings)
        (place / "wwn" / "vpd_unit_serial").write_text(f"lab-disk-{number}")
        (place / "enable").write_text("1")
        devices.append(place)
    (_ISCSI / "np" / "127.0.0.1:3260").mkdir(parents=True)
    _LOOP.mkdir(parents=True)
    (_LOOP / "nexus").write_text("naa.5001405000000012")
    for group in (_ISCSI, _LOOP):
        for number, device in enumerate(devices):
            lun = group / "lun" / f"lun_{number}"
            lun.mkdir(parents=True)
            (lun / "disk").symlink_to(device)
    for name, value in (
        ("authentication", "0"), ("generate_node_acls", "1"), ("demo_mode_write_protect", "0"),
    ):  # fmt: skip
        (_ISCSI / "attrib" / name).write_text(value)
    (_ISCSI / "enable").write_text("1")
    deadline = time.monotonic() + 20
    while len(_nodes() - before) < 2:
        assert time.monotonic() < deadline, "tcm_loop's nodes did not appear"
        time.sleep(0.1)
    return sorted(_nodes() - before)


def _nodes() -> set[str]:
    return {str(path) for path in Path("/dev").glob("sg[0-9]*")}
