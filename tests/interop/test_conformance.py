"""Our portal beside tgtd and LIO in the suites that need no thousands of commands.

Every command of LIO's goes through an emulated processor, so the whole of the two families is a
command of its own: ``python -m tests.interop.conformance``. tests/mover/test_portal_conformance.py
compares it with tgtd.
"""

from __future__ import annotations

import pytest

from tests.interop.conformance import compare

SUITES = [
    "iSCSI",
    *(
        f"SCSI.{name}"
        for name in (
            "ExtendedCopy", "ReceiveCopyResults", "Inquiry", "ModeSense6", "PrinReadKeys",
            "PrinReportCapabilities", "ProutRegister", "ProutReserve", "ProutClear",
            "ProutPreempt", "Reserve6", "ReportSupportedOpcodes", "ReadCapacity16",
        )
    ),
]  # fmt: skip


@pytest.mark.root
@pytest.mark.timeout(600)
def test_nobody_passes_more_than_we_do():
    found = compare(SUITES)
    ours = found["sbtk"]
    for suite in SUITES:
        print(suite, {name: str(outcomes[suite]) for name, outcomes in found.items()})
        for other in ("tgtd", "LIO"):
            assert ours[suite].total == found[other][suite].total
            assert ours[suite].passed >= found[other][suite].passed, suite
            assert ours[suite].really_passed >= found[other][suite].really_passed, suite
        if suite != "iSCSI":
            assert not ours[suite].failed
            assert not ours[suite].skipped.keys() - {"Inquiry.BlockLimits"}, suite
