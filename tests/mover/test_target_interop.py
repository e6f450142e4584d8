"""iscsi-test-cu, libiscsi's conformance suite, against the copy manager behind the portal."""

import os

import pytest

from sbtk.mover.block_lun import BlockLun
from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.target import Target
from sbtk.scsi.iscsi_login import Access
from tests.oracles.commands import output_of

IQN = "iqn.2026-11.test:mover"


@pytest.mark.parametrize(
    ("family", "tests"), [("SCSI.ExtendedCopy", 6), ("SCSI.ReceiveCopyResults", 2)]
)
def test_iscsi_test_cu(tmp_path, family, tests):
    """A test that it skips counts as passed there, not here."""
    target = Target(open_access=True)
    for lun in (0, 1):
        path = tmp_path / f"disk{lun}"
        path.touch()
        os.truncate(path, 600 << 20)
        target.add(lun, BlockLun(path))
    try:
        with Portal({IQN: PortalTarget(target, lambda _name: Access())}, port=0) as portal:
            url = f"iscsi://127.0.0.1:{portal.port}/{IQN}/0"
            said = output_of("iscsi-test-cu", "-d", "-V", "-t", family, url)
    finally:
        target.close()
    line = next(line for line in said.splitlines() if line.split()[:1] == ["tests"])
    assert line.split()[1:5] == [str(tests), str(tests), str(tests), "0"], said
    assert "[SKIPPED]" not in said
